"""Intervals of means by a bootstrap: the requests of one user hang together, so users are drawn, not requests."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
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
    return intervals([values], users, reps, seed)[0]


def intervals(columns: list[NDArray[np.float64]], users: NDArray[Any], reps: int = 1000, seed: int = 3) -> list[Interval]:
    """`interval` of each of several [n] columns, in one pass."""
    return [
        Interval(mean, *(float(x) for x in np.quantile(means, [0.025, 0.975]))) if len(means) else Interval(mean, mean, mean)
        for mean, means in _resampled(columns, users, reps, seed)
    ]


def named(
    values: dict[str, NDArray[np.float64]], users: NDArray[Any], reps: int = 1000, seed: int = 3
) -> dict[str, dict[str, float]]:
    """{name: {"mean", "low", "high"}} of several columns."""
    found = intervals(list(values.values()), users, reps, seed)
    return {name: x._asdict() for name, x in zip(values, found, strict=True)}


def paired(
    ours: NDArray[np.float64], theirs: NDArray[np.float64], users: NDArray[Any], reps: int = 1000, seed: int = 3
) -> Paired:
    """Mean of `ours - theirs` [n] over requests, with its interval and two-sided sign probability."""
    return all_paired([ours - theirs], users, reps, seed)[0]


def all_paired(differences: list[NDArray[np.float64]], users: NDArray[Any], reps: int = 1000, seed: int = 3) -> list[Paired]:
    """`paired` of each of several [n] columns of differences, in one pass."""
    out = []
    for mean, means in _resampled(differences, users, reps, seed):
        if not len(means):
            out.append(Paired(mean, mean, mean, mean))
            continue
        low, high = np.quantile(means, [0.025, 0.975])
        side = min((means <= 0).mean(), (means >= 0).mean())
        out.append(Paired(mean, float(low), float(high), float(np.clip(2 * side, 1 / reps, 1))))
    return out


def _resampled(
    columns: list[NDArray[np.float64]], users: NDArray[Any], reps: int, seed: int
) -> list[tuple[float, NDArray[np.float64]]]:
    """Mean of each column, and the means of its resamples (none where all is NaN)."""
    out: list[tuple[float, NDArray[np.float64]]] = [(float("nan"), np.zeros(0))] * len(columns)
    alike: dict[bytes, list[int]] = {}  # columns with the same requests left out are drawn together
    for number, column in enumerate(columns):
        alike.setdefault(np.isnan(column).tobytes(), []).append(number)
    for numbers in alike.values():
        real = ~np.isnan(columns[numbers[0]])
        if not real.any():
            continue
        group = np.unique(users[real], return_inverse=True)[1]
        total = np.stack([np.bincount(group, weights=columns[number][real]) for number in numbers], 1)
        total = np.column_stack([total, np.bincount(group)])
        drawn = _kept(len(total), reps, seed) if reps * len(total) <= CELLS else _drawn(len(total), reps, seed)
        sums = np.concatenate([times @ total for times in drawn])
        for place, number in enumerate(numbers):
            out[number] = (float(columns[number][real].mean()), sums[:, place] / sums[:, -1])
    return out


def _drawn(n: int, reps: int, seed: int) -> Iterator[NDArray[np.float64]]:
    """How often each of n users is drawn in each resample, [reps, n] in blocks of rows."""
    rng = np.random.default_rng(seed)
    rows = max(1, CELLS // n)
    for first in range(0, reps, rows):  # the generator's stream is the same in one block or many
        size = min(rows, reps - first)
        drawn = rng.integers(0, n, (size, n)) + n * np.arange(size)[:, None]
        yield np.bincount(drawn.ravel(), minlength=size * n).reshape(size, n).astype(np.float64)


@lru_cache(maxsize=4)
def _kept(n: int, reps: int, seed: int) -> list[NDArray[np.float64]]:
    return list(_drawn(n, reps, seed))
