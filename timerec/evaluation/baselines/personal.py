"""Personal frequency: what the user took most often, or most often of late; then what is popular.

On grocery baskets this simple rule is hard to beat (Hu, He, Gao and Zhang, "Modeling Personalized Item Frequency
Information for Next-basket Recommendation", SIGIR 2020).
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from timerec.clock import DAY, HOUR
from timerec.evaluation.baselines.base import History, combine
from timerec.evaluation.baselines.kernels import refuse_seen, top_k
from timerec.evaluation.protocol import Pairs, Requests

HALF_LIVES = [HOUR, 6 * HOUR, DAY, 3 * DAY, 7 * DAY, 14 * DAY, 30 * DAY, 60 * DAY, 120 * DAY, 240 * DAY]


class PersonalFrequency:
    """The user's events with the item before t, ties and the rest by popularity before the cut."""

    name = "personal_frequency"
    title = "Personal frequency"

    def __init__(self) -> None:
        self.grid: list[dict[str, float]] = [{}]

    def fit(self, log: History, cut: int, **params: float) -> None:
        """`half_life`: seconds; without it all events weigh 1."""
        self.log, self.available, self.popularity = log, log.available(cut), log.popularity(cut)
        self.half_life = float(params.get("half_life", np.inf))

    def recommend(self, requests: Requests, k: int) -> NDArray[np.int32]:
        """Int32 [n, k]."""
        log = self.log
        out = np.full((len(requests), k), -1, np.int32)
        _recommend(
            requests.user, requests.time, self.half_life, log.user_start, log.item, log.time, log.repeats,
            self.popularity, self.available, out,
        )  # fmt: skip
        return out

    def score(self, requests: Requests, pairs: Pairs) -> NDArray[np.float64]:
        """Order of (frequency, popularity before the cut), [P]."""
        log = self.log
        order = np.argsort(pairs.request, kind="stable")
        bounds = np.searchsorted(pairs.request[order], np.arange(len(requests) + 1))
        frequency = np.zeros(len(order))
        _frequencies(
            requests.user, requests.time, self.half_life, log.user_start, log.item, log.time,
            bounds, order, pairs.item, np.zeros(log.n_items), frequency,
        )  # fmt: skip
        return combine(frequency, self.popularity[pairs.item])


class PersonalDecayed(PersonalFrequency):
    """The same, each event weighing 2^(-(t - t_event) / half_life)."""

    name = "personal_decayed"
    title = "Decayed personal frequency"

    def __init__(self) -> None:
        self.grid = [{"half_life": float(span)} for span in HALF_LIVES]


@njit(cache=True)
def add_user(who, when, half_life, user_start, item, time, frequency):
    """Add to `frequency` [n_items] the user's events strictly before `when`; returns the place after the last."""
    j = user_start[who]
    while j < user_start[who + 1] and time[j] < when:
        frequency[item[j]] += np.exp2(-(when - time[j]) / half_life)
        j += 1
    return j


@njit(cache=True)
def _recommend(user, when, half_life, user_start, item, time, repeats, popularity, available, out):
    frequency = np.zeros(len(available))
    refused = np.full(len(available), -1, np.int64)
    for r in range(len(when)):
        if user[r] >= 0:
            end = add_user(user[r], when[r], half_life, user_start, item, time, frequency)
        if not repeats:
            refuse_seen(r, user[r], when[r], user_start, item, time, refused)
        top_k(r, when[r], frequency, popularity, available, refused, out[r])
        if user[r] >= 0:
            frequency[item[user_start[user[r]] : end]] = 0


@njit(cache=True)
def _frequencies(user, when, half_life, user_start, item, time, bounds, order, pair_item, frequency, out):
    for r in range(len(when)):
        if user[r] < 0:
            continue
        end = add_user(user[r], when[r], half_life, user_start, item, time, frequency)
        for j in range(bounds[r], bounds[r + 1]):
            out[order[j]] = frequency[pair_item[order[j]]]
        frequency[item[user_start[user[r]] : end]] = 0
