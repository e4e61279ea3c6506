"""Numbering the catalogue: one dense index over the item table and the log."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from timerec.data.columns import IdKind, all_canonical
from timerec.data.passes import read_arrow
from timerec.data.tables import Table
from timerec.schema import Columns, DataError


def common_kind(kinds: dict[str, tuple[set[IdKind], bool]], column: str) -> tuple[IdKind, str | None]:
    """How to read an identifier that occurs in several tables.

    Args:
        kinds: for each table, the kinds its Parquet files declare, and whether some file is CSV, which declares none.

    Returns:
        The kind to read it as, and a note where declared kinds differ.
    """
    declared: set[IdKind] = set().union(*(found for found, _ in kinds.values()))
    note = None
    if len(declared) > 1:
        written = ", ".join(f"{table} as {' and '.join(sorted(found))}" for table, (found, _) in kinds.items() if found)
        note = f"{column} differs in type between files ({written}): read as strings everywhere"
    from_csv = any(csv for _, csv in kinds.values())
    return ("integer" if declared == {"integer"} and not from_csv else "string"), note


def may_be_integer(kinds: dict[str, tuple[set[IdKind], bool]]) -> bool:
    """Whether text identifiers come from CSV alone, so that whole numbers among them are numbers."""
    return not any("string" in found for found, _ in kinds.values())


def log_items(paths: list[str]) -> pa.Array:
    """Distinct item ids of all runs, in any order."""
    found: pa.Array | None = None
    for path in paths:
        more = read_arrow(Path(path))[Columns.ITEM].combine_chunks()
        found = more if found is None else pc.unique(pa.concat_arrays([found, more]))
    if found is None:
        raise ValueError("no runs")
    return found


def build_catalogue(in_log: pa.Array, in_table: pa.Array | None, integers: bool, table: Table | None) -> pa.Array:
    """All item ids, sorted (numerically where all are integers); the place of an id is its index.

    Args:
        integers: text of whole numbers may become int64.

    Raises:
        DataError: the item table shares no item with the log.
    """
    ids = in_log
    if in_table is not None and table is not None:
        if not pc.any(pc.is_in(in_table, in_log)).as_py():
            raise DataError(
                f"{table.label}, column 'item_id' has none of the items of interactions (such as {in_log[0]} there, "
                f"{in_table[0]} here): write the same identifiers in both tables"
            )
        ids = pc.unique(pa.concat_arrays([in_log, in_table]))
    if integers and pa.types.is_string(ids.type) and all_canonical(ids):
        ids = ids.cast(pa.int64())
    return ids.take(pc.sort_indices(ids))


def place_in(catalogue: pa.Array, ids: pa.Array) -> np.ndarray:
    """Index int32 [N] of each id in the catalogue, -1 for an unknown one."""
    if ids.type != catalogue.type:
        canonical = pc.match_substring_regex(ids, r"^(0|-?[1-9][0-9]{0,17})$")
        ids = pc.if_else(canonical, ids, None).cast(catalogue.type)
    return np.asarray(pc.index_in(ids, catalogue, skip_nulls=True).fill_null(-1).to_numpy(), dtype=np.int32)
