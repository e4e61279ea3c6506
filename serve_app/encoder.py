"""The encoder's deployment: who asks, and what they did so far."""

from __future__ import annotations

from typing import Any

import numpy as np

from serve_app.replica import Replica, batched
from timerec.counters import before
from timerec.online.live import LiveHistory, warm
from timerec.online.messages import Ask, Heard
from timerec.online.reader import Reader
from timerec.schema import Columns

BATCH = 32  # requests read at once


class Encoder(Replica):
    """Reads histories with the history encoder, and tells them."""

    def __init__(self, bundle: str, data: str | None, folder: str, store: str) -> None:
        import torch

        torch.set_num_threads(1)
        super().__init__(bundle, data, folder, store)
        state = self.base.state()
        self._history = LiveHistory(state, self.base.weights, counters=False)
        self._reader = Reader(self._history, self.base.bundle.model(state, stranger=True))
        self._titles = state.items[Columns.TITLE].to_pylist()
        self.idle()
        self._reader.read([Ask(None, 0)])  # kernels are compiled or loaded before the first request
        warm()

    @batched(max_batch_size=BATCH, batch_wait_timeout_s=0.0)
    async def read(self, asks: list[Ask]) -> list[Heard]:
        """What the history encoder makes of each request's history, every stored event included."""
        return await self.compute(self._read, asks)

    async def history(self, user_id: str, at: int, limit: int) -> dict[str, Any] | None:
        """A user's latest events strictly before `at`, the newest first; None for an unknown user."""
        return await self.compute(self._tell, user_id, at, limit)

    async def users(self, search: str, limit: int) -> list[dict[str, Any]]:
        """Users whose identifier begins with `search`, those with the longest histories first."""
        return await self.compute(self._find, search, limit)

    async def status(self) -> dict[str, Any]:
        """How far it has read."""
        return {"seq": self._history.seq, "behind": self.behind, "model": self.base.digest}

    def idle(self) -> None:
        self.catch_up(self._history, lambda: self._history.seq)

    def _read(self, asks: list[Ask]) -> list[Heard]:
        self.idle()
        return self._reader.read(asks)

    def _tell(self, user_id: str, at: int, limit: int) -> dict[str, Any] | None:
        self.idle()
        index = self._history.intake.users.index(user_id)
        if index < 0:
            return None
        log, items = self._history.live.log, self._history.intake.items
        start = int(log.user_start[index])
        known = int(before(log.event_time, start, log.user_size[index], at))
        kinds = [*self._history.kinds, ""]
        events = [
            {
                "item_id": items.name(item := int(log.event_item[place])),
                "title": self._titles[item] if item < len(self._titles) else "",
                "timestamp": int(log.event_time[place]),
                "event": kinds[log.event_kind[place]],
                "value": float(log.event_value[place]),
            }
            for place in range(start + known - 1, max(start, start + known - limit) - 1, -1)
        ]
        return {"user_id": user_id, "at": at, "count": known, "events": events}

    def _find(self, search: str, limit: int) -> list[dict[str, Any]]:
        users, size = self._history.intake.users, self._history.live.log.user_size
        found = users.starting_with(search)
        best = found[np.argsort(-size[found], kind="stable")[:limit]]
        return [{"user_id": users.name(int(index)), "events": int(size[index])} for index in best]
