"""The last pass over the shards: final user numbers, the events as Parquet, series and repeats."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from timerec.data.kinds import place_kinds
from timerec.data.passes import each, read_arrow, write_arrow
from timerec.data.series import series_cells
from timerec.data.split import seen_before
from timerec.schema import Columns, Prepared


def finish_shards(
    users: list[int], work: Path, events_dir: Path, *, origin: int, step: int, val_from: int, kinds: list[str]
) -> list[dict[str, Any]]:
    """Write `events/shard-NNNNN.parquet` and each shard's part of the series.

    Args:
        users: users of each shard; those of shard s get the numbers after those of the shards before it.
        origin, step: of the series, seconds.
        val_from: unix seconds; repeats are counted before it.
        kinds: names of the kinds of events that are told apart.

    Returns:
        For each shard, in order: `before` (events before `val_from`) and `repeats` (those of them whose user had an
        event with the item strictly earlier), and `told` (events of the kinds that are told apart).
    """
    offsets = np.concatenate([[0], np.cumsum(users)[:-1]]).tolist()
    tasks = [{"shard": shard, "offset": offset} for shard, offset in enumerate(offsets)]
    found = each(tasks, _finish_shard, work=work, events_dir=events_dir, origin=origin, step=step, val_from=val_from, kinds=kinds)
    return sorted(found, key=lambda one: one["shard"])


def write_users(shards: int, work: Path, path: Path, integers: bool) -> None:
    """Write `users.parquet` (user, user_id, events, first, last), one row group a shard.

    Args:
        integers: text identifiers are whole numbers and become int64.
    """
    offset, writer = 0, None
    for shard in range(shards):
        part = read_arrow(work / f"users-{shard:05d}.arrow")
        number = pa.array(np.arange(offset, offset + part.num_rows, dtype=np.int32))
        part = part.add_column(0, Prepared.USER, number)
        if integers:
            part = part.set_column(1, Columns.USER, part[Columns.USER].cast(pa.int64()))
        writer = writer or pq.ParquetWriter(path, part.schema)
        writer.write_table(part)
        offset += part.num_rows
    if writer:
        writer.close()


def _finish_shard(
    task: dict[str, Any], work: Path, events_dir: Path, origin: int, step: int, val_from: int, kinds: list[str]
) -> Iterator[dict[str, Any]]:
    shard = task["shard"]
    events = read_arrow(work / f"shard-{shard:05d}.arrow")
    columns = {name: events[name].to_numpy() for name in events.column_names}
    columns[Prepared.USER] = columns[Prepared.USER] + np.int32(task["offset"])
    columns[Prepared.KIND] = place_kinds(columns[Prepared.KIND], kinds)
    # what one second holds of a user and an item stands in the order of the kinds, as in the live log
    order = np.lexsort([columns[name] for name in (Prepared.KIND, Prepared.ITEM, Prepared.TIME, Prepared.USER)])
    columns = {name: values[order] for name, values in columns.items()}
    pq.write_table(pa.table(columns), events_dir / f"shard-{shard:05d}.parquet")
    wanted = (Prepared.USER, Prepared.ITEM, Prepared.TIME, Prepared.VALUE, Prepared.WEIGHT)
    user, item, time, value, weight = (columns[name] for name in wanted)
    write_arrow(series_cells(item, time, weight, value, origin, step), work / f"series-{shard:05d}.arrow")
    before = time < val_from
    repeats = seen_before(user[before], item[before], time[before])
    told = int((columns[Prepared.KIND] >= 0).sum())
    yield {"shard": shard, "before": int(before.sum()), "repeats": int(repeats.sum()), "told": told}
