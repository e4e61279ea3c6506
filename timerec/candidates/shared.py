"""What requests of one moment have in common, computed once for all of them: what trends, where items and categories stand.

Online many people ask within a second, and a batch is often as of one moment. No user in here.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from timerec.candidates import momentum, trending
from timerec.counters import before
from timerec.eventlog import TOP, EventLog
from timerec.kernel import borrowing

ROOM = 8192  # items that are remembered at most
MOMENTS, SHARES = len(momentum.ITEM_FEATURES), momentum.CATEGORY_SHARES


class Shared(NamedTuple):
    """Memory for one moment of one log; a NamedTuple, so that compiled kernels take it as it is."""

    key: NDArray[np.int64]  # [2] unix seconds and events of the log: a log only grows; -1 for none
    sizes: NDArray[np.int64]  # [2] items and categories that are remembered
    overall: NDArray[np.float32]  # [H] decayed counters of everything
    top: NDArray[np.int32]  # [H, TOP] what trends, -1 = empty
    top_score: NDArray[np.float64]  # [H, TOP]
    item_slot: NDArray[np.int32]  # [I] row of an item, -1 = not yet computed
    items: NDArray[np.int32]  # [R]
    known: NDArray[np.int64]  # [R] events of the item before the moment
    gap: NDArray[np.float64]  # [R] seconds, see `momentum.repeat_gap`
    rows: NDArray[np.float32]  # [R, MOMENTS + SHARES + 3 P] its features, its category's and its attributes'
    category_slot: NDArray[np.int32]  # [K]
    categories: NDArray[np.int32]  # [K]
    shares: NDArray[np.float32]  # [K, SHARES]
    scratch: NDArray[np.float32]  # [H]


def shared(log: EventLog, n_items: int, n_categories: int) -> Shared:
    """Memory for `log`, which may grow to so many items and categories."""
    room, width = min(n_items, ROOM), len(log.half_lives)
    return Shared(
        np.full(2, -1), np.zeros(2, np.int64),
        np.zeros(width, np.float32), np.zeros((width, TOP), np.int32), np.zeros((width, TOP)),
        np.full(n_items, -1, np.int32), np.zeros(room, np.int32), np.zeros(room, np.int64), np.zeros(room),
        np.zeros((room, MOMENTS + SHARES + 3 * log.attribute_value.shape[1]), np.float32),
        np.full(n_categories, -1, np.int32), np.zeros(n_categories, np.int32), np.zeros((n_categories, SHARES), np.float32),
        np.zeros(width, np.float32),
    )  # fmt: skip


@njit(cache=True)
def move_to(log, t, shared):
    """Make t, unix seconds, the moment of `shared`: what is of another one, or of fewer events of the log, is forgotten."""
    if shared.key[0] == t and shared.key[1] == log.tape_size[0]:
        return
    shared.key[0] = -1
    _forget_items(shared)
    for k in range(shared.sizes[1]):
        shared.category_slot[shared.categories[k]] = -1
    shared.sizes[1] = 0
    trending.everything(log, t, shared.overall)
    trending.lists(log, t, shared.top, shared.top_score)
    shared.key[0], shared.key[1] = t, log.tape_size[0]


@borrowing
def row_of(log, item, shared):
    """Row of an item in `shared.rows` at the moment of `move_to`; it may be overwritten when another item is asked for."""
    row = shared.item_slot[item]
    if row >= 0:
        return row
    if shared.sizes[0] == len(shared.items):
        _forget_items(shared)
    row, t = shared.sizes[0], shared.key[0]
    known = before(log.occurrence_time, log.item_start[item], log.item_size[item], t)
    shared.known[row] = known
    shared.gap[row] = momentum.repeat_gap(log, item, known)
    out = shared.rows[row]
    momentum.item_features(log, item, known, t, shared.overall, shared.scratch, out[:MOMENTS])
    category = _category_row(log, log.item_category[item], t, shared)
    for j in range(SHARES):
        out[MOMENTS + j] = shared.shares[category, j]
    momentum.attribute_features(log, item, t, out[MOMENTS + SHARES :])
    shared.item_slot[item] = row
    shared.items[row] = item
    shared.sizes[0] += 1
    return row


@borrowing
def _category_row(log, category, t, shared):
    """Row of a category in `shared.shares`."""
    row = shared.category_slot[category]
    if row < 0:
        row = shared.sizes[1]
        momentum.category_features(log, category, t, shared.overall, shared.scratch, shared.shares[row])
        shared.category_slot[category] = row
        shared.categories[row] = category
        shared.sizes[1] += 1
    return row


@borrowing
def _forget_items(shared):
    for k in range(shared.sizes[0]):
        shared.item_slot[shared.items[k]] = -1
    shared.sizes[0] = 0
