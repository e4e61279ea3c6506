"""Judging forecasts as they were made: by horizon, by class of demand, and how often the truth lay in the interval."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from timerec.forecaster.baseline import moving_average, naive
from timerec.forecaster.features import CHUNK, outputs
from timerec.forecaster.intermittent import CLASSES, demand_classes
from timerec.forecaster.metrics import by_horizon, changes, measure
from timerec.forecaster.recurrent import OUTPUTS, QUANTILES, RecurrentForecaster
from timerec.forecaster.sample import choose, known_active
from timerec.forecaster.series import ItemSeries

ORIGINS = 8  # origins that are judged
JUDGED = 20_000  # items that are judged, drawn at random where there are more

# (items [n], rows of their series [n, O]) to point forecast and quantiles [n, O, H, 1 + Q]
Predict = Callable[[NDArray[np.int64], NDArray[np.int64]], NDArray[np.float32]]


@dataclass(frozen=True)
class Ground:
    """Where forecasts are judged: n items, O origins.

    Attributes:
        where: in words.
        items: int64 [n].
        rows: int64 [n, O], the origin's row within each series.
        origins: int64 [O], steps.
    """

    where: str
    items: NDArray[np.int64]
    rows: NDArray[np.int64]
    origins: NDArray[np.int64]


def recurrent(series: ItemSeries, model: RecurrentForecaster) -> Predict:
    """Forecasts of a network."""

    def predict(items: NDArray[np.int64], rows: NDArray[np.int64]) -> NDArray[np.float32]:
        parts = [np.zeros((0, rows.shape[1], model.architecture.horizons, OUTPUTS), dtype=np.float32)]
        for start in range(0, len(items), CHUNK):
            part, row = items[start : start + CHUNK], rows[start : start + CHUNK]
            parts.append(outputs(model, series, part)[row, np.arange(len(part))[:, None]])
        return np.concatenate(parts)

    return predict


def given(series: ItemSeries, forecasts: NDArray[np.float32], spread: NDArray[np.float32]) -> Predict:
    """Forecasts [total, H] that exist already, with quantiles at `spread` [H, Q] times the root of the forecast around them."""

    def predict(items: NDArray[np.int64], rows: NDArray[np.int64]) -> NDArray[np.float32]:
        point = forecasts[series.offsets[items][:, None] + rows]
        band = np.maximum(point[..., None] + spread * np.sqrt(point + 1)[..., None], 0)
        return np.concatenate([point[..., None], band], axis=-1).astype(np.float32)

    return predict


def spread(series: ItemSeries, forecasts: NDArray[np.float32], cut: int) -> NDArray[np.float32]:
    """Quantiles [H, Q] of (truth - forecast) / sqrt(forecast + 1) over the active items' last targets before step `cut`.

    The errors that were made tell the errors to come (split conformal prediction, Vovk et al. 2005), on the scale on which counts
    vary.
    """
    horizons = forecasts.shape[1]
    items = known_active(series, cut)
    out = np.zeros((horizons, len(QUANTILES)), dtype=np.float32)
    for h in range(1, horizons + 1):
        target = np.arange(max(cut - ORIGINS, h), cut)  # steps
        row = target - series.first_step[items].astype(np.int64)[:, None]
        item = np.broadcast_to(items[:, None], row.shape)[row >= h]
        row = row[row >= h]
        if not len(row):
            continue
        point = forecasts[series.offsets[item] + row - h, h - 1].astype(np.float64)
        error = (series.y[series.offsets[item] + row] - point) / np.sqrt(point + 1)
        out[h - 1] = np.quantile(error, QUANTILES)
    return out


def ground(series: ItemSeries, horizons: int, cut: int, seed: int) -> Ground | None:
    """The steps that no parameter has seen, from `cut` on, at up to 8 origins from there.

    That is shortly after fitting; later origins would judge, of news, items whose time is over. The log's last step, seldom
    whole, is left out. Where the steps are fewer than the horizons: the last steps before the cut, of the items whose last steps
    were held out of the fit. Items are those active before the cut. None where there is nothing to judge.
    """
    last = series.n_steps - 2  # newest step that is whole
    if last - horizons >= cut - 1:
        where, items = "the first steps after the cut", known_active(series, cut)
        origins = np.arange(cut - 1, min(cut - 1 + ORIGINS, last - horizons + 1))
    else:
        where = "held-out items, last steps before the cut"
        items = choose(series, horizons, cut, seed).held_items
        origins = np.array([cut - 1 - horizons])
    items = np.sort(np.random.default_rng(seed).permutation(items)[:JUDGED])
    return _ground(series, horizons, where, items, origins)


def before(series: ItemSeries, horizons: int, cut: int, seed: int, limit: int) -> Ground | None:
    """The last H + 1 origins whose targets lie before step `cut`; at most `limit` items active before the first of them."""
    origins = np.arange(cut - 1 - 2 * horizons, cut - horizons)
    items = known_active(series, max(int(origins[0]) + 1, 0))
    items = np.sort(np.random.default_rng(seed).permutation(items)[:limit])
    return _ground(series, horizons, "steps before validation", items, origins)


def _ground(series: ItemSeries, horizons: int, where: str, items: NDArray[np.int64], origins: NDArray[np.int64]) -> Ground | None:
    if not len(items) or not len(origins) or origins[0] < 0:
        return None
    items = items[series.first_step[items] <= origins[0]]
    rows = origins - series.first_step[items].astype(np.int64)[:, None]
    inside = rows[:, -1] + horizons < series.lengths[items]  # a series that was cut short has no truth there
    return Ground(where, items[inside], rows[inside], origins) if inside.any() else None


def judge(series: ItemSeries, on: Ground | None, horizons: int, predictors: dict[str, Predict]) -> dict[str, Any]:
    """Accuracy of each predictor on this ground, beside naive and the moving average.

    Returns:
        {"judged_on", "origins", "items"}, and where there is ground "accuracy" {name: `by_horizon`}, "interval" {name: {"levels",
        "coverage": {"all", "1", ..}}} and "classes" {class: {"items", "share", "accuracy": {name: `measure`}}}.
    """
    if on is None:
        return {"judged_on": "nothing: no item is active long enough", "origins": [], "items": 0}
    y = series.dense(on.items)
    side = np.arange(len(on.items))[:, None]
    truth = y[on.rows[..., None] + np.arange(1, horizons + 1), side[..., None]]
    scales = changes(y, on.rows[:, 0] + 1)
    full = {name: predict(on.items, on.rows) for name, predict in predictors.items()}
    guesses = {name: guess[..., 0] for name, guess in full.items()}
    guesses |= {"naive": naive(y, horizons)[on.rows, side], "moving_average": moving_average(y, horizons)[on.rows, side]}
    return {
        "judged_on": on.where,
        "origins": on.origins.tolist(),
        "items": len(on.items),
        "accuracy": {name: by_horizon(guess, truth, *scales) for name, guess in guesses.items()},
        "interval": {name: coverage(guess[..., 1:], truth) for name, guess in full.items()},
        "classes": _by_class(series, on, guesses, truth, scales),
    }


def coverage(bands: NDArray[np.floating], truth: NDArray[np.floating]) -> dict[str, Any]:
    """Share of the truth [n, O, H] within the outer quantiles of `bands` [n, O, H, Q], borders included, in all and by horizon.

    Where all of the truth is whole, so are quantiles: they are rounded. Counts have atoms, and an interval from 0 on holds every
    0, so the share may exceed the nominal one.

    >>> coverage(np.array([[[[0.2, 1.0, 3.4]]]]), np.array([[[0.0]]]))["coverage"]
    {'all': 1.0, '1': 1.0}
    """
    if np.array_equal(truth, np.rint(truth)):
        bands = np.rint(bands)
    inside = (truth >= bands[..., 0]) & (truth <= bands[..., -1])
    shares = {"all": float(inside.mean())} | {str(h + 1): float(inside[..., h].mean()) for h in range(truth.shape[-1])}
    return {"levels": [QUANTILES[0], QUANTILES[-1]], "coverage": shares}


def _by_class(
    series: ItemSeries,
    on: Ground,
    guesses: dict[str, NDArray[np.float32]],
    truth: NDArray[np.float32],
    scales: tuple[NDArray[np.float64], NDArray[np.float64]],
) -> dict[str, Any]:
    place = demand_classes(series.until(int(on.origins[0]) + 1))[on.items]
    out: dict[str, Any] = {}
    for number, name in enumerate(CLASSES):
        some = place == number
        if some.any():
            parts = {key: measure(guess[some], truth[some], *(scale[some] for scale in scales)) for key, guess in guesses.items()}
            out[name] = {"items": int(some.sum()), "share": float(some.mean()), "accuracy": parts}
    return out
