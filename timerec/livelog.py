"""The log of a running system: grows event by event, and equals `timerec.eventlog.build` of the same events bit for bit.

Slabs have slack: a full one moves to the end of its arena with twice the room, and its old place is never used again.
`build` orders the events of one second by user and item, whoever came first, and late events belong where their time says.
Therefore everything from the second of the oldest new event on is taken back and entered anew; earlier seconds never change.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from timerec.clock import HALF_LIVES
from timerec.counters import advance
from timerec.eventlog import CHECKPOINT, NEVER, SUMS, EventLog, add_sums, build, log_gap, push_event

ROOM = 8  # events of a fresh slab
_USER = ("event_item", "event_time", "event_value", "event_weight", "event_kind", "event_basket")
_ITEM = (
    "occurrence_user", "occurrence_rank", "occurrence_time", "occurrence_state", "occurrence_sums",
    "occurrence_gap", "occurrence_visits",
)  # fmt: skip
_CATEGORY = ("category_time", "category_state")
_TAPE = ("tape_time", "tape_occurrence", "tape_item", "tape_state")
_CATALOGUE = ("item_start", "item_size", "item_category", "listed", "attribute_start", "attribute_size")


class LiveLog:
    """A log that events are appended to in order of time. One thread writes and reads."""

    def __init__(self, log: EventLog) -> None:
        """Start from a built log, which is copied."""
        self._arrays = {name: np.array(array) for name, array in log._asdict().items()}
        self._users, self._items, self._categories = log.n_users, log.n_items, len(log.category_start)
        self._slabs = {
            "user": _Slabs(_USER, log.user_size),
            "item": _Slabs(_ITEM, log.item_size),
            "category": _Slabs(_CATEGORY, log.category_size),
        }
        self._views: EventLog | None = None  # forty of them, which every request asks for several times

    @classmethod
    def empty(
        cls,
        item_category: NDArray[np.int32],
        *,
        n_users: int = 0,
        listed: NDArray[np.int64] | None = None,
        attributes: tuple[NDArray[np.int32], NDArray[np.int64], NDArray[np.float32]] | None = None,
        half_lives: NDArray[np.float64] = HALF_LIVES,
    ) -> LiveLog:
        """A log without events over a catalogue; the arguments are those of `timerec.eventlog.build`."""
        index, time, number = np.zeros(0, np.int32), np.zeros(0, np.int64), np.zeros(0, np.float32)
        return cls(
            build(
                index, index, time, number, number, n_users=n_users, item_category=item_category, listed=listed,
                attributes=attributes, half_lives=half_lives,
            )
        )  # fmt: skip

    def __len__(self) -> int:
        return int(self._arrays["tape_size"][0])

    @property
    def log(self) -> EventLog:
        """Views for the kernels that answer requests; an append may move the arrays, so take them anew after it.

        They are kept until the next change: only the thread that writes may ask for them.

        Slabs lie in any order with gaps between them: code that reads whole arrays wants `packed`. Scratch memory is of
        fixed size, so `timerec.candidates.pairs.workspace` belongs to one state of the log.
        """
        if self._views is not None:
            return self._views
        cut = dict.fromkeys(("user_start", "user_size"), self._users)
        cut |= dict.fromkeys(_CATALOGUE, self._items)
        cut |= dict.fromkeys(("category_start", "category_size"), self._categories)
        self._views = EventLog(**{name: array[: cut.get(name)] for name, array in self._arrays.items()})
        return self._views

    def add_user(self) -> int:
        """Index of a new user, who has no events."""
        self._views = None
        for name in ("user_start", "user_size"):
            self._arrays[name] = with_room(self._arrays[name], self._users + 1)
        self._slabs["user"].add(self._users)
        self._users += 1
        return self._users - 1

    def add_item(self, category: int, listed: int = int(NEVER)) -> int:
        """Index of a new item.

        Args:
            category: a known category, or the number of categories for a new one.
            listed: unix seconds from which it is on offer without any event.

        Raises:
            ValueError: the category leaves a gap.
        """
        if not 0 <= category <= self._categories:
            raise ValueError(f"category {category} of a new item leaves a gap: {self._categories} categories are known")
        self._views = None
        for name in _CATALOGUE:
            self._arrays[name] = with_room(self._arrays[name], self._items + 1)
        self._arrays["item_category"][self._items] = category
        self._arrays["listed"][self._items] = listed
        self._slabs["item"].add(self._items)
        self._items += 1
        if category == self._categories:
            for name in ("category_start", "category_size"):
                self._arrays[name] = with_room(self._arrays[name], category + 1)
            self._slabs["category"].add(category)
            self._categories += 1
        return self._items - 1

    def append(self, user: int, item: int, time: int, value: float = 1.0, weight: float = 1.0, kind: int = -1) -> None:
        """Enter one event, as `enter` does."""
        columns = (np.array([user]), np.array([item]), np.array([time]), np.array([value]), np.array([weight]), np.array([kind]))
        self.enter(*columns)

    def enter(
        self,
        user: NDArray[np.integer],
        item: NDArray[np.integer],
        time: NDArray[np.integer],
        value: NDArray[np.floating],
        weight: NDArray[np.floating],
        kind: NDArray[np.integer],
    ) -> None:
        """Enter k events, in any order and late ones too.

        Each costs a scan of its user's history, and once for all of them what lies behind the oldest of them is entered anew:
        for events in order of time that is the newest second.

        Two events of the same user, item and second stand in the order of their kinds, of one kind in that in which they came.

        Args:
            user, item: known indices [k].
            time: unix seconds [k].
            value, weight: [k].
            kind: [k] place among the kinds that are told apart, -1 of all others.

        Raises:
            ValueError: a user or item is unknown, or a kind is no place; then nothing is entered.
        """
        self._check(user, item, kind)
        if not len(time):
            return
        self._views = None
        for name, keys in (("user", user), ("item", item), ("category", self._arrays["item_category"][item])):
            for key, more in zip(*np.unique(keys, return_counts=True), strict=True):
                self._slabs[name].reserve(self._arrays, name, int(key), int(more))
        size = len(self)
        for name in _TAPE:
            self._arrays[name] = with_room(self._arrays[name], size + len(time))
        for name in ("top_item", "top_score"):
            self._arrays[name] = with_room(self._arrays[name], (size + len(time)) // CHECKPOINT + 1)
        known = int(np.searchsorted(self._arrays["tape_time"][:size], np.min(time)))
        again = [
            np.concatenate([old, new]).astype(old.dtype)
            for old, new in zip(self._behind(known), (user, item, time, value, weight, kind), strict=True)
        ]
        order = np.lexsort((again[5], again[1], again[0], again[2]))
        _enter(EventLog(**self._arrays), known, *(column[order] for column in again))

    def _check(self, user: NDArray[np.integer], item: NDArray[np.integer], kind: NDArray[np.integer]) -> None:
        strange = (user < 0) | (user >= self._users) | (item < 0) | (item >= self._items)
        if strange.any():
            row = int(np.argmax(strange))
            raise ValueError(f"user {user[row]} or item {item[row]} is unknown: add it first")
        odd = (kind < -1) | (kind > np.iinfo(np.int8).max)
        if odd.any():
            raise ValueError(f"kind {kind[np.argmax(odd)]} is no place among the kinds that are told apart")

    def _behind(self, known: int) -> list[NDArray]:
        """User, item, time, value, weight and kind of all events but the first `known`, in order of time."""
        log = EventLog(**self._arrays)
        occurrence = log.tape_occurrence[known : len(self)]
        user = log.occurrence_user[occurrence]
        place = log.user_start[user] + log.occurrence_rank[occurrence]
        told = (log.event_item, log.event_time, log.event_value, log.event_weight, log.event_kind)
        return [user, *(column[place] for column in told)]

    def lend(
        self,
        user: int,
        item: NDArray[np.integer],
        time: NDArray[np.integer],
        value: NDArray[np.floating],
        weight: NDArray[np.floating],
        kind: NDArray[np.integer],
    ) -> None:
        """Give a user without events a history that no item, category or trend knows of; without events it is taken back.

        Arguments are as in `enter`.

        Raises:
            ValueError: an item is unknown, or a kind is no place.
        """
        self._check(np.full(len(item), user), item, kind)
        order = np.lexsort((kind, item, time))
        self._views = None
        self._arrays["user_size"][user] = 0
        self._slabs["user"].reserve(self._arrays, "user", user, len(item))
        start = int(self._arrays["user_start"][user])
        place = slice(start, start + len(item))
        told = (item, time, value, weight, kind, np.cumsum(np.diff(time[order], prepend=time[order][:1]) > 0))
        names = ("event_item", "event_time", "event_value", "event_weight", "event_kind", "event_basket")
        for name, column in zip(names, told, strict=True):
            self._arrays[name][place] = column if name == "event_basket" else column[order]
        self._arrays["user_size"][user] = len(item)

    def packed(self) -> EventLog:
        """A copy without gaps, equal in every array to what `build` makes of the same events."""
        arrays = self.log._asdict()
        for name, slabs in self._slabs.items():
            size = arrays[f"{name}_size"]
            start = np.cumsum(size) - size
            place = np.arange(size.sum()) + np.repeat(arrays[f"{name}_start"] - start, size)
            arrays |= {column: arrays[column][place] for column in slabs.columns}
            arrays[f"{name}_start"] = start
        size = len(self)
        arrays |= {name: arrays[name][:size].copy() for name in _TAPE}
        arrays["tape_occurrence"][np.argsort(arrays["tape_item"], kind="stable")] = np.arange(size)
        for name in ("top_item", "top_score"):
            arrays[name] = arrays[name][: size // CHECKPOINT + 1]
        return EventLog(**{name: array.copy() for name, array in arrays.items()})


class _Slabs:
    """Room of the slabs of one view, and how much of its arena is given away."""

    def __init__(self, columns: tuple[str, ...], size: NDArray[np.int64]) -> None:
        self.columns, self._room, self._used = columns, np.array(size), int(size.sum())

    def add(self, key: int) -> None:
        self._room = with_room(self._room, key + 1)

    def reserve(self, arrays: dict[str, NDArray], view: str, key: int, more: int) -> None:
        """Make room for `more` events in the slab of `key`."""
        start, size = arrays[f"{view}_start"], int(arrays[f"{view}_size"][key])
        if size + more <= self._room[key]:
            return
        room, old, new = max(ROOM, 2 * size, size + more), int(start[key]), self._used
        for name in self.columns:
            array = arrays[name] = with_room(arrays[name], new + room)
            array[new : new + size] = array[old : old + size]
        start[key], self._room[key], self._used = new, room, new + room


def with_room(array: NDArray, n: int) -> NDArray:
    """The array itself where it holds n rows, else a copy of at least twice the length, filled up with zeros."""
    if n <= len(array):
        return array
    larger = np.zeros((max(n, 2 * len(array)), *array.shape[1:]), array.dtype)
    larger[: len(array)] = array
    return larger


@njit(cache=True, nogil=True)
def _enter(log, known, user, item, time, value, weight, kind):
    """Take back all events but the first `known`, and enter n events behind these, in their order.

    Args:
        user, item: int32 [n]; time: int64 [n] unix seconds; value, weight: float32 [n]; kind: int8 [n].
    """
    for j in range(known, log.tape_size[0]):
        taken = log.tape_item[j]
        log.user_size[log.occurrence_user[log.tape_occurrence[j]]] -= 1
        log.item_size[taken] -= 1
        log.category_size[log.item_category[taken]] -= 1
    log.tape_size[0] = known
    for e in range(len(user)):
        rank, gap, visits = _enter_user(log, user[e], item[e], value[e], weight[e], kind[e], time[e])
        place = _enter_item(log, item[e], user[e], rank, gap, visits, value[e], weight[e], time[e])
        _enter_category(log, log.item_category[item[e]], weight[e], time[e])
        _enter_tape(log, item[e], place, weight[e], time[e])
    for mark in range(known // CHECKPOINT + 1, log.tape_size[0] // CHECKPOINT + 1):
        log.top_item[mark] = log.top_item[mark - 1]
        log.top_score[mark] = log.top_score[mark - 1]
        for j in range((mark - 1) * CHECKPOINT, mark * CHECKPOINT):
            state = log.occurrence_state[log.tape_occurrence[j]]
            items, scores = log.top_item[mark], log.top_score[mark]
            push_event(items, scores, log.tape_item[j], log.tape_time[j], state, log.half_lives)


@njit(cache=True)
def _enter_user(log, user, item, value, weight, kind, time):
    """Append to the user's slab; returns the rank, and seconds and requests since the user's event with the item, or -1."""
    start, size = log.user_start[user], log.user_size[user]
    place = start + size
    log.event_item[place], log.event_time[place] = item, time
    log.event_value[place], log.event_weight[place], log.event_kind[place] = value, weight, kind
    log.event_basket[place] = 0
    if size:
        log.event_basket[place] = log.event_basket[place - 1] + (1 if time != log.event_time[place - 1] else 0)
    log.user_size[user] = size + 1
    for j in range(place - 1, start - 1, -1):
        if log.event_item[j] == item:
            return size, time - log.event_time[j], np.int64(log.event_basket[place] - log.event_basket[j])
    return size, np.int64(-1), np.int64(-1)


@njit(cache=True)
def _enter_item(log, item, user, rank, gap, visits, value, weight, time):
    """Append to the item's slab; returns the place."""
    place = log.item_start[item] + log.item_size[item]
    log.occurrence_user[place], log.occurrence_rank[place], log.occurrence_time[place] = user, rank, time
    if log.item_size[item]:
        since = time - log.occurrence_time[place - 1]
        advance(log.occurrence_state[place - 1], since, weight, log.half_lives, log.occurrence_state[place])
        add_sums(log.occurrence_sums[place - 1], value, gap, weight, log.occurrence_sums[place])
    else:
        advance(np.zeros(len(log.half_lives), np.float32), 0, weight, log.half_lives, log.occurrence_state[place])
        add_sums(np.zeros(SUMS, np.float64), value, gap, weight, log.occurrence_sums[place])
    log.occurrence_gap[place], log.occurrence_visits[place] = log_gap(gap), log_gap(visits)
    log.item_size[item] += 1
    return place


@njit(cache=True)
def _enter_category(log, category, weight, time):
    place = log.category_start[category] + log.category_size[category]
    log.category_time[place] = time
    if log.category_size[category]:
        since = time - log.category_time[place - 1]
        advance(log.category_state[place - 1], since, weight, log.half_lives, log.category_state[place])
    else:
        advance(np.zeros(len(log.half_lives), np.float32), 0, weight, log.half_lives, log.category_state[place])
    log.category_size[category] += 1


@njit(cache=True)
def _enter_tape(log, item, occurrence, weight, time):
    j = log.tape_size[0]
    log.tape_time[j], log.tape_occurrence[j], log.tape_item[j] = time, occurrence, item
    if j:
        since = time - log.tape_time[j - 1]
        advance(log.tape_state[j - 1], since, weight, log.half_lives, log.tape_state[j])
    else:
        advance(np.zeros(len(log.half_lives), np.float32), 0, weight, log.half_lives, log.tape_state[j])
    log.tape_size[0] = j + 1
