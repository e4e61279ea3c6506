"""How much of what can be known of a generated log the model finds: its test NDCG@10 against that of the true probabilities.

    python -m bench.generated [--kind shop music …] [--folder DIR] [--set section.key=value]… [--blind section.key=value]…

Runs `timerec run` on each data set, in its default configuration but for `--set`, and with `--blind` once more, with these too.
"best" ranks by the probabilities that the answer was drawn with; "timeless" knows tastes and habits truly, but no trend, season,
promotion or cycle. All are judged on the same test requests. Prints a table and, last, JSON. A run that is in the folder is kept.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from timerec.bundle import place_of
from timerec.config import Config, load_config
from timerec.data.sources import generated
from timerec.evaluation.metrics import ranking_metrics
from timerec.evaluation.protocol import Requests, sample_requests
from timerec.eventlog import open_log
from timerec.pipeline.run import run
from timerec.schema import Columns, Prepared

ROWS = ("model", "blind", "best baseline", "timeless", "best")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kind", nargs="+", default=["shop"], choices=list(generated.KINDS))
    parser.add_argument("--folder", type=Path, help="where data and runs go; by default a temporary folder")
    parser.add_argument("--events", type=int, default=0, help="about; 0: as the kind has")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="setting of every run")
    parser.add_argument("--blind", action="append", default=[], metavar="KEY=VALUE", help="setting of the time-blind run")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        found = {kind: measure(asked, kind, asked.folder or Path(name)) for kind in asked.kind}
    print(f"{'NDCG@10':16}" + "".join(f"{kind:>18}" for kind in found))
    for row in ROWS:
        cells = [entry["ndcg"].get(row) for entry in found.values()]
        if any(cell is not None for cell in cells):
            shares = [entry["share"].get(row, float("nan")) for entry in found.values()]
            print(f"{row:16}" + "".join(f"{cell:10.4f} ({share:5.3f})" for cell, share in zip(cells, shares, strict=True)))
    print(json.dumps(found))


def measure(asked: argparse.Namespace, kind: str, folder: Path) -> dict[str, Any]:
    """NDCG@10 of everybody on one data set, and their shares of the best."""
    data, out = folder / f"{kind}-data", folder / f"{kind}-run"
    if not (data / generated.TRUTH).exists():
        generated.write(data, kind, events=asked.events, seed=asked.seed)
    config = load_config(overrides=asked.set)
    summary = run(data, out, config)
    figures = {"model": summary["test"]["ndcg@10"], "best baseline": summary["best_baseline"]["ndcg@10"]}
    if asked.blind:
        blind = run(data, folder / f"{kind}-blind", load_config(overrides=[*asked.set, *asked.blind]))
        figures["blind"] = blind["test"]["ndcg@10"]
    requests, lists = truth(data, out / "prepared", config)
    for name, ranked in lists.items():
        figures[name] = float(np.mean(ranking_metrics(ranked, requests.truth_start, requests.truth_item, 10)["ndcg@10"]))
    shares = {name: value / figures["best"] for name, value in figures.items()}
    return {"ndcg": figures, "share": shares, "requests": len(requests), "seconds": summary.get("seconds")}


def truth(data: Path, prepared: Path, config: Config) -> tuple[Requests, dict[str, NDArray[np.int32]]]:
    """The run's test requests, and the stored lists int32 [n, 10] of them in terms of the prepared catalogue."""
    manifest = json.loads((prepared / Prepared.MANIFEST).read_text())
    log = open_log(prepared / Prepared.LOG)
    users = pq.read_table(prepared / Prepared.USERS, columns=[Columns.USER])[Columns.USER].combine_chunks()
    items = pq.read_table(prepared / Prepared.ITEMS, columns=[Columns.ITEM])[Columns.ITEM].combine_chunks()
    cut = int(manifest["test_from"])
    requests = sample_requests(
        np.repeat(np.arange(log.n_users, dtype=np.int32), log.user_size), log.event_item, log.event_time,
        start=cut, end=int(manifest["last"]) + 1, cut=cut, n=config.evaluate.requests, seed=config.evaluate.seed,
        user_key=users.to_numpy(zero_copy_only=False), catalogue="live", listed=log.listed,
    )  # fmt: skip
    stored = pd.read_parquet(data / generated.TRUTH)
    asked = pd.DataFrame({Columns.USER: users.to_numpy(zero_copy_only=False)[requests.user], Columns.TIME: requests.time})
    rows = asked.merge(stored, how="left", on=[Columns.USER, Columns.TIME], validate="one_to_one")
    lists = {}
    for name in ("best", "timeless"):
        ids = np.array([np.pad(row[:10], (0, 10 - len(row[:10])), constant_values=-1) for row in rows[name]])
        lists[name] = place_of(pa.array(ids.ravel()), items).reshape(-1, 10).astype(np.int32)
    return requests, lists


if __name__ == "__main__":
    main()
