"""Answers in terms of dense indices: lists, scores of pairs and explanations, as of the moment of each request."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from timerec.candidates import batch
from timerec.fusion.fuse import GROUPS
from timerec.model import Inputs, JointModel, inputs
from timerec.state import State

REQUESTS = 64  # answered at once


class Explained(NamedTuple):
    """Shapley values of the groups for scored pairs; they sum to score - baseline."""

    values: NDArray[np.float32]  # [P, groups], in the order of timerec.fusion.fuse.GROUPS
    baseline: NDArray[np.float32]  # [P]
    score: NDArray[np.float32]  # [P]


class TakenApart(NamedTuple):
    """Lists of n requests, k places each (-1 = empty), with what is behind each place."""

    items: NDArray[np.int32]  # [n, k]
    probability: NDArray[np.float32]  # [n, k] softmax of the score over the request's candidates
    values: NDArray[np.float32]  # [n, k, groups] Shapley values, in the order of timerec.fusion.fuse.GROUPS


class Engine:
    """A state and a model that scores on it. Not for use by several threads at once."""

    def __init__(self, state: State, model: JointModel, device: str = "cpu") -> None:
        self.state, self.model = state.without(model.shape.fusion.get("without", ())), model.to(device).eval()
        self._device = torch.device(device)
        self._space = state.workspace()
        self._history = int(model.shape.fusion["history"])

    def rank(self, users: NDArray[np.int32], times: NDArray[np.int64], k: int) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
        """Best k items [n, k] of each request and their scores; -1 and -inf where a request has fewer candidates.

        Args:
            users: indices [n], -1 for strangers; times: unix seconds [n].
        """
        items, scores, _ = self.answer(users, times, k, np.zeros(len(users) + 1, np.int64), np.zeros(0, np.int32))
        return items, scores

    def score(
        self, users: NDArray[np.int32], times: NDArray[np.int64], start: NDArray[np.int64], item: NDArray[np.int32]
    ) -> NDArray[np.float32]:
        """Scores [P] of the items item[start[r] : start[r + 1]] for each request r, comparable with those of `rank`."""
        return self.answer(users, times, 0, start, item)[2]

    @torch.inference_mode()
    def answer(
        self, users: NDArray[np.int32], times: NDArray[np.int64], k: int, start: NDArray[np.int64], item: NDArray[np.int32]
    ) -> tuple[NDArray[np.int32], NDArray[np.float32], NDArray[np.float32]]:
        """What `rank` and `score` give, from one pass over the requests: lists name the requests' own candidates only."""
        items = np.full((len(users), k), -1, np.int32)
        scores = np.full((len(users), k), -np.inf, np.float32)
        out = np.empty(len(item), np.float32)
        for first in range(0, len(users), REQUESTS):
            part = slice(first, min(first + REQUESTS, len(users)))
            low, high = start[part.start], start[part.stop]
            bounds = start[part.start : part.stop + 1] - low
            built = self._build(users[part], times[part], bounds, item[low:high])
            found = self.model(inputs(built).to(self._device)).cpu().numpy()
            if high > low:
                out[low:high] = found[_places(built, bounds, item[low:high])]
            # equal scores: the earlier candidate first, so that a list does not depend on chance
            own = np.where(np.arange(found.shape[1]) < built.standard[:, None], found, -np.inf)
            order = np.argsort(-own, axis=1, kind="stable")[:, :k]
            best = np.take_along_axis(own, order, 1)
            chosen = np.where(np.isfinite(best), np.take_along_axis(built.items, order, 1), -1)
            items[part, : order.shape[1]], scores[part, : order.shape[1]] = chosen, best
        return items, scores, out

    @torch.inference_mode()
    def explain(
        self, users: NDArray[np.int32], times: NDArray[np.int64], start: NDArray[np.int64], item: NDArray[np.int32]
    ) -> Explained:
        """Shapley values of taste, momentum, habit and context for the pairs of `score`."""
        built = self._build(users, times, start, item)
        x = inputs(built).to(self._device)
        values, baseline = self._explain(x)
        rows, places = _places(built, start, item)
        parts = np.stack([values[name].cpu().numpy()[rows, places] for name in GROUPS], 1)
        base = baseline.cpu().numpy()[rows, places]
        return Explained(parts, base, self.model(x).cpu().numpy()[rows, places])

    def _explain(self, x: Inputs) -> tuple[dict[str, Tensor], Tensor]:
        return self.model.explain(self.model.begin(x), self.model.read(x.history, x.gaps, x.values, x.context))

    @torch.inference_mode()
    def take_apart(self, users: NDArray[np.int32], times: NDArray[np.int64], k: int) -> TakenApart:
        """The lists of `rank`, with probabilities and Shapley values of their items."""
        n = len(users)
        found = TakenApart(np.full((n, k), -1, np.int32), np.zeros((n, k), np.float32), np.zeros((n, k, len(GROUPS)), np.float32))
        for first in range(0, n, REQUESTS):
            part = slice(first, first + REQUESTS)
            built = self._build(users[part], times[part], np.zeros(len(users[part]) + 1, np.int64), np.zeros(0, np.int32))
            x = inputs(built).to(self._device)
            scores = self.model(x)
            values, _ = self._explain(x)
            order = np.argsort(-scores.cpu().numpy(), axis=1, kind="stable")[:, :k]
            probability = torch.softmax(scores, 1).nan_to_num().cpu().numpy()
            real = np.take_along_axis(x.mask.cpu().numpy(), order, 1)
            width = order.shape[1]
            found.items[part, :width] = np.where(real, np.take_along_axis(built.items, order, 1), -1)
            found.probability[part, :width] = np.take_along_axis(probability, order, 1)
            for group, name in enumerate(GROUPS):
                found.values[part, :width, group] = np.take_along_axis(values[name].cpu().numpy(), order, 1)
        return found

    def _build(
        self, users: NDArray[np.int32], times: NDArray[np.int64], start: NDArray[np.int64], item: NDArray[np.int32]
    ) -> batch.Batch:
        return batch.build(
            self.state.sources, self._space, self.state.layout, users, times,
            extra_start=start, extra_item=item, history=self._history,
        )  # fmt: skip


def _places(built: batch.Batch, start: NDArray[np.int64], item: NDArray[np.int32]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Row and column in the batch of each asked pair."""
    rows = np.repeat(np.arange(len(built.count)), np.diff(start))
    span = np.int64(max(built.items.max(initial=0), item.max(initial=0)) + 1)
    real = np.arange(built.items.shape[1])[None, :] < built.count[:, None]
    row, column = np.nonzero(real)
    keys = row * span + built.items[row, column]
    order = np.argsort(keys)
    return rows, column[order[np.searchsorted(keys, rows * span + item, sorter=order)]]
