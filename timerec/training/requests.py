"""Training requests: who came when, and what they took."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from timerec.eventlog import EventLog


class TrainingRequests(NamedTuple):
    """R requests: all events of one user at one second each."""

    user: NDArray[np.int32]  # [R]
    time: NDArray[np.int64]  # [R] unix seconds
    start: NDArray[np.int64]  # [R + 1]
    item: NDArray[np.int32]  # item[start[r] : start[r + 1]] are what request r took

    def take(self, rows: NDArray[np.int64]) -> TrainingRequests:
        """The requests `rows`, in that order."""
        size = np.diff(self.start)[rows]
        start = np.concatenate([[0], np.cumsum(size)])
        place = np.arange(start[-1]) - np.repeat(start[:-1], size) + np.repeat(self.start[:-1][rows], size)
        return TrainingRequests(self.user[rows], self.time[rows], start, self.item[place])


def between(log: EventLog, first_known: NDArray[np.int64], start: int, end: int, repeats: bool) -> TrainingRequests:
    """All requests with start <= t < end that took something which could have been recommended.

    Args:
        first_known: int64 [I] from when each item can be recommended.
        repeats: whether items that the user already has are on offer; where not, they are no targets either.
    """
    user = np.repeat(np.arange(log.n_users, dtype=np.int32), log.user_size)
    time, item = log.event_time, log.event_item
    fresh = np.ones(len(time), bool)  # first event of (request, item): events are sorted by user, time, item
    fresh[1:] = (user[1:] != user[:-1]) | (time[1:] != time[:-1]) | (item[1:] != item[:-1])
    keep = fresh & (time >= start) & (time < end) & (first_known[item] <= time)
    if not repeats:
        keep &= ~_seen_before(user, item, time)
    user, time, item = user[keep], time[keep], item[keep]
    opens = np.ones(len(time), bool)
    opens[1:] = (user[1:] != user[:-1]) | (time[1:] != time[:-1])
    first = np.flatnonzero(opens)
    return TrainingRequests(user[first], time[first], np.append(first, len(time)), item)


def draw(requests: TrainingRequests, n: int, half_life: float, now: int, seed: int) -> TrainingRequests:
    """Draw n requests without replacement (all of them where there are fewer), newer ones more often, in random order.

    Args:
        half_life: seconds before `now` at which a request is half as likely (Efraimidis & Spirakis 2006).
    """
    rng = np.random.default_rng(seed)
    weight = np.exp2(-(now - requests.time) / half_life)
    key = np.log(rng.random(len(weight))) / np.maximum(weight, 1e-30)
    chosen = np.argsort(-key, kind="stable")[:n]
    return requests.take(rng.permutation(chosen))


def _seen_before(user: NDArray[np.int32], item: NDArray[np.int32], time: NDArray[np.int64]) -> NDArray[np.bool_]:
    order = np.lexsort((time, item, user))
    same = (user[order][1:] == user[order][:-1]) & (item[order][1:] == item[order][:-1])
    seen = np.zeros(len(user), bool)
    # equal times of one pair are one request: the earliest time decides
    opens = np.append(True, ~same)
    earliest = np.maximum.accumulate(np.where(opens, np.arange(len(order)), 0))
    seen[order] = time[order] > time[order][earliest]
    return seen
