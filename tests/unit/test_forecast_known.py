"""What is known beside a series: against a loop over attribute rows, and blind to what is stamped later."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from tests.unit.test_forecast_causal import random_model
from tests.unit.test_forecast_series import random_series
from timerec.clock import WEEK
from timerec.forecaster.features import build
from timerec.forecaster.known import attribute_columns
from timerec.forecaster.sample import pick
from timerec.forecaster.series import ItemSeries

Rows = tuple[NDArray[np.int32], NDArray[np.int64], NDArray[np.float32]]


def attributes(s: ItemSeries, seed: int = 0, n: int = 400) -> Rows:
    rng = np.random.default_rng(seed)
    time = s.origin + rng.integers(-2, s.n_steps + 2, n) * WEEK + rng.integers(0, 2, n) * rng.integers(0, WEEK, n)
    value = np.where(rng.random((n, 2)) < 0.3, np.nan, rng.uniform(0, 5, (n, 2))).astype(np.float32)
    return rng.integers(0, s.n_items - 1, n).astype(np.int32), time, value  # the last item has none


def test_columns_against_a_loop() -> None:
    s = random_series(n_items=8)
    item, time, value = attributes(s)
    out = attribute_columns(s, item, time, value)
    order = np.argsort(time, kind="stable")
    for i in range(s.n_items):
        for p in range(2):
            before = None
            for row in range(int(s.lengths[i])):
                end = s.origin + (int(s.first_step[i]) + row + 1) * WEEK
                known = [float(value[k, p]) for k in order if item[k] == i and time[k] <= end and not np.isnan(value[k, p])]
                want = np.zeros(3)
                if known:
                    level = np.arcsinh(known[-1])
                    want[:] = level, level - np.arcsinh(np.mean(known)), 0 if before is None else level - before
                    before = level
                np.testing.assert_allclose(out[s.offsets[i] + row, 3 * p : 3 * p + 3], want, atol=1e-5)


def test_a_promotion_stamped_at_the_border_is_known_and_a_second_later_is_not() -> None:
    s = ItemSeries.from_long([0], [0], [1.0], 1, 3, 0, WEEK)
    one = np.array([[2.0]], dtype=np.float32)
    at, late = (attribute_columns(s, np.array([0]), np.array([time]), one)[:, 0] for time in (WEEK, WEEK + 1))
    assert at[0] > 0 and late[0] == 0 and late[1] == at[1]


def test_forecasts_read_no_attribute_stamped_later() -> None:
    s = random_series(n_items=12)
    item, time, value = attributes(s)
    end = s.origin + 18 * WEEK  # step 17 is over
    other = np.where((time > end)[:, None], np.float32(9), value)
    model = random_model(beside=6)
    rows = [replace(s, beside=attribute_columns(s, item, time, v)) for v in (value, other)]
    here, there = (build(one, model).values for one in rows)
    assert not np.array_equal(here, there)
    for i in range(s.n_items):
        known = slice(int(s.offsets[i]), int(s.offsets[i]) + max(0, 18 - int(s.first_step[i])))
        assert here[known].tobytes() == there[known].tobytes()


def test_what_is_beside_goes_along() -> None:
    s = random_series(n_items=12)
    s = replace(s, beside=attribute_columns(s, *attributes(s)))
    part = pick(s, np.array([7, 3]))
    assert s.beside is not None and part.beside is not None
    np.testing.assert_array_equal(part.beside[part.offsets[1] :], s.beside[s.offsets[3] : s.offsets[4]])
    rows = 20 - int(s.first_step[3])
    dense = s.until(20).dense_beside(np.array([7, 3]))
    np.testing.assert_array_equal(dense[:rows, 1], s.beside[s.offsets[3] : s.offsets[3] + rows])
