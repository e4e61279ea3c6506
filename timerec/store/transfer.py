"""Logs into an event store, and an event store into a log that `timerec prepare` reads."""

from __future__ import annotations

import hashlib
import tempfile
import time as clock
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq

from timerec.config import DataConfig
from timerec.data.clean import LogFormat, Read, count_reasons, first_reason, read_rows, refused_rows
from timerec.data.columns import all_canonical, as_text
from timerec.data.formats import LOG_COLUMNS, Tables, decide_formats
from timerec.data.tables import Table, find_table, pieces, read_piece, table_at
from timerec.schema import Columns, DataError
from timerec.store.base import EventStore
from timerec.store.events import Event, Stored

EVENT_ID_NULL = "event_id is null"
INTERACTIONS = "interactions"
ROWS = 50_000  # rows of a log read at a time
APPENDED = 2_000  # events of an append: a Redis server answers nobody else meanwhile
PAGE = 10_000  # events read from the store at a time
_REQUIRED = (Columns.USER, Columns.ITEM, Columns.TIME)
_REFUSED = pa.schema([(name, pa.string()) for name in (*LOG_COLUMNS, Columns.EVENT_ID, "line", "table", Columns.REASON)])
_EXPORTED = pa.schema(
    [
        (Columns.USER, pa.string()), (Columns.ITEM, pa.string()), (Columns.TIME, pa.int64()),
        (Columns.EVENT, pa.string()), (Columns.VALUE, pa.float64()), (Columns.EVENT_ID, pa.string()),
    ]
)  # fmt: skip
Progress = Callable[[int, int], None]  # rows done, rows in all (estimated for CSV)


def load(
    store: EventStore, data: Path, refused: Path | None = None, now: int | None = None, progress: Progress | None = None
) -> dict[str, Any]:
    """Append a log to a store, by the rules for ids, times and bad rows of `timerec.pipeline.prepare`.

    Without a column event_id an event's id follows from its user, item, timestamp and kind, so that a log that is loaded
    twice, or again after an interruption, stores nothing twice.

    Args:
        data: a .parquet or .csv file, a folder of such, or a data set directory with `interactions`.
        refused: .parquet or .csv file for the rows that are refused, with the reason of each.
        now: unix seconds; later than a day after it is the future. By default the clock's.

    Returns:
        Counts: `read`, `stored`, `duplicates`, `refused` (these three sum to the first), `reasons`, `notes`, `last` (seq).

    Raises:
        DataError: the log cannot be read.
    """
    table = _table(data)
    form, _, _, notes = decide_formats(Tables(table, None, None), DataConfig(), int(clock.time()) if now is None else now)
    counts: Counter[str] = Counter()
    reasons: Counter[str] = Counter()
    with _Refused(refused) as bad:
        for piece in pieces(table, (*LOG_COLUMNS, Columns.EVENT_ID)):
            for rows in read_piece(piece, ROWS):
                events, rejected = _events(rows, form)
                for first in range(0, len(events), APPENDED):
                    answers = store.append(events[first : first + APPENDED])
                    counts["duplicates"] += sum(answer.duplicate for answer in answers)
                counts["read"] += rows.num_rows
                counts["refused"] += rejected.num_rows
                if rejected.num_rows:
                    reasons.update(count_reasons(rejected))
                    bad.write(rejected)
                if progress:
                    progress(counts["read"], max(table.rows, counts["read"]))
    stored = counts["read"] - counts["refused"] - counts["duplicates"]
    found = {"read": counts["read"], "stored": stored, "duplicates": counts["duplicates"], "refused": counts["refused"]}
    return {**found, "reasons": dict(sorted(reasons.items())), "notes": notes, "last": store.last()}


def export(store: EventStore, out: Path, until: int | None = None, progress: Progress | None = None) -> dict[str, Any]:
    """Write the events of a store as `interactions.parquet`, with identifiers as whole numbers where all of them are.

    Memory is that of one batch, however many events there are.

    Args:
        out: a folder, or the .parquet file itself. It is replaced once everything is there.
        until: unix seconds; only events strictly earlier.

    Returns:
        `events` (how many), `last` (seq up to which it reaches) and `out`.

    Raises:
        DataError: there is no such event, or the file cannot be written.
    """
    path = out if out.suffix == ".parquet" else out / f"{INTERACTIONS}.parquet"
    last = store.last()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".timerec-", dir=path.parent) as work:
            draft = Path(work) / "texts.parquet"
            written, whole = _write_texts(store, draft, last, until, progress)
            if not written:
                moment = "" if until is None else f" before {until}"
                raise DataError(f"{path}: the event store holds no event{moment}: nothing is exported")
            if whole:
                draft = _number(draft, Path(work) / "numbers.parquet", whole)
            draft.replace(path)
    except OSError as error:
        raise DataError(f"{path}: cannot be written ({error.strerror or error}): choose another --out") from None
    return {"events": written, "last": last, "out": str(path)}


def read_pages(store: EventStore, last: int, page: int = PAGE) -> Iterator[list[Stored]]:
    """All events up to seq `last`, in order, a page at a time."""
    seq = 0
    while found := store.since(seq, page):
        seq = found[-1].seq
        inside = [one for one in found if one.seq <= last]
        if inside:
            yield inside
        if len(inside) < len(found):
            return


def event_id(user_id: str, item_id: str, timestamp: int, event: str) -> str:
    """The id of an event that came without one, the same whenever it comes: 128 bits of SHA-256 in hexadecimal."""
    # lengths in front: no two events run together into one text
    content = "".join(f"{len(part)}:{part}" for part in (user_id, item_id, str(timestamp), event))
    return hashlib.sha256(content.encode()).hexdigest()[:32]


def _table(data: Path) -> Table:
    if data.is_dir() and any((data / name).exists() for name in (INTERACTIONS, f"{INTERACTIONS}.parquet", f"{INTERACTIONS}.csv")):
        found = find_table(data, INTERACTIONS, _REQUIRED)
        assert found is not None  # it is not optional
        return found
    if not data.exists():
        raise DataError(f"{data}: is not there: give a .parquet or .csv file or a folder with {INTERACTIONS}")
    if data.is_file() and data.suffix not in (".parquet", ".csv"):
        raise DataError(f"{data}: is neither .parquet nor .csv: give a table in one of these formats")
    return table_at(data, INTERACTIONS, _REQUIRED)


def _events(rows: pa.Table, form: LogFormat) -> tuple[list[Event], pa.Table]:
    """The events of the rows that can be used, and the other rows with their reasons."""
    read = read_rows(rows, form)
    known = as_text(rows[Columns.EVENT_ID]) if Columns.EVENT_ID in rows.column_names else None
    if known is not None:
        empty = np.array([not one for one in known.to_pylist()], bool)
        nameless = first_reason(((read.reason == "") & empty, EVENT_ID_NULL))
        read = read._replace(reason=np.where(read.reason == "", nameless, read.reason))
    return _kept(rows, read, known), refused_rows(rows, read.reason, INTERACTIONS)


def _kept(rows: pa.Table, read: Read, known: pa.Array | None) -> list[Event]:
    good = pa.array(np.flatnonzero(read.reason == ""), pa.int64())
    users, items = (as_text(column.take(good)).to_pylist() for column in (read.user, read.item))
    times, values = (column[good.to_numpy()].tolist() for column in (read.time, read.value))
    kinds = [""] * len(users)
    if Columns.EVENT in rows.column_names:
        kinds = as_text(rows[Columns.EVENT]).fill_null("").take(good).to_pylist()
    ids = map(event_id, users, items, times, kinds) if known is None else known.take(good).to_pylist()
    return list(map(Event, ids, users, items, times, kinds, values))


class _Refused:
    """A file of refused rows, every column as text; no file where nobody asked for one."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        if path is not None and path.suffix not in (".parquet", ".csv"):
            raise DataError(f"--refused {path}: is neither .parquet nor .csv: name a file of one of these formats")

    def __enter__(self) -> _Refused:
        if self._path is None:
            self._writer = None
            return self
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            kind = pq.ParquetWriter if self._path.suffix == ".parquet" else pa_csv.CSVWriter
            self._writer = kind(self._path, _REFUSED)
        except OSError as error:
            raise DataError(f"--refused {self._path}: cannot be written ({error.strerror or error}): name another file") from None
        return self

    def __exit__(self, *_: object) -> None:
        if self._writer is not None:
            self._writer.close()

    def write(self, rows: pa.Table) -> None:
        """Add rows of a refused table."""
        if self._writer is not None:
            absent = pa.nulls(rows.num_rows, pa.string())
            columns = [rows[name] if name in rows.column_names else absent for name in _REFUSED.names]
            self._writer.write_table(pa.table(columns, schema=_REFUSED))


def _write_texts(store: EventStore, path: Path, last: int, until: int | None, progress: Progress | None) -> tuple[int, list[str]]:
    """Write all events with ids as text; returns how many, and the id columns that hold nothing but whole numbers."""
    written, seen = 0, 0
    whole = [Columns.USER, Columns.ITEM]
    total = store.count() if progress else 0
    with pq.ParquetWriter(path, _EXPORTED) as writer:
        for page in read_pages(store, last):
            seen += len(page)
            events = [one.event for one in page if until is None or one.event.timestamp < until]
            rows = [(e.user_id, e.item_id, e.timestamp, e.event or None, e.value, e.event_id) for e in events]
            if rows:
                batch = pa.table(list(map(list, zip(*rows, strict=True))), schema=_EXPORTED)
                writer.write_table(batch)
                whole = [name for name in whole if all_canonical(batch[name])]
                written += len(rows)
            if progress:
                progress(seen, max(total, seen))
    return written, whole


def _number(draft: Path, out: Path, whole: list[str]) -> Path:
    """The same table with these text columns as int64."""
    schema = pa.schema([(field.name, pa.int64() if field.name in whole else field.type) for field in _EXPORTED])
    with pq.ParquetFile(draft) as file, pq.ParquetWriter(out, schema) as writer:
        for group in range(file.num_row_groups):
            writer.write_table(file.read_row_group(group).cast(schema))
    return out
