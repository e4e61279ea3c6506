"""The sample, the loss and the in-process fit of the forecaster."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from tests.unit.test_forecast_causal import random_model
from tests.unit.test_forecast_series import random_series
from timerec.clock import WEEK
from timerec.config import ForecasterConfig
from timerec.forecaster.baseline import moving_average
from timerec.forecaster.features import build
from timerec.forecaster.fit import Fitting, architecture, batches, fit_local, loss_sums, moments
from timerec.forecaster.metrics import wape
from timerec.forecaster.recurrent import RecurrentForecaster
from timerec.forecaster.sample import WARM, WINDOW, active_items, choose, pick, tensors, windowed, windows
from timerec.forecaster.series import ItemSeries
from timerec.schema import DataError

SMALL = ForecasterConfig(hidden=8, epochs=6, batch_size=64, horizons=2, learning_rate=0.02)


def waves(n_items: int = 120, n_steps: int = 60) -> ItemSeries:
    """Items whose sales swing with a period of 6 steps, each with its own level: a moving average cannot follow."""
    generator = np.random.default_rng(5)
    level, phase = generator.uniform(3, 20, n_items)[:, None], generator.integers(0, 6, n_items)[:, None]
    mean = level * (1 + 0.9 * np.sin(2 * np.pi * (np.arange(n_steps) + phase) / 6))
    y = generator.poisson(mean).astype(np.float32)
    item, step = np.nonzero(y)
    return ItemSeries.from_long(item, step, y[item, step], n_items, n_steps, 0, WEEK)


def test_choose_reads_nothing_after_the_cut() -> None:
    s = random_series(n_items=200, n_steps=40)
    item = np.repeat(np.arange(s.n_items), s.lengths)
    late = np.arange(len(s.y)) - s.offsets[item] + s.first_step[item] >= 30
    other = replace(s, y=np.where(late, 99, s.y).astype(np.float32))
    a, b = choose(s, 4, 30, seed=1), choose(other, 4, 30, seed=1)
    np.testing.assert_array_equal(a.items, b.items)
    np.testing.assert_array_equal(a.series.y, b.series.y)
    assert a.series.n_steps == 30
    assert 0 < a.held.sum() < len(a.held) / 5


def test_active_items_have_enough_steps_with_events() -> None:
    s = random_series(n_items=100)
    count = [(s.y[s.offsets[i] : s.offsets[i + 1]] > 0).sum() for i in range(100)]
    assert active_items(s).tolist() == [i for i in range(100) if count[i] >= 7]  # a quarter of 30 steps


def test_pick_keeps_the_series_whole() -> None:
    s = random_series()
    part = pick(s, np.array([7, 3]))
    np.testing.assert_array_equal(part.dense(np.array([0, 1]), 30), s.dense(np.array([7, 3]), 30))


def test_too_few_steps_are_a_sentence() -> None:
    with pytest.raises(DataError, match=r"series.parquet, column step: 3 steps .* forecaster.kind=none$"):
        choose(random_series(), 4, 3, seed=1)


def test_targets_and_weights_against_a_loop() -> None:
    sample = choose(random_series(n_items=60), 3, 25, seed=1)
    data = tensors(sample, architecture(SMALL.model_copy(update={"horizons": 3}), sample.series, 25))
    s = sample.series
    for i in range(s.n_items):
        y, length = s.y[s.offsets[i] : s.offsets[i + 1]], int(s.lengths[i])
        for row in range(data.x.shape[0]):
            for h in range(1, 4):
                target, weight, held = (float(part[row, i, h - 1]) for part in (data.target, data.weight, data.held))
                there = row + h < length and row >= 2
                late = bool(sample.held[i]) and row + h >= length - 6
                assert weight == float(there and not late)
                assert held == float(there and late)
                if row + h < length:
                    assert target == y[row + h]


def test_loss_by_hand() -> None:
    target, weight = torch.tensor([[[1.0, 1.0]]]), torch.tensor([[[1.0, 0.0]]])
    one = torch.tensor([[[[3.0, 0.5, 2.0, 4.0], [9.0, 9.0, 9.0, 9.0]]]])  # point, then quantiles .1, .5, .9
    point = 2 / 2 + 0.1 * 4 / 8
    pinball = 0.2 * (0.1 * 0.5 + 0.5 * 1.0 + 0.1 * 3.0) / 2
    total, count = loss_sums(one[None], target, weight, torch.tensor([[4.0]]))
    assert float(total) == pytest.approx(point + pinball)
    assert float(count) == 1
    exact = torch.ones_like(one)
    both = loss_sums(torch.stack([one, exact]), target, weight, torch.tensor([[4.0]]))
    assert float(both[0]) == pytest.approx((point + pinball) / 2)  # members are judged one by one


def test_quantiles_do_not_cross() -> None:
    torch.manual_seed(0)
    model = random_model(horizons=3)
    for member in model.members:
        torch.nn.init.normal_(member.head.weight, std=5.0)
    out = model(torch.randn(9, 40, len(model.center)), torch.rand(9, 40) * 10)
    assert torch.all(out[..., 1] <= out[..., 2]) and torch.all(out[..., 2] <= out[..., 3]) and torch.all(out >= 0)


def test_standardised_inputs_have_mean_0_and_deviation_1() -> None:
    sample = choose(random_series(n_items=80), 2, 30, seed=1)
    model = random_model(horizons=2)
    data = tensors(sample, model.architecture)
    model.standardise(moments(data))
    x = ((data.x - model.center) / model.spread)[data.weight.sum(-1) > 0]
    torch.testing.assert_close(x.mean(0), torch.zeros(x.shape[1]), atol=1e-3, rtol=0)
    torch.testing.assert_close(x.std(0), torch.ones(x.shape[1]), atol=5e-2, rtol=0)


def test_the_time_of_year_needs_two_years() -> None:
    s = random_series(n_steps=30)
    assert not architecture(SMALL, s, 104).yearly
    assert architecture(SMALL, s, 105).yearly


def long_series(n_items: int, length: int) -> ItemSeries:
    item, step = np.divmod(np.arange(n_items * length), length)
    return ItemSeries.from_long(item, step, 1 + (item + step) % 5, n_items, length, 0, 3600)


def test_long_series_come_in_smaller_batches() -> None:
    assert batches(long_series(1000, 50), 100) == 10
    assert batches(long_series(1000, 128), 100) == 20
    assert batches(long_series(10, WINDOW + 2 * (WINDOW - WARM)), 80) == 3  # three windows a series, ten a batch


def test_windows_teach_every_target_once_and_at_its_place() -> None:
    series = long_series(3, 1500)
    short = np.repeat([True, True, False], 1500) | (np.arange(4500) % 1500 < 700)
    item, step = np.divmod(np.flatnonzero(short), 1500)
    s = ItemSeries.from_long(item, step, series.y[short], 3, 1500, 0, 3600, quiet=10)
    sample = choose(s, 2, 1500, seed=1)
    data = tensors(sample, architecture(SMALL, s, 1500))
    cut = windowed(data)
    assert len(cut.x) == WINDOW and cut.x.shape[1] == windows(sample.series.lengths).sum() == 10
    last = [length - (count - 1) * (WINDOW - WARM) for length, count in ((1500, 4), (710, 2))]
    assert cut.lengths.tolist() == [WINDOW] * 5 + [last[1]] + [WINDOW] * 2 + [last[0]] * 2
    for name in ("weight", "held"):
        torch.testing.assert_close(getattr(cut, name).sum(), getattr(data, name).sum())
    taught = cut.weight.sum(-1) > 0
    one, other = (
        torch.cat([part.x[mask], part.target[mask]], -1) for part, mask in ((cut, taught), (data, data.weight.sum(-1) > 0))
    )
    torch.testing.assert_close(one.unique(dim=0), other.unique(dim=0))
    assert windowed(tensors(choose(waves(), 2, 60, seed=1), architecture(SMALL, waves(), 60))).x.shape[0] == 60


def test_a_network_learns_from_windows_what_lies_in_them() -> None:
    rng = np.random.default_rng(0)
    phase = rng.integers(0, 24, 12)[:, None]
    mean = 6 * (1 + 0.9 * np.sin(2 * np.pi * (np.arange(900) + phase) / 24))
    y = rng.poisson(mean).astype(np.float32)
    item, step = np.nonzero(y)
    s = ItemSeries.from_long(item, step, y[item, step], 12, 900, 0, 3600)
    assert (s.first_step < 24).all()
    config = SMALL.model_copy(update={"epochs": 12, "batch_size": 8})
    model = fit_local(s, config, 800)
    rows = np.arange(800, 890)
    truth = np.stack([y.T[rows + 1], y.T[rows + 2]], axis=-1)
    assert wape(_forecasts(s, model, rows), truth) < 0.6 * wape(moving_average(y.T, 2)[rows], truth)


@pytest.mark.parametrize("kind", ["gru", "lstm"])
def test_a_fitted_network_beats_the_moving_average(kind: str) -> None:
    s, cut = waves(), 44
    losses: list[float] = []
    config = SMALL.model_copy(update={"kind": kind, "epochs": 12, "hidden": 16})
    model = fit_local(s, config, cut, on_epoch=lambda epoch, train, loss: losses.append(train))
    assert losses[-1] < 0.6 * losses[0]
    rows = np.arange(cut - 1, 56)
    y = s.dense(np.arange(s.n_items))
    truth = np.stack([y[rows + 1], y[rows + 2]], axis=-1)
    forecast = _forecasts(s, model, rows)
    assert wape(forecast, truth) < 0.6 * wape(moving_average(y, 2)[rows], truth)


def _forecasts(s: ItemSeries, model: torch.nn.Module, rows: np.ndarray) -> np.ndarray:
    values = build(s, model).values[:, :2]
    starts = s.offsets[:-1] - s.first_step
    return np.expm1(values[starts + rows[:, None]])


def test_the_fit_reads_nothing_after_the_cut() -> None:
    s = waves()
    other = s.until(44)
    a, b = fit_local(s, SMALL, 44), fit_local(other, SMALL, 44)
    for name, value in a.state_dict().items():
        assert torch.equal(value, b.state_dict()[name]), name


def test_a_restored_fit_ends_as_an_unbroken_one() -> None:
    sample = choose(waves(), 2, 44, seed=1)

    def start() -> Fitting:
        return Fitting(random_model(horizons=2), 4, 4, 0.01)

    data = tensors(sample, start().network.architecture)

    def run(fitting: Fitting, epochs: int) -> None:
        for _ in range(epochs):
            fitting.train_epoch(data, torch.Generator().manual_seed(fitting.epoch))
            fitting.end_epoch(fitting.validate(data))

    unbroken, first, second = start(), start(), start()
    run(unbroken, 4)
    run(first, 2)
    second.restore(first.state())
    run(second, 2)
    assert second.done
    assert (second.best, second.best_epoch) == (unbroken.best, unbroken.best_epoch)
    for name, value in unbroken.network.state_dict().items():
        assert torch.equal(value, second.network.state_dict()[name]), name


def test_stops_early_and_keeps_the_best_weights() -> None:
    fitting = Fitting(random_model(), 1, 20, 0.01)
    for loss in (3.0, 1.0, 2.0, 2.0, 2.0, 2.0):
        assert not fitting.done
        with torch.no_grad():
            fitting.network.members[0].head.bias.fill_(loss)
        fitting.end_epoch(torch.tensor([loss, 1.0]))
    fitting.end_epoch(torch.tensor([2.0, 1.0]))
    assert fitting.done and fitting.epoch == 7
    assert set(fitting.best_weights["members.0.head.bias"].tolist()) == {1.0}


def test_bfloat16_learns_too() -> None:
    losses: list[float] = []
    fit_local(waves(), SMALL, 44, precision="bf16", on_epoch=lambda epoch, train, loss: losses.append(train))
    assert losses[-1] < 0.8 * losses[0]


def uneven() -> ItemSeries:
    """Forty short series and eight long ones."""
    item = np.repeat(np.arange(48), 300)
    first = np.where(np.arange(48) < 40, 1_700, 0)
    step = np.concatenate([np.linspace(start, 1_999, 300).astype(int) for start in first])
    return ItemSeries.from_long(item, step, np.ones(len(item), np.float32), 48, 2_000, 0, WEEK)


def test_batches_hold_series_of_like_lengths_and_each_series_once() -> None:
    s = uneven()
    fitting = Fitting(RecurrentForecaster(architecture(SMALL, s, 2_000)), 6, 1, 0.01)
    lengths = torch.from_numpy(s.lengths)
    parts = fitting._batches(lengths, torch.Generator().manual_seed(0))
    assert len(parts) == 6
    assert sorted(torch.cat(parts).tolist()) == list(range(48))
    assert [len(part) for part in parts] == [8] * 6
    assert sorted(int(lengths[part].min() == lengths[part].max()) for part in parts) == [1] * 6
    again = fitting._batches(lengths, torch.Generator().manual_seed(1))
    assert [part.tolist() for part in parts] != [part.tolist() for part in again]


def test_steps_behind_the_longest_series_of_a_batch_do_not_count() -> None:
    s = uneven()
    sample = choose(s, 2, 1_990, seed=1)
    torch.manual_seed(0)
    model = RecurrentForecaster(architecture(SMALL, s, 1_990))
    data = tensors(sample, model.architecture)
    model.standardise(moments(data))
    fitting = Fitting(model, 1, 1, 0.01)
    short = torch.nonzero(data.lengths < 400).ravel()
    found = fitting._sums(data, data.weight, short)
    whole = loss_sums(
        model(data.x[:, short], data.scale[:, short]), data.target[:, short], data.weight[:, short], data.scale[:, short]
    )
    torch.testing.assert_close(found, whole, rtol=1e-5, atol=1e-4)
    seen: list[int] = []
    model.register_forward_pre_hook(lambda module, given: seen.append(len(given[0])))
    fitting._sums(data, data.weight, short)
    assert seen == [int(data.lengths[short].max())]
