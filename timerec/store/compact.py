"""Removing from a store what a trained bundle holds already."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from timerec.bundle import Bundle, place_of
from timerec.schema import Columns, Prepared
from timerec.sealed import LOG
from timerec.store.base import EventStore
from timerec.store.events import Event
from timerec.store.transfer import read_pages

PAGE = 50_000  # events looked up at a time
_SECONDS_BITS = 33  # of a time in a key: until the year 2242


def compact(store: EventStore, bundle: Path, progress: Callable[[int, int], None] | None = None) -> dict[str, Any]:
    """Remove the events whose user, item, timestamp and kind are in the bundle's log, and give their space back.

    Kinds count as far as the bundle tells them apart. Removed ids stay known to the store.

    Returns:
        `events` (before), `removed`, `kept` and `last` (seq up to which the store was looked at).

    Raises:
        DataError: the bundle is none, or damaged.
    """
    known = _Known(Bundle.open(bundle))
    last, before, removed, seen = store.last(), store.count(), 0, 0
    for page in read_pages(store, last, PAGE):
        held = known.holds([one.event for one in page])
        removed += store.remove([page[at].seq for at in np.flatnonzero(held)])
        seen += len(page)
        if progress:
            progress(seen, max(before, seen))
    if removed:
        store.shrink()
    return {"events": before, "removed": removed, "kept": before - removed, "last": last}


class _Known:
    """The events of a bundle's log: 13 bytes each in memory."""

    def __init__(self, bundle: Bundle) -> None:
        folder = bundle.path / LOG
        self._users = pq.read_table(folder / Prepared.USERS, columns=[Columns.USER])[Columns.USER]
        self._items = pq.read_table(folder / Prepared.ITEMS, columns=[Columns.ITEM])[Columns.ITEM]
        self._kinds = {name: place for place, name in enumerate(bundle.manifest["kinds"])}
        names = [Prepared.USER, Prepared.ITEM, Prepared.TIME, Prepared.KIND]
        rows = pq.read_table(folder / Prepared.EVENTS, columns=names)
        user, self._item, time, self._kind = (rows[name].to_numpy() for name in names)
        self._key = _keys(user, time)
        if (self._key[1:] < self._key[:-1]).any():  # shards are written in order, but nothing hangs on that here
            order = np.argsort(self._key, kind="stable")
            self._key, self._item, self._kind = self._key[order], self._item[order], self._kind[order]

    def holds(self, events: list[Event]) -> NDArray[np.bool_]:
        """Mask [N] of the events that the log holds."""
        user = place_of(pa.array([event.user_id for event in events], pa.string()), self._users)
        item = place_of(pa.array([event.item_id for event in events], pa.string()), self._items)
        time = np.array([event.timestamp for event in events], np.int64)
        kind = np.array([self._kinds.get(event.event, -1) for event in events], np.int8)
        possible = np.flatnonzero((user >= 0) & (item >= 0) & (time >= 0) & (time < 1 << _SECONDS_BITS))
        key = _keys(user[possible], time[possible])
        at, end = (np.searchsorted(self._key, key, side) for side in ("left", "right"))
        held = np.zeros(len(events), bool)
        while len(possible):  # as often as a user has events in one second, at most
            inside = at < end
            possible, at, end = possible[inside], at[inside], end[inside]
            hit = (self._item[at] == item[possible]) & (self._kind[at] == kind[possible])
            held[possible[hit]] = True
            possible, at, end = possible[~hit], at[~hit] + 1, end[~hit]
        return held


def _keys(user: NDArray[Any], time: NDArray[np.int64]) -> NDArray[np.uint64]:
    """User and second in one number."""
    return (user.astype(np.uint64) << np.uint64(_SECONDS_BITS)) | time.astype(np.uint64)
