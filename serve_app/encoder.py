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

    async def read(self, model: str, asks: list[Ask]) -> list[Heard | Missing | Failed]:
        """What a model's encoder makes of each request's history, every stored event included.

        Args:
            asks: at most `timerec.online.live.GUESTS`.
        """
        return await self.together([*range(len(asks))], lambda rows: self._read(model, [asks[row] for row in rows]))

    async def history(self, user_id: str, at: int, limit: int, model: str) -> dict[str, Any] | Missing | None:
        """A user's latest events strictly before `at`, the newest first; None for a user without any."""
        return await self.ask(model, lambda part: part.tell(user_id, at, limit))

    async def users(self, search: str, limit: int, at: int, model: str) -> list[dict[str, Any]] | Missing:
        """Users with events before `at` whose identifier begins with `search`, those with the longest histories first."""
        return await self.ask(model, lambda part: part.find(search, limit, at))

    async def _read(self, model: str, asks: list[Ask]) -> list[Heard] | Missing:
        return await self.ask(model, lambda part: [one._replace(behind=self.behind) for one in part.reader.read(asks)])
