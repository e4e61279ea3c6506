"""What a forecaster replica holds of one model."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from timerec.candidates.pairs import ForecastTable
from timerec.online.base import Base
from timerec.online.forecasts import LiveForecasts
from timerec.store.events import Stored

MENDED = 30.0  # seconds between renewals for late events


class Foreseeing:
    """One model's series, and its forecaster."""

    def __init__(self, base: Base) -> None:
        self.live = LiveForecasts(base.files, base.bundle.path, base.weights)
        self._mend_from = 0.0

    @property
    def seq(self) -> int:
        """Place in the store up to which it has read."""
        return self.live.intake.seq

    def take(self, stored: Sequence[Stored]) -> None:
        """Take the next events."""
        self.live.take(stored)

    def reach(self, at: int) -> dict[str, Any]:
        """Make sure that every step over at `at` is in the table, and say what it holds."""
        if not self.live.reaches(at):
            self.live.renew(at)
        return self.told()

    def told(self) -> dict[str, Any]:
        """What the table holds."""
        return {"covered": self.live.covered, "told": self.live.told, "until": self.live.until}

    def mend(self) -> None:
        """Put late events into the table, from time to time."""
        if self.live.late and time.monotonic() > self._mend_from:
            self.live.renew(self.live.until - 1)
            self._mend_from = time.monotonic() + MENDED

    def table(self, covered: int) -> tuple[int, int, ForecastTable]:
        """The table with at least so many steps: (steps, place in the store when it was made, table)."""
        self.reach(self.live.origin + covered * self.live.step)
        return self.live.covered, self.live.told, self.live.table()

    def item(self, item_id: str, at: int) -> dict[str, Any] | None:
        """Series and forecast of an item as of `at`; None for an unknown one."""
        self.reach(at)
        return self.live.item(item_id, at)
