"""timerec: recommendations that know what time it is."""

from __future__ import annotations

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
