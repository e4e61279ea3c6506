"""What was listed lately: the way in for items that nobody has touched yet. The texts decide which of them a user sees."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from timerec.counters import before
from timerec.eventlog import NEVER, EventLog
from timerec.kernel import borrowing

LATEST = 16  # taken as they come, the newest first
LOOKED_AT = 512  # newest listings among which the nearest by text are sought
NEAREST = 16


class Arrivals(NamedTuple):
    """The A items with a time of listing, in its order."""

    time: NDArray[np.int64]  # [A] unix seconds
    item: NDArray[np.int32]  # [A]


def arrivals(log: EventLog) -> Arrivals:
    """The listings of a log's catalogue; none where `items` has no listed_at."""
    listed = np.asarray(log.listed)
    order = np.argsort(listed, kind="stable")
    order = order[listed[order] < NEVER]
    return Arrivals(listed[order], order.astype(np.int32))


@borrowing
def propose(arrivals, vectors, recent, t, items, scores):
    """Write up to LATEST + NEAREST items listed at or before t into `items`; returns their number.

    Args:
        vectors: float32 [I, D] text vectors; recent: float32 [D] the mean of the user's latest events.
        items: int32 [LATEST + NEAREST]; scores: float64 [NEAREST] scratch.
    """
    known = before(arrivals.time, 0, len(arrivals.time), t + 1)
    count = min(known, LATEST)
    for k in range(count):
        items[k] = arrivals.item[known - 1 - k]
    near = 0
    for k in range(known - 1 - count, max(-1, known - 1 - LOOKED_AT), -1):
        item = arrivals.item[k]
        score = 0.0
        for d in range(len(recent)):
            score += vectors[item, d] * recent[d]
        if score <= 0.0 or (near == NEAREST and score <= scores[near - 1]):
            continue
        place = near if near < NEAREST else NEAREST - 1
        near = min(near + 1, NEAREST)
        while place > 0 and scores[place - 1] < score:
            scores[place] = scores[place - 1]
            items[count + place] = items[count + place - 1]
            place -= 1
        scores[place] = score
        items[count + place] = item
    return count + near
