"""Popularity of all time: the same order for everybody, fixed at the cut."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from timerec.evaluation.baselines.base import History
from timerec.evaluation.baselines.kernels import refuse_seen, top_k
from timerec.evaluation.protocol import Pairs, Requests


class AllTimePopularity:
    """Events before the cut."""

    name = "popularity"
    title = "Popularity of all time"

    def __init__(self) -> None:
        self.grid: list[dict[str, float]] = [{}]

    def fit(self, log: History, cut: int, **params: float) -> None:
        """Count."""
        self.log, self.available, self.popularity = log, log.available(cut), log.popularity(cut)

    def recommend(self, requests: Requests, k: int) -> NDArray[np.int32]:
        """Int32 [n, k]."""
        log = self.log
        out = np.full((len(requests), k), -1, np.int32)
        _recommend(
            requests.user, requests.time, log.user_start, log.item, log.time, log.repeats,
            self.popularity, self.available, out,
        )  # fmt: skip
        return out

    def score(self, requests: Requests, pairs: Pairs) -> NDArray[np.float64]:
        """Counts [P]."""
        return self.popularity[pairs.item]


@njit(cache=True)
def _recommend(user, when, user_start, item, time, repeats, popularity, available, out):
    refused = np.full(len(available), -1, np.int64)
    for r in range(len(when)):
        if not repeats:
            refuse_seen(r, user[r], when[r], user_start, item, time, refused)
        top_k(r, when[r], popularity, popularity, available, refused, out[r])
