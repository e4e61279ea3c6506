"""Stage 3: fit the forecaster, and write what it says of every item at the end of every step."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray

from timerec.clock import STEPS, step_index
from timerec.config import ClusterConfig, ForecasterConfig
from timerec.data.cluster import connect
from timerec.forecaster.baseline import moving_average, naive
from timerec.forecaster.features import ForecastFeatures, build
from timerec.forecaster.metrics import by_horizon, changes
from timerec.forecaster.recurrent import RecurrentForecaster
from timerec.forecaster.sample import choose, known_active
from timerec.forecaster.series import ItemSeries, cut_for
from timerec.schema import DataError, Prepared
from timerec.training.forecast_loop import fit_distributed

SERIES = "series.parquet"  # item int32, step int32, count float32, value float32; non-zero rows only
FEATURES, METRICS, EXAMPLES, MODEL = "features", "metrics.json", "examples.json", "model.json"
ORIGINS = 8  # latest origins that are judged
JUDGED = 20_000  # items that are judged, drawn at random where there are more
SEED = 17


def forecast(prepared: Path, out: Path, config: ForecasterConfig, cluster: ClusterConfig, fit_until: int) -> dict[str, Any]:
    """Fit on the steps wholly over at `fit_until` (unix seconds), then one causal pass over the whole log.

    Writes into `out`: `features/` (see `ForecastFeatures`), `model.json` and `model.safetensors`, `metrics.json` (WAPE,
    RMSSE, MASE by horizon, beside naive and moving average) and `examples.json` (six items to plot). With `config.kind`
    "none" there is no network: the features lack the forecasts, and the metrics the model.

    Returns:
        What `metrics.json` holds.

    Raises:
        DataError: the series cannot be read, or are too short to learn from.
    """
    series = read_series(prepared)
    kept = {"max_steps": cut_of(prepared)}
    cut = max(0, int(step_index(np.array([fit_until]), series.origin, series.step)[0]))
    out.mkdir(parents=True, exist_ok=True)
    model: RecurrentForecaster | None = None
    facts: dict[str, Any] = {}
    if config.kind == "none":
        (out / MODEL).write_text(json.dumps({"kind": "none", "fit_until_step": cut, **kept}, indent=1))
    else:
        connect(cluster.address)
        model, facts = fit_distributed(series, config, cluster, cut, out / "train", SEED)
        model.save(out, {"fit_until_step": cut, **kept})
        shutil.rmtree(out / "train")
    features = build(series, model)
    features.save(out / FEATURES)
    metrics = {"fit": facts, "series": series.n_items, "steps": series.n_steps, "fit_until_step": cut}
    metrics |= judge(series, features, config.horizons, cut)
    (out / METRICS).write_text(json.dumps(metrics, indent=1))
    (out / EXAMPLES).write_text(json.dumps(examples(series, features, config.horizons, cut)))
    return metrics


def apply(model_dir: Path, prepared: Path, until: int = 0) -> ForecastFeatures:
    """Features of another prepared log, by the frozen parameters that `forecast` wrote into `model_dir`.

    Args:
        until: unix seconds of the latest request; the series run on to it, quiet steps included.
    """
    facts = json.loads((model_dir / MODEL).read_text())
    model = None if facts["kind"] == "none" else RecurrentForecaster.load(model_dir)
    return build(read_series(prepared, max_steps=int(facts["max_steps"]), until=until), model)


def cut_of(prepared: Path) -> int:
    """The `max_steps` of a fit on this prepared directory."""
    manifest = _manifest(prepared)
    return cut_for(int(manifest["n_items"]), int(manifest["n_steps"]))


def read_series(prepared: Path, column: str = "count", max_steps: int | None = None, until: int = 0) -> ItemSeries:
    """The item series of a prepared directory.

    Args:
        max_steps: steps of a series at most, 0 for all; by default what a fit on this directory takes.
        until: unix seconds up to which the series run at least, quiet steps included.

    Raises:
        DataError: a file is missing, unreadable or without the column.
    """
    path = prepared / SERIES
    manifest = _manifest(prepared)
    try:
        table = pq.read_table(path, columns=["item", "step", column])
        item, step, y = (table.column(name).to_numpy() for name in ("item", "step", column))
    except (OSError, ValueError, KeyError) as error:
        raise DataError(f"{path}, column {column}: cannot be read ({error}); run the prepare stage again") from None
    n_items, n_steps, origin = (int(manifest[name]) for name in ("n_items", "n_steps", "origin"))
    length = STEPS[manifest["step"]]
    n_steps = max(n_steps, (until - origin) // length)
    kept = cut_for(n_items, n_steps) if max_steps is None else max_steps
    return ItemSeries.from_long(item, step, y, n_items, n_steps, origin, length, kept)


def _manifest(prepared: Path) -> dict[str, Any]:
    path = prepared / Prepared.MANIFEST
    try:
        manifest: dict[str, Any] = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: cannot be read ({error}); run the prepare stage again") from None
    return manifest


def judge(series: ItemSeries, features: ForecastFeatures, horizons: int, cut: int) -> dict[str, Any]:
    """Accuracy of the features' forecasts, of naive and of the moving average on steps that no parameter has seen.

    These are the steps from `cut` on, at up to 8 latest origins; the log's last step, seldom whole, is left out.
    Where they are fewer than the horizons: the last steps before the cut, of the items whose last steps were held out
    of the fit. Items are those active before the cut.
    """
    last = series.n_steps - 2  # newest step that is whole
    if last - horizons >= cut - 1:
        where, first_origin = "steps after the cut", max(cut - 1, last - horizons - ORIGINS + 1)
        items = known_active(series, cut)
        origins = np.arange(first_origin, last - horizons + 1)
    else:
        where = "held-out items, last steps before the cut"
        items = choose(series, horizons, cut, SEED).held_items
        origins = np.array([cut - 1 - horizons])
    items = np.sort(np.random.default_rng(SEED).permutation(items)[:JUDGED])
    items = items[series.first_step[items] <= origins[0]] if len(origins) else items
    nothing = {"judged_on": "nothing: no item is active long enough", "origins": [], "items": 0}
    if not len(items) or origins[0] < 0:
        return nothing
    y = series.dense(items)
    row = origins - series.first_step[items].astype(np.int64)[:, None]
    inside = row[:, -1] + horizons < series.lengths[items]  # a series that was cut short has no truth there
    items, y, row = items[inside], y[:, inside], row[inside]
    if not len(items):
        return nothing
    side = np.arange(len(items))[:, None]
    truth = y[row[..., None] + np.arange(1, horizons + 1), side[..., None]]
    scales = changes(y, origins[0] + 1 - series.first_step[items])
    guesses = {"naive": naive(y, horizons)[row, side], "moving_average": moving_average(y, horizons)[row, side]}
    if features.names[0] == "forecast_1":
        guesses = {"model": np.expm1(features.values[series.offsets[items][:, None] + row, :horizons])} | guesses
    return {
        "judged_on": where,
        "origins": origins.tolist(),
        "items": len(items),
        "accuracy": {name: by_horizon(guess, truth, *scales) for name, guess in guesses.items()},
    }


def examples(series: ItemSeries, features: ForecastFeatures, horizons: int, cut: int, number: int = 6) -> dict[str, Any]:
    """Series and forecasts of items of various volume, for plots.

    Returns:
        {"cut", "origin", "step", "items": [{"item", "first_step", "y", "forecasts": [{"origin", "forecast" [H]}]}]}
    """
    items = known_active(series, cut)
    total = np.concatenate([[0.0], np.cumsum(series.y, dtype=np.float64)])
    volume = total[series.offsets[items + 1]] - total[series.offsets[items]]
    ranked = items[np.argsort(-volume, kind="stable")]
    places = np.unique(np.geomspace(1, max(len(ranked), 1), number).round().astype(int)) - 1
    learned = features.names[0] == "forecast_1"
    return {
        "cut": cut,
        "origin": series.origin,
        "step": series.step,
        "items": [_example(series, features, horizons, int(item), learned) for item in ranked[places]] if len(ranked) else [],
    }


def _example(series: ItemSeries, features: ForecastFeatures, horizons: int, item: int, learned: bool) -> dict[str, Any]:
    start, end, first = int(series.offsets[item]), int(series.offsets[item + 1]), int(series.first_step[item])
    rows: NDArray[np.int64] = np.arange(max(start, end - 1 - 3 * horizons), end, horizons) if learned else np.zeros(0, int)
    forecasts = [
        {"origin": first + int(row) - start, "forecast": np.expm1(features.values[row, :horizons]).tolist()} for row in rows
    ]
    return {"item": item, "first_step": first, "y": series.y[start:end].tolist(), "forecasts": forecasts}
