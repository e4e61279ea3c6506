"""What an encoder replica holds of one model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from timerec.counters import before
from timerec.online.base import Base
from timerec.online.live import LiveHistory, warm
from timerec.online.messages import Ask
from timerec.online.reader import Reader
from timerec.schema import Columns
from timerec.store.events import Stored


class Reading:
    """One model's histories, and its history encoder."""

    def __init__(self, base: Base) -> None:
        state = base.state()
        self.history = LiveHistory(state, base.weights, counters=False)
        self.reader = Reader(self.history, base.bundle.model(state, stranger=True))
        self.titles: list[str] = state.items[Columns.TITLE].to_pylist()
        self.reader.read([Ask(None, 0)])
        warm()

    @property
    def seq(self) -> int:
        """Place in the store up to which it has read."""
        return self.history.seq

    def take(self, stored: Sequence[Stored]) -> None:
        """Take the next events."""
        self.history.take(stored)

    def tell(self, user_id: str, at: int, limit: int) -> dict[str, Any] | None:
        """A user's latest events strictly before `at`, the newest first; None for a user without any."""
        index = self.history.intake.users.index(user_id)
        if index < 0:
            return None
        log, items, kinds = self.history.live.log, self.history.intake.items, [*self.history.kinds, ""]
        start = int(log.user_start[index])
        known = int(before(log.event_time, start, log.user_size[index], at))
        if not known:  # as of then there was no such user
            return None
        events = [
            {
                "item_id": items.name(item := int(log.event_item[place])),
                "title": self.titles[item] if item < len(self.titles) else "",
                "timestamp": int(log.event_time[place]),
                "event": kinds[log.event_kind[place]],
                "value": float(log.event_value[place]),
            }
            for place in range(start + known - 1, max(start, start + known - limit) - 1, -1)
        ]
        return {"user_id": user_id, "at": at, "count": known, "events": events}

    def find(self, search: str, limit: int, at: int) -> list[dict[str, Any]]:
        """Users with events before `at` whose identifier begins with `search`, those with the longest histories first."""
        log, users = self.history.live.log, self.history.intake.users
        start, size = log.user_start, log.user_size
        found = users.starting_with(search)
        found = found[size[found] > 0]
        found = found[log.event_time[start[found]] < at]
        best = found[np.argsort(-size[found], kind="stable")[:limit]]
        count = [int(before(log.event_time, start[index], size[index], at)) for index in best]
        return [{"user_id": users.name(int(index)), "events": events} for index, events in zip(best, count, strict=True)]
