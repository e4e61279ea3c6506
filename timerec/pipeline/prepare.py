"""Stage 1, `prepare`: from the tables of a user to clean, indexed and sharded Parquet with a manifest."""

from __future__ import annotations

import json
import shutil
import time as clock
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from timerec.clock import STEPS
from timerec.config import DataConfig
from timerec.data.catalogue import NEVER_LISTED, TEXTS, Cleaned, category_index, clean_attributes, clean_items
from timerec.data.faults import full_disk_is_data_error
from timerec.data.finish import finish_shards, write_users
from timerec.data.formats import LOG_COLUMNS, decide_formats, find_tables
from timerec.data.index import build_catalogue, log_items, place_in
from timerec.data.kinds import told_apart
from timerec.data.passes import read_arrow, write_arrow
from timerec.data.series import choose_step, finer_step, lives, merge_series, merge_totals, step_origin
from timerec.data.shard import gather, scatter
from timerec.data.split import check_split, time_quantiles
from timerec.data.tables import Table, pieces
from timerec.schema import Columns, DataError, Prepared

MIN_EVENTS = 50
REPEAT_SHARE = 0.01  # share of repeated events from which seen items stay on offer
ROWS_A_SHARD = 1_000_000
SERIES = "series.parquet"
_WORK = "work"


def prepare(
    data_dir: Path,
    out: Path,
    config: DataConfig,
    val_from: int | None = None,
    test_from: int | None = None,
    now: int | None = None,
    judged: bool = True,
    kinds: list[str] | None = None,
) -> dict[str, Any]:
    """Read, validate, index, shard and split a data set; Ray must be connected.

    Args:
        data_dir: folder with `interactions`, and optionally `items` and `item_attributes`, each .parquet,
            .csv or a folder.
        out: prepared directory (see `timerec.schema.Prepared`); what an earlier run left there is replaced.
        val_from, test_from: unix seconds at which validation and test begin; by default quantiles of the event times.
        now: unix seconds; later than a day after it is the future. By default the clock's.
        judged: whether a model shall be trained and judged on it. A log that is only answered from needs no valid split and
            no fewest events.
        kinds: kinds of events that are told apart, as a bundle was trained on; by default the log's frequent ones.

    Returns:
        The manifest, which is also written to `out/manifest.json`.

    Raises:
        DataError: the data or the disk make the result meaningless; the sentence names file, column and cure.
    """
    data_dir, out = Path(data_dir).absolute(), Path(out).absolute()
    with full_disk_is_data_error(out):
        _clear(out)
        try:
            manifest = _prepare(
                data_dir, out, config, val_from, test_from, int(clock.time()) if now is None else now, judged, kinds
            )
        finally:
            shutil.rmtree(out / _WORK, ignore_errors=True)
    return manifest


def _prepare(
    data_dir: Path,
    out: Path,
    config: DataConfig,
    val_from: int | None,
    test_from: int | None,
    now: int,
    judged: bool,
    kinds: list[str] | None,
) -> dict[str, Any]:
    work, quarantine = out / _WORK, out / Prepared.QUARANTINE
    timer = _Timer()

    tables = find_tables(data_dir)
    log_format, user_integers, item_integers, notes = decide_formats(tables, config, now)
    shards = config.shards or max(2, -(-tables.log.rows // ROWS_A_SHARD))
    timer.lap("inspect")

    runs = scatter(pieces(tables.log, LOG_COLUMNS), log_format, shards, work, quarantine)
    timer.lap("scatter")
    reasons = _sum_reasons(runs)
    kept = sum(run["kept"] for run in runs)
    fewest = MIN_EVENTS if judged else 1
    _check_enough(tables.log, kept, reasons, fewest)
    notes += _run_notes(runs, tables.log, config)

    items = clean_items(tables.items, log_format.item) if tables.items else None
    in_table = items.rows[Columns.ITEM].combine_chunks() if items else None
    in_log = log_items([run["items"] for run in runs if "items" in run])
    catalogue = build_catalogue(in_log, in_table, item_integers, tables.items)
    if judged:
        _check_several(tables.log, Columns.ITEM, len(in_log))
    write_arrow(pa.table({Columns.ITEM: catalogue}), work / "catalogue.arrow")
    timer.lap("catalogue")

    parts = gather([run["run"] for run in runs if "run" in run], shards, work)
    timer.lap("gather")
    n_users, n_events = sum(part["users"] for part in parts), sum(part["events"] for part in parts)
    if judged:
        _check_several(tables.log, Columns.USER, n_users)
    _check_enough(tables.log, n_events, reasons, fewest)
    first = min(part["first"] for part in parts if part["events"])
    last = max(part["last"] for part in parts if part["events"])
    totals = merge_totals((read_arrow(path) for path in _work_files(work, "items-of-shard", shards)), len(catalogue))

    cut = time_quantiles(_work_files(work, "shard", shards), (config.val_quantile, config.test_quantile), first, last)
    val_from = cut[0] if val_from is None else val_from
    test_from = cut[1] if test_from is None else test_from
    if judged:
        check_split(val_from, test_from, first, last)
    if kinds is None:
        names = (name for run in runs for name in run["kinds"])
        kinds = told_apart(names, _work_files(work, "shard", shards), val_from)
    step_name: str = config.step
    if step_name == "auto":
        hours = pa.concat_tables([read_arrow(path) for path in _work_files(work, "hours", shards)])
        step_name = finer_step(choose_step(lives(hours)), val_from - first)
    step = STEPS[step_name]
    origin = step_origin(first, step)
    timer.lap("split")

    finished = finish_shards(
        [part["users"] for part in parts], work, out / Prepared.EVENTS, origin=origin, step=step, val_from=val_from, kinds=kinds
    )
    if kinds and not sum(part["told"] for part in finished):
        raise DataError(
            f"{tables.log.label}, column '{Columns.EVENT}': no row is of a kind that the model was trained on "
            f"({', '.join(kinds)}): bring the events with their kinds"
        )
    pq.write_table(merge_series(_work_files(work, "series", shards)), out / SERIES)
    write_users(shards, work, out / Prepared.USERS, user_integers and all(part["canonical"] for part in parts))
    n_categories = _write_items(items, catalogue, totals, out)
    attributes = clean_attributes(tables.attributes, log_format.item, catalogue, now) if tables.attributes else None
    if attributes:
        pq.write_table(attributes.rows, out / Prepared.ATTRIBUTES)
    timer.lap("finish")

    counts: dict[str, Any] = {
        "interactions": {
            "read": sum(run["read"] for run in runs),
            "kept": n_events,
            "merged": sum(part["merged"] for part in parts),
            "quarantined": sum(reasons.values()),
            "reasons": reasons,
        }
    }
    for name, cleaned in (("items", items), ("item_attributes", attributes)):
        if cleaned:
            counts[name] = cleaned.counts()
            notes += cleaned.notes
            if cleaned.refused.num_rows:
                pq.write_table(cleaned.refused, quarantine / f"{name}.parquet")
    share = sum(part["repeats"] for part in finished) / max(1, sum(part["before"] for part in finished))
    manifest: dict[str, Any] = {
        "n_users": n_users,
        "n_items": len(catalogue),
        "n_events": n_events,
        "n_categories": n_categories,
        "first": first,
        "last": last,
        "val_from": val_from,
        "test_from": test_from,
        "step": step_name,
        "step_seconds": step,
        "origin": origin,
        "n_steps": (last - origin) // step + 1,
        "repeats": share >= REPEAT_SHARE if config.repeats == "auto" else config.repeats == "yes",
        "repeat_share": share,
        "kinds": kinds,
        "attribute_names": attributes.rows.column_names[2:] if attributes else [],
        "counts": counts,
        "notes": notes,
        "files": _files(out),
    }
    # the log reads the manifest, so it comes first and is completed afterwards
    _write_manifest(manifest, out)
    from timerec.eventlog import write_log

    write_log(out)
    timer.lap("log")
    manifest["seconds"] = timer.laps
    _write_manifest(manifest, out)
    return manifest


def _run_notes(runs: list[dict[str, Any]], log: Table, config: DataConfig) -> list[str]:
    notes = []
    missing = sum(run["values_missing"] for run in runs)
    if missing:
        notes.append(f"{log.label}: {missing} rows have no value, which counts as 1")
    known = np.sum([run["known_kinds"] for run in runs], axis=0) if config.event_weights else []
    notes += [
        f"data.event_weights names '{kind}', which no row of {log.label} has"
        for kind, rows in zip(config.event_weights, known, strict=True)
        if not rows
    ]
    return notes


def _sum_reasons(runs: list[dict[str, Any]]) -> dict[str, int]:
    total: dict[str, int] = {}
    for run in runs:
        for reason, rows in run["reasons"].items():
            total[reason] = total.get(reason, 0) + rows
    return dict(sorted(total.items()))


def _check_enough(log: Table, events: int, reasons: dict[str, int], fewest: int) -> None:
    if events >= fewest:
        return
    cause = ""
    if reasons:
        reason, rows = max(reasons.items(), key=lambda entry: entry[1])
        cause = f" ({rows} rows were refused because {reason})"
    named = (name for name in (Columns.TIME, Columns.VALUE, Columns.ITEM) if name in cause)
    raise DataError(
        f"{log.label}, column '{next(named, Columns.USER)}': {events} usable events are left{cause}, but training, "
        f"validation and test need at least {fewest}; correct these rows or bring a longer log"
    )


def _check_several(log: Table, column: str, distinct: int) -> None:
    if distinct < 2:
        raise DataError(f"{log.label}, column '{column}' has one value only: bring several users and items")


def _write_items(items: Cleaned | None, catalogue: pa.Array, totals: dict[str, np.ndarray], out: Path) -> int:
    """Write `items.parquet` in order of the index; returns the number of categories."""
    n = len(catalogue)
    texts = {name: pa.array([""] * n, pa.string()) for name in TEXTS}
    listed = np.full(n, NEVER_LISTED)
    if items:
        at = np.full(n, -1)
        at[place_in(catalogue, items.rows[Columns.ITEM].combine_chunks())] = np.arange(items.rows.num_rows)
        rows = items.rows.take(pa.array(at, pa.int64(), mask=at < 0))
        texts = {name: rows[name].combine_chunks().fill_null("") for name in TEXTS}
        listed = rows[Columns.LISTED].fill_null(NEVER_LISTED).to_numpy()
    index, n_categories = category_index(texts[Columns.CATEGORY])
    table = pa.table(
        {
            Prepared.ITEM: pa.array(np.arange(n, dtype=np.int32)),
            Columns.ITEM: catalogue,
            **texts,
            Prepared.CATEGORY_INDEX: index,
            Columns.LISTED: listed,
            **totals,
        }
    )
    pq.write_table(table, out / Prepared.ITEMS)
    return n_categories


def _clear(out: Path) -> None:
    """Remove what an earlier run left, and nothing else."""
    out.mkdir(parents=True, exist_ok=True)
    for name in (Prepared.EVENTS, Prepared.LOG, Prepared.QUARANTINE, _WORK):
        shutil.rmtree(out / name, ignore_errors=True)
    for name in (Prepared.MANIFEST, Prepared.USERS, Prepared.ITEMS, Prepared.ATTRIBUTES, SERIES):
        (out / name).unlink(missing_ok=True)
    for name in (Prepared.EVENTS, Prepared.QUARANTINE, _WORK):
        (out / name).mkdir()


def _work_files(work: Path, name: str, shards: int) -> list[Path]:
    return [work / f"{name}-{shard:05d}.arrow" for shard in range(shards)]


def _files(out: Path) -> dict[str, int]:
    """Rows of every Parquet file written."""
    paths = sorted(path for path in out.rglob("*.parquet") if _WORK not in path.relative_to(out).parts)
    return {str(path.relative_to(out)): pq.read_metadata(path).num_rows for path in paths}


def _write_manifest(manifest: dict[str, Any], out: Path) -> None:
    (out / Prepared.MANIFEST).write_text(json.dumps(manifest, indent=1))


class _Timer:
    """Seconds of each phase."""

    def __init__(self) -> None:
        self.laps: dict[str, float] = {}
        self._last = clock.perf_counter()

    def lap(self, name: str) -> None:
        now = clock.perf_counter()
        self.laps[name] = round(now - self._last, 3)
        self._last = now
