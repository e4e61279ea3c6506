"""Steps, lives and sums of item series."""

from __future__ import annotations

import datetime as dt
from collections import defaultdict
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from timerec.clock import DAY, HOUR, WEEK
from timerec.data import series
from timerec.data.passes import write_arrow

_EVENTS = st.lists(st.tuples(st.integers(0, 5), st.integers(0, 3 * WEEK)), min_size=1, max_size=60)


@given(st.integers(0, 2_000_000_000))
def test_weeks_begin_on_monday_and_steps_hold_their_first_event(first: int) -> None:
    origin = series.step_origin(first, WEEK)
    start = dt.datetime.fromtimestamp(origin, dt.UTC)
    assert (start.weekday(), start.hour, start.minute, start.second) == (0, 0, 0, 0)
    for step in (HOUR, DAY, WEEK):
        origin = series.step_origin(first, step)
        assert origin <= first < origin + step
    assert series.step_origin(first, DAY) % DAY == 0


@pytest.mark.parametrize(("days", "step"), [(2.9, "hour"), (3, "day"), (29.9, "day"), (30, "week")])
def test_the_median_life_decides(days: float, step: str) -> None:
    lives = np.array([0.0, days * DAY, 900.0 * DAY])
    assert series.choose_step(lives) == step


def test_a_life_ends_when_four_fifths_of_the_events_are_past() -> None:
    hours = np.array([10, 11, 12, 20, 500])
    item = np.zeros(5, np.int32)
    cells = series.hour_cells(item, hours * HOUR + 7, n_items=1)
    assert series.lives(cells).tolist() == [10.0 * HOUR]  # the 4th of 5 events
    few = series.hour_cells(item[:4], hours[:4] * HOUR, n_items=1)
    assert series.lives(few).tolist() == []


def test_lives_over_parts_are_lives_of_the_whole() -> None:
    rng = np.random.default_rng(3)
    item, time = rng.integers(0, 9, 400).astype(np.int32), rng.integers(0, 90 * DAY, 400)
    whole = series.hour_cells(item, time, 9)
    parts = pa.concat_tables([series.hour_cells(item[part::3], time[part::3], 9) for part in range(3)])
    expected = [
        (np.sort(time[item == i] // HOUR)[int(np.ceil(0.8 * (item == i).sum())) - 1] - (time[item == i] // HOUR).min()) * HOUR
        for i in range(9)
    ]
    assert series.lives(whole).tolist() == series.lives(parts).tolist() == expected


@given(_EVENTS)
def test_totals_of_items(events: list[tuple[int, int]]) -> None:
    item, time = np.array([e[0] for e in events], np.int32), np.array([e[1] for e in events])
    half = len(events) // 2
    merged = series.merge_totals(
        [series.item_totals(item[:half], time[:half]), series.item_totals(item[half:], time[half:])], n_items=7
    )
    for i in range(7):
        mine = time[item == i]
        expected = (len(mine), mine.min(), mine.max()) if len(mine) else (0, 0, 0)
        assert (merged["events"][i], merged["first"][i], merged["last"][i]) == expected


@given(_EVENTS)
def test_series_are_sums_over_item_and_step(events: list[tuple[int, int]]) -> None:
    item, time = np.array([e[0] for e in events], np.int32), np.array([e[1] for e in events])
    weight = (item + 1).astype(np.float32)
    value = (time % 7).astype(np.float32)
    origin = series.step_origin(int(time.min()), DAY)
    cells = series.series_cells(item, time, weight, value, origin, DAY)
    count: dict[tuple[int, int], float] = defaultdict(float)
    total: dict[tuple[int, int], float] = defaultdict(float)
    for i, t, w, v in zip(item.tolist(), time.tolist(), weight.tolist(), value.tolist(), strict=True):
        count[i, (t - origin) // DAY] += w
        total[i, (t - origin) // DAY] += v
    keys = list(zip(cells["item"].to_pylist(), cells["step"].to_pylist(), strict=True))
    assert keys == sorted(count)
    assert cells["count"].to_pylist() == [count[key] for key in keys]
    assert cells["value"].to_pylist() == [total[key] for key in keys]


def test_merged_series_have_one_row_a_cell(tmp_path: Path) -> None:
    for number in range(2):
        part = series.series_cells(
            np.array([1, 0], np.int32), np.array([5, DAY]), np.ones(2, np.float32), np.ones(2, np.float32), 0, DAY
        )
        write_arrow(part, tmp_path / f"{number}.arrow")
    merged = series.merge_series([tmp_path / "0.arrow", tmp_path / "1.arrow"])
    assert merged.to_pydict() == {"item": [0, 1], "step": [1, 0], "count": [2.0, 2.0], "value": [2.0, 2.0]}
    assert [str(kind) for kind in merged.schema.types] == ["int32", "int32", "float", "float"]
