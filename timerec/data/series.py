"""Item series: what each item did in each step, and how long a step should be."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from timerec.clock import DAY, HOUR, STEPS, step_index
from timerec.data.passes import read_arrow
from timerec.schema import Prepared

ENOUGH_EVENTS = 5  # events from which the life of an item can be told
SAMPLE = 20_000  # items whose life is measured, at most
MONDAY = 4 * DAY  # the epoch was a Thursday: the first Monday begins here

FEWEST_STEPS = 7  # before validation: the forecaster refuses fewer


def step_origin(first: int, step: int) -> int:
    """Start of step 0, unix seconds: the last full hour, midnight or Monday midnight (UTC) at or before `first`.

    >>> step_origin(4 * 86400 + 5, 604800), step_origin(3600 * 5 + 1, 3600)
    (345600, 18000)
    """
    shift = MONDAY % step
    return (first - shift) // step * step + shift


def choose_step(lives: NDArray[np.float64]) -> str:
    """The step that suits items of these lives in seconds: hours for news, days for trends, weeks for a shop.

    The life of an item is the time from its first event until 80 % of its events are past. The median life
    decides: below 3 days an hour, below 30 days a day, otherwise (or where no item has 5 events) a week.

    >>> choose_step(np.array([3600.0, 7200.0])), choose_step(np.array([9 * 86400.0])), choose_step(np.array([]))
    ('hour', 'day', 'week')
    """
    if not len(lives):
        return "week"
    median = float(np.median(lives))
    return "hour" if median < 3 * DAY else "day" if median < 30 * DAY else "week"


def finer_step(step: str, span: int) -> str:
    """The chosen step, or a finer one where fewer than FEWEST_STEPS of it lie before validation, `span` seconds after the start.

    >>> finer_step("week", 40 * 86400), finer_step("week", 100 * 86400)
    ('day', 'week')
    """
    names = list(STEPS)
    place = names.index(step)
    while place > 0 and span < FEWEST_STEPS * STEPS[names[place]]:
        place -= 1
    return names[place]


def item_totals(item: NDArray[np.int32], time: NDArray[np.int64]) -> pa.Table:
    """Events, first and last time of each item that occurs among N events in any order."""
    order = np.lexsort((time, item))
    ends = np.append(np.flatnonzero(item[order][1:] != item[order][:-1]) + 1, len(order)) if len(order) else order
    starts = np.concatenate([[0], ends[:-1]]).astype(np.int64) if len(order) else order
    return pa.table(
        {
            Prepared.ITEM: item[order][starts],
            "events": ends - starts,
            "first": time[order][starts],
            "last": time[order][ends - 1],
        }
    )


def merge_totals(parts: Iterable[pa.Table], n_items: int) -> dict[str, NDArray[np.int64]]:
    """Events, first and last time [I] of every item over the tables of all shards; without events all are 0."""
    events = np.zeros(n_items, np.int64)
    first, last = np.full(n_items, np.iinfo(np.int64).max), np.zeros(n_items, np.int64)
    for part in parts:
        at = part[Prepared.ITEM].to_numpy()  # once an item in each part: plain indexing adds up
        events[at] += part["events"].to_numpy()
        first[at] = np.minimum(first[at], part["first"].to_numpy())
        last[at] = np.maximum(last[at], part["last"].to_numpy())
    first[events == 0] = 0
    return {"events": events, "first": first, "last": last}


def hour_cells(item: NDArray[np.int32], time: NDArray[np.int64], n_items: int) -> pa.Table:
    """Events in each (item, hour) of the sampled items; the sample is evenly spaced over the index."""
    sampled = np.zeros(n_items, bool)
    sampled[np.linspace(0, n_items - 1, min(SAMPLE, n_items)).astype(np.int64)] = True
    mine = sampled[item]
    return sum_cells(item[mine], time[mine] // HOUR, count=np.ones(int(mine.sum())))


def lives(cells: pa.Table) -> NDArray[np.float64]:
    """Seconds, to the hour, until 80 % of an item's events are past, for each item with at least 5 events.

    Args:
        cells: item, step (hours), count; in any order, a cell may occur in several rows.
    """
    item, hour, count = (cells[name].to_numpy() for name in (Prepared.ITEM, "step", "count"))
    order = np.lexsort((hour, item))
    item, hour, count = item[order], hour[order], count[order]
    if not len(item):
        return np.zeros(0)
    starts = np.flatnonzero(np.append(True, item[1:] != item[:-1]))
    total = np.add.reduceat(count, starts)
    upto = np.cumsum(count)
    at = np.searchsorted(upto, upto[starts] - count[starts] + np.ceil(0.8 * total))
    seconds: NDArray[np.float64] = (hour[at] - hour[starts]).astype(np.float64) * HOUR
    return seconds[total >= ENOUGH_EVENTS]


def series_cells(
    item: NDArray[np.int32],
    time: NDArray[np.int64],
    weight: NDArray[np.float32],
    value: NDArray[np.float32],
    origin: int,
    step: int,
) -> pa.Table:
    """Sums of weights (`count`) and of values (`value`) in each (item, step) with an event, sorted by item and step."""
    return sum_cells(item, step_index(time, origin, step), count=weight, value=value)


def merge_series(parts: list[Path]) -> pa.Table:
    """One series table from those of all shards: item int32, step int32, count float32, value float32."""
    merged = pa.concat_tables([read_arrow(path) for path in parts])
    cells = sum_cells(
        merged[Prepared.ITEM].to_numpy(),
        merged["step"].to_numpy(),
        count=merged["count"].to_numpy(),
        value=merged["value"].to_numpy(),
    )
    cells = cells.set_column(2, "count", cells["count"].cast(pa.float32()))
    return cells.set_column(3, "value", cells["value"].cast(pa.float32()))


def sum_cells(item: NDArray[np.int32], step: NDArray[np.int64], **weights: NDArray[np.generic]) -> pa.Table:
    """Distinct (item, step), sorted, with the sum of each weight over them in float64."""
    low = int(step.min()) if len(step) else 0
    span = int(step.max()) - low + 1 if len(step) else 1
    key, cell = np.unique(item.astype(np.int64) * span + (step - low), return_inverse=True)
    columns = {
        Prepared.ITEM: (key // span).astype(np.int32),
        "step": (key % span + low).astype(np.int32),
    }
    sums = {name: np.bincount(cell, weights=weight, minlength=len(key)) for name, weight in weights.items()}
    return pa.table({**columns, **sums})
