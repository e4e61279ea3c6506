"""The forecaster's deployment: where items are heading, said anew whenever a step is over."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from serve_app.models import Missing
from serve_app.replica import Replica

if TYPE_CHECKING:
    from serve_app.foreseeing import Foreseeing
    from timerec.candidates.pairs import ForecastTable
    from timerec.online.base import Base


class Forecaster(Replica["Foreseeing"]):
    """Counts events by item and step, and keeps the table of forecasts that the fusion reads."""

    def make(self, base: Base) -> Foreseeing:
        from serve_app.foreseeing import Foreseeing  # the forecaster's network, which only a replica needs

        return Foreseeing(base)

    async def cover(self, at: int, model: str) -> dict[str, Any] | Missing:
        """Make sure that every step over at `at` is in the table.

        Returns:
            {"covered": steps in the table, "told": place in the store when it was made, "until": unix seconds at which it lacks a
            step, "behind": whether the store could not be reached}.
        """
        part = self._parts.get(model)
        if part is None:
            return Missing(model)
        told = part.told() if part.live.reaches(at) else await self.ask(model, lambda part: part.reach(at))
        return told if isinstance(told, Missing) else {**told, "behind": self.behind}

    async def table(self, covered: int, model: str) -> tuple[int, int, ForecastTable] | Missing:
        """The table with at least so many steps: (steps, place in the store when it was made, table)."""
        return await self.ask(model, lambda part: part.table(covered))

    async def item(self, item_id: str, at: int, model: str) -> dict[str, Any] | Missing | None:
        """Series and forecast of an item as of `at`; None for an unknown one."""
        return await self.ask(model, lambda part: part.item(item_id, at))

    def idle(self, part: Foreseeing) -> None:
        super().idle(part)
        part.mend()
