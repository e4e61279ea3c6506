"""Matrix factorisation by alternating least squares; a user's vector is solved anew from the history before each request.

Hu, Koren and Volinsky, "Collaborative Filtering for Implicit Feedback Datasets" (ICDM 2008), as the package implicit has it.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from timerec.evaluation.baselines.base import History
from timerec.evaluation.peers import needed
from timerec.evaluation.peers.factors import Factors
from timerec.evaluation.protocol import Requests


class ALS(Factors):
    """Item factors are fitted before the cut on log1p of the counts; the user's factors follow the log."""

    name = "als"
    title = "ALS (implicit)"

    def __init__(self, seed: int = 17) -> None:
        self.grid: list[dict[str, float]] = [
            {"factors": factors, "regularisation_weight": 0.01, "confidence_weight": alpha}
            for factors in (32.0, 128.0)
            for alpha in (1.0, 10.0)
        ]
        self._seed = seed

    def fit(self, log: History, cut: int, **params: float) -> None:
        """`factors`; `regularisation_weight`; `confidence_weight` of log1p(events), on top of 1."""
        self.follow(log, cut)
        self._confidence = params["confidence_weight"]
        used = log.time < cut
        counts = csr_matrix(
            (np.ones(int(used.sum()), np.float32), (log.user[used], log.item[used])), shape=(log.n_users, log.n_items)
        )
        self._model: Any = needed("implicit.cpu.als").AlternatingLeastSquares(
            factors=int(params["factors"]), regularization=params["regularisation_weight"], iterations=10,
            random_state=self._seed,
        )  # fmt: skip
        self._model.fit(self._weights(counts), show_progress=False)

    def factors(self, requests: Requests) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """As of each request; zeros of who has no history."""
        histories = [self.log.before(user, time)[0] for user, time in zip(requests.user, requests.time, strict=True)]
        size = np.array([len(x) for x in histories])
        row = np.repeat(np.arange(len(requests)), size)
        item = np.concatenate(histories) if len(histories) else np.zeros(0, np.int32)
        counts = csr_matrix((np.ones(len(item), np.float32), (row, item)), shape=(len(requests), self.log.n_items))
        users: NDArray[np.float32] = self._model.recalculate_user(np.arange(len(requests)), self._weights(counts))
        return np.where((size > 0)[:, None], users, np.float32(0)), self._model.item_factors

    def _weights(self, counts: csr_matrix) -> csr_matrix:
        counts.sum_duplicates()
        counts.data = (1 + self._confidence * np.log1p(counts.data)).astype(np.float32)
        return counts
