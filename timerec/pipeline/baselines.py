"""The baselines tuned and judged side by side, as Ray tasks."""

from __future__ import annotations

import time as clock
from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import ray
from numpy.typing import NDArray

from timerec.evaluation.baselines import Baseline, Ease, EasePersonal, History, standard_baselines, tune
from timerec.evaluation.protocol import Requests
from timerec.evaluation.results import Task


class Judged(NamedTuple):
    """What one system answered on the test requests."""

    name: str
    title: str
    params: dict[str, float]
    ranked: NDArray[np.int32]  # [n, k]
    scores: NDArray[np.float64]  # [P]
    seconds: dict[str, float]  # of "tuning", "fit" and "answers"; LightGBM builds "features" besides


def judge_baselines(
    own: Sequence[Baseline], log: History, val: Requests, task: Task, val_cut: int, test_cut: int
) -> list[Judged]:
    """Tune every standard baseline and the user's own on validation, and answer the test requests; Ray must be connected.

    Args:
        val_cut, test_cut: unix seconds before which parameters are fitted, while choosing and in what is judged.
    """
    plain = replace(log, user_ids=None, item_ids=None)
    shared = ray.put((plain, val, task, val_cut, test_cut))
    waiting = [_judge_family.remote(family, shared) for family in _families(standard_baselines(log.repeats))]
    here = [judge_one(one, log, val, task, val_cut, test_cut) for one in own]  # their module need not exist elsewhere
    return [judged for part in ray.get(waiting) for judged in part] + here


def judge_one(baseline: Baseline, log: History, val: Requests, task: Task, val_cut: int, test_cut: int) -> Judged:
    """Tune and answer."""
    found = tune(baseline, log, val, val_cut=val_cut, test_cut=test_cut, k=task.k)
    began = clock.perf_counter()
    ranked = baseline.recommend(task.requests, task.k)
    scores = baseline.score(task.requests, task.pairs)
    seconds = {**found.seconds, "answers": clock.perf_counter() - began}
    return Judged(baseline.name, baseline.title, found.params, ranked, scores, seconds)


def _families(baselines: list[Baseline]) -> list[list[Baseline]]:
    """Baselines that share what is fitted stay together; the longest work comes first."""
    together: list[Baseline] = [one for one in baselines if isinstance(one, Ease | EasePersonal)]
    return [together, *([one] for one in reversed(baselines) if one not in together)]


@ray.remote(num_cpus=1)
def _judge_family(family: list[Baseline], shared: tuple[History, Requests, Task, int, int]) -> list[Judged]:
    log, val, task, val_cut, test_cut = shared
    # arrays from the object store are read-only, for which the kernels would be compiled once more
    log = replace(log, user=log.user.copy(), item=log.item.copy(), time=log.time.copy(), listed=_copy(log.listed))
    return [judge_one(one, log, _writable(val), _of(task), val_cut, test_cut) for one in family]


def _copy(array: NDArray[np.int64] | None) -> NDArray[np.int64] | None:
    return None if array is None else array.copy()


def _writable(requests: Requests) -> Requests:
    return replace(
        requests, user=requests.user.copy(), time=requests.time.copy(), truth_start=requests.truth_start.copy(),
        truth_item=requests.truth_item.copy(),
    )  # fmt: skip


def _of(task: Task) -> Task:
    pairs = task.pairs._replace(request=task.pairs.request.copy(), item=task.pairs.item.copy())
    return replace(task, requests=_writable(task.requests), pairs=pairs)
