"""The forecaster of a running system: counts what happens in each step, and once one is over says where items are heading."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from timerec.bundle import FORECASTER
from timerec.candidates.pairs import ForecastTable
from timerec.clock import step_index
from timerec.data.series import sum_cells
from timerec.eventlog import open_log
from timerec.forecaster.classical import Plan
from timerec.forecaster.features import ForecastFeatures, outputs
from timerec.forecaster.frozen import MODEL, features_of
from timerec.forecaster.prepared import SERIES, series_of
from timerec.forecaster.recurrent import QUANTILES, RecurrentForecaster
from timerec.forecaster.series import ItemSeries
from timerec.online.ids import Ids
from timerec.online.intake import Intake
from timerec.schema import Columns, Prepared
from timerec.store.events import Stored
from timerec.training.sources import StateFiles

WEIGHTS = "model.safetensors"
PARTS = 1000  # arrays of counts until they are added up
OUTPUTS = ("mean", *(f"q{round(100 * level)}" for level in QUANTILES))


class LiveForecasts:
    """The item series, growing with the store, and what the forecaster says at the end of every step of them."""

    def __init__(self, files: StateFiles, bundle: Path, weights: dict[str, float]) -> None:
        """Start from the series on disk and from what was said of them.

        Args:
            bundle: folder of the bundle, for the forecaster's frozen parameters.
            weights: of kinds of events; others weigh 1.
        """
        self._files, self._folder = files, bundle / FORECASTER
        self.manifest: dict[str, Any] = json.loads((files.prepared / Prepared.MANIFEST).read_text())
        users = pq.read_table(files.prepared / Prepared.USERS, columns=[Columns.USER])[Columns.USER].combine_chunks()
        items = pq.read_table(files.prepared / Prepared.ITEMS, columns=[Columns.ITEM])[Columns.ITEM].combine_chunks()
        log = open_log(files.prepared / Prepared.LOG)
        self.intake = Intake(log, Ids(users), Ids(items), self.manifest["kinds"], weights)
        self._catalogue = len(items)
        self._first: dict[int, int] = {}  # unix seconds of the first event of each item that is in no catalogue
        cells = pq.read_table(files.prepared / SERIES, columns=["item", "step", "count"])
        self._cells = [tuple(cells[name].to_numpy() for name in ("item", "step", "count"))]
        self._series: ItemSeries | None = None
        self.features = ForecastFeatures.load(files.forecast)
        self.origin, self.step = self.features.origin, self.features.step
        self.covered = int(self.manifest["last"] - self.origin) // self.step  # steps wholly over and in the features
        self.told = 0  # place in the store up to which events are in the features
        self.late = False  # events have come for steps that are in the features

    def take(self, stored: Sequence[Stored]) -> None:
        """Count the next events of the store."""
        rows = self.intake.take(stored)
        if not len(rows.user):
            return
        for item, time in zip(rows.item.tolist(), rows.time.tolist(), strict=True):
            if item >= self._catalogue:
                self._first[item] = min(time, self._first.get(item, time))
        step = step_index(rows.time, self.origin, self.step)
        early = step < 0  # before the series begin: there is no step for it
        self._cells.append((rows.item[~early], step[~early], rows.weight[~early]))
        if len(self._cells) > PARTS:
            self._fold()
        self.late |= bool((step[~early] < self.covered).any())

    @property
    def until(self) -> int:
        """Unix seconds at which the first step is over that the features lack."""
        return self.origin + (self.covered + 1) * self.step

    def reaches(self, at: int) -> bool:
        """Whether every step that is over at `at` (unix seconds) is in the features."""
        return at < self.until

    def renew(self, at: int) -> None:
        """Say anew what is known at the end of every step that is over at `at`; takes seconds for large catalogues."""
        steps = max(self.covered, (at - self.origin) // self.step)
        series = self._series_until(steps)
        self.features = features_of(self._folder, series, _roll)
        self._series, self.covered, self.told, self.late = series, steps, self.intake.seq, False

    def table(self) -> ForecastTable:
        """The features as the kernels read them."""
        told = self.features
        return ForecastTable(
            np.array(told.offsets), np.array(told.first_step), np.array(told.values), int(told.origin), int(told.step)
        )

    def item(self, name: str, at: int) -> dict[str, Any] | None:
        """An item's series up to `at` (unix seconds) and its forecast from there; None for an item unknown as of then.

        Returns:
            {"item_id", "at", "step_seconds", "series": [{"from", "count"}], "forecast": [{"from", "mean", and of a network "q10",
            "q50" and "q90"}]}; the forecast is of the steps after the last one that was over.
        """
        index = self.intake.items.index(name)
        if index < 0 or self._first.get(index, at - 1) >= at:
            return None
        if self._series is None or index >= self._series.n_items:
            self._series = self._series_until(self.covered)
        series = self._series
        first, begin = int(series.first_step[index]), int(series.offsets[index])
        over = min((at - self.origin) // self.step, series.n_steps)
        y = series.y[begin : begin + max(0, min(over - first, int(series.lengths[index])))]
        known = len(y)
        if series.quiet and known:  # by then the series had ended, whatever came later (`ItemSeries.until`)
            known = min(known, int(np.flatnonzero(y)[-1]) + 1 + series.quiet)
        counts = np.pad(y, (0, max(0, over - first) - len(y)))
        past = [{"from": self.origin + (first + row) * self.step, "count": float(count)} for row, count in enumerate(counts)]
        ahead = self._ahead(series, index, known) if known else []
        coming = [{"from": self.origin + (over + h) * self.step, **one} for h, one in enumerate(ahead)]
        return {"item_id": name, "at": at, "step_seconds": self.step, "series": past, "forecast": coming}

    def _ahead(self, series: ItemSeries, index: int, known: int) -> list[dict[str, float]]:
        """Forecasts of the steps after the first `known` of a series: of a network with its quantiles, else the mean."""
        if (self._folder / WEIGHTS).exists():
            found = outputs(RecurrentForecaster.load(self._folder), series, np.array([index]))[known - 1, 0]
            return [dict(zip(OUTPUTS, map(float, out), strict=True)) for out in found]
        columns = [place for place, name in enumerate(self.features.names) if name.startswith("forecast_")]
        table, last = self.features, int(series.first_step[index]) + known - 1
        if index >= len(table.first_step):
            return []
        row = int(table.offsets[index]) + last - int(table.first_step[index])
        if not table.offsets[index] <= row < table.offsets[index + 1]:  # late events moved its begin; told with the next table
            return []
        return [{"mean": float(np.expm1(table.values[row][place]))} for place in columns]

    def _fold(self) -> None:
        """One count of each item and step in place of one of each event."""
        item, step, count = (np.concatenate([part[column] for part in self._cells]) for column in range(3))
        cells = sum_cells(item, step, count=count)
        self._cells = [tuple(cells[name].to_numpy() for name in ("item", "step", "count"))]

    def _series_until(self, steps: int) -> ItemSeries:
        self._fold()
        item, step, count = self._cells[0]
        over = step < steps
        quiet = int(json.loads((self._folder / MODEL).read_text())["quiet"])
        known = {**self.manifest, "n_items": len(self.intake.items), "n_steps": steps}
        return series_of(item[over], step[over], count[over], known, self._files.prepared, quiet)


def _roll(series: ItemSeries, plan: Plan) -> Any:
    from timerec.training.forecast_blocks import roll_blocks  # Ray Data, which a network does not need

    return roll_blocks(series, plan)
