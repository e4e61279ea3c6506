"""From rows of requests to batches of tensors, computed ahead of the network in a thread of their own."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import torch
from numba import njit
from numpy.typing import NDArray
from torch import Tensor

from timerec.candidates import batch
from timerec.counters import before
from timerec.model import Inputs, inputs
from timerec.state import State

AHEAD = 3  # batches kept ready


class Example(NamedTuple):
    """A batch of requests with what they took."""

    x: Inputs
    target: Tensor  # bool [B, C]
    drawn: Tensor  # bool [B, C] negatives drawn from the catalogue, evenly or by popularity
    log_weight: Tensor  # [B, C] log of how many items a candidate stands for
    truths: Tensor  # int64 [B] items taken, candidates or not
    taken: NDArray[np.int64]  # the items taken, each once


class Builder:
    """Builds examples from Arrow rows (user, time, truth); one a thread.

    Args:
        history: events of the history window.
        negatives: drawn for each request: half evenly from the items known by then, half from the events before.
        kept: most of the request's own candidates that are scored in training, besides those taken.
    """

    def __init__(self, state: State, history: int, negatives: int, seed: int, kept: int = 1 << 30) -> None:
        self._state, self._history, self._seed, self._kept = state, history, seed, kept
        self._popular = negatives // 2
        self._even = negatives - self._popular
        self._space = state.workspace()
        self._first_known = state.first_known()
        self._by_age = np.argsort(self._first_known, kind="stable").astype(np.int32)
        self._known_order = self._first_known[self._by_age]

    def __call__(self, rows: pa.Table, *, training: bool) -> Example:
        """In training the items taken and drawn negatives are scored too, and only a sample of the own candidates."""
        users = rows["user"].to_numpy().astype(np.int32)
        times = rows["time"].to_numpy()
        truth = rows["truth"].combine_chunks()
        start = np.concatenate([[0], np.cumsum(np.asarray(truth.value_lengths()))]).astype(np.int64)
        item = truth.flatten().to_numpy().astype(np.int32)
        # seeded by the rows, so that a restart draws the same
        rng = np.random.default_rng([self._seed, len(users), int(times.sum() % (1 << 31)), int(users.astype(np.int64).sum())])
        drawn = self._draw(rng, times) if training else np.zeros((len(users), 0), np.int32)
        extra_start, extra = _together(start, item, drawn) if training else (np.zeros(len(users) + 1, np.int64), item[:0])
        built = batch.build(
            self._state.sources, self._space, self._state.layout, users, times,
            extra_start=extra_start, extra_item=extra, history=self._history,
        )  # fmt: skip
        target, negative = np.zeros(built.items.shape, bool), np.zeros(built.items.shape, bool)
        slot = self._space.candidate_slot
        _mark(built.items, built.count, start, item, slot, target)
        _mark(built.items, built.count, np.arange(len(users) + 1) * drawn.shape[1], drawn.ravel(), slot, negative)
        weight = np.zeros(built.items.shape, np.float32)
        if training:
            alive = np.searchsorted(self._known_order, times, side="right")
            _thin(
                self._state.log, times, alive, self._even, self._popular, self._kept,
                rng.random(built.items.shape), built.items, built.count, built.standard, built.features, target, negative, weight,
            )  # fmt: skip
            widest = max(int(built.count.max(initial=1)), 1)
            built = built._replace(items=built.items[:, :widest], features=np.ascontiguousarray(built.features[:, :widest]))
            target, negative, weight = target[:, :widest], negative[:, :widest], weight[:, :widest]
        mark, drawn_mark, log_weight = (torch.from_numpy(np.ascontiguousarray(x)) for x in (target, negative, weight))
        return Example(inputs(built), mark, drawn_mark, log_weight, torch.from_numpy(np.diff(start)), np.unique(item))

    def _draw(self, rng: np.random.Generator, times: NDArray[np.int64]) -> NDArray[np.int32]:
        """Negatives [B, even + popular] of requests at `times`."""
        log = self._state.log
        alive = np.searchsorted(self._known_order, times, side="right")
        even = self._by_age[(rng.random((len(times), self._even)) * alive[:, None]).astype(np.int64)]
        past = np.searchsorted(log.tape_time[: log.tape_size[0]], times)
        popular = log.tape_item[(rng.random((len(times), self._popular)) * past[:, None]).astype(np.int64)]
        return np.concatenate([even, popular], 1)


def _together(
    start: NDArray[np.int64], item: NDArray[np.int32], drawn: NDArray[np.int32]
) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
    """The items taken and those drawn, by request."""
    number = np.arange(len(drawn))
    row = np.concatenate([np.repeat(number, np.diff(start)), np.repeat(number, drawn.shape[1])])
    both = np.concatenate([item, drawn.ravel()])
    count = np.bincount(row, minlength=len(drawn))
    return np.concatenate([[0], np.cumsum(count)]).astype(np.int64), both[np.argsort(row, kind="stable")]


@njit(cache=True, nogil=True)
def _mark(items, count, start, wanted, slot, out):
    """Set out[b, c] where items[b, c] is among wanted[start[b] : start[b + 1]]; `slot` [I] is -1 everywhere."""
    for b in range(len(items)):
        for c in range(count[b]):
            slot[items[b, c]] = c
        for j in range(start[b], start[b + 1]):
            if slot[wanted[j]] >= 0:
                out[b, slot[wanted[j]]] = True
        for c in range(count[b]):
            slot[items[b, c]] = -1


@njit(cache=True, nogil=True)
def _thin(log, times, alive, even, popular, kept, chance, items, count, standard, features, target, negative, weight):
    """Keep of each request what was taken, what was drawn and a sample of `kept` of its other own candidates.

    `weight` receives the log of how many items a candidate stands for: of a sample, its inverse share; of a drawn negative, the
    inverse of how often it is expected among the draws; -inf for own candidates that are there only because they were drawn.
    """
    for b in range(len(items)):
        others = 0
        for c in range(standard[b]):
            others += not target[b, c]
        need = min(kept, others)
        share = np.log(others / need) if need else 0.0
        past = before(log.tape_time, 0, log.tape_size[0], times[b])
        place, own = 0, 0
        for c in range(count[b]):
            value = 0.0
            if target[b, c]:
                stays = True
            elif c < standard[b]:
                stays = chance[b, c] * others < need  # selection sampling (Knuth, TAOCP 2, algorithm S)
                others -= 1
                if stays:
                    need -= 1
                    value = share
                elif negative[b, c]:
                    stays, value = True, -np.inf
            else:
                stays = True
                item = items[b, c]
                taken = before(log.occurrence_time, log.item_start[item], log.item_size[item], times[b])
                expected = even / max(alive[b], 1) + popular * taken / max(past, 1)
                value = max(-np.log(max(expected, 1e-12)), 0.0)
            if stays:
                items[b, place] = items[b, c]
                features[b, place] = features[b, c]
                target[b, place] = target[b, c]
                negative[b, place] = negative[b, c] and not target[b, c]
                weight[b, place] = value
                place += 1
                own += c < standard[b]
        for c in range(place, count[b]):
            items[b, c] = 0
            features[b, c] = 0.0
            target[b, c] = False
            negative[b, c] = False
            weight[b, c] = 0.0
        count[b], standard[b] = place, own


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
