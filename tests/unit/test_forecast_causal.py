"""The law: whatever happens after a step leaves its inputs, forecasts and features as they were, bit for bit."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from tests.unit.test_forecast_series import random_series
from timerec.clock import DAY, HOUR, WEEK
from timerec.forecaster.features import ForecastFeatures, build, period_strength
from timerec.forecaster.inputs import YEAR, calendar, inputs, lags, levels, weighted_means
from timerec.forecaster.recurrent import Architecture, RecurrentForecaster
from timerec.forecaster.sample import pick
from timerec.forecaster.series import ItemSeries


def random_model(
    kind: str = "gru", step: int = WEEK, horizons: int = 3, yearly: bool = False, beside: int = 0
) -> RecurrentForecaster:
    torch.manual_seed(3)
    model = RecurrentForecaster(Architecture(kind, 8, horizons, step, yearly, beside, 2))
    for member in model.members:
        torch.nn.init.normal_(member.head.weight, std=0.3)
    return model.eval()


def direct(model: RecurrentForecaster, y: NDArray[np.float32], s: ItemSeries) -> torch.Tensor:
    """Point forecasts and quantiles of weekly series in one call of the network, its members averaged by hand."""
    x = torch.from_numpy(inputs(y, levels(y), s.first_step, s.origin, WEEK, 3, False))
    with torch.no_grad():
        return sum(model(x, torch.from_numpy(levels(y).scale))) / len(model.members)


def altered_after(s: ItemSeries, last: int) -> ItemSeries:
    """The same series with other counts in the steps after `last`."""
    item = np.repeat(np.arange(s.n_items), s.lengths)
    step = np.arange(len(s.y)) - s.offsets[item] + s.first_step[item]
    other = np.random.default_rng(9).poisson(20, len(s.y)).astype(np.float32)
    return replace(s, y=np.where(step > last, other, s.y))


@pytest.mark.parametrize("kind", ["gru", "lstm"])
@pytest.mark.parametrize(("step", "yearly"), [(WEEK, False), (WEEK, True), (DAY, True), (HOUR, False)])
@pytest.mark.parametrize("change", ["altered", "deleted"])
def test_features_do_not_read_later_steps(kind: str, step: int, yearly: bool, change: str) -> None:
    s = random_series(n_steps=70, step=step)
    model = random_model(kind, step, yearly=yearly)
    last = 58
    other = altered_after(s, last) if change == "altered" else s.until(last + 1)
    here, there = build(s, model), build(other, model)
    assert here.values.std(0).min() > 0
    for item in range(s.n_items):
        rows = max(0, last + 1 - int(s.first_step[item]))
        a = here.values[here.offsets[item] : here.offsets[item] + rows]
        b = there.values[there.offsets[item] : there.offsets[item] + rows]
        assert a.tobytes() == b.tobytes()


@pytest.mark.parametrize("kind", ["gru", "lstm"])
def test_forward_does_not_read_later_steps(kind: str) -> None:
    s = random_series()
    model, items, rows = random_model(kind), np.arange(s.n_items), 12
    y = s.dense(items)
    other = y.copy()
    other[rows:] += 5
    a, b = (direct(model, z, s) for z in (y, other))
    assert torch.equal(a[:rows], b[:rows])
    assert not torch.equal(a[rows:], b[rows:])


def test_roll_equals_forward() -> None:
    s = random_series(n_steps=45)
    model, y = random_model("lstm"), s.dense(np.arange(s.n_items))
    x = torch.from_numpy(inputs(y, levels(y), s.first_step, s.origin, WEEK, 3, False))
    torch.testing.assert_close(model.roll(x, torch.from_numpy(levels(y).scale)), direct(model, y, s))


def test_weighted_means_against_the_sum() -> None:
    y = np.random.default_rng(0).poisson(3, (15, 2)).astype(np.float32)
    for k, half_life in enumerate((1.0, 4.0)):
        for s in (0, 3, 14):
            weight = 2.0 ** (-(s - np.arange(s + 1)) / half_life)
            want = weight @ y[: s + 1] / weight.sum()
            np.testing.assert_allclose(weighted_means(y, (1.0, 4.0))[k, s], want, rtol=1e-6)


def test_levels_at_known_places() -> None:
    y = np.array([[4.0], [0.0], [0.0], [2.0]], dtype=np.float32)
    state = levels(y)
    assert state.since[:, 0].tolist() == [0, 1, 2, 0]
    assert state.average[:, 0].tolist() == [4, 2, pytest.approx(4 / 3), 1.5]
    assert state.deviation[0, 0] == 0  # the first step is not a surprise
    assert state.zero_share[0, 0] == 0
    assert 0.5 < state.zero_share[2, 0] < 0.7


def test_lags_are_one_period_before_the_target() -> None:
    y = np.arange(20, dtype=np.float32)[:, None]
    out = lags(y, 7, 9)
    assert out[15, 0].tolist() == [9, 10, 11, 12, 13, 14, 15, 9, 10]  # beyond a period: the newest of that phase
    assert out[3, 0, 0] == 0


def test_calendar_is_that_of_the_next_step() -> None:
    monday = 4 * DAY
    first = np.array([0], dtype=np.int32)
    hourly = calendar(first, 24, monday, HOUR, yearly=False)
    assert hourly.shape == (24, 1, 4)
    np.testing.assert_allclose(hourly[5, 0, :2], [1.0, 0.0], atol=1e-6)  # at the end of 05:00 comes 06:00: a quarter turn
    np.testing.assert_allclose(hourly[23, 0, 2:], [np.sin(2 * np.pi / 7), np.cos(2 * np.pi / 7)], atol=1e-6)
    weekly = calendar(first, 3, 0, WEEK, yearly=True)
    turn = 2 * np.pi * 2 * WEEK / YEAR
    np.testing.assert_allclose(weekly[1, 0], [np.sin(turn), np.cos(turn)], atol=1e-6)
    assert calendar(first, 3, 0, WEEK, yearly=False).shape == (3, 1, 0)


def test_period_strength_finds_the_period() -> None:
    steps = np.arange(60)
    wave = (10 + 8 * np.sin(2 * np.pi * steps / 7)).astype(np.float32)
    noise = np.random.default_rng(0).poisson(10, 60).astype(np.float32)
    strength = period_strength(np.stack([wave, noise], axis=1), 7)
    assert strength[-1, 0] > 0.7
    assert abs(strength[-1, 1]) < 0.4
    assert period_strength(np.stack([wave, noise], axis=1), 4)[-1, 0] < 0
    assert np.all(strength[:7] == 0)


def test_columns_by_hand() -> None:
    s = ItemSeries.from_long([0, 0], [0, 2], [4.0, 6.0], 1, 4, 0, WEEK)
    features = build(s, None)
    assert features.names == ["level", "trend", "period", "volatility", "since"]
    decay = 2.0 ** (-1 / 8)
    level = (4 * decay**2 + 6) / (decay**2 + decay + 1)
    assert features.values[2, 0] == pytest.approx(np.log1p(level), rel=1e-6)
    short = (4 * 0.5 + 6) / (0.5 + 2**-0.5 + 1)
    long = (4 * 2 ** (-1 / 8) + 6) / (2 ** (-1 / 8) + 2 ** (-1 / 16) + 1)
    assert features.values[2, 1] == pytest.approx(np.log((short + 0.1) / (long + 0.1)), rel=1e-5)
    assert features.values[3, 4] == pytest.approx(np.log(2.0))
    surprise = np.array([0.0, 4.0, 6 - 4 * decay / (decay + 1)])
    weights = decay ** np.array([2, 1, 0])
    deviation = (surprise * weights).sum() / weights.sum()
    assert features.values[2, 3] == pytest.approx(np.log((deviation + 0.1) / (level + 0.1)), rel=1e-5)


def test_forecast_columns_are_logs_of_the_model() -> None:
    s, model = random_series(), random_model()
    features = build(s, model)
    assert features.names[:4] == ["forecast_1", "forecast_2", "forecast_3", "momentum"]
    y = s.dense(np.arange(s.n_items))
    want = np.log1p(direct(model, y, s).numpy()[: s.lengths[5], 5, :, 0])
    np.testing.assert_allclose(features.values[s.offsets[5] : s.offsets[6], :3], want, rtol=1e-4)
    first, momentum, level = features.values[:, 0], features.values[:, 3], features.values[:, 4]
    np.testing.assert_allclose(momentum, np.log((np.expm1(first) + 0.1) / (np.expm1(level) + 0.1)), atol=1e-4)


def test_lookup_reads_the_newest_step_that_is_over() -> None:
    s = random_series()
    features = build(s, None)
    items = np.repeat(np.arange(s.n_items), 200)
    times = np.tile(np.linspace(s.origin - WEEK, s.origin + 40 * WEEK, 200).astype(np.int64), s.n_items)
    exact = s.origin + WEEK * 12  # the very second at which step 11 is over
    items, times = np.append(items, [5, 5]), np.append(times, [exact, exact - 1])
    got = features.lookup(items, times)
    for k in range(len(items)):
        item = items[k]
        row = (times[k] - s.origin) // WEEK - 1 - s.first_step[item]
        size = s.lengths[item]
        want = features.values[s.offsets[item] + min(row, size - 1)] if row >= 0 and size else np.zeros(5)
        np.testing.assert_array_equal(got[k], want)
    assert not np.array_equal(got[-1], got[-2])


def test_features_survive_saving(tmp_path: Path) -> None:
    features = build(random_series(), random_model())
    features.save(tmp_path)
    back = ForecastFeatures.load(tmp_path)
    assert isinstance(back.values, np.memmap)
    assert back.names == features.names and (back.origin, back.step) == (features.origin, features.step)
    for name in ("offsets", "first_step", "values"):
        np.testing.assert_array_equal(getattr(back, name), getattr(features, name))


def test_model_survives_saving(tmp_path: Path) -> None:
    model, s = random_model("lstm"), random_series()
    model.standardise(torch.tensor([[9.0], [3.0], [20.0]], dtype=torch.float64).expand(3, len(model.center)))
    model.save(tmp_path, {"fit_until_step": 3})
    back = RecurrentForecaster.load(tmp_path)
    assert build(s, back).values.tobytes() == build(s, model).values.tobytes()


@pytest.mark.parametrize("known", [2, 7, 33])
def test_new_items_do_not_change_the_rows_of_others(known: int) -> None:
    s, model = random_series(), random_model()
    alone = build(pick(s, np.arange(known)), model)
    assert build(s, model).values[: s.offsets[known]].tobytes() == alone.values.tobytes()
