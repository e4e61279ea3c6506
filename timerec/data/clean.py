"""Judging the rows of the log: every row is kept, or refused with one reason."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from timerec.clock import DAY
from timerec.data.columns import (
    NULL,
    OK,
    UNREADABLE,
    IdKind,
    TimeFormat,
    as_text,
    hash_ids,
    to_floats,
    to_ids,
    to_seconds,
)
from timerec.data.kinds import frequent_names, hash_kinds
from timerec.data.tables import FAULT
from timerec.schema import Columns, Prepared

USER_NULL = "user_id is null"
USER_NOT_WHOLE = "user_id is not a whole number"
ITEM_NULL = "item_id is null"
ITEM_NOT_WHOLE = "item_id is not a whole number"
TIME_NULL = "timestamp is null"
TIME_UNREADABLE = "timestamp is not a finite time"
TIME_EARLY = "timestamp is before 1970"
TIME_FUTURE = "timestamp is in the future"
VALUE_NOT_FINITE = "value is not a finite number"
BROKEN_LINE = "line has the wrong number of fields"
# a row with several faults is counted under the first of these
REASONS = (
    BROKEN_LINE, USER_NULL, USER_NOT_WHOLE, ITEM_NULL, ITEM_NOT_WHOLE,
    TIME_NULL, TIME_UNREADABLE, TIME_EARLY, TIME_FUTURE, VALUE_NOT_FINITE,
)  # fmt: skip
KIND = "kind"  # hash of the event kind: equal kinds are equal, whatever they are called


@dataclass(frozen=True)
class LogFormat:
    """How to read the rows of the log, decided once for all its files."""

    user: IdKind
    item: IdKind
    time: TimeFormat
    now: int  # unix seconds; later than a day after it is the future
    event_weights: dict[str, float] = field(default_factory=dict)


class Judged(NamedTuple):
    """Rows of the log after judgement."""

    kept: pa.Table  # user_id, item_id, time int64, value float32, weight float32, kind uint64
    refused: pa.Table  # the columns as they were written, `table` and `reason`
    values_missing: int  # kept rows without a value, which count as 1
    known_kinds: list[int]  # kept rows of each kind in `event_weights`
    kinds: list[str]  # names of the most frequent kinds


class Read(NamedTuple):
    """N rows of the log in our types; what cannot be read has a reason."""

    user: pa.Array
    item: pa.Array
    time: NDArray[np.int64]
    value: NDArray[np.float32]
    missing: NDArray[np.bool_]  # there is no value, which counts as 1
    reason: NDArray[np.object_]  # why the row is refused, "" where it is kept


def read_rows(rows: pa.Table, form: LogFormat) -> Read:
    """Read and judge each of N rows, as a pure function of the rows and the format."""
    n = rows.num_rows
    user, user_verdict = to_ids(rows[Columns.USER], form.user)
    item, item_verdict = to_ids(rows[Columns.ITEM], form.item)
    time, time_verdict = to_seconds(rows[Columns.TIME], form.time)
    if Columns.VALUE in rows.column_names:
        value, value_verdict = to_floats(rows[Columns.VALUE])
    else:
        value, value_verdict = np.ones(n, np.float32), np.zeros(n, np.int8)
    broken = rows[FAULT].is_valid().to_numpy() if FAULT in rows.column_names else np.zeros(n, bool)
    readable = time_verdict == OK
    reason = first_reason(
        (broken, BROKEN_LINE),
        (user_verdict == NULL, USER_NULL),
        (user_verdict == UNREADABLE, USER_NOT_WHOLE),
        (item_verdict == NULL, ITEM_NULL),
        (item_verdict == UNREADABLE, ITEM_NOT_WHOLE),
        (time_verdict == NULL, TIME_NULL),
        (time_verdict == UNREADABLE, TIME_UNREADABLE),
        (readable & (time < 0), TIME_EARLY),
        (readable & (time > form.now + DAY), TIME_FUTURE),
        (value_verdict == UNREADABLE, VALUE_NOT_FINITE),
    )
    missing = value_verdict == NULL
    return Read(user, item, time, np.where(missing, np.float32(1), value), missing, reason)


def judge(rows: pa.Table, form: LogFormat) -> Judged:
    """Keep or refuse each of N rows, as a pure function of the rows and the format."""
    read = read_rows(rows, form)
    good = read.reason == ""
    kind, weight, known, kinds = _kinds(rows, form.event_weights, good)
    kept = pa.table(
        {
            Columns.USER: read.user,
            Columns.ITEM: read.item,
            Prepared.TIME: read.time,
            Prepared.VALUE: read.value,
            Prepared.WEIGHT: weight,
            KIND: kind,
        }
    )
    if not good.all():
        kept = kept.filter(pa.array(good))
    return Judged(kept, refused_rows(rows, read.reason, "interactions"), int((good & read.missing).sum()), known, kinds)


def first_reason(*tests: tuple[NDArray[np.bool_], str]) -> NDArray[np.object_]:
    """The reason of the first test that holds for each row, "" where none does."""
    reason = np.full(len(tests[0][0]), "", dtype=object)
    for holds, name in reversed(tests):
        reason[holds] = name
    return reason


def refused_rows(rows: pa.Table, reason: NDArray[np.object_], table: str) -> pa.Table:
    """The rows with a reason, every column as text, with the columns `table` and `reason`."""
    at = pa.array(np.flatnonzero(reason != ""), pa.int64())
    bad = rows.take(at)
    columns = {name: as_text(bad[name]) for name in bad.column_names if name != FAULT}
    if FAULT in bad.column_names:
        columns["line"] = as_text(bad[FAULT])
    why = pa.array(reason[at.to_numpy()], pa.string())
    return pa.table({**columns, "table": pa.array([table] * len(at), pa.string()), Columns.REASON: why})


def count_reasons(refused: pa.Table) -> dict[str, int]:
    """Rows of each reason."""
    counts = pc.value_counts(refused[Columns.REASON])
    return {str(entry["values"]): int(entry["counts"]) for entry in counts.to_pylist()}


def _kinds(
    rows: pa.Table, weights: dict[str, float], good: NDArray[np.bool_]
) -> tuple[NDArray[np.uint64], NDArray[np.float32], list[int], list[str]]:
    """Hash and weight of each row's event kind, how many good rows each weighted kind has, and good rows' frequent names."""
    n = rows.num_rows
    if Columns.EVENT not in rows.column_names:
        return np.zeros(n, np.uint64), np.ones(n, np.float32), [0] * len(weights), []
    text = as_text(rows[Columns.EVENT]).fill_null("")
    kind, found = hash_ids(text), frequent_names(text.filter(pa.array(good)))
    if not weights:
        return kind, np.ones(n, np.float32), [], found
    names = hash_kinds(list(weights))
    order = np.argsort(names)
    place = np.minimum(np.searchsorted(names[order], kind), len(names) - 1)
    hit = names[order][place] == kind
    weight = np.where(hit, np.array(list(weights.values()))[order][place], 1.0).astype(np.float32)
    counts = np.zeros(len(names), np.int64)
    counts[order] = np.bincount(place[hit & good], minlength=len(names))
    return kind, weight, counts.tolist(), found
