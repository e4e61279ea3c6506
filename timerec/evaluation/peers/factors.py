"""What recommenders by the product of a user's and an item's factors have in common."""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np
from numba import njit
from numpy.typing import NDArray

from timerec.evaluation.baselines.base import History, combine
from timerec.evaluation.baselines.kernels import refuse_seen, top_k
from timerec.evaluation.protocol import Pairs, Requests

BLOCK = 256  # requests whose scores of all items are held at once


class Factors(ABC):
    """Lists and scores from factors; equal products are ordered by popularity before the cut."""

    def follow(self, log: History, cut: int) -> None:
        """Keep `log` for the histories that run on, and what was known before `cut`."""
        self.log, self.available, self.popularity = log, log.available(cut), log.popularity(cut)

    @abstractmethod
    def factors(self, requests: Requests) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Factors of the users as of their requests [n, F], and of the items [n_items, F]."""

    def recommend(self, requests: Requests, k: int) -> NDArray[np.int32]:
        """Int32 [n, k]."""
        log = self.log
        users, items = self.factors(requests)
        out = np.full((len(requests), k), -1, np.int32)
        for first in range(0, len(requests), BLOCK):
            part = slice(first, min(first + BLOCK, len(requests)))
            _best(
                requests.user[part], requests.time[part], users[part] @ items.T, log.user_start, log.item, log.time,
                log.repeats, self.popularity, self.available, out[part],
            )  # fmt: skip
        return out

    def score(self, requests: Requests, pairs: Pairs) -> NDArray[np.float64]:
        """Order of (product of the factors, popularity before the cut), [P]."""
        users, items = self.factors(requests)
        found = np.einsum("pf,pf->p", users[pairs.request], items[pairs.item], dtype=np.float64)
        return combine(found, self.popularity[pairs.item])


@njit(cache=True)
def _best(user, when, scores, user_start, item, time, repeats, popularity, available, out):
    refused = np.full(len(available), -1, np.int64)
    for r in range(len(when)):
        if not repeats:
            refuse_seen(r, user[r], when[r], user_start, item, time, refused)
        top_k(r, when[r], scores[r], popularity, available, refused, out[r])
