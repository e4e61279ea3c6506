"""The latest events of a user as the history encoder reads them, with the context of the request: no candidates are needed."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from timerec.candidates import context
from timerec.candidates.order import place, stride
from timerec.counters import before
from timerec.eventlog import EventLog
from timerec.kernel import borrowing


class Windows(NamedTuple):
    """Histories of B requests, padded to L events."""

    history: NDArray[np.int32]  # [B, L] items of the latest events, the newest last; -1 where padded
    gaps: NDArray[np.float32]  # [B, L] log1p of seconds between event and request
    values: NDArray[np.float32]  # [B, L] log1p of event values
    context: NDArray[np.float32]  # [B, G]


def windows(log: EventLog, users: NDArray[np.int32], times: NDArray[np.int64], length: int, timeless: bool = False) -> Windows:
    """The windows of `length` events of the requests (users[r], times[r]); user -1 is a stranger.

    Args:
        timeless: in the order of a model that knows nothing of time (`timerec.candidates.order`).
    """
    n = len(users)
    found = Windows(
        np.full((n, length), -1, np.int32), np.zeros((n, length), np.float32), np.zeros((n, length), np.float32),
        np.zeros((n, len(context.FEATURES)), np.float32),
    )  # fmt: skip
    _windows(log, users.astype(np.int64), times, timeless, found)
    return found


@borrowing
def fill(log, begin, known, t, step, history, gaps, values):
    """Fill one window from the `known` events of a user's slab; `step` as in `timerec.candidates.order`."""
    length = len(history)
    for k in range(min(known, length)):
        j = begin + place(k, known, step)
        history[length - 1 - k] = log.event_item[j]
        gaps[length - 1 - k] = np.log1p(t - log.event_time[j])
        values[length - 1 - k] = np.log1p(max(log.event_value[j], 0.0))


@njit(cache=True, nogil=True)
def _windows(log, users, times, timeless, found):
    for r in range(len(users)):
        begin, known = np.int64(0), np.int64(0)
        if users[r] >= 0:
            begin = log.user_start[users[r]]
            known = before(log.event_time, begin, log.user_size[users[r]], times[r])
        distinct = len(np.unique(log.event_item[begin : begin + known]))
        step = stride(known) if timeless else 0
        context.features(log, begin, known, distinct, times[r], found.context[r], step)
        fill(log, begin, known, times[r], step, found.history[r], found.gaps[r], found.values[r])
