"""The item series of a prepared directory."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray

from timerec.clock import STEPS
from timerec.forecaster.known import attribute_columns
from timerec.forecaster.series import LARGEST, ItemSeries, quiet_for
from timerec.schema import DataError, Prepared

SERIES = "series.parquet"  # item int32, step int32, count float32, value float32; non-zero rows only


def quiet_of(prepared: Path) -> int:
    """The `quiet` of a fit on this prepared directory."""
    manifest = _manifest(prepared)
    return quiet_for(int(manifest["n_items"]), int(manifest["n_steps"]))


def read_series(prepared: Path, column: str = "count", quiet: int | None = None, until: int = 0) -> ItemSeries:
    """The item series of a prepared directory.

    Args:
        quiet: steps after its last event at which a series ends, 0 for never; by default what a fit on this directory takes.
        until: unix seconds up to which the series run at least, quiet steps included.

    Raises:
        DataError: a file is missing, unreadable or without the column, or the series are too long to be held in memory.
    """
    path = prepared / SERIES
    manifest = _manifest(prepared)
    try:
        table = pq.read_table(path, columns=["item", "step", column])
        item, step, y = (table.column(name).to_numpy() for name in ("item", "step", column))
    except (OSError, ValueError, KeyError) as error:
        raise DataError(f"{path}, column {column}: cannot be read ({error}); run the prepare stage again") from None
    n_items, n_steps, origin = (int(manifest[name]) for name in ("n_items", "n_steps", "origin"))
    n_steps = max(n_steps, (until - origin) // STEPS[manifest["step"]])
    kept = quiet_for(n_items, n_steps) if quiet is None else quiet
    return series_of(item, step, y, {**manifest, "n_steps": n_steps}, prepared, kept)


def series_of(
    item: NDArray[np.integer], step: NDArray[np.integer], y: NDArray[np.floating], manifest: dict[str, Any], prepared: Path,
    quiet: int,
) -> ItemSeries:  # fmt: skip
    """The series of non-zero cells (item, step, y), each (item, step) once, with the dated attributes of `prepared` beside them.

    Args:
        manifest: n_items, n_steps, origin and step of the log that they are of.
        quiet: as in `ItemSeries`.

    Raises:
        DataError: they are too long to be held in memory.
    """
    n_items, n_steps, origin = (int(manifest[name]) for name in ("n_items", "n_steps", "origin"))
    series = ItemSeries.from_long(item, step, y, n_items, n_steps, origin, STEPS[manifest["step"]], quiet)
    if len(series.y) > LARGEST:
        raise DataError(
            f"{prepared / SERIES}, column step: {len(series.y):,} rows of item and {manifest['step']} are more than the "
            f"{LARGEST:,} that are held in memory; choose a longer data.step, such as day or week"
        )
    return replace(series, beside=_attributes(prepared / Prepared.ATTRIBUTES, series))


def _attributes(path: Path, series: ItemSeries) -> NDArray[np.float32] | None:
    """Columns of the dated attributes, where the log has any."""
    if not path.exists():
        return None
    try:
        table = pq.read_table(path)
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: cannot be read ({error}); run the prepare stage again") from None
    item, when = table.column(Prepared.ITEM).to_numpy(), table.column(Prepared.TIME).to_numpy()
    value = np.stack([table.column(name).to_numpy().astype(np.float32) for name in table.column_names[2:]], axis=-1)
    return attribute_columns(series, item, when, value)


def _manifest(prepared: Path) -> dict[str, Any]:
    path = prepared / Prepared.MANIFEST
    try:
        manifest: dict[str, Any] = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: cannot be read ({error}); run the prepare stage again") from None
    return manifest
