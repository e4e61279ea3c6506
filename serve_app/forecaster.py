"""The forecaster's deployment: where items are heading, said anew whenever a step is over."""

from __future__ import annotations

import time
from typing import Any

from serve_app.replica import Replica
from timerec.candidates.pairs import ForecastTable
from timerec.online.forecasts import LiveForecasts

MENDED = 30.0  # seconds between renewals for late events


class Forecaster(Replica):
    """Counts events by item and step, and keeps the table of forecasts that the fusion reads."""

    def __init__(self, bundle: str, data: str | None, folder: str, store: str) -> None:
        import torch

        torch.set_num_threads(1)
        super().__init__(bundle, data, folder, store)
        self._mend_from = 0.0
        self._live = LiveForecasts(self.base.files, self.base.bundle.path, self.base.weights)
        self.idle()

    async def cover(self, at: int) -> dict[str, Any]:
        """Make sure that every step over at `at` is in the table.

        Returns:
            {"covered": steps in the table, "told": place in the store when it was made, "until": unix seconds at which it lacks a
            step}.
        """
        if not self._live.reaches(at):
            await self.compute(self._reach, at)
        return {"covered": self._live.covered, "told": self._live.told, "until": self._live.until}

    async def table(self, covered: int) -> tuple[int, int, ForecastTable]:
        """The table with at least so many steps: (steps, events of the store in it, table)."""
        return await self.compute(self._table, covered)

    async def item(self, item_id: str, at: int) -> dict[str, Any] | None:
        """Series and forecast of an item as of `at`; None for an unknown one."""
        return await self.compute(self._item, item_id, at)

    async def status(self) -> dict[str, Any]:
        """How far it has read and said."""
        live = self._live
        return {"seq": live.intake.seq, "behind": self.behind, "covered": live.covered, "model": self.base.digest}

    def idle(self) -> None:
        self._catch_up()
        if self._live.late and time.monotonic() > self._mend_from:
            self._live.renew(self._live.until - 1)
            self._mend_from = time.monotonic() + MENDED

    def _catch_up(self) -> None:
        self.catch_up(self._live, lambda: self._live.intake.seq)

    def _reach(self, at: int) -> None:
        self._catch_up()
        if not self._live.reaches(at):  # a request before this one may have asked for it
            self._live.renew(at)

    def _table(self, covered: int) -> tuple[int, int, ForecastTable]:
        if self._live.covered < covered:
            self._reach(self._live.origin + covered * self._live.step)
        return self._live.covered, self._live.told, self._live.table()

    def _item(self, item_id: str, at: int) -> dict[str, Any] | None:
        self._reach(at)
        return self._live.item(item_id, at)
