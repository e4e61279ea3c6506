"""What is decided about a data set before its rows are read: kinds of identifiers, unit of time, columns used."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from timerec.config import DataConfig
from timerec.data.clean import LogFormat
from timerec.data.columns import id_kind, is_number, is_text, time_format
from timerec.data.index import common_kind, may_be_integer
from timerec.data.tables import Table, find_table, sample_column
from timerec.schema import Columns, DataError

LOG_COLUMNS = (Columns.USER, Columns.ITEM, Columns.TIME, Columns.EVENT, Columns.VALUE)


@dataclass(frozen=True)
class Tables:
    """The tables of a data set, the optional ones None where absent."""

    log: Table
    items: Table | None
    attributes: Table | None


def find_tables(data_dir: Path) -> Tables:
    """Locate the tables of a data set.

    Raises:
        DataError: see `timerec.data.tables.find_table`.
    """
    log = find_table(data_dir, "interactions", (Columns.USER, Columns.ITEM, Columns.TIME))
    if log is None:
        raise DataError(f"{data_dir}: holds no interactions; put interactions.parquet there")
    return Tables(
        log,
        find_table(data_dir, "items", (Columns.ITEM,), optional=True),
        find_table(data_dir, "item_attributes", (Columns.ITEM, Columns.TIME), optional=True),
    )


def decide_formats(tables: Tables, config: DataConfig, now: int) -> tuple[LogFormat, bool, bool, list[str]]:
    """How to read the log, whether text user and item ids may become integers, and what to say about it.

    Raises:
        DataError: a column has a type that cannot be read as what it should be.
    """
    log = tables.log
    users = {log.label: (id_kind(log.types(Columns.USER), log.label, Columns.USER), any(f.is_csv for f in log.files))}
    items = {
        table.label: (id_kind(table.types(Columns.ITEM), table.label, Columns.ITEM), any(f.is_csv for f in table.files))
        for table in (log, tables.items, tables.attributes)
        if table
    }
    user_kind, user_note = common_kind(users, Columns.USER)
    item_kind, item_note = common_kind(items, Columns.ITEM)
    notes = [note for note in (user_note, item_note) if note]
    form = time_format(sample_column(log, Columns.TIME), log.label, Columns.TIME)
    if form.ticks != 1:
        notes.append(f"{log.label}: timestamp is in {form.unit}, converted to seconds")
    for kind in log.types(Columns.VALUE):
        if not (is_number(kind) or pa.types.is_null(kind)):
            raise DataError(f"{log.label}, column 'value' is of type {kind}: write numbers, or leave the column out")
    for kind in log.types(Columns.EVENT):
        plain = kind.value_type if pa.types.is_dictionary(kind) else kind
        if not (is_text(plain) or is_number(plain) or pa.types.is_null(plain)):
            raise DataError(f"{log.label}, column 'event' is of type {kind}: write the kind of event as text")
    ignored = [name for name in log.columns if name not in (*LOG_COLUMNS, Columns.EVENT_ID)]
    if ignored:
        notes.append(f"{log.label}: columns not used: {', '.join(ignored)}")
    log_format = LogFormat(user_kind, item_kind, form, now, config.event_weights)
    return log_format, may_be_integer(users), may_be_integer(items), notes
