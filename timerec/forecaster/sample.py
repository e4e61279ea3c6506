"""Which series the forecaster learns from, and their tensors: inputs, targets, and what is held out."""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from timerec.forecaster.inputs import inputs, levels
from timerec.forecaster.recurrent import Architecture
from timerec.forecaster.series import ItemSeries
from timerec.schema import DataError

ACTIVE = 8  # non-zero steps from which a series teaches something
CELLS = 300_000  # items x steps of the training sample: an epoch of about a second
HELD = 10  # one series in so many keeps its last steps for early stopping
WINDOW = 512  # steps that are learnt from in one go: a network takes them one after the other, forward and back
WARM = 64  # first steps of a window that only settle the state: the window before teaches them
BURN_IN = 2  # first steps of a series, at which nothing is known of it


@dataclass(frozen=True)
class Sample:
    """Series chosen for fitting, known up to the cut.

    Attributes:
        items: int64 [n], the chosen items.
        series: their series only.
        held: bool [n]; these keep their last 2 H steps out of the loss, for early stopping.
    """

    items: NDArray[np.int64]
    series: ItemSeries
    held: NDArray[np.bool_]

    @property
    def held_items(self) -> NDArray[np.int64]:
        """Items that keep their last steps out of the loss."""
        return self.items[self.held]


@dataclass(frozen=True)
class Tensors:
    """A sample as tensors, time first; weights are 0 where a target is not to be read.

    Attributes:
        x: [T, n, C].
        scale: [T, n].
        target: [T, n, H].
        weight: [T, n, H], targets of the training loss.
        held: [T, n, H], targets of the validation loss.
        lengths: int64 [n], steps of each series; all behind is padding.
    """

    x: Tensor
    scale: Tensor
    target: Tensor
    weight: Tensor
    held: Tensor
    lengths: Tensor

    def to(self, device: torch.device) -> Tensors:
        """The same on another device."""
        return Tensors(*(getattr(self, field.name).to(device) for field in fields(self)))


def active_items(series: ItemSeries) -> NDArray[np.int64]:
    """Items with at least 8 non-zero steps, or a quarter of the log's steps where that is less."""
    item = np.repeat(np.arange(series.n_items), series.lengths)
    count = np.bincount(item, weights=series.y > 0, minlength=series.n_items)
    return np.flatnonzero(count >= min(ACTIVE, max(2, series.n_steps // 4)))


def known_active(series: ItemSeries, fit_until_step: int) -> NDArray[np.int64]:
    """`active_items` as known at the end of step `fit_until_step - 1`."""
    return active_items(series.until(fit_until_step))


def choose(series: ItemSeries, horizons: int, fit_until_step: int, seed: int) -> Sample:
    """Active items of the steps before `fit_until_step`, at random where there are many.

    Raises:
        DataError: there are too few steps to learn from.
    """
    known = series.until(fit_until_step)
    items = active_items(known) if known.n_steps > horizons + BURN_IN else np.zeros(0, dtype=np.int64)
    if not len(items):
        raise DataError(
            f"series.parquet, column step: {known.n_steps} steps before the cut, no item active in enough of them, "
            "are too little to fit a forecaster; choose a smaller data.step, or set forecaster.kind=none"
        )
    generator = np.random.default_rng(seed)
    limit = max(HELD, int(CELLS / max(known.lengths[items].mean(), 1.0)))
    items = np.sort(generator.permutation(items)[:limit])
    held = np.zeros(len(items), dtype=np.bool_)
    held[generator.permutation(len(items))[: max(1, len(items) // HELD)]] = len(items) > 1
    return Sample(items, pick(known, items), held)


def pick(series: ItemSeries, items: NDArray[np.int64]) -> ItemSeries:
    """The series of `items` alone, in that order."""
    lengths = series.lengths[items]
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    place = np.arange(offsets[-1]) + np.repeat(series.offsets[items] - offsets[:-1], lengths)
    beside = None if series.beside is None else series.beside[place]
    return ItemSeries(
        offsets, series.first_step[items], series.y[place], series.origin, series.step, series.n_steps, series.quiet, beside
    )


def tensors(sample: Sample, architecture: Architecture) -> Tensors:
    """Inputs, targets and weights of a sample, whose series end at the cut."""
    series, horizons = sample.series, architecture.horizons
    everything = np.arange(series.n_items)
    y = series.dense(everything)
    state = levels(y)
    x = inputs(y, state, series.first_step, series.origin, series.step, horizons, architecture.yearly)
    x = np.concatenate([x, series.dense_beside(everything)], axis=-1)
    row = np.arange(len(y))[:, None, None] + np.arange(1, horizons + 1)
    target = np.concatenate([y, np.zeros((horizons, series.n_items), dtype=np.float32)])[row[:, 0, :]].swapaxes(1, 2)
    left = series.lengths[:, None] - row  # steps from the target to the end: positive where the target exists
    read = (left > 0) & (np.arange(len(y))[:, None, None] >= BURN_IN)
    late = sample.held[:, None] & (left <= 2 * horizons)
    return Tensors(
        torch.from_numpy(x),
        torch.from_numpy(state.scale),
        torch.from_numpy(np.ascontiguousarray(target)),
        torch.from_numpy((read & ~late).astype(np.float32)),
        torch.from_numpy((read & late).astype(np.float32)),
        torch.from_numpy(series.lengths.astype(np.int64)),
    )


def windows(lengths: NDArray[np.int64]) -> NDArray[np.int64]:
    """How many windows each series [n] is learnt in."""
    return np.maximum(1, -(-(lengths - WARM) // (WINDOW - WARM)))


def windowed(data: Tensors) -> Tensors:
    """The same targets in windows of at most WINDOW steps side by side, each read from an empty state.

    Truncated backpropagation through time (Williams & Peng 1990): a year of hours, learnt in one piece, is 8,760 steps one after
    the other. Every target is taught once; a window but the first one overlaps the one before by WARM steps.
    """
    width = len(data.x)
    if width <= WINDOW:
        return data
    names, parts = [field.name for field in fields(Tensors)][:-1], []
    for start in range(0, width - WARM, WINDOW - WARM):
        inside = torch.nonzero(data.lengths > start + (WARM if start else 0)).ravel()
        columns = {name: getattr(data, name)[start : start + WINDOW, inside] for name in names}
        missing = WINDOW - len(columns["x"])
        columns = {name: torch.cat([part, part.new_zeros(missing, *part.shape[1:])]) for name, part in columns.items()}
        if missing:
            columns["scale"][-missing:] = 1.0  # the loss divides by it
        if start:
            columns["weight"][:WARM] = 0.0
            columns["held"][:WARM] = 0.0
        parts.append(Tensors(**columns, lengths=(data.lengths[inside] - start).clamp(max=WINDOW)))
    return Tensors(
        *(torch.cat([getattr(part, name) for part in parts], dim=int(name != "lengths")) for name in [*names, "lengths"])
    )
