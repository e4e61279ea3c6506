"""What the judged model's lists show beyond accuracy, on subsamples of the test requests where all would take long."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from timerec.bundle import Bundle
from timerec.config import ClusterConfig
from timerec.engine import Engine
from timerec.evaluation.findings import against, by_age, calibration, popularity_bias, score_shares, taken_share
from timerec.evaluation.metrics import ranking_metrics
from timerec.evaluation.protocol import Requests
from timerec.evaluation.results import Task
from timerec.evaluation.segments import Mask, item_segments, user_segments
from timerec.fusion.fuse import GROUPS
from timerec.pipeline.predict import Job, answer_jobs
from timerec.training.sources import StateFiles

LOOKED_INTO = 300  # requests whose scores are taken apart
AGED = 1500  # requests that older models answer
SEED = 17
REPS = 500


def study(
    task: Task,
    files: StateFiles,
    before: StateFiles,
    bundle: Path,
    tuned: Path,
    ours: NDArray[np.int32],
    theirs: NDArray[np.int32],
    taken: Mask,
    cluster: ClusterConfig,
    cuts: tuple[int, int],
) -> dict[str, Any]:
    """The findings for the report.

    Args:
        files, before: state for the final weights and for the tuned ones.
        bundle: the judged bundle; tuned: weights from before validation.
        ours, theirs: lists [n, k] of the model and of the best baseline.
        taken: which truth items the user had taken before.
        cuts: unix seconds at which validation and test begin.

    Returns:
        {"shares": {"groups", "pairs", "requests"}, "against": `findings.against`, "calibration": `findings.calibration` with
        "requests", "popularity": `findings.popularity_bias`, "age": `findings.by_age`}
    """
    requests, k = task.requests, task.k
    some = sample(len(requests), LOOKED_INTO)
    state = files.open()
    engine = Engine(state, Bundle.open(bundle, verify=False).model(state))
    seen = engine.take_apart(requests.user[some], requests.time[some], k)
    real = seen.items >= 0
    hit = taken_share(rows_of(requests, some), seen.items)
    return {
        "shares": {"groups": score_shares(seen.values[real], GROUPS), "pairs": int(real.sum()), "requests": len(some)},
        "against": against(
            requests, ours, theirs, user_segments(requests), item_segments(requests, task.popularity, taken), cuts[1],
            k=k, reps=REPS,
        ),
        "calibration": calibration(seen.probability[real], hit[real]) | {"requests": len(some)},
        "popularity": popularity_bias(requests, ours, task.popularity, REPS),
        "age": _age(task, files, before, bundle, tuned, ours, cluster, cuts),
    }  # fmt: skip


def sample(n: int, size: int) -> NDArray[np.int64]:
    """At most `size` of n places, ascending."""
    return np.sort(np.random.default_rng(SEED).permutation(n)[:size])


def rows_of(requests: Requests, rows: NDArray[np.int64]) -> Requests:
    """The requests `rows` (ascending) with their truth."""
    chosen = np.zeros(len(requests), bool)
    chosen[rows] = True
    return requests.keep_truth(chosen[requests.truth_row])[0]


def _age(
    task: Task, files: StateFiles, before: StateFiles, bundle: Path, tuned: Path, ours: NDArray[np.int32],
    cluster: ClusterConfig, cuts: tuple[int, int],
) -> dict[str, Any]:  # fmt: skip
    val_from, test_from = cuts
    rows = sample(len(task.requests), AGED)
    part, k = rows_of(task.requests, rows), task.k
    # as of the cut a user's answer is always the same
    who, place = np.unique(part.user, return_inverse=True)
    jobs = [
        Job(before, part.user, part.time, k, weights=tuned.resolve()),
        Job(files, who, np.full(len(who), test_from), k),
    ]
    (older, _, _), (frozen, _, _) = answer_jobs(bundle, jobs, cluster)
    lists = {"fresh": ours[rows], "older": older, "frozen": frozen[place]}
    values = {name: ranking_metrics(x, part.truth_start, part.truth_item, k)[f"ndcg@{k}"] for name, x in lists.items()}
    return by_age(part, values, test_from, test_from - val_from, REPS)
