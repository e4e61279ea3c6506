"""What the forecaster reads at the end of each step: causal, and free of the item's scale."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from timerec.clock import DAY, HOUR, STEPS, WEEK, day_of_week, hour_of_day

HALF_LIVES = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0)  # steps
LEVEL = 3  # the half-life of 8 steps gives the scale
FLOOR = 0.1  # events a step, below which levels are not told apart
YEAR = 365.2425 * DAY


@dataclass(frozen=True)
class Levels:
    """Running state of n series after each of T steps, time first.

    Attributes:
        means: exponentially weighted means, one a half-life, float32 [K, T, n].
        scale: the level by which a series is divided, float32 [T, n], positive.
        average: mean since the first step, float32 [T, n].
        deviation: exponentially weighted mean of |y - the level one step before|, float32 [T, n].
        zero_share: exponentially weighted share of steps without events, float32 [T, n].
        since: steps since the last one with events, float32 [T, n].
    """

    means: NDArray[np.float32]
    scale: NDArray[np.float32]
    average: NDArray[np.float32]
    deviation: NDArray[np.float32]
    zero_share: NDArray[np.float32]
    since: NDArray[np.float32]


def weighted_means(y: NDArray[np.float32], half_lives: tuple[float, ...] = HALF_LIVES) -> NDArray[np.float32]:
    """Exponentially weighted means of y [T, n] after each step, one a half-life: [K, T, n].

    m_s = sum_i 2^(-(s - i) / h) y_i / sum_i 2^(-(s - i) / h) over i <= s.

    >>> weighted_means(np.array([[2.0], [5.0]], dtype=np.float32), (1.0,)).ravel().tolist()
    [2.0, 4.0]
    """
    decay = np.exp2(-1.0 / np.asarray(half_lives))[:, None]
    total = np.zeros((len(half_lives), y.shape[1]))
    weight = np.zeros((len(half_lives), 1))
    out = np.empty((len(half_lives), *y.shape), dtype=np.float32)
    for s in range(len(y)):
        total = total * decay + y[s]
        weight = weight * decay + 1.0
        out[:, s] = total / weight
    return out


def levels(y: NDArray[np.float32]) -> Levels:
    """Running state of the series y [T, n], whose row 0 is each item's first step."""
    steps = np.arange(1, len(y) + 1, dtype=np.float32)[:, None]
    means = weighted_means(y)
    before = np.concatenate([means[LEVEL, :1], means[LEVEL, :-1]]) if len(y) else means[LEVEL]
    last = np.maximum.accumulate(np.where(y > 0, steps, 0.0), axis=0)
    return Levels(
        means=means,
        scale=means[LEVEL] + np.float32(FLOOR),
        average=(np.cumsum(y, axis=0, dtype=np.float64) / steps).astype(np.float32),
        deviation=weighted_means(np.abs(y - before), (8.0,))[0],
        zero_share=weighted_means((y <= 0).astype(np.float32), (8.0,))[0],
        since=(steps - last).astype(np.float32),
    )


def calendar(first: NDArray[np.int32], width: int, origin: int, step: int, yearly: bool) -> NDArray[np.float32]:
    """Phase of the step after each of `width` steps, as sines and cosines: float32 [T, n, C].

    Hourly series get the hour and the weekday, daily ones the weekday, and, where `yearly`, all the time of year.
    C may be 0: a year seen less than twice is no season.
    """
    times = origin + step * (first.astype(np.int64) + 1 + np.arange(width)[:, None])
    phases: list[NDArray[np.float64]] = []
    if step < DAY:
        phases.append(hour_of_day(times) / 24)
    if step < WEEK:
        phases.append(day_of_week(times) / 7)
    if yearly:
        phases.append(np.asarray((times % YEAR) / YEAR, dtype=np.float64))
    turns = [wave(2 * np.pi * phase) for phase in phases for wave in (np.sin, np.cos)]
    return np.stack(turns, axis=-1).astype(np.float32) if turns else np.zeros((*times.shape, 0), dtype=np.float32)


def season(step: int) -> int:
    """Natural period in steps: a day of hours, a week of days, four weeks of weeks.

    >>> season(3600), season(86400), season(604800)
    (24, 7, 4)
    """
    return {HOUR: 24, DAY: 7}.get(step, 4)


def lags(y: NDArray[np.float32], period: int, horizons: int) -> NDArray[np.float32]:
    """y one period before each of the next `horizons` steps, 0 before the start: float32 [T, n, H]."""
    width = len(y)
    out = np.zeros((*y.shape, horizons), dtype=np.float32)
    for h in range(1, horizons + 1):
        back = (-h) % period  # a horizon beyond the period reads the phase's newest value
        out[back:, :, h - 1] = y[: max(width - back, 0)]
    return out


def inputs(
    y: NDArray[np.float32], state: Levels, first: NDArray[np.int32], origin: int, step: int, horizons: int, yearly: bool
) -> NDArray[np.float32]:
    """Network inputs of the series y [T, n]: float32 [T, n, C]; row s reads y up to and including step s."""
    scale, floor = state.scale, np.float32(FLOOR)
    age = np.broadcast_to(np.arange(len(y), dtype=np.float32)[:, None], y.shape)
    columns = [
        np.log1p(y / scale),
        np.log(scale),
        np.log((state.average + floor) / scale),
        *(np.log((mean + floor) / scale) for k, mean in enumerate(state.means) if k != LEVEL),
        np.log((state.deviation + floor) / scale),
        state.zero_share,
        np.log1p(state.since),
        np.log1p(age) / 4,
    ]
    table = np.stack(columns, axis=-1)
    if step < STEPS["week"]:
        seasonal = np.log1p(lags(y, season(step), horizons) / scale[..., None])
        table = np.concatenate([table, seasonal], axis=-1)
    table = np.concatenate([table, calendar(first, len(y), origin, step, yearly)], axis=-1)
    return table.astype(np.float32, copy=False)


def input_size(step: int, horizons: int, yearly: bool) -> int:
    """Number of input columns C."""
    empty = np.zeros((1, 1), dtype=np.float32)
    return int(inputs(empty, levels(empty), np.zeros(1, dtype=np.int32), 0, step, horizons, yearly).shape[-1])
