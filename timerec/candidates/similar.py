"""Item-to-item weights learnt from stretches of histories (EASE, Steck 2019), in snapshots through time.

A neighbour count sees pairs; EASE solves for all of them together and so discounts what is merely popular. Histories are cut into
overlapping stretches first, because what belongs together is also close in time. A snapshot holds only what happened before its
moment, and a request at t reads the newest snapshot that is not younger than t.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from timerec.candidates.order import place
from timerec.eventlog import EventLog
from timerec.kernel import borrowing

ITEMS = 4096  # most frequent items that take part
STRETCH = 40  # events of a stretch
RIDGE = 300.0
KEPT = 200  # weights kept a source item
RECENT = 60  # latest events of the user that vote
FAST, SLOW = 0.8, 0.97  # decay of the votes an event
FEATURES = ["similar_fast", "similar_slow"]


class Similar(NamedTuple):
    """S snapshots over I items; row -1 means that the item takes no part."""

    time: NDArray[np.int64]  # [S] ascending
    row: NDArray[np.int32]  # [S, I]
    item: NDArray[np.int32]  # [S, ITEMS, KEPT], -1 = empty
    weight: NDArray[np.float32]  # [S, ITEMS, KEPT]


def fit(log: EventLog, times: NDArray[np.int64], whole: bool = False) -> Similar:
    """Fit one snapshot at each of `times` (unix seconds) from the events strictly before it.

    Args:
        whole: whole histories in place of stretches, for a model that must not know what is close in time.
    """
    times = np.unique(times)
    width = min(ITEMS, log.n_items)
    row = np.full((len(times), log.n_items), -1, np.int32)
    item = np.full((len(times), width, KEPT), -1, np.int32)
    weight = np.zeros((len(times), width, KEPT), np.float32)
    user = np.repeat(np.arange(log.n_users), log.user_size)
    place = np.arange(len(user)) - np.repeat(log.user_start, log.user_size)
    for s, moment in enumerate(times):
        past = log.event_time < moment
        if not past.any():
            continue
        counts = np.bincount(log.event_item[past], minlength=log.n_items)
        chosen = np.argsort(-counts, kind="stable")[:width]
        chosen = chosen[counts[chosen] > 0]
        row[s, chosen] = np.arange(len(chosen))
        column = row[s, log.event_item[past]]
        weights = _solve(user[past], place[past], column, len(chosen), whole)
        _keep(weights, chosen, item[s], weight[s])
    return Similar(times, row, item, weight)


def _solve(
    user: NDArray[np.int64], place: NDArray[np.int64], column: NDArray[np.int32], n: int, whole: bool
) -> NDArray[np.float32]:
    import scipy.linalg  # a tenth of a replica's imports, and only fitting needs it
    import scipy.sparse

    gram = np.zeros((n, n), np.float32)
    inside = column >= 0
    covers = (0,) if whole else (0, STRETCH // 2)  # two, so that no pair is cut apart in both
    for shift in covers:
        stretch = user if whole else user * (place.max() // STRETCH + 2) + (place + shift) // STRETCH
        rows = np.unique(stretch[inside], return_inverse=True)[1]
        ones = np.ones(inside.sum(), np.float32)
        taken = scipy.sparse.csr_matrix((ones, (rows, column[inside])), shape=(rows.max(initial=0) + 1, n))
        taken.data[:] = 1.0  # duplicates were summed
        gram += (taken.T @ taken).toarray() / len(covers)
    gram[np.diag_indices(n)] += RIDGE
    # from the Cholesky factor: a third of the work of solving for the identity
    factor = scipy.linalg.cholesky(gram, lower=True, overwrite_a=True, check_finite=False)
    inverse, _ = scipy.linalg.lapack.spotri(factor, lower=1, overwrite_c=1)
    inverse = np.tril(inverse)
    inverse += np.tril(inverse, -1).T
    inverse /= -np.diag(inverse).copy()
    inverse[np.diag_indices(n)] = 0.0
    return inverse


def _keep(weights: NDArray[np.float32], chosen: NDArray[np.int64], item: NDArray, weight: NDArray) -> None:
    kept = min(KEPT, len(chosen))
    for first in range(0, len(chosen), 512):  # blocks bound the memory of the partial sort
        block = weights[first : first + 512]
        best = np.argpartition(-np.abs(block), kept - 1, axis=1)[:, :kept]
        item[first : first + len(block), :kept] = chosen[best]
        weight[first : first + len(block), :kept] = np.take_along_axis(block, best, axis=1)


@borrowing
def vote(log, similar, begin, known, t, score, column, touched, met, step=0):
    """Add the votes of the user's latest events to score[:, column] and score[:, column + 1].

    Args:
        touched, met: items touched so far and their number; `score` is zero outside of them.
        step: as in `timerec.candidates.order`; with one all events vote, and alike.

    Returns:
        number of touched items.
    """
    snapshot = -1
    for s in range(len(similar.time)):
        if similar.time[s] <= t:
            snapshot = s
    if snapshot < 0:
        return met
    fast, slow = np.float32(1.0), np.float32(1.0)
    for e in range(known if step else min(known, RECENT)):
        row = similar.row[snapshot, log.event_item[begin + place(e, known, step)]]
        if row >= 0:
            for k in range(similar.item.shape[2]):
                item = similar.item[snapshot, row, k]
                if item < 0:
                    break
                weight = similar.weight[snapshot, row, k]
                if weight == 0.0:  # items that never met: without a score they would be touched again and again
                    continue
                untouched = True
                for c in range(score.shape[1]):
                    if score[item, c] != 0.0:
                        untouched = False
                if untouched:
                    if met == len(touched):
                        continue
                    touched[met] = item
                    met += 1
                score[item, column] += fast * weight
                score[item, column + 1] += slow * weight
        if not step:
            fast *= np.float32(FAST)
            slow *= np.float32(SLOW)
    return met


def remap(similar: Similar, place: NDArray[np.int64], n_items: int) -> Similar:
    """The same weights for a catalogue in another order.

    Args:
        place: [I] new index of each old item, -1 where it is gone.
        n_items: size of the new catalogue; items that are new in it take no part.
    """
    row = np.full((len(similar.time), n_items), -1, np.int32)
    row[:, place[place >= 0]] = similar.row[:, place >= 0]
    kept = similar.item >= 0
    item = np.where(kept, place[np.where(kept, similar.item, 0)], -1).astype(np.int32)
    # gone items leave holes, and the kernel stops at the first hole
    order = np.argsort(item < 0, axis=2, kind="stable")
    return Similar(similar.time, row, np.take_along_axis(item, order, 2), np.take_along_axis(similar.weight, order, 2))
