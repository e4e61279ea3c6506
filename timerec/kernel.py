"""How the functions that kernels call are compiled."""

from __future__ import annotations

from typing import Any

from numba import njit

# Numba counts who holds each array that it passes on, by one atomic operation an array: with a log of forty arrays that was an
# eighth of an answer. A function that makes no array need not count those that it is lent; one that does make some is refused.
# numba's own library compiles such functions so; its type hints leave the option out
LENT: dict[str, Any] = {"cache": True, "_nrt": False}
lent: Any = njit(**LENT)
