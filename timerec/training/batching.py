"""From rows of requests to batches of tensors, computed ahead of the network in a thread of their own."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray
from torch import Tensor

from timerec.candidates import batch
from timerec.candidates.pairs import workspace
from timerec.model import Inputs, inputs
from timerec.state import State

AHEAD = 3  # batches kept ready


class Example(NamedTuple):
    """A batch of requests with what they took."""

    x: Inputs
    target: Tensor  # bool [B, C]
    log_weight: Tensor  # [B, C] log of how many items a candidate stands for
    truths: Tensor  # int64 [B] items taken, candidates or not
    taken: NDArray[np.int64]  # the items taken, each once


class Builder:
    """Builds examples from Arrow rows (user, time, truth); one a thread."""

    def __init__(self, state: State, history: int, negatives: int, seed: int) -> None:
        self._state, self._history, self._negatives, self._seed = state, history, negatives, seed
        self._space = workspace(state.log)
        self._first_known = state.first_known()
        self._by_age = np.argsort(self._first_known, kind="stable").astype(np.int32)
        self._known_order = self._first_known[self._by_age]

    def __call__(self, rows: pa.Table, *, training: bool) -> Example:
        """In training the items taken and uniform negatives are scored beside the request's own candidates."""
        users = rows["user"].to_numpy().astype(np.int32)
        times = rows["time"].to_numpy()
        truth = rows["truth"].combine_chunks()
        start = np.concatenate([[0], np.cumsum(np.asarray(truth.value_lengths()))]).astype(np.int64)
        item = truth.flatten().to_numpy().astype(np.int32)
        if training:
            extra_start, extra = self._extras(users, times, start, item)
        else:
            extra_start, extra = np.zeros(len(users) + 1, np.int64), np.zeros(0, np.int32)
        built = batch.build(
            self._state.sources, self._space, self._state.layout, users, times,
            extra_start=extra_start, extra_item=extra, history=self._history,
        )  # fmt: skip
        x = inputs(built)
        target = torch.from_numpy(_member(built.items, start, item)) & x.mask
        alive = np.searchsorted(self._known_order, times, side="right")
        weight = torch.from_numpy(np.log(np.maximum(alive / self._negatives, 1.0)).astype(np.float32))
        sampled = x.mask & ~x.standard & ~target
        return Example(x, target, weight[:, None] * sampled, torch.from_numpy(np.diff(start)), np.unique(item))

    def _extras(
        self, users: NDArray[np.int32], times: NDArray[np.int64], start: NDArray[np.int64], item: NDArray[np.int32]
    ) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
        # seeded by the rows, so that a restart draws the same
        rng = np.random.default_rng([self._seed, len(users), int(times.sum() % (1 << 31)), int(users.astype(np.int64).sum())])
        alive = np.searchsorted(self._known_order, times, side="right")
        drawn = self._by_age[(rng.random((len(users), self._negatives)) * alive[:, None]).astype(np.int64)]
        number = np.arange(len(users))
        row = np.concatenate([np.repeat(number, np.diff(start)), np.repeat(number, self._negatives)])
        both = np.concatenate([item, drawn.ravel()])
        order = np.argsort(row, kind="stable")
        count = np.bincount(row, minlength=len(users))
        return np.concatenate([[0], np.cumsum(count)]).astype(np.int64), both[order]


def _member(items: NDArray[np.int32], start: NDArray[np.int64], truth: NDArray[np.int32]) -> NDArray[np.bool_]:
    """Whether items[b, c] is among the truth of request b."""
    row = np.repeat(np.arange(len(items), dtype=np.int64), np.diff(start))
    span = np.int64(max(items.max(initial=0), truth.max(initial=0)) + 1)
    return np.isin(np.arange(len(items), dtype=np.int64)[:, None] * span + items, row * span + truth)


def ahead(builder: Builder, tables: Iterable[pa.Table], *, training: bool) -> Iterator[Example]:
    """Examples of the tables, built while the caller computes; an error in the thread is raised here."""
    ready: queue.Queue[Example | BaseException | None] = queue.Queue(AHEAD)
    stopped = threading.Event()

    def produce() -> None:
        last: BaseException | None = None
        try:
            for table in tables:
                if table.num_rows:
                    ready.put(builder(table, training=training))
                if stopped.is_set():
                    return
        except BaseException as error:
            last = error
        ready.put(last)

    thread = threading.Thread(target=produce, daemon=True)
    thread.start()
    try:
        while (example := ready.get()) is not None:
            if isinstance(example, BaseException):
                raise example
            yield example
    finally:
        stopped.set()
        while thread.is_alive():  # empty the queue until the thread notices
            try:
                ready.get(timeout=0.1)
            except queue.Empty:
                continue
