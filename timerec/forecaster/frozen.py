"""A fitted forecaster, applied to any series by its frozen parameters."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from timerec.forecaster.classical import KINDS, Plan
from timerec.forecaster.features import ForecastFeatures, build
from timerec.forecaster.recurrent import RecurrentForecaster
from timerec.forecaster.series import ItemSeries
from timerec.schema import DataError, Prepared

MODEL = "model.json"
Roll = Callable[[ItemSeries, Plan], tuple[NDArray[np.float32], dict[str, Any]]]


def features_of(model_dir: Path, series: ItemSeries, roll: Roll) -> ForecastFeatures:
    """Features of any series, by the frozen parameters in `model_dir`.

    Args:
        roll: how to roll a classical method over the series, as `timerec.training.forecast_blocks.roll_blocks` does.

    Raises:
        DataError: the series lack the columns that the network reads, or statsforecast is missing.
    """
    facts = json.loads((model_dir / MODEL).read_text())
    if facts["kind"] == "none":
        return build(series, None)
    if facts["kind"] in KINDS:
        return build(series, None, roll(series, Plan(**facts["plan"]))[0])
    model = RecurrentForecaster.load(model_dir)
    if model.architecture.beside != series.n_beside:
        raise DataError(
            f"{Prepared.ATTRIBUTES}: gives {series.n_beside} columns where the forecaster reads "
            f"{model.architecture.beside}: bring the attributes it was trained with"
        )
    return build(series, model)
