"""Gradient boosted trees by LambdaRank over the very features and candidates that the joint model reads.

Burges, "From RankNet to LambdaRank to LambdaMART: An Overview" (2010), as the package LightGBM has it.
"""

from __future__ import annotations

import time as clock
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from timerec.candidates import batch
from timerec.config import TrainConfig
from timerec.evaluation.baselines.tune import sample
from timerec.evaluation.metrics import ranking_metrics
from timerec.evaluation.peers import needed
from timerec.evaluation.protocol import Requests
from timerec.state import State
from timerec.training.requests import TrainingRequests, between, draw
from timerec.training.rules import LAST_HALF_LIFE, last_size, segments

REQUESTS = 16_000  # training requests, the newer ones more often; for the test as many as the model besides, of the newest
NEGATIVES = 60  # of a request's candidates that nobody took
TREES, PATIENCE = 600, 40
TUNING = 1_000  # validation requests on which trees and settings are chosen
BLOCK = 64
GRID: list[dict[str, float]] = [
    {"num_leaves": 31, "learning_rate": 0.1, "min_data_in_leaf": 50},
    {"num_leaves": 63, "learning_rate": 0.05, "min_data_in_leaf": 100},
    {"num_leaves": 127, "learning_rate": 0.05, "min_data_in_leaf": 200},
]
FIXED = {
    "objective": "lambdarank", "metric": "ndcg", "eval_at": [10], "lambdarank_truncation_level": 30, "feature_fraction": 0.7,
    "bagging_fraction": 0.8, "bagging_freq": 1, "verbosity": -1, "deterministic": True,
}  # fmt: skip


class Rows(NamedTuple):
    """Candidates of requests as rows, those of one request together."""

    features: NDArray[np.float32]  # [N, F + G]
    label: NDArray[np.int8]  # [N]
    size: NDArray[np.int64]  # rows of each request that has any


class LambdaRank:
    """Tuned on validation, then fitted again with as many trees on requests up to the test."""

    name = "lightgbm"
    title = "LightGBM LambdaRank"

    def __init__(self, state: State, train: TrainConfig, threads: int) -> None:
        self._state, self._train, self._threads = state, train, threads
        self._space = state.workspace()
        self.seconds = {"features": 0.0, "tuning": 0.0, "fit": 0.0}
        self.tuned_seconds = 0.0  # of these, until the trees that were tuned stood
        self.tried: list[tuple[dict[str, float], float]] = []  # settings and trees, with validation NDCG@k

    def tune(self, val: Requests, val_from: int, test_from: int, k: int = 10) -> dict[str, float]:
        """Choose settings and trees on validation requests, and fit what answers the test; returns the choice."""
        lightgbm = needed("lightgbm")
        state, train = self._state, self._train
        first_known, begin = state.first_known(), int(state.log.event_time.min())
        span = val_from - begin
        early = between(state.log, first_known, begin + 1, val_from, state.sources.repeats)
        late = between(state.log, first_known, begin + 1, test_from, state.sources.repeats)
        judged = between(state.log, first_known, val_from, test_from, state.sources.repeats)
        rng = np.random.default_rng(train.seed)
        some = sample(val, TUNING)
        began = clock.perf_counter()
        learn = self.rows(draw(early, REQUESTS, train.recency * span, val_from, train.seed), rng)
        stop = self.rows(judged.take(np.sort(rng.permutation(len(judged.user))[:TUNING])), None)
        self.seconds["features"] += clock.perf_counter() - began
        began = clock.perf_counter()
        self.tried, boosters = [], []
        for settings in GRID:
            self._booster = lightgbm.train(
                self._params(settings), self._set(learn), TREES, [self._set(stop)],
                callbacks=[lightgbm.early_stopping(PATIENCE, verbose=False)],
            )  # fmt: skip
            ranked, _ = self.answer(some, k)
            ndcg = ranking_metrics(ranked, some.truth_start, some.truth_item, k)[f"ndcg@{k}"].mean()
            self.tried.append(({**settings, "trees": float(self._booster.best_iteration)}, float(ndcg)))
            boosters.append(self._booster)
        chosen_at = max(range(len(GRID)), key=lambda n: self.tried[n][1])
        best, self._tuned = self.tried[chosen_at][0], boosters[chosen_at]
        self.seconds["tuning"] += clock.perf_counter() - began
        self.tuned_seconds = sum(self.seconds.values())
        began = clock.perf_counter()
        newest = last_size(segments(train, len(early.user))[0], len(early.user))
        learn = _both(
            self.rows(draw(late, REQUESTS, train.recency * span, test_from, train.seed + 1), rng),
            self.rows(draw(late, newest, LAST_HALF_LIFE * (test_from - val_from), test_from, train.seed + 2), rng),
        )
        self.seconds["features"] += clock.perf_counter() - began
        began = clock.perf_counter()
        chosen = {name: value for name, value in best.items() if name != "trees"}
        self._booster = lightgbm.train(self._params(chosen), self._set(learn), int(best["trees"]))
        self.seconds["fit"] += clock.perf_counter() - began
        return best

    def answer(
        self,
        requests: Requests,
        k: int,
        start: NDArray[np.int64] | None = None,
        item: NDArray[np.int32] | None = None,
        *,
        tuned: bool = False,
    ) -> tuple[NDArray[np.int32], NDArray[np.float64]]:
        """Lists int32 [n, k] of the requests' own candidates, and scores [P] of item[start[r] : start[r + 1]].

        Args:
            tuned: by the trees that were fitted before validation, not by those for the test.
        """
        booster = self._tuned if tuned else self._booster
        n = len(requests)
        start = np.zeros(n + 1, np.int64) if start is None else start
        item = np.zeros(0, np.int32) if item is None else item
        ranked, scores = np.full((n, k), -1, np.int32), np.zeros(len(item))
        for first in range(0, n, BLOCK):
            part = np.arange(first, min(first + BLOCK, n))
            low, high = start[part[0]], start[part[-1] + 1]
            built = self._build(requests.user[part], requests.time[part], start[part[0] : part[-1] + 2] - low, item[low:high])
            real = np.arange(built.items.shape[1]) < built.count[:, None]
            found = np.full(real.shape, -np.inf)
            found[real] = booster.predict(self._wide(built, real), num_threads=self._threads)
            own = np.where(np.arange(real.shape[1]) < built.standard[:, None], found, -np.inf)
            order = np.argsort(-own, axis=1, kind="stable")[:, :k]
            best = np.take_along_axis(own, order, 1)
            ranked[part, : order.shape[1]] = np.where(np.isfinite(best), np.take_along_axis(built.items, order, 1), -1)
            for at, r in enumerate(part):
                asked = item[start[r] : start[r + 1]]
                names = built.items[at, : built.count[at]]
                sorter = np.argsort(names, kind="stable")
                scores[start[r] : start[r + 1]] = found[at, sorter[np.searchsorted(names, asked, sorter=sorter)]]
        return ranked, scores

    def rows(self, requests: TrainingRequests, rng: np.random.Generator | None) -> Rows:
        """Rows of the requests whose candidates hold something taken; all others of a request, or NEGATIVES by `rng`."""
        features, label, size = [], [], []
        for first in range(0, len(requests.user), BLOCK):
            part = requests.take(np.arange(first, min(first + BLOCK, len(requests.user))))
            none = np.zeros(len(part.user) + 1, np.int64)
            built = self._build(part.user, part.time, none, np.zeros(0, np.int32))
            keep = np.zeros(built.items.shape, bool)
            took = np.zeros(built.items.shape, bool)
            for r in range(len(part.user)):
                c = int(built.count[r])
                took[r, :c] = np.isin(built.items[r, :c], part.item[part.start[r] : part.start[r + 1]])
                if took[r].any():
                    others = np.flatnonzero(~took[r, :c])
                    keep[r] = took[r]
                    keep[r, others if rng is None else rng.permutation(others)[:NEGATIVES]] = True
            features.append(self._wide(built, keep))
            label.append(took[keep].astype(np.int8))
            size.append(keep.sum(1)[keep.any(1)])
        return Rows(np.concatenate(features), np.concatenate(label), np.concatenate(size))

    def _build(
        self, users: NDArray[np.int32], times: NDArray[np.int64], start: NDArray[np.int64], item: NDArray[np.int32]
    ) -> batch.Batch:
        return batch.build(
            self._state.sources, self._space, self._state.layout, users, times, extra_start=start, extra_item=item, history=1
        )

    @staticmethod
    def _wide(built: batch.Batch, keep: NDArray[np.bool_]) -> NDArray[np.float32]:
        """Features of the kept pairs, beside the context of their requests."""
        return np.concatenate([built.features[keep], built.context[np.nonzero(keep)[0]]], 1)

    def _params(self, settings: dict[str, float]) -> dict[str, Any]:
        whole = {name: int(value) if value == int(value) else value for name, value in settings.items()}
        return {**FIXED, **whole, "seed": self._train.seed, "num_threads": self._threads}

    def _set(self, rows: Rows) -> Any:
        return needed("lightgbm").Dataset(rows.features, rows.label, group=rows.size, free_raw_data=False)


def _both(one: Rows, other: Rows) -> Rows:
    features, label, size = (np.concatenate([getattr(part, name) for part in (one, other)]) for name in Rows._fields)
    return Rows(features, label, size)
