"""Requests in bulk: candidates, features and history windows of many requests as padded arrays."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from timerec.candidates.order import stride
from timerec.candidates.pairs import Layout, Sources, Workspace, request, width
from timerec.candidates.shared import MOMENTS, SHARES
from timerec.candidates.window import fill
from timerec.counters import before


class Batch(NamedTuple):
    """B requests, padded to C candidates and L events of history."""

    items: NDArray[np.int32]  # [B, C], 0 where padded
    count: NDArray[np.int32]  # type: ignore[assignment]  # [B] candidates; hides tuple.count
    standard: NDArray[np.int32]  # [B] of which the first are the request's own candidates, whatever was asked for
    features: NDArray[np.float32]  # [B, C, F]
    best: NDArray[np.float32]  # [B, F] largest value of each feature among the request's own candidates, -inf without any
    context: NDArray[np.float32]  # [B, G]
    history: NDArray[np.int32]  # [B, L] latest events, the newest last; -1 where padded
    gaps: NDArray[np.float32]  # [B, L] log1p of seconds between event and request
    values: NDArray[np.float32]  # [B, L] log1p of event values


def build(
    sources: Sources,
    ws: Workspace,
    layout: Layout,
    users: NDArray[np.int32],
    times: NDArray[np.int64],
    *,
    extra_start: NDArray[np.int64],
    extra_item: NDArray[np.int32],
    history: int,
    capacity: int = 512,
) -> Batch:
    """Features of the requests (users[r], times[r]), each with its extras extra_item[extra_start[r] : extra_start[r + 1]].

    Args:
        users: indices, -1 for strangers; times: unix seconds.
        history: L, events of the history window.
        capacity: most standard candidates a request.
    """
    if len(ws.fellow_near) < sources.log.n_users or len(ws.candidate_slot) < sources.log.n_items:
        raise ValueError("the workspace is of an earlier state of the log, which has grown: make a new one")
    attributes = ws.shared.rows.shape[1] - MOMENTS - SHARES
    if layout.width != width(sources, ws) or attributes != 3 * sources.log.attribute_value.shape[1]:
        raise ValueError("the workspace or the log is not of the layout's kinds of events, attributes or forecasts")
    n = len(users)
    longest = capacity + int(np.diff(extra_start).max(initial=0))
    items = np.zeros((n, longest), np.int32)
    count, standard = np.zeros(n, np.int32), np.zeros(n, np.int32)
    features = np.empty((n, longest, layout.width), np.float32)
    best = np.empty((n, layout.width), np.float32)
    context = np.zeros((n, len(layout.context)), np.float32)
    window = np.full((n, history), -1, np.int32)
    gaps, values = np.zeros((n, history), np.float32), np.zeros((n, history), np.float32)
    _fill(
        sources, ws, users.astype(np.int64), times, extra_start, extra_item, items, count, standard, features, best,
        context, window, gaps, values,
    )  # fmt: skip
    widest = max(int(count.max(initial=1)), 1)
    features = np.ascontiguousarray(features[:, :widest])
    for row, own in zip(features, count, strict=True):
        row[own:] = 0.0
    return Batch(items[:, :widest].copy(), count, standard, features, best, context, window, gaps, values)


@njit(cache=True, nogil=True)
def _fill(
    sources, ws, users, times, extra_start, extra_item, items, count, standard, features, best, context, window, gaps, values
):  # fmt: skip
    log = sources.log
    for r in range(len(users)):
        extra = extra_item[extra_start[r] : extra_start[r + 1]]
        standard[r], count[r] = request(sources, ws, users[r], times[r], extra, items[r], features[r], best[r], context[r])
        items[r, count[r] :] = 0
        if users[r] < 0:
            continue
        begin = log.user_start[users[r]]
        known = before(log.event_time, begin, log.user_size[users[r]], times[r])
        step = stride(known) if sources.offer.timeless else 0
        fill(log, begin, known, times[r], step, window[r], gaps[r], values[r])
