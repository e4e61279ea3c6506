"""timerec: recommendations that know what time it is."""

from __future__ import annotations

import hashlib
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"
__all__ = ["Recommender", "__version__"]

if TYPE_CHECKING:
    from timerec.recommend import Recommender


def __getattr__(name: str) -> Any:
    if name == "Recommender":  # imported on first use: torch and transformers take seconds
        from timerec.recommend import Recommender

        return Recommender
    raise AttributeError(f"module 'timerec' has no attribute {name!r}")


def _cache_kernels_by_source() -> None:
    """Keep compiled kernels apart by what they were compiled from.

    Numba's cache looks at the file of a kernel alone: one whose constants or callees changed in another file would go on as
    it was. A cache directory that the user has set stays.
    """
    home = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    if "NUMBA_CACHE_DIR" in os.environ or not os.path.isabs(home):
        return
    digest = hashlib.sha256()
    for path in sorted(Path(__file__).parent.rglob("*.py")):
        source = path.read_bytes()
        # kernels, however they are compiled, and the constants and tuples that they take from elsewhere
        if b"njit" in source or path.parent.name == "candidates" or path.name == "clock.py":
            digest.update(source)
    folder = os.path.join(home, "timerec", "kernels", digest.hexdigest()[:16])
    os.environ["NUMBA_CACHE_DIR"] = folder
    if "numba" in sys.modules:  # it has read the environment already
        sys.modules["numba"].config.CACHE_DIR = folder


_cache_kernels_by_source()
