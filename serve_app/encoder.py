"""The encoder's deployment: who asks, and what they did so far."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from serve_app.models import Failed, Missing
from serve_app.replica import Replica
from timerec.online.messages import Ask, Heard

if TYPE_CHECKING:
    from serve_app.reading import Reading
    from timerec.online.base import Base


class Encoder(Replica["Reading"]):
    """Reads histories with the history encoder, and tells them."""

    def make(self, base: Base) -> Reading:
        from serve_app.reading import Reading  # torch and kernels, which only a replica needs

        return Reading(base)

    async def read(self, asks: list[Ask], models: list[str]) -> list[Heard | Missing | Failed]:
        """What a model's encoder makes of each request's history, every stored event included.

        Args:
            asks, models: of each request what is asked, and of which model; at most `timerec.online.live.GUESTS` at once.
        """
        return await self.compute(self._read, asks, models)

    async def history(self, user_id: str, at: int, limit: int, model: str) -> dict[str, Any] | Missing | None:
        """A user's latest events strictly before `at`, the newest first; None for an unknown user."""
        return await self.compute(lambda: part.tell(user_id, at, limit) if (part := self.part(model)) else Missing(model))

    async def users(self, search: str, limit: int, model: str) -> list[dict[str, Any]] | Missing:
        """Users whose identifier begins with `search`, those with the longest histories first."""
        return await self.compute(lambda: part.find(search, limit) if (part := self.part(model)) else Missing(model))

    def _read(self, asks: list[Ask], models: list[str]) -> list[Heard | Missing | Failed]:
        def read(part: Reading, rows: list[int]) -> list[Heard]:
            return [heard._replace(behind=self.behind) for heard in part.reader.read([asks[row] for row in rows])]

        return self.together(models, read)
