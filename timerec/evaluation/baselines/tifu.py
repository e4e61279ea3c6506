"""TIFU-KNN: what the user takes by visits, recent ones more, joined with what the most similar users take.

Hu, He, Gao and Zhang, "Modeling Personalized Item Frequency Information for Next-basket Recommendation" (SIGIR 2020).
A user's baskets (seconds with an event), counted back from the latest, stand in groups of `group`; a basket weighs
within^(its place in the group) / size of the group, a group across^(its number) / number of groups. The user's own vector
is that of all baskets strictly before the request; the neighbours' vectors are those of the cut.
"""

from __future__ import annotations

from itertools import product

import numpy as np
from numba import njit
from numpy.typing import NDArray

from timerec.evaluation.baselines.base import History, combine
from timerec.evaluation.baselines.kernels import refuse_seen, top_k
from timerec.evaluation.protocol import Pairs, Requests

NEIGHBOURS, ACROSS = 100.0, 0.7


class TifuKNN:
    """own x the user's vector + (1 - own) x the mean vector of the nearest users by cosine."""

    name = "tifu_knn"
    title = "TIFU-KNN"

    def __init__(self) -> None:
        self.grid: list[dict[str, float]] = [
            {"group": group, "within_weight": within, "across_weight": ACROSS, "own_weight": own, "neighbours": NEIGHBOURS}
            for (group, within), own in product(((3.0, 0.9), (7.0, 0.9), (15.0, 1.0)), (0.3, 0.7, 0.95))
        ]

    def fit(self, log: History, cut: int, **params: float) -> None:
        """`group` baskets a group; `within_weight` and `across_weight` as above; `own_weight`; `neighbours`."""
        self.log, self.available, self.popularity = log, log.available(cut), log.popularity(cut)
        self.params = params
        users, cuts = np.arange(log.n_users), np.full(log.n_users, cut)
        decay = (params["group"], params["within_weight"], params["across_weight"])
        size = _vectors(users, cuts, *decay, log.user_start, log.item, log.time, log.n_items, np.zeros(0, np.int64),
                        np.zeros(0, np.int32), np.zeros(0))  # fmt: skip
        start = np.concatenate([[0], np.cumsum(size)])
        item, value = np.zeros(start[-1], np.int32), np.zeros(start[-1])
        _vectors(users, cuts, *decay, log.user_start, log.item, log.time, log.n_items, start, item, value)
        user = np.repeat(users, size)
        norm = np.sqrt(np.bincount(user, weights=value**2, minlength=log.n_users))
        order = np.argsort(item, kind="stable")
        self.by_user = (start, item, value)
        self.by_item = (np.searchsorted(item[order], np.arange(log.n_items + 1)), user[order], (value / norm[user])[order])

    def recommend(self, requests: Requests, k: int) -> NDArray[np.int32]:
        """Int32 [n, k]."""
        out = np.full((len(requests), k), -1, np.int32)
        nothing = np.zeros(0, np.int64)
        self._run(requests, np.zeros(len(requests) + 1, np.int64), nothing, nothing.astype(np.int32), out, np.zeros(0))
        return out

    def score(self, requests: Requests, pairs: Pairs) -> NDArray[np.float64]:
        """Order of (blend, popularity before the cut), [P]."""
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
        log, params = self.log, self.params
        _answer(
            requests.user, requests.time, params["group"], params["within_weight"], params["across_weight"],
            params["own_weight"], int(params["neighbours"]), *self.by_user, *self.by_item, log.user_start, log.item, log.time,
            log.repeats, self.popularity, self.available, bounds, place, pair_item, out, pair_score,
        )  # fmt: skip


@njit(cache=True)
def _add_baskets(who, when, group, within, across, user_start, item, time, vector, touched):
    """Add the user's vector as of `when` to `vector` [n_items], list its items in `touched`; returns how many these are."""
    begin, end = user_start[who], user_start[who]
    baskets = 0
    while end < user_start[who + 1] and time[end] < when:
        baskets += end == begin or time[end] != time[end - 1]
        end += 1
    if not baskets:
        return 0
    groups = np.ceil(baskets / group)
    found = 0
    back = -1  # place of the basket, counted back from the latest
    for j in range(end - 1, begin - 1, -1):
        if j == end - 1 or time[j] != time[j + 1]:
            back += 1
            number = back // group
            size = min(group, baskets - number * group)
            weight = within ** (back - number * group) / size * across**number / groups
        if j + 1 < end and time[j + 1] == time[j] and item[j + 1] == item[j]:
            continue  # twice in one basket
        if vector[item[j]] == 0:
            touched[found] = item[j]
            found += 1
        vector[item[j]] += weight
    return found


@njit(cache=True)
def _vectors(users, when, group, within, across, user_start, item, time, n_items, start, out_item, out_value):
    """Number of items of each user's vector; where `start` is given, also the vectors."""
    size = np.zeros(len(users), np.int64)
    vector, touched = np.zeros(n_items), np.zeros(n_items, np.int32)
    for u in users:
        size[u] = _add_baskets(u, when[u], group, within, across, user_start, item, time, vector, touched)
        for j in range(size[u]):
            if len(start):
                out_item[start[u] + j] = touched[j]
                out_value[start[u] + j] = vector[touched[j]]
            vector[touched[j]] = 0
    return size


@njit(cache=True)
def _answer(
    user, when, group, within, across, own_weight, neighbours, start, vector_item, vector_value, by_start, by_user, by_value,
    user_start, item, time, repeats, popularity, available, bounds, place, pair_item, out, pair_score,
):  # fmt: skip
    n_items, n_users = len(available), len(start) - 1
    own, score = np.zeros(n_items), np.zeros(n_items)
    touched = np.zeros(n_items, np.int32)
    near = np.zeros(n_users)
    refused = np.full(n_items, -1, np.int64)
    for r in range(len(when)):
        who = user[r]
        score[:] = 0
        if who >= 0:
            found = _add_baskets(who, when[r], group, within, across, user_start, item, time, own, touched)
            near[:] = 0
            for j in range(found):
                one = touched[j]
                score[one] = own_weight * own[one]
                for p in range(by_start[one], by_start[one + 1]):
                    near[by_user[p]] += own[one] * by_value[p]
                own[one] = 0
            near[who] = 0  # nobody is one's own neighbour
            order = np.argsort(-near)[:neighbours]
            alike = 0
            for u in order:
                alike += near[u] > 0
            for u in order[:alike]:
                for p in range(start[u], start[u + 1]):
                    score[vector_item[p]] += (1 - own_weight) / alike * vector_value[p]
        for p in range(bounds[r], bounds[r + 1]):
            pair_score[place[p]] = score[pair_item[place[p]]]
        if out.shape[1]:
            if not repeats:
                refuse_seen(r, who, when[r], user_start, item, time, refused)
            top_k(r, when[r], score, popularity, available, refused, out[r])
