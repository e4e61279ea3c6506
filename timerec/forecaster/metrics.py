"""Accuracy of forecasts, pooled over series, origins and horizons.

e is forecast minus truth, forecasts clipped at 0. For RMSSE and MASE each series is scaled by its own step-to-step
change before the first origin (Hyndman & Koehler 2006, "Another look at measures of forecast accuracy"; M5 competition
guide, Makridakis et al. 2022); series without change there have no scale and are left out of these two.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.floating]


def wape(forecast: Array, truth: Array) -> float:
    """sum |e| / sum |y|.

    >>> wape(np.array([1.0, 4.0]), np.array([2.0, 3.0]))
    0.4
    """
    return _share(np.abs(_error(forecast, truth)).sum(), truth)


def bias(forecast: Array, truth: Array) -> float:
    """sum e / sum |y|; positive where too much is forecast."""
    return _share(_error(forecast, truth).sum(), truth)


def rmsse(forecast: Array, truth: Array, squared_change: Array) -> float:
    """Mean over series of sqrt(mean e^2 / mean squared change); arrays [n, ...] and `squared_change` [n]."""
    error = _error(forecast, truth) ** 2
    return _finite_mean(np.sqrt(_ratio(error.reshape(len(error), -1).mean(1), squared_change)))


def mase(forecast: Array, truth: Array, absolute_change: Array) -> float:
    """Mean over series of mean |e| / mean |change|; arrays [n, ...] and `absolute_change` [n]."""
    error = np.abs(_error(forecast, truth))
    return _finite_mean(_ratio(error.reshape(len(error), -1).mean(1), absolute_change))


def changes(y: Array, lengths: NDArray[np.integer]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean squared and mean absolute step-to-step change within the first `lengths` [n] rows of y [T, n].

    NaN for a series of fewer than two steps.
    """
    difference = np.diff(y.astype(np.float64), axis=0)
    inside = np.arange(1, len(y))[:, None] < lengths
    count = inside.sum(0).astype(np.float64)
    return _ratio((difference**2 * inside).sum(0), count), _ratio((np.abs(difference) * inside).sum(0), count)


def measure(forecast: Array, truth: Array, squared_change: Array, absolute_change: Array) -> dict[str, float]:
    """WAPE, bias, RMSSE and MASE of forecasts [n, ...]."""
    return {
        "wape": wape(forecast, truth),
        "bias": bias(forecast, truth),
        "rmsse": rmsse(forecast, truth, squared_change),
        "mase": mase(forecast, truth, absolute_change),
    }


def by_horizon(forecast: Array, truth: Array, squared_change: Array, absolute_change: Array) -> dict[str, dict[str, float]]:
    """`measure` of forecasts [n, O, H] over all ("all") and at each horizon ("1" .. "H")."""
    parts = {"all": measure(forecast, truth, squared_change, absolute_change)}
    for h in range(forecast.shape[-1]):
        parts[str(h + 1)] = measure(forecast[..., h], truth[..., h], squared_change, absolute_change)
    return parts


def _share(total: float, truth: Array) -> float:
    """`total` over sum |y|; NaN where nothing happened."""
    size = float(np.abs(truth).sum(dtype=np.float64))
    return float(total) / size if size else float("nan")


def _error(forecast: Array, truth: Array) -> NDArray[np.float64]:
    error: NDArray[np.float64] = np.maximum(forecast.astype(np.float64), 0.0) - truth
    return error


def _ratio(top: Array, bottom: Array) -> NDArray[np.float64]:
    out: NDArray[np.float64] = np.full(np.shape(top), np.nan)
    return np.divide(top, bottom, out=out, where=np.asarray(bottom) > 0)


def _finite_mean(values: NDArray[np.float64]) -> float:
    finite = values[np.isfinite(values)]
    return float(finite.mean()) if len(finite) else float("nan")
