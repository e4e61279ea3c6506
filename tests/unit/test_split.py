"""The global split and what was seen before."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from timerec.data.passes import write_arrow
from timerec.data.split import check_split, seen_before, time_quantiles
from timerec.schema import DataError


def quantiles(parts: list[list[int]], wanted: list[float]) -> list[int]:
    times = [time for part in parts for time in part]
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder) / f"{number}.arrow" for number in range(len(parts))]
        for path, part in zip(paths, parts, strict=True):
            write_arrow(pa.table({"time": pa.array(part, pa.int64())}), path)
        return time_quantiles(paths, wanted, min(times), max(times))


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.lists(st.integers(0, 2_000_000_000), max_size=30), min_size=1, max_size=4).filter(any),
    st.lists(st.floats(0.01, 0.99), min_size=1, max_size=3),
)
def test_quantiles_over_shards_are_those_of_numpy(parts: list[list[int]], wanted: list[float]) -> None:
    times = np.array([time for part in parts for time in part])
    assert quantiles(parts, wanted) == [int(np.quantile(times, q)) for q in wanted]


def test_quantiles_with_few_distinct_times() -> None:
    assert quantiles([[7] * 10, [7, 8]], [0.8, 0.9]) == [7, 7]


def test_quantiles_round_as_numpy_does() -> None:
    times = [43, 63, 73, 93, 103, 133, 143, 143]
    assert quantiles([times], [0.7]) == [int(np.quantile(times, 0.7))] == [129]  # 130 in exact arithmetic


@pytest.mark.parametrize("cut", [(0, 50), (50, 50), (60, 50), (50, 101)])
def test_a_split_with_an_empty_part_is_refused(cut: tuple[int, int]) -> None:
    with pytest.raises(DataError, match="column 'timestamp': the split needs"):
        check_split(*cut, first=0, last=100)


def test_the_last_event_alone_may_be_the_test() -> None:
    check_split(1, 100, first=0, last=100)


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2), st.integers(0, 4)), max_size=25))
def test_seen_before_is_strict(events: list[tuple[int, int, int]]) -> None:
    user, item, time = (np.array([event[axis] for event in events], np.int64) for axis in range(3))
    brute = [any(u == a and i == b and t < c for u, i, t in events) for a, b, c in events]
    assert seen_before(user.astype(np.int32), item.astype(np.int32), time).tolist() == brute
