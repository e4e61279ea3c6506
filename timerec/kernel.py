"""How the functions that kernels call are compiled."""

from __future__ import annotations

from typing import Any

from numba import njit

# Numba counts who holds each array that it passes on, by one atomic operation an array: with a log of forty arrays that was an
# eighth of an answer. A function that only borrows arrays need not count them. Numba refuses one that makes an array, but not one
# that returns an argument: it must return numbers alone, or the caller lets go of what was never held.
# Numba's own library compiles such functions so; its type hints leave the option out
OPTIONS: dict[str, Any] = {"cache": True, "_nrt": False}
borrowing: Any = njit(**OPTIONS)
