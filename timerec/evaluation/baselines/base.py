"""What every baseline reads, and what every baseline answers."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from timerec.evaluation.protocol import Catalogue, Pairs, Requests, known_from


@dataclass(frozen=True)
class History:
    """A log of N events sorted by (user, time, item), and the rules by which items are on offer."""

    user: NDArray[np.int32]  # [N]
    item: NDArray[np.int32]  # [N]
    time: NDArray[np.int64]  # [N] unix seconds
    n_users: int
    n_items: int
    repeats: bool  # whether items that the user already has are on offer
    catalogue: Catalogue = "live"
    listed: NDArray[np.int64] | None = None  # [n_items], see `protocol.known_from`
    user_ids: NDArray[Any] | None = None  # [n_users] as in the tables
    item_ids: NDArray[Any] | None = None  # [n_items] as in the tables

    @cached_property
    def user_start(self) -> NDArray[np.int64]:
        """Place of each user's first event, int64 [n_users + 1]."""
        return np.searchsorted(self.user, np.arange(self.n_users + 1))

    def before(self, user: int, time: int) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
        """Items and times of the user's events strictly before `time`, the oldest first; none of a stranger (-1)."""
        first, last = (self.user_start[user], self.user_start[user + 1]) if user >= 0 else (0, 0)
        last = first + np.searchsorted(self.time[first:last], time)
        return self.item[first:last], self.time[first:last]

    @cached_property
    def by_time(self) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
        """Times and items of the events in order of time."""
        order = np.argsort(self.time, kind="stable")
        return self.time[order], self.item[order]

    @cached_property
    def by_item(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Start of each item's events, int64 [n_items + 1], and their times, ascending within an item."""
        time, item = self.by_time
        order = np.argsort(item, kind="stable")
        return np.searchsorted(item[order], np.arange(self.n_items + 1)), time[order]

    def available(self, cut: int) -> NDArray[np.int64]:
        """Unix seconds [n_items] from which each item may be recommended by what is fitted before `cut`."""
        return known_from(self.item, self.time, self.n_items, cut=cut, catalogue=self.catalogue, listed=self.listed)

    def popularity(self, cut: int) -> NDArray[np.float64]:
        """Events of each item before `cut`, [n_items]."""
        return np.bincount(self.item[self.time < cut], minlength=self.n_items).astype(np.float64)


class Baseline(Protocol):
    """A recommender with few parameters or none. Counters run on to the request; parameters stop at the cut."""

    name: str
    title: str
    grid: list[dict[str, float]]  # parameters to choose from, in seconds; one empty choice where there is nothing to tune

    def fit(self, log: History, cut: int, **params: float) -> None:
        """Read what is strictly before `cut` (unix seconds), and keep `log` for the counters that run on."""

    def recommend(self, requests: Requests, k: int) -> NDArray[np.int32]:
        """The best k items of each request as of its time, int32 [n, k], -1 where nothing more is on offer."""

    def score(self, requests: Requests, pairs: Pairs) -> NDArray[np.float64]:
        """A score of each pair [P] whose order within a request is that of `recommend`."""


def combine(score: NDArray[np.float64], tie: NDArray[np.float64]) -> NDArray[np.float64]:
    """One number with the order of (score, tie), equal only where both are: the dense rank over all pairs [P]."""
    order = np.lexsort((tie, score))
    steps = np.ones(len(order), bool)
    steps[1:] = (score[order][1:] != score[order][:-1]) | (tie[order][1:] != tie[order][:-1])
    rank = np.empty(len(order))
    rank[order] = np.cumsum(steps)
    return rank
