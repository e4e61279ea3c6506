"""Kinds of events that are told apart: the frequent ones, so that a view and a purchase are not the same habit."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from timerec.data.passes import read_arrow
from timerec.schema import Prepared

MOST = 6  # kinds with features of their own
FEWEST = 0.001  # share of all events that such a kind has
NAMED = 100  # names of a batch of rows that are kept: a column of free text must not fill the memory


def frequent_names(kinds: pa.Array) -> list[str]:
    """The NAMED most frequent names of some rows; missing ones are no kind."""
    counts = pc.value_counts(kinds.filter(pc.greater(pc.utf8_length(kinds.fill_null("")), 0)))
    names, rows = counts.field("values"), counts.field("counts")
    return names.take(pc.sort_indices(rows, sort_keys=[("", "descending")])[:NAMED]).to_pylist()


def told_apart(names: Iterable[str], shards: Iterable[Path], val_from: int) -> list[str]:
    """Kinds with features of their own, in alphabetical order; none where there are not two of them.

    Args:
        names: of the kinds in the log.
        shards: Arrow files of the events with their times and the hashes of their kinds.
        val_from: unix seconds; only earlier events count, so that later ones cannot change what a model sees.
    """
    by_hash = dict(zip(hash_kinds(candidates := sorted(set(names))).tolist(), candidates, strict=True))
    rows, total = Counter[str](), 0
    for path in shards:
        table = read_arrow(path)
        kind = table[Prepared.KIND].to_numpy()[table[Prepared.TIME].to_numpy() < val_from]
        total += len(kind)
        for value, count in zip(*np.unique(kind, return_counts=True), strict=True):
            if int(value) in by_hash:
                rows[by_hash[int(value)]] += int(count)
    most = sorted((name for name in rows if rows[name] >= FEWEST * total), key=lambda name: (-rows[name], name))[:MOST]
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
