"""Forecasts, trend and period of every item as they were known at the end of each step."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from timerec.clock import WEEK
from timerec.forecaster.inputs import FLOOR, HALF_LIVES, LEVEL, Levels, inputs, levels, season
from timerec.forecaster.series import ItemSeries

if TYPE_CHECKING:
    from timerec.forecaster.recurrent import RecurrentForecaster

CHUNK = 512  # items side by side; the last chunk is filled up, so that every network call has one shape
OWN = ["level", "trend", "period", "volatility", "since"]  # columns that need no network


@dataclass(frozen=True)
class ForecastFeatures:
    """One row an item and step; item i owns `values[offsets[i]:offsets[i + 1]]`, first row at step `first_step[i]`.

    The row of step s holds what is known at the end of s, hence as of any t >= origin + (s + 1) step.

    Attributes:
        offsets: int64 [n_items + 1].
        first_step: int32 [n_items].
        values: float32 [total, F].
        origin: unix seconds (UTC) at which step 0 begins.
        step: seconds in a step.
        names: the F columns.
    """

    offsets: NDArray[np.int64]
    first_step: NDArray[np.int32]
    values: NDArray[np.float32]
    origin: int
    step: int
    names: list[str]

    def lookup(self, items: NDArray[np.integer], times: NDArray[np.int64]) -> NDArray[np.float32]:
        """Rows float32 [k, F] of `items` [k] as of `times` [k] (unix seconds): the newest step wholly over by then.

        Zeros before an item's first step is over; the last row after the series' end.
        """
        items = np.asarray(items, dtype=np.int64)
        row = (np.asarray(times, dtype=np.int64) - self.origin) // self.step - 1 - self.first_step[items]
        size = self.offsets[items + 1] - self.offsets[items]
        known = (row >= 0) & (size > 0)
        out = np.zeros((len(items), len(self.names)), dtype=np.float32)
        out[known] = self.values[(self.offsets[items] + np.minimum(row, size - 1))[known]]
        return out

    def save(self, folder: Path) -> None:
        """Write three .npy files and `features.json` into `folder`."""
        folder.mkdir(parents=True, exist_ok=True)
        for name in ("offsets", "first_step", "values"):
            np.save(folder / f"{name}.npy", getattr(self, name))
        meta = {"origin": self.origin, "step": self.step, "names": self.names}
        (folder / "features.json").write_text(json.dumps(meta, indent=1))

    @classmethod
    def load(cls, folder: Path) -> ForecastFeatures:
        """Read what `save` wrote; the arrays are memory-mapped, copy-on-write as those of a log."""
        meta = json.loads((folder / "features.json").read_text())
        arrays = {name: np.load(folder / f"{name}.npy", mmap_mode="c") for name in ("offsets", "first_step", "values")}
        return cls(**arrays, **meta)


def build(series: ItemSeries, model: RecurrentForecaster | None, given: NDArray[np.float32] | None = None) -> ForecastFeatures:
    """Features of every step of every item in one causal pass.

    The forecasts are the network's, or `given` [total, H], one row for each of `series.y`; without either there are only the
    columns that need none.

    Columns:
        forecast_h: log1p of the forecast h steps ahead, in units a step.
        momentum: log of the next step's forecast over the level.
        level: log1p of the mean weighted with a half-life of 8 steps.
        trend: log of the mean of half-life 2 over that of half-life 16.
        period: autocorrelation at the natural period.
        volatility: log of the mean deviation over the level.
        since: log1p of the steps since the last one with events.
    """
    names = list(OWN)
    yearly = model is not None and model.architecture.yearly
    horizons = model.architecture.horizons if model is not None else given.shape[1] if given is not None else 0
    if horizons:
        names = [f"forecast_{h + 1}" for h in range(horizons)] + ["momentum"] + names
    period = 52 if yearly and series.step == WEEK else season(series.step)
    values = np.empty((int(series.offsets[-1]), len(names)), dtype=np.float32)
    for items in series.chunks(CHUNK):
        y = series.dense(items)
        if not len(y):
            continue
        state = levels(y)
        rows = slice(int(series.offsets[items[0]]), int(series.offsets[items[-1] + 1]))
        own = series.ragged(_own(y, state, period), items)
        if not horizons:
            values[rows] = own
            continue
        if model is not None:
            forecast = series.ragged(outputs(model, series, items)[..., 0], items)
        else:
            assert given is not None
            forecast = given[rows]
        level = series.ragged(state.means[LEVEL][..., None], items)
        momentum = np.log((forecast[:, :1] + FLOOR) / (level + FLOOR))
        values[rows] = np.concatenate([np.log1p(forecast), momentum, own], axis=-1)
    if series.quiet:
        _freeze(values, series)
    return ForecastFeatures(series.offsets, series.first_step, values, series.origin, series.step, names)


def _freeze(values: NDArray[np.float32], series: ItemSeries) -> None:
    """Hold the rows of a silent item at what the row said that ended its series, or would have ended it.

    A look-up after the end of a series reads its last row. Whether an item wakes later must not show before it does.
    """
    row = np.arange(len(series.y))
    starts = np.repeat(series.offsets[:-1], series.lengths)
    silent = row - np.maximum.accumulate(np.where(series.y > 0, row, starts)) - series.quiet
    late = np.flatnonzero(silent > 0)
    values[late] = values[late - silent[late]]


def outputs(model: RecurrentForecaster, series: ItemSeries, items: NDArray[np.int64]) -> NDArray[np.float32]:
    """Point forecast and quantiles [T, n, H, 1 + Q] of the series of `items` [n] (at most CHUNK) at the end of every step."""
    import torch  # here: unpacking a bundle does not need it

    net = model.architecture
    y, first = series.dense(items), series.first_step[items]
    state = levels(y)
    x = inputs(y, state, first, series.origin, net.step, net.horizons, net.yearly)
    x = np.concatenate([x, series.dense_beside(items)], axis=-1)
    missing = CHUNK - len(items)
    x = np.pad(x, ((0, 0), (0, missing), (0, 0)))
    scale = np.pad(state.scale, ((0, 0), (0, missing)))
    return model.roll(torch.from_numpy(x), torch.from_numpy(scale)).numpy()[:, : len(items)]


def _own(y: NDArray[np.float32], state: Levels, period: int) -> NDArray[np.float32]:
    level = state.means[LEVEL]
    short, long = state.means[HALF_LIVES.index(2.0)], state.means[HALF_LIVES.index(16.0)]
    columns = [
        np.log1p(level),
        np.log((short + FLOOR) / (long + FLOOR)),
        period_strength(y, period),
        np.log((state.deviation + FLOOR) / (level + FLOOR)),
        np.log1p(state.since),
    ]
    return np.stack(columns, axis=-1).astype(np.float32)


def period_strength(y: NDArray[np.float32], period: int) -> NDArray[np.float32]:
    """Autocorrelation at lag `period` of log1p(y) less its mean so far, of y [T, n] up to each step: [T, n] in (-1, 1).

    Drawn to 0 where fewer than a few periods are known: r m / (m + period) with m the pairs seen.
    """
    width = len(y)
    logs = np.log1p(y, dtype=np.float64)
    count = np.arange(1, width + 1)[:, None]
    deviation = logs - np.cumsum(logs, axis=0) / count
    past = _shift(deviation, period)
    pairs = np.cumsum(deviation * past, axis=0)
    now = np.cumsum(np.where(count > period, deviation, 0.0) ** 2, axis=0)
    then = np.cumsum(past**2, axis=0)
    size = np.sqrt(now * then)
    seen = np.maximum(count - period, 0)
    correlation = np.divide(pairs, size, out=np.zeros_like(pairs), where=size > 1e-9)
    drawn: NDArray[np.float32] = (correlation * seen / (seen + period)).astype(np.float32)
    return drawn


def _shift(values: NDArray[np.float64], back: int) -> NDArray[np.float64]:
    out = np.zeros_like(values)
    out[back:] = values[: max(len(values) - back, 0)]
    return out
