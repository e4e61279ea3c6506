"""Choosing a baseline's parameters by validation NDCG; then fitting it on everything before the test."""

from __future__ import annotations

import time as clock
from typing import NamedTuple

import numpy as np

from timerec.evaluation.baselines.base import Baseline, History
from timerec.evaluation.metrics import ranking_metrics
from timerec.evaluation.protocol import Requests

TUNING = 1_000  # validation requests on which a grid is tried, at most, where the baseline does not say fewer


class Tuned(NamedTuple):
    """The choice, and what it was made from."""

    params: dict[str, float]
    tried: list[tuple[dict[str, float], float]]  # every point of the grid with its validation NDCG@k
    seconds: dict[str, float]  # "tuning" and "fit"


def tune(baseline: Baseline, log: History, val_requests: Requests, *, val_cut: int, test_cut: int, k: int = 10) -> Tuned:
    """Try the grid on (a sample of) the validation requests, and leave `baseline` fitted before `test_cut` with the best point.

    Args:
        val_cut, test_cut: unix seconds; the grid is judged by what is fitted before the first. Of equal points the
            first wins.
    """
    began = clock.perf_counter()
    some = sample(val_requests, getattr(baseline, "tuning", TUNING))
    tried = []
    for params in baseline.grid:
        if len(baseline.grid) == 1:  # nothing to choose
            tried.append((params, float("nan")))
            break
        baseline.fit(log, val_cut, **params)
        ranked = baseline.recommend(some, k)
        ndcg = ranking_metrics(ranked, some.truth_start, some.truth_item, k)[f"ndcg@{k}"]
        tried.append((params, float(ndcg.mean())))
    best, _ = tried[0] if len(tried) == 1 else max(tried, key=lambda point: point[1])
    chosen = clock.perf_counter()
    baseline.fit(log, test_cut, **best)
    return Tuned(best, tried, {"tuning": chosen - began, "fit": clock.perf_counter() - chosen})


def sample(requests: Requests, most: int, seed: int = 0) -> Requests:
    """At most so many of the requests, drawn evenly, in the same order."""
    if len(requests) <= most:
        return requests
    kept = np.zeros(len(requests), bool)
    kept[np.random.default_rng(seed).permutation(len(requests))[:most]] = True
    return requests.keep_truth(kept[requests.truth_row])[0]
