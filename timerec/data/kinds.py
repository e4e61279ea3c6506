"""Kinds of events that are told apart: the frequent ones, so that a view and a purchase are not the same habit."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

MOST = 6  # kinds with features of their own
FEWEST = 0.001  # share of the events that such a kind has
COUNTED = 100  # names a piece of the log that are counted: a column of free text must not fill the memory


def count_kinds(kinds: pa.Array) -> dict[str, int]:
    """Rows of the most frequent names; missing ones are no kind."""
    counts = pc.value_counts(kinds.filter(pc.greater(pc.utf8_length(kinds.fill_null("")), 0))).to_pylist()
    return dict(Counter({entry["values"]: entry["counts"] for entry in counts}).most_common(COUNTED))


def told_apart(counts: Iterable[Mapping[str, int]]) -> list[str]:
    """Names with features of their own, in alphabetical order; none where there are not two of them.

    Args:
        counts: rows of each name, piece by piece of the log.
    """
    total: Counter[str] = Counter()
    for found in counts:
        total.update(found)
    least = FEWEST * total.total()
    most = sorted((name for name, rows in total.items() if rows >= least), key=lambda name: (-total[name], name))[:MOST]
    return sorted(most) if len(most) > 1 else []


def hash_kinds(names: list[str]) -> NDArray[np.uint64]:
    """The hashes by which the log's rows carry their kinds."""
    return np.asarray(pd.util.hash_array(np.array(names, dtype=object), categorize=False), np.uint64)


def place_kinds(kind: NDArray[np.uint64], names: list[str]) -> NDArray[np.int8]:
    """Place of each hash among the names, -1 of all others."""
    place = np.full(len(kind), -1, np.int8)
    for number, wanted in enumerate(hash_kinds(names)):
        place[kind == wanted] = number
    return place
