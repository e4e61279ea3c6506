"""A state that grows with every event: the log, its catalogue, and what the model knows of it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow.compute as pc
from numpy.typing import NDArray

from timerec.candidates.pairs import ForecastTable, Sources, Workspace, workspace
from timerec.counters import before
from timerec.eventlog import EventLog, let_go
from timerec.livelog import LiveLog, with_room
from timerec.online.ids import Ids
from timerec.online.intake import Intake, Rows
from timerec.online.messages import Seen
from timerec.schema import Columns
from timerec.state import State
from timerec.store.events import Stored

GUESTS = 64  # people without a user id whose histories are held at once


def warm() -> None:
    """Compile or load the kernel that enters events, before the first one comes."""
    LiveLog.empty(np.zeros(1, np.int32), n_users=1).append(0, 0, 0)


class LiveHistory:
    """The log of a running system as one process sees it. One thread reads and writes it."""

    def __init__(self, base: State, weights: dict[str, float], counters: bool = True) -> None:
        """Start from the state on disk.

        Args:
            weights: of kinds of events; others weigh 1.
            counters: without, nothing is counted of items, categories and trends, and no attribute is known: enough for who reads
                histories only.
        """
        users, items = Ids(base.users), Ids(base.items[Columns.ITEM])
        self._catalogue = len(items)
        self.kinds: list[str] = base.manifest["kinds"]
        self.intake = Intake(base.log, users, items, self.kinds, weights)
        self.live = LiveLog(base.log if counters else histories_only(base.log))
        let_go(base.log)  # copied now
        self._guests = list(users.reserve(GUESTS))
        for _ in self._guests:
            self.live.add_user()
        categories = base.items[Columns.CATEGORY]
        blank = pc.index(categories, "").as_py()
        # an item that is in no table has no category: that of other such items, or a new one
        self._blank = int(base.log.item_category[blank]) if blank >= 0 else len(base.log.category_start)

    @property
    def seq(self) -> int:
        """Place in the store up to which it has read."""
        return self.intake.seq

    def take(self, stored: Sequence[Stored]) -> Rows:
        """Enter the next events of the store; what was new in them is known afterwards."""
        rows = self.intake.take(stored)
        while self.live.log.n_users < len(self.intake.users):
            self.live.add_user()
        while self.live.log.n_items < len(self.intake.items):
            self.live.add_item(self._blank)
        self.live.enter(*rows)
        return rows

    def known(self, items: NDArray[np.int32], at: int) -> NDArray[np.bool_]:
        """Which items [n] are known as of `at`: those of the catalogue, and any other from its first event on; -1 is none."""
        known, log = (items >= 0) & (items < self._catalogue), self.live.log
        for place in np.flatnonzero(items >= self._catalogue):
            item = items[place]
            known[place] = before(log.occurrence_time, log.item_start[item], log.item_size[item], at) > 0
        return known

    def host(self, histories: Sequence[Sequence[Seen]], times: Sequence[int]) -> NDArray[np.int32]:
        """User indices of at most GUESTS people who bring their own history.

        Events with items that are unknown as of the moment of the request, in `times`, are left out.
        """
        hosted = self._guests[: len(histories)]
        for user, history, at in zip(hosted, histories, times, strict=True):
            items = self.intake.items.indices(seen.item_id for seen in history)
            known = self.known(items, at)
            kept = [seen for seen, there in zip(history, known, strict=True) if there]
            told = [self.intake.weigh(seen.event) for seen in kept]
            self.live.lend(
                int(user),
                items[known],
                np.array([seen.timestamp for seen in kept], np.int64),
                np.array([seen.value for seen in kept], np.float32),
                np.array([weight for weight, _ in told], np.float32),
                np.array([kind for _, kind in told], np.int8),
            )
        return np.array(hosted, np.int32)


class LiveState(LiveHistory):
    """Everything that candidates and their features come from, growing with the log."""

    def __init__(self, base: State, weights: dict[str, float]) -> None:
        super().__init__(base, weights)
        self.layout, self._base = base.layout, base.sources
        self._vectors, self._family = np.array(base.sources.vectors), np.array(base.sources.family)
        self._rows, self._table = np.array(base.sources.similar.row), base.sources.forecast
        plain = ~self._vectors.any(1)
        # items without a text are one family, see `timerec.encoder.reduce`
        self._unread = int(self._family[plain][0]) if plain.any() else int(self._family.max(initial=-1)) + 1
        self._room = (0, 0, 0)
        self._grow()

    def take(self, stored: Sequence[Stored]) -> Rows:
        rows = super().take(stored)
        if len(rows.user):
            self._longest = max(self._longest, int(self.live.log.user_size[rows.user].max()))
            self._grow()
        return rows

    def host(self, histories: Sequence[Sequence[Seen]], times: Sequence[int]) -> NDArray[np.int32]:
        self._longest = max(self._longest, max(map(len, histories), default=0))
        self._grow()
        return super().host(histories, times)

    @property
    def sources(self) -> Sources:
        """Views for the kernels, as they are now."""
        similar = self._base.similar._replace(row=self._rows)
        return self._base._replace(
            log=self.live.log, forecast=self._forecast, similar=similar, vectors=self._vectors, family=self._family
        )

    @property
    def space(self) -> Workspace:
        """Scratch memory that is large enough for the log as it is now."""
        return self._space

    def vectors(self, items: NDArray[np.integer]) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
        """Text vectors [n, D] of items [n], and their categories [n]."""
        return self._vectors[items], self.live.log.item_category[items]

    def forecast(self, table: ForecastTable) -> None:
        """Take another table of forecasts, of the items that were known when it was made."""
        self._table = table.writable()
        self._cover()

    _longest = 0

    def _grow(self) -> None:
        log = self.live.log
        if not self._longest:
            self._longest = int(log.user_size.max(initial=0))
        need = (log.n_users, log.n_items, self._longest)
        if all(room >= size for room, size in zip(self._room, need, strict=True)):
            return
        users, items, longest = (size + size // 4 + 64 for size in need)
        self._room = (users, items, longest)
        n_items = self._room[1]
        known = len(self._family)
        if known < n_items:
            self._vectors, self._family = with_room(self._vectors, n_items), with_room(self._family, n_items)
            self._family[known:] = self._unread
            rows = np.full((len(self._rows), n_items), -1, np.int32)
            rows[:, :known] = self._rows[:, :known]
            self._rows = rows
        self._space = workspace(log, len(self.kinds), self._room)
        self._cover()

    def _cover(self) -> None:
        """Items that the table does not know have no row in it."""
        known, n_items = len(self._table.first_step), self._room[1]
        offsets, first = with_room(self._table.offsets, n_items + 1), with_room(self._table.first_step, n_items)
        if known < n_items:
            offsets[known + 1 :] = offsets[known]
        self._forecast = self._table._replace(offsets=offsets, first_step=first)


def histories_only(log: EventLog) -> EventLog:
    """The same events on an empty grid of half-lives, and items without attributes: a fraction of the memory."""
    n, marks = len(log.event_item), len(log.top_item)
    state = np.zeros((n, 0), np.float32)
    nowhere, none = np.zeros_like(log.attribute_start), np.zeros_like(log.attribute_size)
    return log._replace(
        half_lives=np.zeros(0), occurrence_state=state, category_state=state, tape_state=state,
        attribute_start=nowhere, attribute_size=none, attribute_time=log.attribute_time[:0],
        attribute_value=log.attribute_value[:0], attribute_mean=log.attribute_mean[:0],
        top_item=np.zeros((marks, 0, log.top_item.shape[2]), np.int32), top_score=np.zeros((marks, 0, log.top_item.shape[2])),
    )  # fmt: skip
