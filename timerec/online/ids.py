"""Identifiers of a catalogue or of the users, to which new ones are added while it runs."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray


class Ids:
    """Texts of identifiers and their dense indices. What was an integer in training is known by its usual spelling."""

    def __init__(self, known: pa.Array | pa.ChunkedArray) -> None:
        """Start from the identifiers of a table, in the order of their indices."""
        self._integers = pa.types.is_integer(known.type)
        values = known.to_numpy(zero_copy_only=False)
        self._values = values if self._integers else values.astype(object)
        self._known = pd.Index(self._values, dtype=self._values.dtype)  # as it is: pandas would keep texts once more, as Arrow's
        self._new: dict[str, int] = {}
        self._names: list[str] = []
        self._sorted: NDArray[np.int64] | None = None  # indices in the order of their texts, made when somebody searches

    def __len__(self) -> int:
        return len(self._known) + len(self._names)

    def index(self, name: str) -> int:
        """Index of an identifier, -1 where it is not known."""
        key: str | int = name
        if self._integers:
            number = _whole(name)
            if number is None:
                return self._new.get(name, -1)
            key = number
        try:
            return int(self._known.get_loc(key))
        except KeyError:
            return self._new.get(name, -1)

    def indices(self, names: Iterable[str]) -> NDArray[np.int32]:
        """Index of each identifier, -1 where it is not known."""
        return np.array([self.index(name) for name in names], np.int32)

    def add(self, name: str) -> int:
        """Index of a new identifier."""
        self._new[name] = len(self)
        self._names.append(name)
        return len(self) - 1

    def reserve(self, n: int) -> NDArray[np.int32]:
        """Indices of n places that have no identifier."""
        first = len(self)
        self._names += [""] * n
        return np.arange(first, first + n, dtype=np.int32)

    def starting_with(self, text: str) -> NDArray[np.int64]:
        """Indices of all identifiers that begin with `text`."""
        new = np.array([index for name, index in self._new.items() if name.startswith(text)], np.int64)
        if not text:
            return np.concatenate([np.arange(len(self._known)), new])
        if self._sorted is None:  # texts as they are: an array of them would be as wide as the longest
            self._sorted = np.argsort(self._values.astype("U20") if self._integers else self._values, kind="stable")
        low, high = (bisect_left(self._sorted, end, key=self.name) for end in (text, text + chr(0x10FFFF)))
        return np.concatenate([self._sorted[low:high], new])

    def name(self, index: int) -> str:
        """The identifier of an index, as text."""
        known = len(self._values)
        return str(self._values[index]) if index < known else self._names[index - known]


def _whole(name: str) -> int | None:
    """The integer of its usual spelling: 007 is another identifier than 7."""
    if not (name.isascii() and name.removeprefix("-").isdigit() and len(name) < 20):
        return None
    number = int(name)
    return number if str(number) == name and -(2**63) <= number < 2**63 else None
