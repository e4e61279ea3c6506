"""How the encoder of a running system reads histories."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from timerec.candidates.window import Windows
from timerec.encoder import passes
from timerec.encoder.history import BUCKETS
from timerec.model import JointModel
from timerec.online.arrays import array_of

# of B histories: the user's state [width] of each, and the keys [n, width] of its events, the newest last
Reads = Callable[[Windows], list[tuple[NDArray[np.float32], NDArray[np.float32]]]]


def reader_of(model: JointModel) -> Reads:
    """How a model reads that remembers its catalogue (`JointModel.remember`), in the quickest form that there is for it."""
    compiles = len(model.history.layers) > 0 and model.category.device.type == "cpu"
    return CompiledReader(model) if compiles else TensorReader(model)


class TensorReader:
    """Any model on any device."""

    def __init__(self, model: JointModel) -> None:
        self._model, self._stranger, self._device = model, len(model.category) - 1, model.category.device

    def __call__(self, found: Windows) -> list[tuple[NDArray[np.float32], NDArray[np.float32]]]:
        items = np.minimum(found.history, self._stranger).astype(np.int64)
        given = (items, found.gaps, found.values, found.context)
        read = self._model.read(*(torch.from_numpy(part).to(self._device) for part in given))
        return [(user, events[taken]) for user, events, taken in zip(*(part.cpu().numpy() for part in read), strict=True)]


class CompiledReader:
    """A transformer as it is now, on a processor: matrix products over all rows, compiled passes between; nothing is padded."""

    def __init__(self, model: JointModel) -> None:
        if model.vectors is None:
            raise ValueError("the model has to remember its catalogue first")
        history, width = model.history, model.width
        age, place = np.zeros((BUCKETS, width), np.float32), np.zeros((model.shape.fusion["history"], width), np.float32)
        if history.timed:
            age, place = array_of(history.age.weight), array_of(history.place.weight)
        self._tokens = (
            model.vectors.numpy(), array_of(history.value.weight)[:, 0].copy(), array_of(history.value.bias), age, place,
            *map(array_of, (model.context_mean, model.context_scale, model.kept_context)),
            array_of(history.ask.weight).T.copy(), array_of(history.ask.bias),
        )  # fmt: skip
        self._layers, self._norm, self._key = list(map(_Layer, history.layers)), _norm(history.norm), _linear(model.key)
        self._heads = model.heads

    def __call__(self, found: Windows) -> list[tuple[NDArray[np.float32], NDArray[np.float32]]]:
        start = np.concatenate([[0], np.cumsum((found.history >= 0).sum(1) + 1)])
        x = np.empty((start[-1], len(self._norm[0])), np.float32)
        passes.tokens(*(*found, start, *self._tokens, x))
        change, states = np.zeros_like(x), np.empty_like(x)
        for layer in self._layers:
            change = layer(x, change, start, self._heads)
        passes.add_and_norm(x, change, *self._norm, states)
        keys = _times(states, self._key)
        return [(states[end - 1], keys[begin : end - 1]) for begin, end in pairwise(start)]


class _Layer:
    def __init__(self, layer: Any) -> None:
        self._first, self._second = _norm(layer.norm_attention), _norm(layer.norm_dense)
        self._project, self._out = _linear(layer.project), _linear(layer.out)
        self._widen, self._narrow = _linear(layer.dense[0]), _linear(layer.dense[2])

    def __call__(
        self, x: NDArray[np.float32], change: NDArray[np.float32], start: NDArray[np.int64], heads: int
    ) -> NDArray[np.float32]:
        """What the layer adds to the rows `x`, to which it adds what the one before it does (`change`), and its attention."""
        scaled, seen = np.empty_like(x), np.empty_like(x)
        passes.add_and_norm(x, change, *self._first, scaled)
        passes.attend(_times(scaled, self._project), start, heads, seen)
        passes.add_and_norm(x, _times(seen, self._out), *self._second, scaled)
        wide = _times(scaled, self._widen)
        passes.gelu(wide)
        return _times(wide, self._narrow)


def _times(x: NDArray[np.float32], layer: tuple[Tensor, Tensor]) -> NDArray[np.float32]:
    found: NDArray[np.float32] = torch.addmm(layer[1], torch.from_numpy(x), layer[0]).numpy()
    return found


def _linear(layer: nn.Linear) -> tuple[Tensor, Tensor]:
    return layer.weight.detach().T.contiguous(), layer.bias.detach().clone()


def _norm(layer: nn.LayerNorm) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    return array_of(layer.weight), array_of(layer.bias)
