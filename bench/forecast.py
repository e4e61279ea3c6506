"""Weekly forecasts of units an item: GRU and LSTM beside naive and moving average.

  python -m bench.forecast DATASET [--out FORECASTS_DIR]

Protocol: whole weeks counted back from the last event; items with 26 non-zero weeks before the first origin;
departments sold by weight, as money or as fuel left out. A series starts at the item's first sale. Five origins,
horizons of one to four weeks, all in the last eight weeks. A network is fitted once, on the weeks up to the first
origin, then rolled forward with frozen parameters. Prints a table, then JSON.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from timerec.clock import HOUR, WEEK
from timerec.config import ForecasterConfig
from timerec.forecaster.baseline import moving_average, naive
from timerec.forecaster.features import build
from timerec.forecaster.fit import fit_local
from timerec.forecaster.metrics import by_horizon, changes
from timerec.forecaster.series import ItemSeries

TEST_WEEKS, HORIZONS, ORIGINS, ENOUGH_WEEKS = 8, 4, 5, 26
LEFT_OUT = "FUEL$|MISCELLANEOUS$|COUPON$"


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


def run(dataset: Path, config: dict[str, Any], out: Path | None) -> dict[str, Any]:
    """Accuracy and seconds of each forecaster; forecasts as Parquet files in `out`, where given."""
    series, ids = weekly_series(dataset)
    y = series.dense(np.arange(series.n_items))
    origins = np.arange(series.n_steps - TEST_WEEKS - 1, series.n_steps - TEST_WEEKS - 1 + ORIGINS)
    row = origins - series.first_step.astype(np.int64)[:, None]
    side = np.arange(series.n_items)[:, None]
    truth = y[row[..., None] + np.arange(1, HORIZONS + 1), side[..., None]]
    scales = changes(y, origins[0] + 1 - series.first_step)
    results: dict[str, Any] = {}
    for name in ("gru", "lstm", "moving_average", "naive"):
        start = time.perf_counter()
        if name in ("gru", "lstm"):
            settings = ForecasterConfig.model_validate({**config, "kind": name, "horizons": HORIZONS})
            model = fit_local(series, settings, int(origins[0]) + 1)
            guess = np.expm1(build(series, model).values[series.offsets[:-1, None] + row, :HORIZONS])
        else:
            baseline = {"moving_average": moving_average, "naive": naive}[name]
            guess = baseline(y, HORIZONS)[row, side]
        seconds = time.perf_counter() - start
        results[name] = {"seconds": round(seconds, 1), **by_horizon(guess, truth, *scales)}
        if out:
            _export(guess, ids, origins).to_parquet(out / f"{name}.parquet", index=False)
    weeks = {"first": int(origins[0]), "last": int(origins[-1])}
    return {
        "series": series.n_items,
        "weeks": series.n_steps,
        "origins": weeks,
        "points": truth.size,
        "results": results,
    }


def _export(guess: NDArray[np.floating], ids: NDArray[np.generic], origins: NDArray[np.int64]) -> pd.DataFrame:
    index = pd.MultiIndex.from_product([ids, origins, range(1, HORIZONS + 1)], names=["item_id", "origin", "horizon"])
    return pd.DataFrame({"forecast": guess.ravel()}, index=index).reset_index()


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset", type=Path)
    parser.add_argument("--out", type=Path, help="folder for the forecasts")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="forecaster setting, e.g. hidden=32")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    if arguments.out:
        arguments.out.mkdir(parents=True, exist_ok=True)
    config = dict(setting.split("=", 1) for setting in arguments.set)
    report = run(arguments.dataset, config, arguments.out)
    print(f"{'model':<16}{'WAPE':>8}{'bias':>8}{'RMSSE':>8}{'MASE':>8}{'seconds':>9}")
    for name, result in report["results"].items():
        total = result["all"]
        figures = "".join(f"{total[metric]:>8.4f}" for metric in ("wape", "bias", "rmsse", "mase"))
        print(f"{name:<16}{figures}{result['seconds']:>9.1f}")
    print(json.dumps(report))


if __name__ == "__main__":
    main()
