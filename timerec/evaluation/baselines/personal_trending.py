"""What the user takes of late plus what everybody takes right now: the strongest rule here that needs no learning."""

from __future__ import annotations

from itertools import product

import numpy as np
from numba import njit
from numpy.typing import NDArray

from timerec.clock import DAY, HOUR
from timerec.evaluation.baselines.base import History, combine
from timerec.evaluation.baselines.kernels import refuse_seen, top_k
from timerec.evaluation.baselines.personal import add_user
from timerec.evaluation.protocol import Pairs, Requests

OWN = [6 * HOUR, 7 * DAY, 30 * DAY, 90 * DAY]
TREND = [HOUR, 12 * HOUR, 7 * DAY]
WEIGHTS = [1.0, 10.0, 100.0]
REBASE = 64.0  # half-lives after which the counters are brought to the present, before they overflow


class PersonalTrending:
    """Decayed personal frequency + weight x the item's share of the decayed counters of everybody, live."""

    name = "personal_trending"
    title = "Personal frequency + live popularity"

    def __init__(self) -> None:
        self.grid: list[dict[str, float]] = [
            {"half_life": float(own), "trend_half_life": float(trend), "weight": weight}
            for own, trend, weight in product(OWN, TREND, WEIGHTS)
        ]

    def fit(self, log: History, cut: int, **params: float) -> None:
        """`half_life` and `trend_half_life`: seconds; `weight`: personal events that a share of 1 is worth."""
        self.log, self.available, self.popularity = log, log.available(cut), log.popularity(cut)
        self.params = (float(params["half_life"]), float(params["trend_half_life"]), float(params["weight"]))

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
        blend = np.zeros(len(place))
        self._run(requests, bounds, place, pairs.item, np.zeros((len(requests), 0), np.int32), blend)
        return combine(blend, self.popularity[pairs.item])

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
        order = np.argsort(requests.time, kind="stable")
        _blend(
            order, requests.user, requests.time, *self.params, *log.by_time, log.user_start, log.item, log.time,
            log.repeats, self.popularity, self.available, bounds, place, pair_item, out, pair_score,
        )  # fmt: skip


@njit(cache=True)
def _blend(
    order, user, when, half_life, trend_half_life, weight, tape_time, tape_item, user_start, item, time,
    repeats, popularity, available, bounds, place, pair_item, out, pair_score,
):  # fmt: skip
    n_items = len(available)
    heat, total, base = np.zeros(n_items), 0.0, tape_time[0]  # counters in units of an event at `base`
    score = np.zeros(n_items)
    own = np.zeros(n_items)
    refused = np.full(n_items, -1, np.int64)
    entered = 0
    for r in order:
        while entered < len(tape_time) and tape_time[entered] < when[r]:
            ago = (tape_time[entered] - base) / trend_half_life
            if ago > REBASE:
                heat *= np.exp2(-ago)
                total *= np.exp2(-ago)
                base, ago = tape_time[entered], 0.0
            heat[tape_item[entered]] += np.exp2(ago)
            total += np.exp2(ago)
            entered += 1
        scale = weight / total if total > 0 else 0.0
        if user[r] >= 0:
            end = add_user(user[r], when[r], half_life, user_start, item, time, own)
        for j in range(bounds[r], bounds[r + 1]):
            one = pair_item[place[j]]
            pair_score[place[j]] = own[one] + scale * heat[one]
        if out.shape[1]:
            if not repeats:
                refuse_seen(r, user[r], when[r], user_start, item, time, refused)
            for one in range(n_items):
                score[one] = own[one] + scale * heat[one]
            top_k(r, when[r], score, popularity, available, refused, out[r])
        if user[r] >= 0:
            own[item[user_start[user[r]] : end]] = 0
