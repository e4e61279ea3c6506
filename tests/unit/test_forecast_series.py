"""Item series, baselines and metrics against brute force."""

from __future__ import annotations

import numpy as np
import pytest

from timerec.forecaster import series as series_module
from timerec.forecaster.baseline import moving_average, naive
from timerec.forecaster.metrics import bias, by_horizon, changes, mase, rmsse, wape
from timerec.forecaster.series import ItemSeries


def random_series(seed: int = 0, n_items: int = 40, n_steps: int = 30, step: int = 604_800) -> ItemSeries:
    """Sparse counts; item 0 has no event, item 1 has one in the last step."""
    generator = np.random.default_rng(seed)
    y = generator.poisson(generator.gamma(0.5, 4.0, n_items)[:, None], (n_items, n_steps)).astype(np.float32)
    y[generator.random(y.shape) < 0.3] = 0
    y[0] = 0
    y[1] = 0
    y[1, -1] = 3
    item, at = np.nonzero(y)
    return ItemSeries.from_long(item, at, y[item, at], n_items, n_steps, 1_000_000, step)


def test_from_long_starts_at_the_first_event_and_fills_zeros() -> None:
    s = random_series()
    assert s.lengths[0] == 0 and s.first_step[0] == 30
    assert s.lengths[1] == 1 and s.y[s.offsets[1]] == 3
    for item in np.flatnonzero(s.lengths):
        y = s.y[s.offsets[item] : s.offsets[item + 1]]
        assert y[0] > 0
        assert s.first_step[item] + len(y) == 30


def test_from_long_ignores_the_order_of_rows() -> None:
    order = [2, 0, 1]
    item, step, y = np.array([0, 0, 1]), np.array([1, 3, 2]), np.array([2.0, 4.0, 8.0])
    s = ItemSeries.from_long(item[order], step[order], y[order], 2, 5, 0, 1)
    assert s.y.tolist() == [2, 0, 4, 0, 8, 0, 0]
    assert s.offsets.tolist() == [0, 4, 7]


def test_silent_series_end_only_where_a_fit_has_very_many_cells(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = ([0, 0, 1], [0, 9, 8], [1.0, 2.0, 3.0])
    assert series_module.quiet_for(2, 10) == 0
    assert ItemSeries.from_long(*rows, 2, 10, 0, 1).lengths.tolist() == [10, 2]
    monkeypatch.setattr(series_module, "DENSE_CELLS", 19)
    assert series_module.quiet_for(2, 10) == series_module.QUIET_STEPS
    ended = ItemSeries.from_long([0, 0, 1, 1], [0, 9, 2, 3], [1.0, 2.0, 3.0, 4.0], 3, 10, 0, 1, quiet=2)
    assert ended.lengths.tolist() == [10, 4, 0]  # an item that wakes keeps the gap
    assert ended.y[10:].tolist() == [3, 4, 0, 0]


@pytest.mark.parametrize("rows", [([2], [0], [1.0]), ([0], [5], [1.0]), ([0], [-1], [1.0]), ([0], [0], [np.nan])])
def test_from_long_refuses_rows_out_of_range(rows: tuple[list[int], list[int], list[float]]) -> None:
    with pytest.raises(ValueError, match="series"):
        ItemSeries.from_long(*rows, n_items=2, n_steps=5, origin=0, step_seconds=1)


@pytest.mark.parametrize("quiet", [0, 1, 3])
def test_until_equals_building_from_the_earlier_rows_alone(quiet: int) -> None:
    s = random_series()
    item = np.repeat(np.arange(s.n_items), s.lengths)
    step = np.arange(len(s.y)) - s.offsets[item] + s.first_step[item]
    s = ItemSeries.from_long(item, step, s.y, s.n_items, s.n_steps, s.origin, s.step, quiet)
    item = np.repeat(np.arange(s.n_items), s.lengths)
    step = np.arange(len(s.y)) - s.offsets[item] + s.first_step[item]
    early = (step < 17) & (s.y > 0)
    want = ItemSeries.from_long(item[early], step[early], s.y[early], s.n_items, 17, s.origin, s.step, quiet)
    got = s.until(17)
    for name in ("offsets", "first_step", "y"):
        np.testing.assert_array_equal(getattr(got, name), getattr(want, name))


def test_dense_and_ragged_are_inverse() -> None:
    s = random_series()
    items = np.arange(5, 20)
    dense = s.dense(items)
    assert dense[: s.lengths[7], 2].tolist() == s.y[s.offsets[7] : s.offsets[8]].tolist()
    np.testing.assert_array_equal(s.ragged(dense, items), s.y[s.offsets[5] : s.offsets[20]])


def test_baselines_against_a_loop() -> None:
    y = np.random.default_rng(1).poisson(3, (20, 6)).astype(np.float32)
    average = moving_average(y, 3)
    for s in range(20):
        np.testing.assert_allclose(average[s], np.repeat(y[max(0, s - 7) : s + 1].mean(0)[:, None], 3, 1), rtol=1e-6)
        np.testing.assert_array_equal(naive(y, 3)[s, :, 2], y[s])


def test_metrics_against_their_definitions() -> None:
    generator = np.random.default_rng(2)
    y = generator.poisson(3, (20, 5)).astype(np.float32)
    y[:, 4] = 2  # no change: no scale
    lengths = np.array([12, 8, 12, 5, 12])
    forecast, truth = generator.normal(2, 2, (5, 3, 4)), generator.poisson(2, (5, 3, 4)).astype(float)
    error = np.maximum(forecast, 0) - truth
    squared, absolute = changes(y, lengths)
    roots, ratios = [], []
    for i in range(4):
        steps = np.diff(y[: lengths[i], i])
        roots.append(np.sqrt((error[i] ** 2).mean() / (steps**2).mean()))
        ratios.append(np.abs(error[i]).mean() / np.abs(steps).mean())
    assert wape(forecast, truth) == pytest.approx(np.abs(error).sum() / truth.sum())
    assert bias(forecast, truth) == pytest.approx(error.sum() / truth.sum())
    assert rmsse(forecast, truth, squared) == pytest.approx(np.mean(roots))
    assert mase(forecast, truth, absolute) == pytest.approx(np.mean(ratios))
    parts = by_horizon(forecast, truth, squared, absolute)
    assert set(parts) == {"all", "1", "2", "3", "4"}
    assert parts["2"]["wape"] == pytest.approx(np.abs(error[..., 1]).sum() / truth[..., 1].sum())


def test_a_series_of_one_step_has_no_scale() -> None:
    squared, absolute = changes(np.ones((4, 2), dtype=np.float32) * np.arange(4)[:, None], np.array([1, 4]))
    assert np.isnan(squared[0]) and np.isnan(absolute[0])
    assert squared[1] == 1 and absolute[1] == 1
