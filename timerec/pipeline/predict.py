"""Stage 6: lists and scores in bulk, on a pool of Ray actors."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import ray.data
import torch
from numpy.typing import NDArray

from timerec.bundle import Bundle
from timerec.config import ClusterConfig
from timerec.engine import Engine
from timerec.training.sources import StateFiles

TASK = 256  # requests of a task


class Job(NamedTuple):
    """Requests (users[r], times[r]) to answer: k items each, and the scores of given pairs."""

    files: StateFiles
    users: NDArray[np.int32]
    times: NDArray[np.int64]
    k: int = 0
    pairs: tuple[NDArray[np.int64], NDArray[np.int32]] | None = None  # (start [n + 1], item [P])
    weights: Path | None = None  # other weights than the bundle's own


Answer = tuple[NDArray[np.int32], NDArray[np.float32], NDArray[np.float32]]


class _Worker:
    """One actor of the pool: the state is memory-mapped, the models its own, each opened when its requests come."""

    def __init__(self, systems: list[tuple[StateFiles, Path | None, int]], bundle: Path, device: str) -> None:
        torch.set_num_threads(1)
        self._systems, self._bundle, self._device = systems, bundle, device
        self._engine = lru_cache(maxsize=1)(self._open)  # requests come job by job

    def _open(self, job: int) -> Engine:
        files, weights, _ = self._systems[job]
        state = files.open()
        return Engine(state, Bundle.open(self._bundle, verify=False).model(state, weights), self._device)

    def __call__(self, rows: pa.Table) -> pa.Table:
        jobs = pc.unique(rows["job"]).to_pylist() or [0]  # one, unless Ray has put blocks together
        return pa.concat_tables([self._answer(rows.filter(pc.equal(rows["job"], job)), job) for job in jobs])

    def _answer(self, rows: pa.Table, job: int) -> pa.Table:
        k = self._systems[job][2]
        users, times = rows["user"].to_numpy().astype(np.int32), rows["time"].to_numpy()
        pairs = rows["pairs"].combine_chunks()
        start = np.concatenate([[0], np.cumsum(np.asarray(pairs.value_lengths()))]).astype(np.int64)
        asked = pairs.flatten().to_numpy().astype(np.int32)
        items, scores, found = self._engine(job).answer(users, times, k, start, asked)
        offsets = pa.array(np.arange(len(users) + 1) * k)
        return pa.table(
            {
                "job": rows["job"],
                "row": rows["row"],
                "items": pa.LargeListArray.from_arrays(offsets, pa.array(items.ravel())),
                "scores": pa.LargeListArray.from_arrays(offsets, pa.array(scores.ravel())),
                "pair_scores": pa.LargeListArray.from_arrays(pa.array(start), pa.array(found)),
            }
        )


def answer(
    files: StateFiles,
    bundle: Path,
    users: NDArray[np.int32],
    times: NDArray[np.int64],
    *,
    k: int = 0,
    pairs: tuple[NDArray[np.int64], NDArray[np.int32]] | None = None,
    weights: Path | None = None,
    cluster: ClusterConfig | None = None,
) -> Answer:
    """Answer one job (see `answer_jobs`)."""
    return answer_jobs(bundle, [Job(files, users, times, k, pairs, weights)], cluster)[0]


def answer_jobs(bundle: Path, jobs: list[Job], cluster: ClusterConfig | None = None) -> list[Answer]:
    """Answer the requests of all jobs on one pool; Ray must be connected.

    Args:
        cluster: how many actors, and whether they use GPUs.

    Returns:
        Of each job: items int32 [n, k] (-1 = none), scores float32 [n, k], pair scores float32 [P].
    """
    cluster = cluster or ClusterConfig()
    gpus = cluster.gpus_per_worker
    starts, blocks, out = [], [], []
    for number, job in enumerate(jobs):
        n = len(job.users)
        start, item = job.pairs if job.pairs else (np.zeros(n + 1, np.int64), np.zeros(0, np.int32))
        asked = pa.LargeListArray.from_arrays(pa.array(start), pa.array(item))
        order = np.argsort(job.times, kind="stable")  # requests of one time read the same parts of the log
        columns = {"job": np.full(n, number), "row": np.arange(n), "user": job.users, "time": job.times, "pairs": asked}
        table = pa.table(columns).take(pa.array(order))
        blocks += [table.slice(first, TASK) for first in range(0, n, TASK)]
        starts.append(start)
        out.append((np.full((n, job.k), -1, np.int32), np.full((n, job.k), -np.inf, np.float32), np.empty(len(item), np.float32)))
    found = ray.data.from_arrow(blocks).map_batches(
        _Worker,  # type: ignore[arg-type]  # Ray's protocol knows no further arguments
        fn_constructor_kwargs={
            "systems": [(job.files, job.weights, job.k) for job in jobs],
            "bundle": Path(bundle).resolve(),
            "device": "cuda" if gpus else "cpu",
        },
        batch_format="pyarrow",
        batch_size=None,
        zero_copy_batch=True,
        compute=ray.data.ActorPoolStrategy(size=max(1, min(cluster.workers or 2, len(blocks)))),
        num_cpus=1,
        num_gpus=gpus or None,
    )
    parts: Iterable[Any] = found.iter_batches(batch_size=None, batch_format="pyarrow")
    for number, part in ((job, part.filter(pc.equal(part["job"], job))) for part in parts for job in range(len(jobs))):
        if not part.num_rows:
            continue
        (items, scores, pair_scores), start, k = out[number], starts[number], jobs[number].k
        row = part["row"].to_numpy()
        items[row] = part["items"].combine_chunks().flatten().to_numpy().reshape(-1, k) if k else 0
        scores[row] = part["scores"].combine_chunks().flatten().to_numpy().reshape(-1, k) if k else 0
        flat = part["pair_scores"].combine_chunks().flatten().to_numpy()
        size = start[row + 1] - start[row]
        place = np.repeat(start[row] - np.concatenate([[0], np.cumsum(size)])[:-1], size) + np.arange(size.sum())
        pair_scores[place] = flat
    return out
