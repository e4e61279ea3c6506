"""Learnt systems of others to judge beside the model; `pip install 'timerec[peers]'` brings all but SASRec."""

from __future__ import annotations

import importlib
from typing import Any

from timerec.schema import DataError


def needed(package: str) -> Any:
    """The package, imported on first use.

    Raises:
        DataError: it is not installed.
    """
    try:
        return importlib.import_module(package)
    except ImportError:
        raise DataError(
            f"setting evaluate.peers: needs the package '{package}', which is not installed: pip install 'timerec[peers]'"
        ) from None
