"""Weekly forecasts of units an item: every forecaster beside naive and moving average, and NHITS as a peer in the same run.

  python -m bench.forecast DATASET [--kinds gru lstm tsb …] [--peers] [--out FORECASTS_DIR]

Protocol: whole weeks counted back from the last event; items with 26 non-zero weeks before the first origin;
departments sold by weight, as money or as fuel left out. A series starts at the item's first sale. Five origins,
horizons of one to four weeks, all in the last eight weeks. A network is fitted once, on the weeks up to the first
origin, then rolled forward with frozen parameters; classical methods are fitted anew at each origin. Networks read the attributes
stamped up to the origin where the data set has any; `gru_alone` reads its own series only. All in one process, on one thread.

`--peers` fits NHITS by `neuralforecast` (not among the project's requirements) once up to the first origin, as the networks.
`--back N` moves all origins N weeks back: settings are chosen there. Prints a table, then JSON.
"""

from __future__ import annotations

import argparse
import json
import logging
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from timerec.clock import HOUR, WEEK
from timerec.config import ForecasterConfig
from timerec.forecaster.backtest import coverage, recurrent
from timerec.forecaster.baseline import moving_average, naive
from timerec.forecaster.classical import KINDS, Plan, models
from timerec.forecaster.fit import fit_local
from timerec.forecaster.intermittent import CLASSES, demand_classes
from timerec.forecaster.known import attribute_columns
from timerec.forecaster.metrics import by_horizon, changes, wape
from timerec.forecaster.sample import pick
from timerec.forecaster.series import ItemSeries
from timerec.schema import DataError

TEST_WEEKS, HORIZONS, ORIGINS, ENOUGH_WEEKS = 8, 4, 5, 26
LEFT_OUT = "FUEL$|MISCELLANEOUS$|COUPON$"
QUICK = ("gru", "gru_alone", "lstm", "tsb", "croston", "moving_average", "naive")
PEER_STEPS, PEER_WEEKS = 1500, 16  # NHITS: gradient steps, weeks that it reads

Forecast = NDArray[np.floating[Any]]


def weekly_series(dataset: Path) -> tuple[ItemSeries, NDArray[np.generic]]:
    """Units a week of the items that are judged, and their ids."""
    events = pd.read_parquet(dataset / "interactions.parquet", columns=["item_id", "timestamp", "value"])
    items = pd.read_parquet(dataset / "items.parquet", columns=["item_id", "title"])
    refused = items.item_id[items.title.str.contains(LEFT_OUT, regex=True, na=False)]
    events = events[~events.item_id.isin(refused)]
    end = (int(events.timestamp.max()) // HOUR + 1) * HOUR
    weeks = -((int(events.timestamp.min()) - end) // WEEK)
    origin = end - weeks * WEEK
    if events.timestamp.min() - origin > 24 * HOUR:  # the first week is not whole
        weeks, origin = weeks - 1, origin + WEEK
    events = events.assign(step=(events.timestamp - origin) // WEEK)
    long = events[events.step >= 0].groupby(["item_id", "step"], as_index=False).value.sum()
    known = long[(long.step < weeks - TEST_WEEKS) & (long.value > 0)].groupby("item_id").size()
    long = long[long.item_id.isin(known.index[known >= ENOUGH_WEEKS])]
    ids, item = np.unique(long.item_id.to_numpy(), return_inverse=True)
    return ItemSeries.from_long(item, long.step, long.value, len(ids), weeks, origin, WEEK), ids


def attributes(dataset: Path, series: ItemSeries, ids: NDArray[np.generic]) -> NDArray[np.float32] | None:
    """Columns of the attributes in force at the end of each week, where the data set has any."""
    path = dataset / "item_attributes.parquet"
    if not path.exists():
        return None
    rows = pd.read_parquet(path)
    rows = rows[rows.item_id.isin(ids)]
    values = rows.drop(columns=["item_id", "timestamp"]).to_numpy(np.float32)
    return attribute_columns(series, np.searchsorted(ids, rows.item_id.to_numpy()), rows.timestamp.to_numpy(), values)


def network(series: ItemSeries, row: NDArray[np.int64], first: int, config: dict[str, Any]) -> Forecast:
    """Point forecasts and quantiles [n, O, H, 1 + Q] of a GRU or LSTM fitted up to the week `first`."""
    settings = ForecasterConfig.model_validate({**config, "horizons": HORIZONS})
    return recurrent(series, fit_local(series, settings, first + 1))(np.arange(series.n_items), row)


def classical(kind: str, series: ItemSeries, row: NDArray[np.int64], limit: int) -> Forecast:
    """Forecasts [n, O, H] of a classical method, fitted at each origin; of the first `limit` series, where it is not 0."""
    chosen = models(Plan(kind, HORIZONS, 1, 0.0))
    out = np.zeros((*row.shape, HORIZONS))
    for item in range(min(limit or series.n_items, series.n_items)):
        y = series.y[series.offsets[item] : series.offsets[item + 1]]
        for place, last in enumerate(row[item]):
            out[item, place] = chosen[kind].forecast(y=y[: last + 1], h=HORIZONS)["mean"]
    return out


def nhits(series: ItemSeries, row: NDArray[np.int64], first: int) -> Forecast:
    """Forecasts [n, O, H] of NHITS (Challu et al. 2023), trained once on the weeks up to `first` with the absolute error.

    Raises:
        DataError: neuralforecast is not installed.
    """
    try:
        from neuralforecast import NeuralForecast
        from neuralforecast.losses.pytorch import MAE
        from neuralforecast.models import NHITS
    except ImportError as error:
        raise DataError(f"--peers: needs neuralforecast ({error}); pip install neuralforecast") from None
    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
    item = np.repeat(np.arange(series.n_items), series.lengths)
    step = np.arange(len(series.y)) - series.offsets[item] + series.first_step[item]
    long = pd.DataFrame({"unique_id": item, "ds": step, "y": series.y})
    quiet = {"enable_progress_bar": False, "logger": False, "enable_checkpointing": False, "enable_model_summary": False}
    model = NHITS(
        h=HORIZONS, input_size=PEER_WEEKS, max_steps=PEER_STEPS, loss=MAE(), scaler_type="robust", random_seed=17,
        start_padding_enabled=True, accelerator="cpu", devices=1, **quiet,
    )  # fmt: skip
    peer = NeuralForecast([model], freq=1)
    peer.fit(long[long.ds <= first])
    out = np.zeros((*row.shape, HORIZONS))
    for place in range(row.shape[1]):
        guess = peer.predict(df=long[long.ds <= first + place]).sort_values(["unique_id", "ds"])
        out[:, place] = guess.NHITS.to_numpy().reshape(-1, HORIZONS)
    return out


def run(dataset: Path, config: dict[str, Any], out: Path | None, kinds: list[str], back: int, limit: int) -> dict[str, Any]:
    """Accuracy and seconds of each forecaster; forecasts as Parquet files in `out`, where given."""
    series, ids = weekly_series(dataset)
    series = series.until(series.n_steps - back)
    first = series.n_steps - TEST_WEEKS - 1
    begun = np.flatnonzero(series.first_step <= first)  # all of them, unless the origins lie earlier
    series, ids = pick(series, begun), ids[begun]
    began, began_cpu = time.perf_counter(), time.process_time()
    known = replace(series, beside=attributes(dataset, series, ids))
    # counted with the networks that read them
    reading, reading_cpu = time.perf_counter() - began, time.process_time() - began_cpu
    y = series.dense(np.arange(series.n_items))
    origins = np.arange(first, first + ORIGINS)
    row = origins - series.first_step.astype(np.int64)[:, None]
    side = np.arange(series.n_items)[:, None]
    truth = y[row[..., None] + np.arange(1, HORIZONS + 1), side[..., None]]
    scales = changes(y, first + 1 - series.first_step)
    place = demand_classes(series.until(first + 1))
    methods: dict[str, Callable[[], Forecast]] = {
        "gru": partial(network, known, row, first, {**config, "kind": "gru"}),
        "gru_alone": partial(network, series, row, first, {**config, "kind": "gru"}),
        "lstm": partial(network, known, row, first, {**config, "kind": "lstm"}),
        "moving_average": lambda: moving_average(y, HORIZONS)[row, side],
        "naive": lambda: naive(y, HORIZONS)[row, side],
        "nhits": partial(nhits, series, row, first),
        **{kind: partial(classical, kind, series, row, limit) for kind in KINDS},
    }
    results: dict[str, Any] = {}
    for name in kinds:
        start, start_cpu = time.perf_counter(), time.process_time()
        guess = methods[name]()
        seconds, cpu = time.perf_counter() - start, time.process_time() - start_cpu
        if name in ("gru", "lstm"):
            seconds, cpu = seconds + reading, cpu + reading_cpu
        some = slice(0, limit or None) if name in KINDS else slice(None)
        point = guess[..., 0] if guess.ndim == 4 else guess
        accuracy = by_horizon(point[some], truth[some], *(scale[some] for scale in scales))
        results[name] = {"seconds": round(seconds, 1), "cpu_seconds": round(cpu, 1), "series": len(truth[some]), **accuracy}
        if guess.ndim == 4:
            results[name]["interval"] = coverage(guess[..., 1:].astype(np.float32), truth)
        if len(truth[some]) == len(truth):
            results[name]["wape_by_class"] = {
                label: round(wape(point[place == k], truth[place == k]), 4)
                for k, label in enumerate(CLASSES)
                if np.any(place == k)
            }
            if out:
                _export(point, ids, origins).to_parquet(out / f"{name}.parquet", index=False)
        total = results[name]["all"]
        figures = "".join(f"{total[metric]:>8.4f}" for metric in ("wape", "bias", "rmsse", "mase"))
        print(f"{name:<16}{figures}{seconds:>9.1f}{cpu:>9.1f}{results[name]['series']:>8}", flush=True)
    return {
        "series": series.n_items,
        "classes": {label: int((place == k).sum()) for k, label in enumerate(CLASSES)},
        "weeks": series.n_steps,
        "origins": {"first": int(origins[0]), "last": int(origins[-1])},
        "points": truth.size,
        "results": results,
    }


def _export(guess: Forecast, ids: NDArray[np.generic], origins: NDArray[np.int64]) -> pd.DataFrame:
    index = pd.MultiIndex.from_product([ids, origins, range(1, HORIZONS + 1)], names=["item_id", "origin", "horizon"])
    return pd.DataFrame({"forecast": guess.ravel()}, index=index).reset_index()


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset", type=Path)
    parser.add_argument("--out", type=Path, help="folder for the forecasts")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="forecaster setting, e.g. hidden=32")
    parser.add_argument("--kinds", nargs="+", default=list(QUICK), choices=[*QUICK, "theta", "ets", "arima"])
    parser.add_argument("--limit", type=int, default=0, help="series that classical methods are judged on; 0: all")
    parser.add_argument("--peers", action="store_true", help="also NHITS by neuralforecast")
    parser.add_argument("--back", type=int, default=0, help="weeks by which all origins lie earlier")
    arguments = parser.parse_args()
    if arguments.peers and find_spec("neuralforecast") is None:
        parser.error("--peers needs neuralforecast: pip install neuralforecast")
    torch.set_num_threads(1)
    if arguments.out:
        arguments.out.mkdir(parents=True, exist_ok=True)
    config = dict(setting.split("=", 1) for setting in arguments.set)
    kinds = arguments.kinds + (["nhits"] if arguments.peers else [])
    print(f"{'model':<16}{'WAPE':>8}{'bias':>8}{'RMSSE':>8}{'MASE':>8}{'seconds':>9}{'CPU s':>9}{'series':>8}")
    report = run(arguments.dataset, config, arguments.out, kinds, arguments.back, arguments.limit)
    if "nhits" in report["results"]:
        peer = report["results"]["nhits"]["cpu_seconds"]  # of the processor: other work on the machine does not count
        report["nhits_over"] = {name: round(peer / max(one["cpu_seconds"], 0.1), 1) for name, one in report["results"].items()}
    print(json.dumps(report))


if __name__ == "__main__":
    main()
