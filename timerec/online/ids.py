"""Identifiers of a catalogue or of the users, to which new ones are added while it runs."""

from __future__ import annotations

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
        self._sorted: tuple[NDArray[np.str_], NDArray[np.int64]] | None = None  # texts and indices, made when somebody searches

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
        if self._sorted is None:
            texts = self._known.astype(str).to_numpy(dtype=str) if len(self._known) else np.zeros(0, "U1")
            order = np.argsort(texts, kind="stable")
            self._sorted = texts[order], order
        texts, order = self._sorted
        low, high = np.searchsorted(texts, [text, text + chr(0x10FFFF)])
        new = [index for name, index in self._new.items() if name.startswith(text)]
        return np.concatenate([order[low:high], np.array(new, np.int64)])

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
