"""Matrix factorisation by alternating least squares; a user's vector is solved anew from the history before each request.

Hu, Koren and Volinsky, "Collaborative Filtering for Implicit Feedback Datasets" (ICDM 2008), as the package implicit has it.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from timerec.evaluation.baselines.base import History, combine
from timerec.evaluation.baselines.kernels import refuse_seen, top_k
from timerec.evaluation.peers import needed
from timerec.evaluation.protocol import Pairs, Requests

BLOCK = 256  # requests whose scores of all items are held at once


class ALS:
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
        self.log, self.available, self.popularity = log, log.available(cut), log.popularity(cut)
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

    def recommend(self, requests: Requests, k: int) -> NDArray[np.int32]:
        """Int32 [n, k]."""
        log = self.log
        out = np.full((len(requests), k), -1, np.int32)
        for first in range(0, len(requests), BLOCK):
            part = slice(first, min(first + BLOCK, len(requests)))
            scores = self._users(requests, part) @ self._model.item_factors.T
            _best(
                requests.user[part], requests.time[part], scores, log.user_start, log.item, log.time, log.repeats,
                self.popularity, self.available, out[part],
            )  # fmt: skip
        return out

    def score(self, requests: Requests, pairs: Pairs) -> NDArray[np.float64]:
        """Order of (product of the factors, popularity before the cut), [P]."""
        vectors = self._users(requests, slice(0, len(requests)))
        found = np.einsum("pf,pf->p", vectors[pairs.request], self._model.item_factors[pairs.item], dtype=np.float64)
        return combine(found, self.popularity[pairs.item])

    def _users(self, requests: Requests, part: slice) -> NDArray[np.float32]:
        """Factors of the users as of their requests, [b, factors]; zeros of who has no history."""
        users, times = requests.user[part], requests.time[part]
        histories = [self.log.before(user, time)[0] for user, time in zip(users.tolist(), times.tolist(), strict=True)]
        size = np.array([len(x) for x in histories])
        row = np.repeat(np.arange(len(users)), size)
        item = np.concatenate(histories) if len(histories) else np.zeros(0, np.int32)
        counts = csr_matrix((np.ones(len(item), np.float32), (row, item)), shape=(len(users), self.log.n_items))
        vectors: NDArray[np.float32] = self._model.recalculate_user(np.arange(len(users)), self._weights(counts))
        return np.where((size > 0)[:, None], vectors, np.float32(0))

    def _weights(self, counts: csr_matrix) -> csr_matrix:
        counts.sum_duplicates()
        counts.data = (1 + self._confidence * np.log1p(counts.data)).astype(np.float32)
        return counts


@njit(cache=True)
def _best(user, when, scores, user_start, item, time, repeats, popularity, available, out):
    refused = np.full(len(available), -1, np.int64)
    for r in range(len(when)):
        if not repeats:
            refuse_seen(r, user[r], when[r], user_start, item, time, refused)
        top_k(r, when[r], scores[r], popularity, available, refused, out[r])
