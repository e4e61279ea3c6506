"""Live popularity: events of everybody strictly before the request, the recent ones alone or the recent ones more.

Ji, Sun, Zhang and Wu, "A Re-visit of the Popularity Baseline in Recommender Systems" (SIGIR 2020): popularity has to
be that of the moment. Items that are equal there stand in the order of their popularity before the cut.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from timerec.clock import DAY, HOUR
from timerec.evaluation.baselines.base import History, combine
from timerec.evaluation.baselines.kernels import refuse_seen, top_k
from timerec.evaluation.protocol import Pairs, Requests

SPANS = [HOUR, 3 * HOUR, 12 * HOUR, DAY, 3 * DAY, 7 * DAY, 14 * DAY, 28 * DAY, 56 * DAY, 112 * DAY]


class RecentPopularity:
    """Events in [t - window, t)."""

    name = "recent_popularity"
    title = "Recent popularity"

    def __init__(self) -> None:
        self.grid: list[dict[str, float]] = [{"window": float(span)} for span in SPANS]

    def fit(self, log: History, cut: int, **params: float) -> None:
        """`window`: seconds."""
        self.log, self.available, self.popularity = log, log.available(cut), log.popularity(cut)
        self.window = int(params["window"])

    def recommend(self, requests: Requests, k: int) -> NDArray[np.int32]:
        """Int32 [n, k]."""
        log = self.log
        tape_time, tape_item = log.by_time
        order = np.argsort(requests.time, kind="stable")
        out = np.full((len(requests), k), -1, np.int32)
        _recommend_recent(
            order, requests.user, requests.time, self.window, tape_time, tape_item, log.user_start, log.item, log.time,
            log.repeats, self.popularity, self.available, out,
        )  # fmt: skip
        return out

    def score(self, requests: Requests, pairs: Pairs) -> NDArray[np.float64]:
        """Order of (events in the window, popularity before the cut), [P]."""
        start, time = self.log.by_item
        when = requests.time[pairs.request]
        upto = _place(start, time, pairs.item, when)
        since = _place(start, time, pairs.item, when - self.window)
        return combine((upto - since).astype(np.float64), self.popularity[pairs.item])


class DecayedPopularity:
    """Sum of 2^(-(t - t_event) / half_life) over the item's events before t."""

    name = "decayed_popularity"
    title = "Decayed popularity"

    def __init__(self) -> None:
        self.grid: list[dict[str, float]] = [{"half_life": float(span)} for span in SPANS]

    def fit(self, log: History, cut: int, **params: float) -> None:
        """`half_life`: seconds."""
        self.log, self.available, self.popularity = log, log.available(cut), log.popularity(cut)
        self.half_life = float(params["half_life"])

    def recommend(self, requests: Requests, k: int) -> NDArray[np.int32]:
        """Int32 [n, k]."""
        log = self.log
        tape_time, tape_item = log.by_time
        order = np.argsort(requests.time, kind="stable")
        out = np.full((len(requests), k), -1, np.int32)
        _recommend_decayed(
            order, requests.user, requests.time, self.half_life, tape_time, tape_item, log.user_start, log.item,
            log.time, log.repeats, self.popularity, self.available, out,
        )  # fmt: skip
        return out

    def score(self, requests: Requests, pairs: Pairs) -> NDArray[np.float64]:
        """Order of (decayed counter, popularity before the cut), [P]."""
        start, time = self.log.by_item
        heat = _heat_after_each(start, time, self.half_life)
        upto = _place(start, time, pairs.item, requests.time[pairs.request])
        known = upto > start[pairs.item]
        now = np.where(known, heat[np.maximum(upto - 1, 0)], -np.inf)
        return combine(now, self.popularity[pairs.item])


def _place(
    start: NDArray[np.int64], time: NDArray[np.int64], item: NDArray[np.int32], when: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Place in the events by item of the first event of `item` [P] at or after `when` [P]."""
    places: NDArray[np.int64] = _places(start, time, item, when)
    return places


@njit(cache=True)
def _places(start, time, item, when):
    out = np.empty(len(item), np.int64)
    for p in range(len(item)):
        low, high = start[item[p]], start[item[p] + 1]
        out[p] = low + np.searchsorted(time[low:high], when[p])
    return out


@njit(cache=True)
def add_heat(heat, time, half_life):
    """One more event in log2 of the counter, forward-decayed to time 0: the order of items holds until an event."""
    now = time / half_life
    return now + np.log2(1 + np.exp2(heat - now))


@njit(cache=True)
def _heat_after_each(start, time, half_life):
    heat = np.empty(len(time))
    for one in range(len(start) - 1):
        last = -np.inf
        for j in range(start[one], start[one + 1]):
            last = add_heat(last, time[j], half_life)
            heat[j] = last
    return heat


@njit(cache=True)
def _recommend_recent(
    order, user, when, window, tape_time, tape_item, user_start, item, time, repeats, popularity, available, out
):
    count = np.zeros(len(available))
    refused = np.full(len(available), -1, np.int64)
    entered, left = 0, 0
    for r in order:
        while entered < len(tape_time) and tape_time[entered] < when[r]:
            count[tape_item[entered]] += 1
            entered += 1
        while left < entered and tape_time[left] < when[r] - window:
            count[tape_item[left]] -= 1
            left += 1
        if not repeats:
            refuse_seen(r, user[r], when[r], user_start, item, time, refused)
        top_k(r, when[r], count, popularity, available, refused, out[r])


@njit(cache=True)
def _recommend_decayed(
    order, user, when, half_life, tape_time, tape_item, user_start, item, time, repeats, popularity, available, out
):
    heat = np.full(len(available), -np.inf)
    refused = np.full(len(available), -1, np.int64)
    entered = 0
    for r in order:
        while entered < len(tape_time) and tape_time[entered] < when[r]:
            one = tape_item[entered]
            heat[one] = add_heat(heat[one], tape_time[entered], half_life)
            entered += 1
        if not repeats:
            refuse_seen(r, user[r], when[r], user_start, item, time, refused)
        top_k(r, when[r], heat, popularity, available, refused, out[r])
