"""Matrix factorisation by alternating least squares; a user's vector is solved anew from the history before each request.

Hu, Koren and Volinsky, "Collaborative Filtering for Implicit Feedback Datasets" (ICDM 2008), as the package implicit has it. In
the history of a request an event fades with each further visit, as in EASE and item kNN (validation, MovieLens 100K: .084
without, .114 with it). Faded events take the confidence below the 1 of Hu et al.: they speak neither for an item nor against it,
as one that was never taken does.
"""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from timerec.evaluation.baselines.base import History
from timerec.evaluation.baselines.linear import VISITS
from timerec.evaluation.peers import needed
from timerec.evaluation.peers.factors import Factors
from timerec.evaluation.protocol import Requests


class ALS(Factors):
    """Item factors are fitted before the cut on log1p of the counts; the user's factors follow the log."""

    name = "als"
    title = "ALS (implicit)"

    def __init__(self, seed: int = 17) -> None:
        self.grid: list[dict[str, float]] = [
            {"factors": factors, "regularisation_weight": weight, "confidence_weight": 1.0, "visits": visits}
            for factors, weight, visits in product((32.0, 128.0), (1.0, 10.0), VISITS)
        ]
        self._seed = seed
        self._fitted: tuple[History, tuple[float, ...], Any] | None = None  # the points of the grid differ in `visits` first

    def fit(self, log: History, cut: int, **params: float) -> None:
        """`factors`; `regularisation_weight`; `confidence_weight` of log1p(events), on top of 1; `visits`.

        `visits`: after so many further visits (seconds with an event) of the user an event counts half; endless by default.
        """
        self.follow(log, cut)
        self._confidence, self._half = params["confidence_weight"], params.get("visits", np.inf)
        key = (cut, params["factors"], params["regularisation_weight"], self._confidence)
        if self._fitted is None or self._fitted[0] is not log or self._fitted[1] != key:
            used = log.time < cut
            counts = csr_matrix(
                (np.ones(int(used.sum()), np.float32), (log.user[used], log.item[used])), shape=(log.n_users, log.n_items)
            )
            model: Any = needed("implicit.cpu.als").AlternatingLeastSquares(
                factors=int(params["factors"]), regularization=params["regularisation_weight"], iterations=10,
                random_state=self._seed,
            )  # fmt: skip
            model.fit(self._weights(counts), show_progress=False)
            self._fitted = (log, key, model)
        self._model = self._fitted[2]

    def factors(self, requests: Requests) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """As of each request; zeros of who has no history."""
        histories = [self.log.before(user, time) for user, time in zip(requests.user, requests.time, strict=True)]
        size = np.array([len(items) for items, _ in histories], np.int64)
        row = np.repeat(np.arange(len(requests)), size)
        item = np.concatenate([np.zeros(0, np.int32), *(items for items, _ in histories)])
        faded = np.concatenate([np.zeros(0), *(_faded(times, self._half) for _, times in histories)])
        events = csr_matrix((faded.astype(np.float32), (row, item)), shape=(len(requests), self.log.n_items))
        users: NDArray[np.float32] = self._model.recalculate_user(np.arange(len(requests)), self._weights(events))
        return np.where((size > 0)[:, None], users, np.float32(0)), self._model.item_factors

    def _weights(self, events: csr_matrix) -> csr_matrix:
        """Confidence of each user's items from their events, which count less than one where they have faded."""
        events.sum_duplicates()
        events.data = (np.minimum(events.data, 1) + self._confidence * np.log1p(events.data)).astype(np.float32)
        return events


def _faded(times: NDArray[np.int64], half: float) -> NDArray[np.float64]:
    """What each event of a history, the oldest first, counts after the visits since."""
    visit = np.cumsum(np.diff(times, prepend=times[:1]) > 0)
    faded: NDArray[np.float64] = np.exp2((visit - visit[-1:]) / half)
    return faded
