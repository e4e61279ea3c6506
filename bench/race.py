"""How long timerec trains until it is as accurate as LightGBM, against how long LightGBM is tuned and fitted.

    python -m bench.race RUN [--set section.key=value]…

RUN is a finished run, whose log, texts and forecasts both read. One after the other: LightGBM LambdaRank makes its features, is
tuned, and is fitted again for the test (`timerec.evaluation.peers.lightgbm`); then timerec is trained anew. The bar is NDCG@10
of the tuned LightGBM on the requests that judge timerec's segments, both fitted on what is before validation. Prints a table
and, last, JSON. Seconds are of the clock, timerec's with its tables and the start of its processes.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time as clock
from dataclasses import replace
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np

from timerec.bundle import RunFolders
from timerec.config import Config, load_config
from timerec.data.cluster import connect
from timerec.evaluation.metrics import ranking_metrics
from timerec.evaluation.peers.lightgbm import LambdaRank
from timerec.evaluation.protocol import Requests
from timerec.pipeline.evaluate import history, requests_of
from timerec.pipeline.finetune import finetune, validation_requests
from timerec.pipeline.run import state_files
from timerec.state import State


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="the --out folder of `timerec run`")
    parser.add_argument("--set", action="append", default=[], help="section.key=value")
    asked = parser.parse_args()
    connect()
    found = race(asked.run.absolute(), load_config(asked.run / "config.json", overrides=asked.set))
    trees, bar = found["lightgbm"], found["lightgbm"]["ndcg"]
    parts = ", ".join(f"{part} {trees[part]:.0f} s" for part in ("features", "tuning", "fit"))
    print(f"LightGBM  NDCG@10 {bar:.4f}  {parts}")
    for n, (ndcg, seconds) in enumerate(zip(found["timerec"]["ndcg"], found["timerec"]["seconds"], strict=True)):
        print(f"timerec   NDCG@10 {ndcg:.4f}  after {seconds:.0f} s, segment {n}{', as good' if ndcg >= bar else ''}")
    print(f"timerec   {found['timerec']['whole']:.0f} s with the last segment")
    print(json.dumps(found))


def race(run: Path, config: Config) -> dict[str, Any]:
    """NDCG@10 and seconds of both, and timerec's seconds to LightGBM's accuracy (null: never) over all of LightGBM's."""
    folders = RunFolders(*(run / name for name in ("prepared", "encode", "forecast", "finetune")))
    state = state_files(folders).open()
    val_from, test_from = int(state.manifest["val_from"]), int(state.manifest["test_from"])
    val = requests_of(state, history(state), config, val_from, test_from, val_from)
    trees = LambdaRank(state, config.train, os.cpu_count() or 1)
    trees.tune(val, val_from, test_from)
    bar = _ndcg(trees, state, config, val, val_from, test_from)
    whole = sum(trees.seconds.values())
    with tempfile.TemporaryDirectory(prefix="bench-race-") as out:
        began = clock.perf_counter()
        metrics = finetune(folders.prepared, folders.encoded, folders.forecast / "features", Path(out), config)
        spent = clock.perf_counter() - began
    start = spent - sum(segment["seconds"] for segment in metrics["curve"])
    tuning = [segment for segment in metrics["curve"] if "ndcg" in segment]
    ndcg, seconds = [s["ndcg"] for s in tuning], list(accumulate((s["seconds"] for s in tuning), initial=start))[1:]
    reached = next((after for value, after in zip(ndcg, seconds, strict=True) if value >= bar), None)
    return {
        "lightgbm": {"ndcg": bar, **trees.seconds, "whole": whole},
        "timerec": {"ndcg": ndcg, "seconds": seconds, "whole": spent, "reached": reached},
        "ratio": None if reached is None else reached / whole,
    }


def _ndcg(trees: LambdaRank, state: State, config: Config, val: Requests, val_from: int, test_from: int) -> float:
    """NDCG@10 of the tuned trees on the requests that judge the segments."""
    asked = validation_requests(state, config, val_from, test_from)
    requests = replace(val, user=asked.user, time=asked.time, truth_start=asked.start, truth_item=asked.item)
    ranked, _ = trees.answer(requests, 10, tuned=True)
    return float(np.mean(ranking_metrics(ranked, asked.start, asked.item, 10)["ndcg@10"]))


if __name__ == "__main__":
    main()
