"""Classical forecasts of all series, blocks of items in parallel on Ray Data."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa
import ray
from numpy.typing import NDArray

from timerec.forecaster.classical import Plan, models, roll
from timerec.forecaster.series import ItemSeries

BLOCK = 256  # series a task, about


def roll_blocks(series: ItemSeries, plan: Plan) -> tuple[NDArray[np.float32], dict[str, Any]]:
    """Forecasts float32 [total, H], one row for each of `series.y`, and the counts of `classical.roll`; Ray must be connected.

    Raises:
        DataError: statsforecast is not installed.
    """
    models(plan)  # missing packages are told before tasks start
    out = np.zeros((len(series.y), plan.horizons), dtype=np.float32)
    items = np.flatnonzero(series.lengths)
    facts: Counter[str] = Counter()
    if not len(items):
        return out, {"kind": plan.kind}
    blocks = max(1, -(-len(items) // BLOCK))
    busy = np.argsort(-np.add.reduceat(series.y, series.offsets[items]), kind="stable")  # the dear ones are spread evenly
    parts = [items[np.sort(busy[number::blocks])] for number in range(blocks)]
    work: Any = partial(_roll, plan=plan)
    done = ray.data.from_arrow([_table(series, part) for part in parts]).map_batches(
        work, batch_format="pyarrow", batch_size=None
    )
    batches: Iterable[Any] = done.iter_batches(batch_size=None, batch_format="pyarrow")
    for batch in batches:
        forecasts = batch.column("forecast").combine_chunks()
        values = forecasts.flatten().to_numpy(zero_copy_only=False).reshape(-1, plan.horizons)
        at = 0
        for item in batch.column("item").to_numpy():
            size = int(series.lengths[item])
            out[series.offsets[item] : series.offsets[item + 1]] = values[at : at + size]
            at += size
        for name in ("rows", "own", "refused"):
            facts[name] += int(batch.column(name).to_numpy().sum())
    return out, {"kind": plan.kind, "season": plan.season, "refitted_every": plan.every, **facts}


def _table(series: ItemSeries, items: NDArray[np.int64]) -> pa.Table:
    rows = np.concatenate([series.y[series.offsets[item] : series.offsets[item + 1]] for item in items])
    offsets = np.concatenate([[0], np.cumsum(series.lengths[items])])
    return pa.table({"item": items, "y": pa.LargeListArray.from_arrays(pa.array(offsets), pa.array(rows))})


def _roll(table: pa.Table, plan: Plan) -> pa.Table:
    chosen = models(plan)
    parts = [roll(one.values.to_numpy(zero_copy_only=False), plan, chosen) for one in table.column("y")]
    flat = np.concatenate([part.ravel() for part, _ in parts])
    offsets = np.concatenate([[0], np.cumsum([part.size for part, _ in parts])])
    columns = {name: pa.array([facts[name] for _, facts in parts]) for name in ("rows", "own", "refused")}
    lists = pa.LargeListArray.from_arrays(pa.array(offsets), pa.array(flat))
    return pa.table({"item": table.column("item"), "forecast": lists, **columns})
