"""Stage 3: fit the forecaster, and write what it says of every item at the end of every step."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from timerec.clock import step_index
from timerec.config import ClusterConfig, ForecasterConfig
from timerec.data.cluster import connect
from timerec.forecaster import backtest
from timerec.forecaster.backtest import Predict
from timerec.forecaster.classical import KINDS, plan
from timerec.forecaster.features import ForecastFeatures, build
from timerec.forecaster.frozen import MODEL, features_of
from timerec.forecaster.intermittent import CLASSES, demand_classes
from timerec.forecaster.prepared import quiet_of, read_series
from timerec.forecaster.recurrent import QUANTILES
from timerec.forecaster.sample import known_active
from timerec.forecaster.series import ItemSeries
from timerec.schema import DataError
from timerec.training.forecast_blocks import roll_blocks
from timerec.training.forecast_loop import fit_distributed

FEATURES, METRICS, EXAMPLES = "features", "metrics.json", "examples.json"
CANDIDATES = ("gru", "lstm", "tsb", "croston")  # of forecaster.kind=auto: what is cheap enough to fit twice
COMPARED = 5000  # items on which they are compared, at most
SEED = 17


@dataclass(frozen=True)
class Fitted:
    """One fitted forecaster: a network, or the rolled forecasts of a classical method.

    Attributes:
        predict: forecasts at given rows.
        features: what it says of every step.
        facts: how it was fitted.
        save: writes `model.json`, with the given facts beside, and whatever else `apply` needs.
    """

    predict: Predict
    features: Callable[[], ForecastFeatures]
    facts: dict[str, Any]
    save: Callable[[Path, dict[str, Any]], None]


def forecast(
    prepared: Path, out: Path, config: ForecasterConfig, cluster: ClusterConfig, fit_until: int, seed: int = SEED
) -> dict[str, Any]:
    """Fit on the steps wholly over at `fit_until` (unix seconds), then one causal pass over the whole log.

    Writes into `out`: `features/` (see `ForecastFeatures`), `model.json` and, of a network, `model.safetensors`, `metrics.json`
    (`backtest.judge`, beside naive and moving average; how many series are intermittent; with `config.kind` "auto" what was
    compared) and `examples.json` (six items to plot). With `config.kind` "none" the features lack the forecasts, and the metrics
    the model.

    Args:
        seed: of the sample, the initial weights and the order of training.

    Returns:
        What `metrics.json` holds.

    Raises:
        DataError: the series cannot be read, are too short to learn from, or statsforecast is missing.
    """
    series = read_series(prepared)
    kept = {"quiet": quiet_of(prepared)}
    cut = max(0, int(step_index(np.array([fit_until]), series.origin, series.step)[0]))
    out.mkdir(parents=True, exist_ok=True)
    metrics: dict[str, Any] = {"kind": config.kind, "fit": {}, "series": series.n_items, "steps": series.n_steps}
    metrics |= {"fit_until_step": cut, "demand": demand(series, cut)}
    predictors: dict[str, Predict] = {}
    if config.kind == "none":
        (out / MODEL).write_text(json.dumps({"kind": "none", "fit_until_step": cut, **kept}, indent=1))
        features = build(series, None)
    else:
        connect(cluster.address)
        if config.kind == "auto":
            metrics["auto"] = choose_kind(series, config, cluster, cut, out / "train", seed)
            config = config.model_copy(update={"kind": metrics["auto"]["chosen"]})
            metrics["kind"] = config.kind
        fitted = fit_kind(series, config, cluster, cut, out / "train", seed)
        fitted.save(out, {"fit_until_step": cut, **kept})
        shutil.rmtree(out / "train", ignore_errors=True)
        features, metrics["fit"], predictors["model"] = fitted.features(), fitted.facts, fitted.predict
    features.save(out / FEATURES)
    metrics |= backtest.judge(series, backtest.ground(series, config.horizons, cut, seed), config.horizons, predictors)
    (out / METRICS).write_text(json.dumps(metrics, indent=1))
    (out / EXAMPLES).write_text(json.dumps(examples(series, predictors.get("model"), config.horizons, cut)))
    return metrics


def fit_kind(series: ItemSeries, config: ForecasterConfig, cluster: ClusterConfig, cut: int, storage: Path, seed: int) -> Fitted:
    """Fit `config.kind` on the steps before `cut`; Ray must be connected.

    Raises:
        DataError: there are too few steps to learn from, or statsforecast is missing.
    """
    if config.kind not in KINDS:
        model, facts = fit_distributed(series, config, cluster, cut, storage, seed)
        facts = {"kind": config.kind, **facts}
        return Fitted(backtest.recurrent(series, model), lambda: build(series, model), facts, model.save)
    chosen = plan(config.kind, series, config.horizons, cut)
    rolled, facts = roll_blocks(series, chosen)
    band = backtest.spread(series, rolled, cut)

    def save(folder: Path, extra: dict[str, Any]) -> None:
        (folder / MODEL).write_text(json.dumps({**extra, "kind": chosen.kind, "plan": asdict(chosen)}, indent=1))

    return Fitted(backtest.given(series, rolled, band), lambda: build(series, None, rolled), facts, save)


def choose_kind(
    series: ItemSeries, config: ForecasterConfig, cluster: ClusterConfig, cut: int, storage: Path, seed: int
) -> dict[str, Any]:
    """Which of CANDIDATES has the lowest WAPE on the last 2 H steps before `cut`, each fitted on what lies before these.

    Returns:
        {"chosen", "metric", "judged_on", "origins", "items", "candidates": {kind: {"wape", "rmsse", "seconds"}}}; the candidates
        include naive and moving average, which are not chosen.

    Raises:
        DataError: there are too few steps to compare.
    """
    horizons = config.horizons
    known = series.until(cut)
    ground = backtest.before(known, horizons, cut, seed, COMPARED)
    if ground is None:
        raise DataError(
            f"setting forecaster.kind=auto: {cut} steps before the cut are too few to compare forecasters over {2 * horizons} of "
            "them; choose forecaster.kind=gru, or fewer forecaster.horizons"
        )
    start = int(ground.origins[0]) + 1
    table: dict[str, dict[str, float]] = {}
    for kind in CANDIDATES:
        began = time.perf_counter()
        fitted = fit_kind(known, config.model_copy(update={"kind": kind}), cluster, start, storage / kind, seed)
        accuracy = backtest.judge(known, ground, horizons, {kind: fitted.predict})["accuracy"]
        seconds = round(time.perf_counter() - began, 1)
        for name in (kind, "naive", "moving_average"):
            table.setdefault(name, {metric: accuracy[name]["all"][metric] for metric in ("wape", "rmsse")})
        table[kind]["seconds"] = seconds
    chosen = min(CANDIDATES, key=lambda kind: table[kind]["wape"])
    facts = {"judged_on": ground.where, "origins": ground.origins.tolist(), "items": len(ground.items)}
    return {"chosen": chosen, "metric": "wape", **facts, "candidates": table}


def demand(series: ItemSeries, cut: int) -> dict[str, Any]:
    """How many series, of those active before `cut`, are of which class of demand, and their share of steps without events."""
    known = series.until(cut)
    items = known_active(series, cut)
    place = demand_classes(known)[items]
    steps = float(known.lengths[items].sum())
    item = np.repeat(np.arange(known.n_items), known.lengths)
    empty = float(np.bincount(item, weights=known.y <= 0, minlength=known.n_items)[items].sum())
    counts = {name: int((place == number).sum()) for number, name in enumerate(CLASSES)}
    return {"active": len(items), "classes": counts, "share_of_zeros": round(empty / steps, 4) if steps else None}


def apply(model_dir: Path, prepared: Path, until: int = 0) -> ForecastFeatures:
    """Features of another prepared log, by the frozen parameters that `forecast` wrote into `model_dir`.

    Args:
        until: unix seconds of the latest request; the series run on to it, quiet steps included.

    Raises:
        DataError: the log's attributes are not those that the network reads, or statsforecast is missing.
    """
    facts = json.loads((model_dir / MODEL).read_text())
    if facts["kind"] in KINDS:
        connect()
    return features_of(model_dir, read_series(prepared, quiet=int(facts["quiet"]), until=until), roll_blocks)


def examples(series: ItemSeries, predict: Predict | None, horizons: int, cut: int, number: int = 6) -> dict[str, Any]:
    """Series and forecasts of items of various volume, for plots.

    Returns:
        {"cut", "origin", "step", "levels", "items": [{"item", "first_step", "y", "forecasts": [{"origin", "forecast" [H],
        "low" [H], "high" [H]}]}]}; low and high are the quantiles at "levels".
    """
    items = known_active(series, cut)
    total = np.concatenate([[0.0], np.cumsum(series.y, dtype=np.float64)])
    volume = total[series.offsets[items + 1]] - total[series.offsets[items]]
    ranked = items[np.argsort(-volume, kind="stable")]
    places = np.unique(np.geomspace(1, max(len(ranked), 1), number).round().astype(int)) - 1
    return {
        "cut": cut,
        "origin": series.origin,
        "step": series.step,
        "levels": [QUANTILES[0], QUANTILES[-1]],
        "items": [_example(series, predict, horizons, int(item)) for item in ranked[places]] if len(ranked) else [],
    }


def _example(series: ItemSeries, predict: Predict | None, horizons: int, item: int) -> dict[str, Any]:
    start, end, first = int(series.offsets[item]), int(series.offsets[item + 1]), int(series.first_step[item])
    rows = np.arange(max(0, end - start - 1 - 3 * horizons), end - start, horizons)
    out = predict(np.array([item]), rows[None])[0] if predict else np.zeros((0, horizons, 1 + len(QUANTILES)))
    forecasts = [
        {"origin": first + int(row), "forecast": one[:, 0].tolist(), "low": one[:, 1].tolist(), "high": one[:, -1].tolist()}
        for row, one in zip(rows, out, strict=False)
    ]
    return {"item": item, "first_step": first, "y": series.y[start:end].tolist(), "forecasts": forecasts}
