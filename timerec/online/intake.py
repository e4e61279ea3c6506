"""From stored events to rows of the log: identifiers to indices, kinds to weights, and what is there already left out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from timerec.counters import before
from timerec.eventlog import EventLog
from timerec.online.ids import Ids
from timerec.store.events import Event, Stored


class Rows(NamedTuple):
    """Events in terms of indices, as `timerec.livelog.LiveLog.enter` takes them."""

    user: NDArray[np.int32]
    item: NDArray[np.int32]
    time: NDArray[np.int64]
    value: NDArray[np.float32]
    weight: NDArray[np.float32]
    kind: NDArray[np.int8]


class Intake:
    """Reads a store in order, and numbers new users and items as they come: alike in every process that reads it.

    As in a prepared log, what happened twice in one second (same user, item and kind) counts once; the first stays.
    """

    def __init__(self, log: EventLog, users: Ids, items: Ids, kinds: Sequence[str], weights: dict[str, float]) -> None:
        """Start behind `log`, which the store's events come on top of.

        Args:
            users, items: their identifiers in the order of the log's indices.
            kinds: those that are told apart.
            weights: of kinds of events; others weigh 1.
        """
        self.users, self.items, self.seq = users, items, 0
        self._log, self._last = log, int(log.tape_time[log.tape_size[0] - 1]) if log.tape_size[0] else -1
        self._kinds, self._weights = {name: place for place, name in enumerate(kinds)}, dict(weights)
        self._seen: set[int] = set()

    def take(self, stored: Sequence[Stored]) -> Rows:
        """Rows of the next events of the store; users and items that were unknown are in the tables afterwards."""
        rows = []
        for entry in stored:
            self.seq = entry.seq
            event = entry.event
            user, item = _place(self.users, event.user_id), _place(self.items, event.item_id)
            mark = hash((user, item, event.timestamp, event.event))
            if mark in self._seen or self._in_log(user, item, event):
                continue
            self._seen.add(mark)
            rows.append((user, item, event.timestamp, event.value, *self.weigh(event.event)))
        columns = zip(*rows, strict=True) if rows else ((),) * len(Rows._fields)
        types = (np.int32, np.int32, np.int64, np.float32, np.float32, np.int8)
        return Rows(*(np.array(column, dtype) for column, dtype in zip(columns, types, strict=True)))

    def weigh(self, kind: str) -> tuple[float, int]:
        """Weight of a kind of events, and its place among those that are told apart, -1 of all others."""
        return self._weights.get(kind, 1.0), self._kinds.get(kind, -1)

    def _in_log(self, user: int, item: int, event: Event) -> bool:
        log = self._log
        if event.timestamp > self._last or user >= log.n_users or item >= log.n_items:
            return False
        start, size = log.user_start[user], log.user_size[user]
        low = start + before(log.event_time, start, size, event.timestamp)
        high = start + before(log.event_time, start, size, event.timestamp + 1)
        same = (log.event_item[low:high] == item) & (log.event_kind[low:high] == self._kinds.get(event.event, -1))
        return bool(same.any())


def _place(ids: Ids, name: str) -> int:
    found = ids.index(name)
    return ids.add(name) if found < 0 else found
