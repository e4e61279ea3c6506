"""The network of a running system: scores of candidates in two steps, of which the first needs no histories."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from timerec.candidates.batch import Batch
from timerec.fusion import passes
from timerec.fusion.folded import fold
from timerec.fusion.views import views
from timerec.model import Begun, JointModel, Read, inputs
from timerec.online.arrays import array_of
from timerec.online.messages import Heard

# scores [B, C], -inf where padded, of what the encoder says of each request; where it says nothing a score lacks that term
Finish = Callable[[Sequence[Heard | None]], NDArray[np.float32]]


class Network(Protocol):
    """Scores candidates whose indices are those of a catalogue, or behind it."""

    def begin(self, built: Batch) -> Finish:
        """Score as far as it goes without the encoder; in inference mode, as what it returns is called."""


def network_of(model: JointModel) -> Network:
    """The network of a model that remembers its catalogue (`JointModel.remember`), in the quickest form that there is for it."""
    folds = model.fusion.kind == "concat" and "sequence" not in model.without
    return CompiledNetwork(model) if folds and model.category.device.type == "cpu" else TensorNetwork(model)


class TensorNetwork:
    """Any model on any device."""

    def __init__(self, model: JointModel) -> None:
        self._model, self._stranger, self._device = model, len(model.category) - 1, model.category.device

    def begin(self, built: Batch) -> Finish:
        begun = self._begin(built)
        return lambda heard: self._model.finish(begun, self._read(heard)).cpu().numpy()

    def explain(self, built: Batch, heard: Sequence[Heard | None]) -> dict[str, NDArray[np.float32]]:
        """Shapley values [B, C] of each group, and the baseline: they sum to the scores."""
        values, baseline = self._model.explain(self._begin(built), self._read(heard))
        return {name: value.cpu().numpy() for name, value in {**values, "baseline": baseline}.items()}

    def _begin(self, built: Batch) -> Begun:
        return self._model.begin(inputs(built._replace(items=np.minimum(built.items, self._stranger))).to(self._device))

    def _read(self, heard: Sequence[Heard | None]) -> Read:
        said = _said(heard, self._model.width)
        taken = np.arange(said.events.shape[1]) < said.count[:, None]
        return Read(*(torch.from_numpy(part).to(self._device) for part in (said.user, said.events, taken)))


class CompiledNetwork:
    """A model as it is now that concatenates, on a processor: matrix products, and between them compiled passes."""

    def __init__(self, model: JointModel) -> None:
        if model.vectors is None:
            raise ValueError("the model has to remember its catalogue first")
        folded, scales, head = fold(model.fusion, model.spans, model.kept), model.standardise, model.head
        names = ("mean", "scale", "distance_mean", "distance_scale", "quantiles", "below", "place_mean")
        self._scales = tuple(array_of(getattr(scales, name)) for name in names)
        self._vectors, self.width, self._views = model.vectors.numpy(), model.width, folded.views
        context = (model.context_mean, model.context_scale, model.kept_context, folded.context, folded.bias)
        self._context, self._matches = tuple(map(array_of, context)), array_of(folded.matches)
        self._query = array_of(model.query.weight).reshape(model.heads, -1, model.width)
        self._query_bias = array_of(model.query.bias).reshape(model.heads, -1)
        self._middle, self._middle_bias = head.middle.weight.detach().T.contiguous(), head.middle.bias.detach().clone()
        self._out, self._out_bias = array_of(head.out.weight)[0], np.float32(head.out.bias.item())

    def begin(self, built: Batch) -> Finish:
        requests, candidates, features = built.features.shape
        told = np.empty((requests, candidates, 3, features), np.float32)
        views(*(built.features, built.best, *self._scales, told))
        joined = torch.from_numpy(told).view(requests, candidates, -1) @ self._views
        item = np.empty((requests, candidates, self.width), np.float32)
        passes.take(self._vectors, built.items, item)
        base = passes.contribution(built.context, *self._context)
        return lambda heard: self._finish(built, joined, base, torch.from_numpy(item), _said(heard, self.width))

    def _finish(self, built: Batch, joined: Tensor, base: NDArray[np.float32], item: Tensor, said: _Said) -> NDArray[np.float32]:
        requests, candidates, hidden = joined.shape
        heads, length = len(self._query), said.events.shape[1]
        asked = np.empty((requests, heads * length + 1, self.width), np.float32)
        offset = np.empty((requests, heads, length), np.float32)
        passes.ask(said.user, said.events, said.count, self._query, self._query_bias, asked, offset)
        near = torch.bmm(torch.from_numpy(asked), item.transpose(1, 2)).numpy()
        state, straight = np.empty((requests * candidates, hidden - 1), np.float32), np.empty((requests, candidates), np.float32)
        passes.join(near, offset, said.count, base, self._matches, joined.numpy(), state, straight)
        middle = torch.addmm(self._middle_bias, torch.from_numpy(state), self._middle).numpy()
        scores = np.empty((requests, candidates), np.float32)
        passes.rate(middle, straight, self._out, self._out_bias, built.count, scores)
        return scores


class _Said(NamedTuple):
    """What the encoder says of B requests; nothing is zeros."""

    user: NDArray[np.float32]  # [B, width]
    events: NDArray[np.float32]  # [B, L, width]
    count: NDArray[np.int64]  # type: ignore[assignment]  # [B] of which the first are events; hides tuple.count


def _said(heard: Sequence[Heard | None], width: int) -> _Said:
    count = np.array([0 if one is None else len(one.events) for one in heard], np.int64)
    user = np.zeros((len(heard), width), np.float32)
    events = np.zeros((len(heard), max(int(count.max(initial=0)), 1), width), np.float32)
    for row, one in enumerate(heard):
        if one is not None:
            user[row], events[row, : len(one.events)] = one.user, one.events
    return _Said(user, events, count)
