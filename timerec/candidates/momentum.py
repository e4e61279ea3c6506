"""Where an item stands as of t: its counters, its category's, its attributes and its forecast. No user in here."""

from __future__ import annotations

import numpy as np

from timerec.clock import DAY
from timerec.counters import before, value_as_of
from timerec.kernel import borrowing

FLOOR = 0.02
USUAL_GAP = 7.0 * DAY  # repeat gap of an item of which nothing is known
ITEM_FEATURES = (
    [f"decay_{h}" for h in range(8)]
    + [f"share_{h}" for h in range(8)]
    + ["count", "age", "since", "mean_value", "repeat_rate", "repeat_gap"]
)
CATEGORY_FEATURES = [f"category_{h}" for h in (1, 3, 5, 7)]
CATEGORY_SHARES = len(CATEGORY_FEATURES)


@borrowing
def repeat_gap(log, item, known):
    """Usual seconds between two takes of the item by the same user, drawn to a week where few are known."""
    if known == 0:
        return USUAL_GAP
    sums = log.occurrence_sums[log.item_start[item] + known - 1]
    return np.expm1((sums[2] + 3.0 * np.log1p(USUAL_GAP)) / (sums[1] + 3.0))


@borrowing
def category_features(log, category, t, overall, scratch, out):
    """Fill the four shares of a category in everything that happened before t."""
    head = log.category_start[category]
    n = before(log.category_time, head, log.category_size[category], t)
    value_as_of(log.category_state, log.category_time, head, n, t, log.half_lives, scratch)
    for j in range(CATEGORY_SHARES):
        out[j] = np.log((scratch[2 * j + 1] + FLOOR) / (overall[2 * j + 1] + 1.0))


@borrowing
def item_features(log, item, known, t, overall, scratch, out):
    """Fill the features of one item, `known` of whose events are strictly before t; `overall` [H] counts everything."""
    start = log.item_start[item]
    width = len(log.half_lives)
    value_as_of(log.occurrence_state, log.occurrence_time, start, known, t, log.half_lives, scratch)
    for h in range(width):
        out[h] = np.log(scratch[h] + FLOOR)
        out[width + h] = np.log((scratch[h] + FLOOR) / (overall[h] + 1.0))
    k = 2 * width
    if known:
        sums = log.occurrence_sums[start + known - 1]
        first = min(log.occurrence_time[start], log.listed[item])
        out[k] = np.log1p(known)
        out[k + 1] = np.log1p(t - first)
        out[k + 2] = np.log1p(t - log.occurrence_time[start + known - 1])
        out[k + 3] = sums[0] / known
        out[k + 4] = np.log((sums[1] + 0.2) / (known + 1.0))
    else:
        out[k] = 0.0
        out[k + 1] = np.log1p(max(t - log.listed[item], 0))
        out[k + 2] = np.log1p(3650.0 * DAY)
        out[k + 3] = 0.0
        out[k + 4] = np.log(0.2)
    out[k + 5] = np.log1p(repeat_gap(log, item, known))


@borrowing
def attribute_features(log, item, t, out):
    """Three columns an attribute: level, level against its own past, known or not. A value stamped t is known at t."""
    start = log.attribute_start[item]
    n = before(log.attribute_time, start, log.attribute_size[item], t + 1)
    for p in range(log.attribute_value.shape[1]):
        value = log.attribute_value[start + n - 1, p] if n else np.float32(np.nan)
        if np.isnan(value):
            out[3 * p : 3 * p + 3] = 0.0
        else:
            out[3 * p] = np.arcsinh(value)
            out[3 * p + 1] = np.arcsinh(value) - np.arcsinh(log.attribute_mean[start + n - 1, p])
            out[3 * p + 2] = 1.0


@borrowing
def forecast_features(forecast, item, t, out):
    """Row of the newest step that is wholly over at t (zeros before the item's series begins)."""
    step = (t - forecast.origin) // forecast.step - 1
    row = step - forecast.first_step[item]
    size = forecast.offsets[item + 1] - forecast.offsets[item]
    if row < 0 or size == 0:
        out[:] = 0.0
    else:
        newest = forecast.offsets[item] + min(row, size - 1)
        for f in range(len(out)):
            out[f] = forecast.values[newest, f]
