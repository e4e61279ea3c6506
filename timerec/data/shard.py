"""Sharding the log by user: a shuffle in two passes over Ray Data, with memory bounded by a batch and by a shard.

`scatter` judges batches of rows and writes each one as a run: an Arrow file with one record batch a shard. `gather`
reads one shard's part of every run, sorts it and merges duplicates. Runs are files and not Ray blocks because a keyed
`repartition` cuts a partition over 192 MiB into several blocks, and a cut may fall inside a user.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from timerec.data.clean import KIND, LogFormat, count_reasons, judge
from timerec.data.columns import all_canonical, hash_ids
from timerec.data.passes import each, read_arrow, write_arrow
from timerec.data.series import hour_cells, item_totals
from timerec.data.tables import Piece, read_piece
from timerec.schema import Columns, Prepared


def scatter(pieces: list[Piece], form: LogFormat, shards: int, work: Path, quarantine: Path) -> list[dict[str, Any]]:
    """Judge every row and write the kept ones as runs, cut by shard, and the refused ones to the quarantine.

    Returns:
        For each run: `run` and `items` (paths), `read`, `kept`, `reasons`, `values_missing`, `known_kinds`, `kinds`.
    """
    tasks = [
        {"piece": number, "path": piece.path, "groups": piece.groups, "columns": piece.columns}
        for number, piece in enumerate(pieces)
    ]
    return each(tasks, _scatter_piece, form=form, shards=shards, work=work, quarantine=quarantine)


def gather(runs: list[str], shards: int, work: Path) -> list[dict[str, Any]]:
    """Sort each shard by (user, time, item) and merge exact duplicates; items must be in `work/catalogue.arrow`.

    Returns:
        For each shard, in order: `events`, `users` (counts), `merged`, `first`, `last` (times) and `canonical` (user
        ids are whole numbers).
    """
    tasks = [{"shard": shard, "runs": runs} for shard in range(shards)]
    return sorted(each(tasks, _gather_shard, work=work), key=lambda found: found["shard"])


def _scatter_piece(task: dict[str, Any], form: LogFormat, shards: int, work: Path, quarantine: Path) -> Iterator[dict[str, Any]]:
    piece = Piece(task["path"], tuple(task["groups"]), tuple(task["columns"]))
    for number, rows in enumerate(read_piece(piece)):
        # the name tells the place in the input: a task that runs twice writes the same files
        name = f"{task['piece']:05d}-{number:05d}"
        judged = judge(rows, form)
        found: dict[str, Any] = {"read": rows.num_rows, "kept": judged.kept.num_rows}
        found |= {"values_missing": judged.values_missing, "known_kinds": judged.known_kinds, "kinds": judged.kinds}
        found["reasons"] = count_reasons(judged.refused)
        if judged.refused.num_rows:
            pq.write_table(judged.refused, quarantine / f"interactions-{name}.parquet")
        if judged.kept.num_rows:
            found["run"] = str(work / f"run-{name}.arrow")
            found["items"] = str(work / f"items-{name}.arrow")
            _write_run(judged.kept, shards, Path(found["run"]))
            write_arrow(pa.table({Columns.ITEM: pc.unique(judged.kept[Columns.ITEM])}), Path(found["items"]))
        yield found


def _write_run(kept: pa.Table, shards: int, path: Path) -> None:
    # ranges of the hash, so that the order of users over all shards does not hang on how many there are
    high = hash_ids(kept[Columns.USER].combine_chunks()) >> np.uint64(32)
    shard = (high * np.uint64(shards) >> np.uint64(32)).astype(np.int32)
    rows = kept.take(pa.array(np.argsort(shard, kind="stable"))).combine_chunks()
    ends = np.cumsum(np.bincount(shard, minlength=shards))
    with pa.ipc.new_file(path, kept.schema) as file:
        for start, end in zip(np.concatenate([[0], ends[:-1]]), ends, strict=True):
            part = rows.slice(int(start), int(end - start))
            batches = part.combine_chunks().to_batches()
            file.write_batch(batches[0] if batches else pa.RecordBatch.from_pylist([], schema=kept.schema))


def _gather_shard(task: dict[str, Any], work: Path) -> Iterator[dict[str, Any]]:
    shard = task["shard"]
    parts = [_run_part(path, shard) for path in task["runs"]]
    rows = pa.Table.from_batches(parts).combine_chunks()
    catalogue = read_arrow(work / "catalogue.arrow")[Columns.ITEM].combine_chunks()
    user_ids, user = _by_hash(*ranks(rows[Columns.USER].combine_chunks()))
    item = pc.index_in(_as_type(rows[Columns.ITEM].combine_chunks(), catalogue.type), catalogue).to_numpy()
    columns = {name: rows[name].to_numpy() for name in (Prepared.TIME, Prepared.VALUE, Prepared.WEIGHT, KIND)}
    order = sort_events(user, columns[Prepared.TIME], item, columns[KIND], columns[Prepared.VALUE])
    user, item = user[order], item[order].astype(np.int32)
    columns = {name: values[order] for name, values in columns.items()}
    fresh = ~duplicates(user, columns[Prepared.TIME], item, columns[KIND])
    events = pa.table(
        {
            Prepared.USER: user[fresh],
            Prepared.ITEM: item[fresh],
            **{name: columns[name][fresh] for name in (Prepared.TIME, Prepared.VALUE, Prepared.WEIGHT)},
            Prepared.KIND: columns[KIND][fresh],  # still the hash
        }
    )
    write_arrow(events, work / f"shard-{shard:05d}.arrow")
    time = events[Prepared.TIME].to_numpy()
    write_arrow(_user_table(user_ids, events), work / f"users-{shard:05d}.arrow")
    write_arrow(item_totals(item[fresh], time), work / f"items-of-shard-{shard:05d}.arrow")
    write_arrow(hour_cells(item[fresh], time, len(catalogue)), work / f"hours-{shard:05d}.arrow")
    yield {
        "shard": shard,
        "events": events.num_rows,
        "users": len(user_ids),
        "merged": rows.num_rows - events.num_rows,
        "first": int(time.min()) if len(time) else None,
        "last": int(time.max()) if len(time) else None,
        "canonical": pa.types.is_integer(user_ids.type) or all_canonical(user_ids),
    }


def _by_hash(user_ids: pa.Array, user: NDArray[np.int32]) -> tuple[pa.Array, NDArray[np.int32]]:
    """Users renumbered in the order of their hashes: further users never change the order of those that were there."""
    order = np.argsort(hash_ids(user_ids), kind="stable")
    rank = np.empty(len(order), user.dtype)
    rank[order] = np.arange(len(order), dtype=user.dtype)
    return user_ids.take(pa.array(order)), rank[user]


def sort_events(
    user: NDArray[Any],
    time: NDArray[np.int64],
    item: NDArray[Any],
    kind: NDArray[np.uint64],
    value: NDArray[np.float32],
) -> NDArray[np.int64]:
    """Order [N] by user, time, item, kind; of equal ones the largest value comes first."""
    return np.lexsort((-value, kind, item, time, user))


def duplicates(user: NDArray[Any], time: NDArray[np.int64], item: NDArray[Any], kind: NDArray[np.uint64]) -> NDArray[np.bool_]:
    """Mask [N] of sorted rows that repeat the row before in user, time, item and kind."""
    same = np.zeros(len(user), bool)
    same[1:] = (user[1:] == user[:-1]) & (time[1:] == time[:-1]) & (item[1:] == item[:-1]) & (kind[1:] == kind[:-1])
    return same


def ranks(ids: pa.Array) -> tuple[pa.Array, NDArray[np.int32]]:
    """The distinct identifiers [U] in sorted order, and the place [N] of each identifier among them."""
    coded = ids.dictionary_encode()
    order = pc.sort_indices(coded.dictionary).to_numpy()
    rank = np.empty(len(order), np.int32)
    rank[order] = np.arange(len(order), dtype=np.int32)
    return coded.dictionary.take(pa.array(order)), rank[coded.indices.to_numpy()]


def _user_table(user_ids: pa.Array, events: pa.Table) -> pa.Table:
    """user_id, events, first, last of the users of a shard, from its events sorted by (user, time)."""
    user, time = events[Prepared.USER].to_numpy(), events[Prepared.TIME].to_numpy()
    size = np.bincount(user, minlength=len(user_ids))
    end = np.cumsum(size)
    return pa.table({Columns.USER: user_ids, "events": size, "first": time[end - size], "last": time[end - 1]})


def _run_part(path: str, shard: int) -> pa.RecordBatch:
    with pa.memory_map(path) as source:
        return pa.ipc.open_file(source).get_batch(shard)


def _as_type(ids: pa.Array, kind: pa.DataType) -> pa.Array:
    return ids if ids.type == kind else ids.cast(kind)
