"""What is said of each judged system, as plain dictionaries that go into metrics.json and the report."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from timerec.evaluation import metrics
from timerec.evaluation.bootstrap import all_paired, named
from timerec.evaluation.protocol import POPULARITY, TRUTH, UNIFORM, Pairs, Requests

Values = dict[str, NDArray[np.float64]]


@dataclass(frozen=True)
class Task:
    """What all systems are judged on."""

    requests: Requests
    pairs: Pairs
    popularity: NDArray[np.float64]  # [n_items] events before the cut
    catalogue_size: int  # items that could be recommended to somebody
    k: int = 10
    reps: int = 1000  # of the bootstrap


def per_request(task: Task, ranked: NDArray[np.int32], scores: NDArray[np.float64]) -> Values:
    """Every metric of every request, [n] each.

    Args:
        ranked: int32 [n, >= k] lists, best first, -1 = empty.
        scores: [P] one a pair of `task.pairs`.
    """
    requests, pairs = task.requests, task.pairs
    values = metrics.ranking_metrics(ranked, requests.truth_start, requests.truth_item, task.k)
    for name, kind in (("auc_uniform", UNIFORM), ("auc_popularity", POPULARITY)):
        used = (pairs.kind == TRUTH) | (pairs.kind == kind)
        label = pairs.kind[used] == TRUTH
        values[name] = metrics.auc(pairs.request[used], scores[used], label, len(requests))
    return values


def describe_system(
    task: Task, name: str, title: str, kind: str, ranked: NDArray[np.int32], values: Values, **more: Any
) -> dict[str, Any]:
    """The entry of one system in `results["systems"]` (see `timerec.evaluation.report`).

    Args:
        kind: "model" or "baseline".
        values: as `per_request` gives them.
        more: further facts, for example params={"half_life": 86400.0}, seconds={"fit": 1.5}.
    """
    k = task.k
    return {
        "name": name,
        "title": title,
        "kind": kind,
        "metrics": named(values, task.requests.user, task.reps),
        "lists": {
            f"coverage@{k}": metrics.coverage(ranked, k, task.catalogue_size),
            f"novelty@{k}": metrics.novelty(ranked, k, task.popularity),
            f"popularity_percentile@{k}": metrics.popularity_percentile(ranked, k, task.popularity),
        },
        **more,
    }


def compare(task: Task, ours: Values, baselines: dict[str, Values]) -> list[dict[str, Any]]:
    """Paired differences of the model to every baseline in every metric, for `results["paired"]`."""
    asked = [(name, metric) for name in baselines for metric in ours]
    found = all_paired([ours[metric] - baselines[name][metric] for name, metric in asked], task.requests.user, task.reps)
    return [{"baseline": name, "metric": metric} | x._asdict() for (name, metric), x in zip(asked, found, strict=True)]


def plain(tree: Any) -> Any:
    """The same tree in JSON's own types: NumPy numbers become Python's, and what is not finite becomes null."""
    if isinstance(tree, dict):
        return {str(key): plain(value) for key, value in tree.items()}
    if isinstance(tree, list | tuple):
        return [plain(value) for value in tree]
    if isinstance(tree, np.ndarray):
        return plain(tree.tolist())
    if isinstance(tree, np.generic):
        return plain(tree.item())
    if isinstance(tree, float) and not math.isfinite(tree):
        return None
    return tree
