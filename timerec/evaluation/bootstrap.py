"""Intervals of means by a bootstrap: the requests of one user hang together, so users are drawn, not requests."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

CELLS = 1 << 22  # drawn numbers held at a time


class Interval(NamedTuple):
    """A mean with its 95 % interval; NaN where there was nothing to average."""

    mean: float
    low: float
    high: float


class Paired(NamedTuple):
    """Mean difference of two systems on the same requests."""

    difference: float
    low: float
    high: float
    p: float  # two-sided: twice the smaller share of resamples on one side of 0, never below 1 / reps


def interval(values: NDArray[np.float64], users: NDArray[Any], reps: int = 1000, seed: int = 3) -> Interval:
    """Mean over requests with a percentile interval; requests whose value is NaN are left out.

    Args:
        values: [n] one value a request.
        users: [n] whose request it is.
        reps: resamples of as many users as there are, drawn with replacement.
    """
    real = ~np.isnan(values)
    if not real.any():
        return Interval(float("nan"), float("nan"), float("nan"))
    means = _resampled_means(values[real], users[real], reps, seed)
    low, high = np.quantile(means, [0.025, 0.975])
    return Interval(float(values[real].mean()), float(low), float(high))


def paired(
    ours: NDArray[np.float64], theirs: NDArray[np.float64], users: NDArray[Any], reps: int = 1000, seed: int = 3
) -> Paired:
    """Mean of `ours - theirs` [n] over requests, with its interval and two-sided sign probability."""
    difference = ours - theirs
    real = ~np.isnan(difference)
    if not real.any():
        return Paired(float("nan"), float("nan"), float("nan"), float("nan"))
    means = _resampled_means(difference[real], users[real], reps, seed)
    low, high = np.quantile(means, [0.025, 0.975])
    side = min((means <= 0).mean(), (means >= 0).mean())
    return Paired(float(difference[real].mean()), float(low), float(high), float(np.clip(2 * side, 1 / reps, 1)))


def _resampled_means(values: NDArray[np.float64], users: NDArray[Any], reps: int, seed: int) -> NDArray[np.float64]:
    group = np.unique(users, return_inverse=True)[1]
    total, count = np.bincount(group, weights=values), np.bincount(group).astype(np.float64)
    rng = np.random.default_rng(seed)
    rows = max(1, CELLS // len(total))
    means = []
    for first in range(0, reps, rows):  # the generator's stream is the same in one block or many
        drawn = rng.integers(0, len(total), (min(rows, reps - first), len(total)))
        means.append(total[drawn].sum(1) / count[drawn].sum(1))
    return np.concatenate(means)
