"""Classical forecasters through `statsforecast`, rolled: what each would have said at the end of every step.

TSB (Teunter, Syntetos & Babai 2011) and Croston's method as corrected by Syntetos and Boylan (2005) are refitted at every step.
Theta (Assimakopoulos & Nikolopoulos 2000), ETS and ARIMA (Hyndman & Khandakar 2008) choose their form anew at every refit, which
is dear: they are refitted every H steps and run on in between, and only on series that are long and busy enough as of then; the
other rows get TSB. Whether a row is one of them depends on the series up to that row and on a level fixed by the fit.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from timerec.clock import WEEK
from timerec.forecaster.inputs import season
from timerec.forecaster.series import ItemSeries
from timerec.schema import DataError

KINDS = ("arima", "ets", "theta", "tsb", "croston")
SMOOTHING = 0.2  # of TSB, for sizes and for probabilities: within the range that Teunter et al. recommend
POINTS = 16  # non-zero steps from which theta, ETS and ARIMA are fitted
SERIES = {"theta": 3000, "ets": 3000, "arima": 100}  # about so many series get them, the busiest ones
EVERY = {"theta": 1, "ets": 1, "arima": 3}  # horizons between two refits
PERIODS = 3  # seasons that a series must hold before a season is fitted
HIGHEST = 10.0  # a forecast beyond so many times the highest value so far is refused


@dataclass(frozen=True)
class Plan:
    """What a fit decides; everything else follows from a series up to the row.

    Attributes:
        kind: one of KINDS.
        horizons: steps ahead, H.
        season: steps in a season; 1 for none.
        level: mean events a step so far from which a dear method is used.
    """

    kind: str
    horizons: int
    season: int
    level: float

    @property
    def every(self) -> int:
        """Steps between two refits."""
        return EVERY.get(self.kind, 0) * self.horizons or 1


def plan(kind: str, series: ItemSeries, horizons: int, fit_until_step: int) -> Plan:
    """The plan for these series as known at the end of step `fit_until_step - 1`.

    A season (a day of hours, a week of days) is fitted where the log holds three of them; weeks have none within a year.
    """
    known = series.until(fit_until_step)
    period = season(series.step) if series.step < WEEK else 1
    item = np.repeat(np.arange(known.n_items), known.lengths)
    points = np.bincount(item, weights=known.y > 0, minlength=known.n_items)
    mean = np.bincount(item, weights=known.y, minlength=known.n_items) / np.maximum(known.lengths, 1)
    fit = np.sort(mean[points >= POINTS])[::-1]
    limit = SERIES.get(kind, 0)
    level = float(fit[min(limit, len(fit)) - 1]) if limit and len(fit) else 0.0
    return Plan(kind, horizons, period if known.n_steps >= PERIODS * period else 1, level)


def models(plan: Plan) -> dict[str, Any]:
    """The statsforecast models of a plan, by kind.

    Raises:
        DataError: statsforecast is not installed.
    """
    try:
        from statsforecast.models import TSB, AutoARIMA, AutoETS, AutoTheta, CrostonSBA
    except ImportError as error:
        raise DataError(
            f"setting forecaster.kind={plan.kind}: needs statsforecast ({error}); pip install 'timerec[forecast]', "
            "or choose gru or lstm"
        ) from None
    chosen = {
        "tsb": lambda: TSB(alpha_d=SMOOTHING, alpha_p=SMOOTHING),
        "croston": CrostonSBA,
        "theta": lambda: AutoTheta(season_length=plan.season),
        "ets": lambda: AutoETS(season_length=plan.season),
        "arima": lambda: AutoARIMA(season_length=plan.season),
    }
    return {kind: chosen[kind]() for kind in {"tsb", plan.kind}}


def roll(y: NDArray[np.float32], plan: Plan, models: dict[str, Any]) -> tuple[NDArray[np.float32], dict[str, int]]:
    """Forecasts [T, H] of one series y [T] at the end of every step; row s reads nothing after step s.

    Returns:
        The forecasts, and {"rows", "own", "refused"}: rows in all, rows of the plan's own method, and refits that it refused
        (they get TSB, or the newest value where TSB was the plan).
    """
    out = np.zeros((len(y), plan.horizons), dtype=np.float32)
    facts = {"rows": len(y), "own": 0, "refused": 0}
    dear = plan.kind in SERIES
    points, total = np.cumsum(y > 0), np.cumsum(y, dtype=np.float64)
    ahead: NDArray[np.float32] | None = None  # made at the newest refit
    for s in range(len(y)):
        if dear and s % plan.every == plan.every - 1:
            ahead = None
            if points[s] >= POINTS and total[s] / (s + 1) >= plan.level:
                ahead = _checked(models[plan.kind], y[: s + 1], plan.horizons + plan.every - 1)
                facts["refused"] += ahead is None
        if dear and ahead is not None:
            past = s % plan.every + 1 if s % plan.every < plan.every - 1 else 0
            out[s] = ahead[past : past + plan.horizons]
            facts["own"] += 1
            continue
        kind = "tsb" if dear else plan.kind
        quick = _checked(models[kind], y[: s + 1], plan.horizons)
        facts["own"] += not dear
        facts["refused"] += quick is None
        out[s] = y[s] if quick is None else quick
    return out, facts


def _checked(model: Any, y: NDArray[np.float32], horizons: int) -> NDArray[np.float32] | None:
    """A forecast [horizons], not negative; None where the method fails or leaves all measure."""
    try:
        mean = np.asarray(model.forecast(y=y, h=horizons)["mean"], dtype=np.float64)
    except Exception:  # whatever a method raises on a short or constant series: counted, and told in the metrics
        return None
    if not np.all(np.isfinite(mean)) or mean.max(initial=0.0) > HIGHEST * max(float(y.max()), 1.0):
        return None
    return np.maximum(mean, 0.0).astype(np.float32)
