"""Stage 6: lists and scores in bulk, on a pool of Ray actors."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import ray.data
import torch
from numpy.typing import NDArray

from timerec.bundle import Bundle
from timerec.config import ClusterConfig
from timerec.engine import Engine
from timerec.training.sources import StateFiles

TASK = 256  # requests of a task


class _Worker:
    """One actor of the pool: the state is memory-mapped, the model its own."""

    def __init__(self, files: StateFiles, bundle: Path, weights: Path | None, device: str) -> None:
        torch.set_num_threads(1)
        state = files.open()
        self._engine = Engine(state, Bundle.open(bundle, verify=False).model(state, weights), device)

    def __call__(self, rows: pa.Table, k: int) -> pa.Table:
        users, times = rows["user"].to_numpy().astype(np.int32), rows["time"].to_numpy()
        out: dict[str, Any] = {"row": rows["row"]}
        if k:
            items, scores = self._engine.rank(users, times, k)
            out["items"] = pa.FixedSizeListArray.from_arrays(pa.array(items.ravel()), k)
            out["scores"] = pa.FixedSizeListArray.from_arrays(pa.array(scores.ravel()), k)
        pairs = rows["pairs"].combine_chunks()
        size = np.asarray(pairs.value_lengths())
        if size.sum():
            start = np.concatenate([[0], np.cumsum(size)]).astype(np.int64)
            found = self._engine.score(users, times, start, pairs.flatten().to_numpy().astype(np.int32))
            out["pair_scores"] = pa.LargeListArray.from_arrays(pa.array(start), pa.array(found))
        else:
            out["pair_scores"] = pa.array([[]] * rows.num_rows, pa.large_list(pa.float32()))
        return pa.table(out)


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
) -> tuple[NDArray[np.int32], NDArray[np.float32], NDArray[np.float32]]:
    """Answer requests (users[r], times[r]); Ray must be connected.

    Args:
        k: length of the lists; 0 for none.
        pairs: (start [n + 1], item [P]) items to score for each request.
        weights: other weights than the bundle's own.
        cluster: how many actors, and whether they use GPUs.

    Returns:
        items int32 [n, k] (-1 = none), scores float32 [n, k], pair scores float32 [P].
    """
    n, cluster = len(users), cluster or ClusterConfig()
    gpus = cluster.gpus_per_worker
    start, item = pairs if pairs else (np.zeros(n + 1, np.int64), np.zeros(0, np.int32))
    asked = pa.LargeListArray.from_arrays(pa.array(start), pa.array(item))
    order = np.argsort(times, kind="stable")  # requests of one time read the same parts of the log
    table = pa.table({"row": np.arange(n), "user": users, "time": times, "pairs": asked}).take(pa.array(order))
    blocks = [table.slice(first, TASK) for first in range(0, n, TASK)]
    found = ray.data.from_arrow(blocks).map_batches(
        _Worker,  # type: ignore[arg-type]  # Ray's protocol knows no further arguments
        fn_constructor_kwargs={
            "files": files,
            "bundle": Path(bundle).resolve(),
            "weights": weights,
            "device": "cuda" if gpus else "cpu",
        },
        fn_kwargs={"k": k},
        batch_format="pyarrow",
        batch_size=None,
        zero_copy_batch=True,
        compute=ray.data.ActorPoolStrategy(size=max(1, min(cluster.workers or 2, len(blocks)))),
        num_cpus=1,
        num_gpus=gpus or None,
    )
    items, scores = np.full((n, k), -1, np.int32), np.full((n, k), -np.inf, np.float32)
    pair_scores = np.empty(len(item), np.float32)
    parts: Iterable[Any] = found.iter_batches(batch_size=None, batch_format="pyarrow")
    for part in parts:
        if not part.num_rows:
            continue
        row = part["row"].to_numpy()
        if k:
            items[row] = part["items"].combine_chunks().flatten().to_numpy().reshape(-1, k)
            scores[row] = part["scores"].combine_chunks().flatten().to_numpy().reshape(-1, k)
        flat = part["pair_scores"].combine_chunks().flatten().to_numpy()
        size = start[row + 1] - start[row]
        place = np.repeat(start[row] - np.concatenate([[0], np.cumsum(size)])[:-1], size) + np.arange(size.sum())
        pair_scores[place] = flat
    return items, scores, pair_scores
