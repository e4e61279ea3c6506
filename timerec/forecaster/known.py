"""What is known beside an item's own series at the end of each step: its dated attributes.

An attribute stamped at or before the end of a step is in force in the step to come: a promotion planned from Monday on is known
when Sunday's week is over. Attributes stamped later are not read, planned or not.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from timerec.forecaster.series import ItemSeries


def attribute_columns(
    series: ItemSeries, item: NDArray[np.integer], time: NDArray[np.int64], value: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Three columns an attribute for each row of `series.y`: float32 [total, 3 P].

    With v the newest value stamped at or before the row's end and a = arcsinh: a(v); a(v) less a(mean of the values so far); a(v)
    less a(v one step before). All 0 while nothing is known.

    Args:
        item: index of each attribute row [A].
        time: unix seconds from which it holds [A].
        value: [A, P], NaN where nothing is said.
    """
    order = np.lexsort((time, item))
    start = np.searchsorted(np.asarray(item)[order], np.arange(series.n_items + 1))
    ends = np.int64(series.origin + series.step)
    out = np.zeros((len(series.y), 3 * value.shape[1]), dtype=np.float32)
    _walk(series.offsets, series.first_step, start, time[order].astype(np.int64), value[order], ends, series.step, out)
    return out


@njit(cache=True)
def _walk(offsets, first_step, start, time, value, ends, step, out):
    columns = value.shape[1]
    for i in range(len(first_step)):
        for p in range(columns):
            at, newest, total, count, before, said = start[i], 0.0, 0.0, 0, 0.0, False
            for row in range(offsets[i], offsets[i + 1]):
                end = ends + (first_step[i] + row - offsets[i]) * step
                while at < start[i + 1] and time[at] <= end:
                    if not np.isnan(value[at, p]):
                        newest = value[at, p]
                        total += newest
                        count += 1
                    at += 1
                if not count:
                    continue
                level = np.arcsinh(newest)
                out[row, 3 * p] = level
                out[row, 3 * p + 1] = level - np.arcsinh(total / count)
                if said:
                    out[row, 3 * p + 2] = level - before
                before, said = level, True
