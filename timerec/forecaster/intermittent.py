"""Classes of demand after Syntetos, Boylan & Croston (2005), "On the categorization of demand patterns"."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from timerec.forecaster.series import ItemSeries

CLASSES = ("smooth", "erratic", "intermittent", "lumpy")
INTERVAL, VARIATION = 1.32, 0.49  # steps between two steps with events; squared coefficient of variation of their sizes


def demand_classes(series: ItemSeries) -> NDArray[np.int8]:
    """Place in CLASSES of each series, int8 [n_items]; -1 for one without events.

    Below both borders smooth; sizes vary: erratic; gaps: intermittent; both: lumpy. The interval is steps over steps with events.
    """
    item = np.repeat(np.arange(series.n_items), series.lengths)
    y = series.y.astype(np.float64)
    count = np.bincount(item, weights=y > 0, minlength=series.n_items)
    some = np.maximum(count, 1.0)
    mean = np.bincount(item, weights=y, minlength=series.n_items) / some
    squares = np.bincount(item, weights=y**2, minlength=series.n_items) / some
    variation = np.maximum(squares - mean**2, 0.0) / np.maximum(mean, 1e-12) ** 2
    place = (variation >= VARIATION) + 2 * (series.lengths / some >= INTERVAL)
    return np.where(count > 0, place, -1).astype(np.int8)
