"""Rolled classical forecasts: as of every step, against the methods' own formulas, and told when they cannot be had."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from tests.unit.test_forecast_series import random_series
from timerec.clock import DAY, WEEK
from timerec.config import ForecasterConfig
from timerec.forecaster.backtest import coverage, given, spread
from timerec.forecaster.classical import SMOOTHING, Plan, models, plan, roll
from timerec.forecaster.intermittent import CLASSES, demand_classes
from timerec.forecaster.series import ItemSeries
from timerec.schema import DataError


def counts(n: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return (rng.poisson(3, n) * (rng.random(n) < 0.7)).astype(np.float32)


@pytest.mark.parametrize("kind", ["tsb", "croston", "theta", "ets"])
def test_rows_do_not_read_later_steps(kind: str) -> None:
    pytest.importorskip("statsforecast")
    y, chosen = counts(40), Plan(kind, 3, 1, 0.0)
    whole, facts = roll(y, chosen, models(chosen))
    other = y.copy()
    other[33:] += 7
    for changed in (other, y[:33]):
        assert roll(changed, chosen, models(chosen))[0][:33].tobytes() == whole[:33].tobytes()
    assert facts["rows"] == 40 and facts["own"] > 0 and facts["refused"] == 0
    assert whole.min() >= 0


def test_tsb_against_its_recursion() -> None:
    pytest.importorskip("statsforecast")
    y = counts(30, 4)
    chosen = Plan("tsb", 2, 1, 0.0)
    out, _ = roll(y, chosen, models(chosen))
    size, chance = float(y[y > 0][0]), float(y[0] > 0)
    for s in range(1, len(y)):
        if y[s] > 0 and np.flatnonzero(y > 0)[0] != s:
            size += SMOOTHING * (float(y[s]) - size)
        chance += SMOOTHING * (float(y[s] > 0) - chance)
        if s >= 10:
            assert out[s] == pytest.approx(size * chance, rel=1e-3)


def test_between_refits_the_newest_one_runs_on() -> None:
    pytest.importorskip("statsforecast")
    y = np.arange(1, 41, dtype=np.float32)
    chosen = Plan("theta", 3, 1, 0.0)
    out, facts = roll(y, chosen, models(chosen))
    for s in (24, 25):  # row 23 is a refit: 24 and 25 read it one and two steps further on
        made = models(chosen)["theta"].forecast(y=y[:24], h=5)["mean"]
        np.testing.assert_allclose(out[s], made[s - 23 : s - 20], rtol=1e-6)
    assert facts["own"] == 40 - 17  # from the first refit with 16 points, row 17


def test_quiet_series_get_tsb() -> None:
    pytest.importorskip("statsforecast")
    y = counts(40)
    loud, tsb = Plan("ets", 2, 1, 100.0), Plan("tsb", 2, 1, 0.0)
    out, facts = roll(y, loud, models(loud))
    assert facts["own"] == 0
    np.testing.assert_array_equal(out, roll(y, tsb, models(tsb))[0])


def test_plan_reads_nothing_after_the_cut() -> None:
    s = random_series(n_items=40, n_steps=40)
    assert plan("ets", s, 3, 30) == plan("ets", s.until(30), 3, 30)
    assert plan("tsb", s, 3, 30).season == 1
    assert plan("tsb", random_series(n_steps=40, step=DAY), 3, 30).season == 7
    assert plan("tsb", random_series(n_steps=40, step=DAY), 3, 20).season == 1


def test_without_statsforecast_there_is_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "statsforecast.models", None)
    with pytest.raises(
        DataError, match=r"^setting forecaster.kind=ets: needs statsforecast .* pip install 'timerec\[forecast\]'"
    ):
        models(Plan("ets", 2, 1, 0.0))


def test_kinds_are_settings() -> None:
    for kind in ("arima", "ets", "theta", "tsb", "croston", "auto"):
        assert ForecasterConfig(kind=kind).kind == kind


def test_classes_by_hand() -> None:
    rows = {
        "smooth": [5, 6, 5, 6, 5, 6],
        "erratic": [1, 20, 1, 1, 20, 1],
        "intermittent": [4, 0, 4, 0, 4, 0],
        "lumpy": [1, 0, 30, 0, 1, 0],
    }
    y = np.array(list(rows.values()), dtype=np.float32)
    item, step = np.nonzero(y)
    s = ItemSeries.from_long(item, step, y[item, step], 5, 6, 0, WEEK)  # the fifth never sold
    assert [CLASSES[place] for place in demand_classes(s)[:4]] == list(rows)
    assert demand_classes(s)[4] == -1


def test_spread_covers_what_it_says() -> None:
    rng = np.random.default_rng(3)
    y = rng.poisson(9, (300, 60)).astype(np.float32) + 1
    item, step = np.nonzero(y)
    s = ItemSeries.from_long(item, step, y[item, step], 300, 60, 0, WEEK)
    forecasts = np.full((len(s.y), 2), 10.0, dtype=np.float32)
    band = spread(s, forecasts, 40)
    late = ItemSeries.from_long(item, step, np.where(step < 40, y[item, step], 99.0), 300, 60, 0, WEEK)
    np.testing.assert_array_equal(spread(late, forecasts, 40), band)  # nothing from the cut on
    items, rows = np.arange(300), np.tile(np.arange(45, 55), (300, 1))
    out = given(s, forecasts, band)(items, rows)
    truth = y[items[:, None, None], rows[..., None] + np.arange(1, 3)]
    told = coverage(out[..., 1:], truth)
    inside = np.mean((truth >= out[..., 1].round()) & (truth <= out[..., 3].round()))
    assert told["coverage"]["all"] == pytest.approx(inside)
    assert 0.75 < inside < 0.95 and told["levels"] == [0.1, 0.9]
