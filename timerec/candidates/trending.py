"""The items with the highest decayed counters as of t, exactly, at each half-life."""

from __future__ import annotations

import numpy as np
from numba import njit

from timerec.counters import before
from timerec.eventlog import CHECKPOINT, push_event
from timerec.kernel import borrowing


@njit(cache=True)
def lists(log, t, items, scores):
    """Write the trending lists as of t into `items` int32 [H, TOP] (-1 = empty) and `scores` float64 [H, TOP].

    The nearest stored list before t is replayed forward by fewer than CHECKPOINT events.
    """
    known = before(log.tape_time, 0, log.tape_size[0], t)
    mark = known // CHECKPOINT
    items[:] = log.top_item[mark]
    scores[:] = log.top_score[mark]
    for j in range(mark * CHECKPOINT, known):
        state = log.occurrence_state[log.tape_occurrence[j]]
        push_event(items, scores, log.tape_item[j], log.tape_time[j], state, log.half_lives)


@borrowing
def everything(log, t, out):
    """Counters of all events as of t into `out` [H]; returns their number."""
    known = before(log.tape_time, 0, log.tape_size[0], t)
    if known == 0:
        out[:] = 0.0
        return 0
    j = known - 1
    for h in range(len(log.half_lives)):
        out[h] = log.tape_state[j, h] * np.exp2(-(t - log.tape_time[j]) / log.half_lives[h])
    return known
