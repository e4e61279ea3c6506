"""Cleaning the tables of catalogue size: items and their dated attributes."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from timerec.clock import DAY
from timerec.data.clean import (
    BROKEN_LINE,
    ITEM_NOT_WHOLE,
    ITEM_NULL,
    TIME_EARLY,
    TIME_FUTURE,
    TIME_NULL,
    TIME_UNREADABLE,
    count_reasons,
    first_reason,
    refused_rows,
)
from timerec.data.columns import (
    NULL,
    OK,
    UNREADABLE,
    IdKind,
    is_number,
    is_text,
    time_format,
    to_floats,
    to_ids,
    to_seconds,
    to_text,
)
from timerec.data.index import place_in
from timerec.data.tables import FAULT, Table, read_table, sample_column
from timerec.schema import Columns, DataError, Prepared

ITEM_TWICE = "item_id occurs twice"
ITEM_UNKNOWN = "item_id is in no other table"
LISTED_UNREADABLE = "listed_at is not a finite time"
LISTED_EARLY = "listed_at is before 1970"
NOT_FINITE = "an attribute is infinite"
NEVER_LISTED = 2**62
PLANNED_DAYS = 366  # attributes may be planned ahead; later ones are taken for mistakes
TEXTS = (Columns.TITLE, Columns.CATEGORY, Columns.TEXT)


@dataclass
class Cleaned:
    """A cleaned table, its refused rows and what there is to say about it."""

    rows: pa.Table
    refused: pa.Table
    read: int
    merged: int = 0
    notes: list[str] = field(default_factory=list)

    def counts(self) -> dict[str, object]:
        """Rows read, kept, merged and quarantined; the last three sum to the first."""
        return {
            "read": self.read,
            "kept": self.rows.num_rows,
            "merged": self.merged,
            "quarantined": self.refused.num_rows,
            "reasons": count_reasons(self.refused),
        }


def clean_items(table: Table, kind: IdKind) -> Cleaned:
    """Item rows: item_id, title, category, text (strings, "" where missing) and listed_at (int64); the first of a twice
    listed item is kept.

    Raises:
        DataError: a text column holds something else than text or numbers, or listed_at no times.
    """
    wanted = (Columns.ITEM, *TEXTS, Columns.LISTED)
    rows = read_table(table, tuple(name for name in wanted if name in table.columns))
    n = rows.num_rows
    ids, verdict = to_ids(rows[Columns.ITEM], kind)
    listed, listed_verdict = np.full(n, NEVER_LISTED), np.full(n, NULL, np.int8)
    notes: list[str] = []
    if Columns.LISTED in rows.column_names:
        form = time_format(sample_column(table, Columns.LISTED), table.label, Columns.LISTED)
        listed, listed_verdict = to_seconds(rows[Columns.LISTED], form)
        if form.ticks != 1:
            notes.append(f"{table.label}: listed_at is in {form.unit}, converted to seconds")
    reason = first_reason(
        (_broken(rows), BROKEN_LINE),
        (verdict == NULL, ITEM_NULL),
        (verdict == UNREADABLE, ITEM_NOT_WHOLE),
        (listed_verdict == UNREADABLE, LISTED_UNREADABLE),
        ((listed_verdict == OK) & (listed < 0), LISTED_EARLY),
    )
    usable = np.flatnonzero(reason == "")
    codes = ids.take(pa.array(usable)).dictionary_encode().indices.to_numpy()
    again = np.ones(len(usable), bool)
    again[np.unique(codes, return_index=True)[1]] = False
    reason[usable[again]] = ITEM_TWICE
    kept = pa.array(reason == "")
    columns: dict[str, pa.Array] = {Columns.ITEM: ids.filter(kept)}
    for name in TEXTS:
        columns[name] = _text(rows, name, kept, table, notes)
    columns[Columns.LISTED] = pa.array(np.where(listed_verdict == OK, listed, NEVER_LISTED)).filter(kept)
    return Cleaned(pa.table(columns), refused_rows(rows, reason, table.name), n, notes=notes)


def clean_attributes(table: Table, kind: IdKind, catalogue: pa.Array, now: int) -> Cleaned:
    """Attribute rows: item int32, time int64 and one float32 column an attribute (NaN: not said),
    sorted by (item, time).

    Rows of the same item and time are merged; where they contradict each other the largest value is kept.

    Args:
        catalogue: item ids in order of their index.
        now: unix seconds.

    Raises:
        DataError: no numeric column.
    """
    rows = read_table(table, tuple(table.columns))
    n = rows.num_rows
    names, notes = _attribute_names(rows, table)
    ids, verdict = to_ids(rows[Columns.ITEM], kind)
    form = time_format(sample_column(table, Columns.TIME), table.label, Columns.TIME)
    if form.ticks != 1:
        notes.append(f"{table.label}: timestamp is in {form.unit}, converted to seconds")
    time, time_verdict = to_seconds(rows[Columns.TIME], form)
    readable = time_verdict == OK
    item = place_in(catalogue, ids)
    values = {name: to_floats(rows[name]) for name in names}
    endless = np.zeros(n, bool)
    for name in names:
        endless |= (values[name][1] == UNREADABLE) & ~_is_nan(rows[name])
    reason = first_reason(
        (_broken(rows), BROKEN_LINE),
        (verdict == NULL, ITEM_NULL),
        (verdict == UNREADABLE, ITEM_NOT_WHOLE),
        (item < 0, ITEM_UNKNOWN),
        (time_verdict == NULL, TIME_NULL),
        (time_verdict == UNREADABLE, TIME_UNREADABLE),
        (readable & (time < 0), TIME_EARLY),
        (readable & (time > now + PLANNED_DAYS * DAY), TIME_FUTURE),
        (endless, NOT_FINITE),
    )
    good = np.flatnonzero(reason == "")
    order = good[np.lexsort((time[good], item[good]))]
    first = np.ones(len(order), bool)
    first[1:] = (item[order][1:] != item[order][:-1]) | (time[order][1:] != time[order][:-1])
    starts = np.flatnonzero(first)
    columns: dict[str, NDArray[np.generic]] = {Prepared.ITEM: item[order][first], Prepared.TIME: time[order][first]}
    for name in names:
        value = values[name][0][order]
        columns[name] = np.fmax.reduceat(value, starts) if len(starts) else value
    merged = len(order) - len(starts)
    return Cleaned(pa.table(columns), refused_rows(rows, reason, table.name), n, merged, notes)


def category_index(category: pa.Array) -> tuple[NDArray[np.int32], int]:
    """Index int32 [I] of each category in sorted order, and how many there are."""
    names = category.to_numpy(zero_copy_only=False).astype(object)
    distinct, index = np.unique(names, return_inverse=True)
    return index.astype(np.int32), len(distinct)


def _text(rows: pa.Table, name: str, kept: pa.Array, table: Table, notes: list[str]) -> pa.Array:
    if name not in rows.column_names:
        return pa.array([""] * pc.sum(kept).as_py(), pa.string())
    kind = rows[name].type
    plain = kind.value_type if pa.types.is_dictionary(kind) else kind
    if not (is_text(plain) or is_number(plain) or pa.types.is_null(plain)):
        raise DataError(f"{table.label}, column '{name}' is of type {kind}: write it as text")
    text, dirty, long = to_text(rows[name].filter(kept))
    if dirty:
        notes.append(f"{table.label}: control characters removed from {name} of {dirty} items")
    if long:
        notes.append(f"{table.label}: {name} of {long} items cut to 4000 characters")
    return text


def _attribute_names(rows: pa.Table, table: Table) -> tuple[list[str], list[str]]:
    names: list[str] = []
    ignored: list[str] = []
    for name in rows.column_names:
        if name in (Columns.ITEM, Columns.TIME, FAULT):
            continue
        column = rows[name]
        if is_text(column.type):  # CSV: numbers are recognised by reading them
            numeric = bool((to_floats(column)[1] == OK).mean() * 2 > 1 - column.null_count / max(1, len(column)))
        else:
            numeric = is_number(column.type)
        (names if numeric else ignored).append(name)
    if not names:
        raise DataError(f"{table.label} has no numeric column beside item_id and timestamp: add one or remove the file")
    return names, [f"{table.label}: column '{name}' is not numeric and was ignored" for name in ignored]


def _broken(rows: pa.Table) -> NDArray[np.bool_]:
    return rows[FAULT].is_valid().to_numpy() if FAULT in rows.column_names else np.zeros(rows.num_rows, bool)


def _is_nan(column: pa.ChunkedArray) -> NDArray[np.bool_]:
    """Values that say "unknown": NaN, not infinite."""
    if pa.types.is_floating(column.type):
        return np.asarray(pc.is_nan(column).fill_null(False).to_numpy(), dtype=bool)
    if is_text(column.type):
        lower = pc.utf8_lower(column.cast(pa.string()))
        return np.asarray(pc.equal(lower, "nan").fill_null(False).to_numpy(), dtype=bool)
    return np.zeros(len(column), bool)
