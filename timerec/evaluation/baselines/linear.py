"""Item-to-item weights learnt from who took what: nearest neighbours and EASE, alone or with what the user takes anyway.

The score of an item is the sum of its weights from all items that the user took strictly before the request, and from every
event where things are taken again. Weights are learnt from the events before the cut, for the most frequent items; all others
score nothing.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from itertools import product
from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray
from scipy.linalg import lapack

from timerec.clock import DAY
from timerec.evaluation.baselines.base import History, combine
from timerec.evaluation.baselines.kernels import refuse_seen, top_k
from timerec.evaluation.baselines.personal import add_user
from timerec.evaluation.protocol import Pairs, Requests

ITEMS = 6_000  # most frequent items that have weights: their table is dense, and EASE takes its inverse
TAKEN = 2_000  # items of one user from which the tables learn, at most: the work grows with their square
VISITS = (1.0, 4.0, 16.0, 1e9)  # half-lives of an item in the history, in visits
LENGTH = 0.75  # BM25's b: how far users with long histories count less


class Taken(NamedTuple):
    """Who took which of the M most frequent items before a cut, each once, as lists by user."""

    start: NDArray[np.int64]  # [U + 1]
    column: NDArray[np.int32]  # ascending within a user
    events: NDArray[np.int64]  # of the user with the item
    members: NDArray[np.int32]  # [M] the items that columns stand for
    place: NDArray[np.int64]  # [n_items] column of an item, -1 for the rare


def taken(log: History, cut: int, most: int = ITEMS) -> Taken:
    """What everybody took strictly before `cut`; of users with more than TAKEN items the more frequent ones."""
    popularity = log.popularity(cut)
    members = np.argsort(-popularity, kind="stable")[: min(most, int((popularity > 0).sum()))].astype(np.int32)
    place = np.full(log.n_items, -1, np.int64)
    place[members] = np.arange(len(members))
    used = (log.time < cut) & (place[log.item] >= 0)
    key, events = np.unique(log.user[used] * np.int64(max(len(members), 1)) + place[log.item[used]], return_counts=True)
    user, column = key // max(len(members), 1), key % max(len(members), 1)
    first = np.searchsorted(user, np.arange(log.n_users))
    keep = np.arange(len(user)) - first[user] < TAKEN  # columns ascend from the most frequent item
    start = np.searchsorted(user[keep], np.arange(log.n_users + 1))
    return Taken(start, column[keep].astype(np.int32), events[keep], members, place)


class Linear(ABC):
    """What the item-to-item baselines share; a subclass gives `weights`, and the grid of its parameters."""

    name: str
    title: str
    grid: list[dict[str, float]]
    tuning = 500  # validation requests for the grid: each adds up the rows of a whole history

    @abstractmethod
    def weights(self, log: History, cut: int, params: dict[str, float]) -> tuple[Taken, NDArray[np.float32]]:
        """The columns, and the weights [M, M] from the item of each row to the item of each column."""

    def fit(self, log: History, cut: int, **params: float) -> None:
        """Fit the weights, of which the other parameters are.

        `visits`: after so many further visits (seconds with an event) of the user an item counts half; endless by default.
        `weight` (0 by default) of the user's own events, each decayed by `half_life` seconds.
        """
        self.log, self.available, self.popularity = log, log.available(cut), log.popularity(cut)
        self.fade = np.float32(np.exp2(-1 / float(params.get("visits", np.inf))))
        self.own = (float(params.get("half_life", np.inf)), float(params.get("weight", 0.0)))
        self.taken, self.table = self.weights(log, cut, params)

    def recommend(self, requests: Requests, k: int) -> NDArray[np.int32]:
        """Int32 [n, k]."""
        out = np.full((len(requests), k), -1, np.int32)
        nothing = np.zeros(0, np.int64)
        self._run(requests, np.zeros(len(requests) + 1, np.int64), nothing, nothing.astype(np.int32), out, np.zeros(0))
        return out

    def score(self, requests: Requests, pairs: Pairs) -> NDArray[np.float64]:
        """Order of (sum of weights, popularity before the cut), [P]."""
        place = np.argsort(pairs.request, kind="stable")
        bounds = np.searchsorted(pairs.request[place], np.arange(len(requests) + 1))
        found = np.zeros(len(place))
        self._run(requests, bounds, place, pairs.item, np.zeros((len(requests), 0), np.int32), found)
        return combine(found, self.popularity[pairs.item])

    def _run(
        self,
        requests: Requests,
        bounds: NDArray[np.int64],
        place: NDArray[np.int64],
        pair_item: NDArray[np.int32],
        out: NDArray[np.int32],
        pair_score: NDArray[np.float64],
    ) -> None:
        log = self.log
        order = np.lexsort((requests.time, requests.user))  # a user's history is added up once, as it grows
        _walk(
            order, requests.user, requests.time, self.table, self.taken.members, self.taken.place, self.fade,
            *self.own,
            log.user_start, log.item, log.time, log.repeats, self.popularity, self.available, bounds, place, pair_item, out,
            pair_score,
        )  # fmt: skip


class ItemKNN(Linear):
    """Cosine of the items' users, or the product of their BM25 weights; each item keeps its nearest neighbours.

    Sarwar, Karypis, Konstan and Riedl, "Item-based Collaborative Filtering Recommendation Algorithms" (WWW 2001). With BM25
    an item weighs log(U / (1 + its users)), and a user 1 / (1 - b + b x length / mean length). Where things are taken again, a
    user has an item log1p(events) times, an item is its own neighbour, and every event of the history counts.
    """

    name = "item_knn"
    title = "Item kNN"

    def __init__(self) -> None:
        kinds = [(0.0, 50.0, VISITS), (0.0, 400.0, VISITS), (1.0, 400.0, VISITS[::3])]
        self.grid = [{"bm25_weight": bm25, "neighbours": k, "visits": visits} for bm25, k, spans in kinds for visits in spans]
        self._together: dict[tuple[int, float], tuple[Taken, NDArray[np.float32]]] = {}

    def weights(self, log: History, cut: int, params: dict[str, float]) -> tuple[Taken, NDArray[np.float32]]:
        """`bm25_weight`: 1 for BM25, 0 for cosine; `neighbours` that each item keeps."""
        kind = params["bm25_weight"]
        if (cut, kind) not in self._together:
            self._together = {(cut, kind): self._near(log, cut, bool(kind))}
        found, near = self._together[cut, kind]
        return found, _nearest(near, int(params["neighbours"]))

    def _near(self, log: History, cut: int, bm25: bool) -> tuple[Taken, NDArray[np.float32]]:
        found = taken(log, cut)
        length = np.diff(found.start)
        value = np.log1p(found.events) if log.repeats else np.ones(len(found.column))
        users = np.bincount(found.column, minlength=len(found.members)).astype(np.float64)
        if bm25:
            known = max(int((length > 0).sum()), 1)
            by_user = 1 / (1 - LENGTH + LENGTH * length / max(length.sum() / known, 1e-9))
            scale = np.log(np.maximum(known / (1 + users), 1.0))
        else:
            by_user, scale = np.ones(len(length)), np.bincount(found.column, value**2, len(users)).clip(1e-9) ** -0.5
        near = together(found, value * np.repeat(by_user, length))
        near *= scale[:, None].astype(np.float32)
        near *= scale[None, :].astype(np.float32)
        if not log.repeats:
            np.fill_diagonal(near, 0)
        return found, near


class Ease(Linear):
    """The linear model of all items on all others with a zero diagonal, in closed form.

    Steck, "Embarrassingly Shallow Autoencoders for Sparse Data" (WWW 2019): with P = (X'X + l2 I)^-1, B = I - P / diag(P).
    Where things are taken again, X holds log1p of the events, an item speaks for itself too (the same least squares without the
    zero diagonal, B = I - l2 P), and every event of the history counts.
    """

    name = "ease"
    title = "EASE"

    def __init__(self, repeats: bool = False) -> None:
        points = [(1_000.0, VISITS), (200.0, VISITS[2:]), (4_000.0, VISITS[:2])]
        if repeats:
            points = [(300.0, (4.0, 16.0, 64.0)), (100.0, (16.0, 64.0)), (30.0, (16.0, 64.0))]
        self.grid = [{"l2_weight": l2, "visits": visits} for l2, spans in points for visits in spans]
        self._fitted: dict[tuple[int, float], tuple[Taken, NDArray[np.float32]]] = {}

    def weights(self, log: History, cut: int, params: dict[str, float]) -> tuple[Taken, NDArray[np.float32]]:
        """`l2_weight`: on the squares of the weights, in units of a user."""
        key = (cut, params["l2_weight"])
        if key not in self._fitted:
            found = taken(log, cut)
            value = np.log1p(found.events) if log.repeats else np.ones(len(found.column))
            self._fitted[key] = (found, ease(together(found, value), params["l2_weight"], itself=log.repeats))
        return self._fitted[key]


class EasePersonal(Ease):
    """EASE plus the user's own decayed events, where things are taken again."""

    name = "ease_personal"
    title = "EASE + personal frequency"

    def __init__(self, ease: Ease) -> None:
        self.grid = [
            {"l2_weight": 300.0, "visits": visits, "half_life": float(span), "weight": weight}
            for visits, span, weight in product((4.0, 64.0), (DAY, 30 * DAY, 120 * DAY), (0.1, 1.0))
        ]
        self._fitted = ease._fitted  # the same weights: each is fitted once


def together(found: Taken, value: NDArray[np.float64]) -> NDArray[np.float32]:
    """Sum over users of the products of their values: float32 [M, M].

    Args:
        value: one for each entry of `found.column`.
    """
    out = np.zeros((len(found.members), len(found.members)), np.float32)
    _add_users(found.start, found.column, value.astype(np.float32), out)
    return out


def ease(gram: NDArray[np.float32], l2: float, itself: bool = False) -> NDArray[np.float32]:
    """B of EASE [M, M] from X'X, which is overwritten; with `itself` an item may speak for itself: I - l2 P.

    Raises:
        ValueError: X'X + l2 I is not positive definite in single precision.
    """
    if not len(gram):
        return gram
    gram[np.diag_indices_from(gram)] += l2
    # X'X is symmetric: seen by columns its upper triangle is LAPACK's lower one, and the inverse is made in place
    factor, failed = lapack.spotrf(gram.T, lower=1, overwrite_a=1)
    if not failed:
        factor, failed = lapack.spotri(factor, lower=1, overwrite_c=1)
    if failed:
        raise ValueError(f"EASE: the items' matrix is not positive definite with l2 {l2:g}")
    inverse = np.ascontiguousarray(factor.T)
    _mirror(inverse)
    if itself:
        inverse *= np.float32(-l2)
        inverse[np.diag_indices_from(inverse)] += 1
    else:
        inverse /= -np.diagonal(inverse)[None, :].copy()
        np.fill_diagonal(inverse, 0)
    return inverse


def _nearest(near: NDArray[np.float32], k: int) -> NDArray[np.float32]:
    """The k largest of each row, the rest 0; of equal ones at the border all."""
    if k >= len(near):
        return near
    least = np.concatenate([np.partition(part, -k, axis=1)[:, -k] for part in np.array_split(near, len(near) // 256 + 1)])
    return np.where(near >= least[:, None], near, np.float32(0))


@njit(cache=True)
def _add_users(start, column, value, out):
    for u in range(len(start) - 1):
        for a in range(start[u], start[u + 1]):
            row = out[column[a]]
            for b in range(start[u], start[u + 1]):
                row[column[b]] += value[a] * value[b]


@njit(cache=True)
def _mirror(matrix):
    for a in range(len(matrix)):
        for b in range(a):
            matrix[a, b] = matrix[b, a]


@njit(cache=True)
def _walk(
    order, user, when, table, members, column, fade, half_life, weight, user_start, item, time, repeats, popularity,
    available, bounds, place, pair_item, out, pair_score,
):  # fmt: skip
    """Requests by user, then time: the sum over the user's items grows event by event, and fades with each visit."""
    n_items, n = len(available), len(members)
    total, share = np.zeros(n, np.float32), np.zeros(n, np.float32)  # share: what each item adds
    score, own = np.zeros(n_items), np.zeros(n_items)
    refused = np.full(n_items, -1, np.int64)
    who, j = -2, 0
    for r in order:
        if user[r] != who:
            who = user[r]
            total[:] = 0
            share[:] = 0
            j = user_start[who] if who >= 0 else 0
        end = j
        if who >= 0:
            while j < user_start[who + 1] and time[j] < when[r]:
                if fade < 1 and j > user_start[who] and time[j] > time[j - 1]:
                    total *= fade
                    share *= fade
                c = column[item[j]]
                if c >= 0 and repeats:
                    total += table[c]
                elif c >= 0 and share[c] < 1:
                    total += (np.float32(1) - share[c]) * table[c]
                    share[c] = 1
                j += 1
            if weight > 0:
                end = add_user(who, when[r], half_life, user_start, item, time, own)
        for p in range(bounds[r], bounds[r + 1]):
            one = pair_item[place[p]]
            c = column[one]
            pair_score[place[p]] = (total[c] if c >= 0 else 0.0) + weight * own[one]
        if out.shape[1]:
            if not repeats:
                refuse_seen(r, who, when[r], user_start, item, time, refused)
            for one in range(n_items):
                score[one] = weight * own[one]
            for c in range(n):
                score[members[c]] += total[c]
            top_k(r, when[r], score, popularity, available, refused, out[r])
        if who >= 0 and weight > 0:
            own[item[user_start[who] : end]] = 0
