"""How long timerec trains until it is as accurate as LightGBM, against how long LightGBM is tuned and fitted.

    python -m bench.race RUN [--set section.key=value]…

RUN is a finished run, whose log, texts and forecasts both read. One after the other: LightGBM LambdaRank makes its features, is
tuned, and is fitted again for the test (`timerec.evaluation.peers.lightgbm`); then timerec is trained anew. The bar is NDCG@10
of the tuned LightGBM on the requests that judge timerec's segments, both fitted on what is before validation. timerec's seconds
to the bar are told over LightGBM's to the tuned trees, and over all of LightGBM's, with features and fit for the test. Prints a
table and, last, JSON. Seconds are of the clock, timerec's with its tables and the start of its processes; what compiles itself
at first use is compiled before.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time as clock
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
from timerec.training.requests import TrainingRequests


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="the --out folder of `timerec run`")
    parser.add_argument("--set", action="append", default=[], help="section.key=value")
    asked = parser.parse_args()
    connect()
    found = race(asked.run.absolute(), load_config(asked.run / "config.json", overrides=asked.set))
    trees, bar = found["lightgbm"], found["lightgbm"]["ndcg"]
    parts = ", ".join(f"{part} {trees[part]:.0f} s" for part in ("features", "tuning", "fit"))
    print(f"LightGBM  NDCG@10 {bar:.4f}  after {trees['tuned']:.0f} s; in all {parts}")
    for n, (ndcg, seconds) in enumerate(zip(found["timerec"]["ndcg"], found["timerec"]["seconds"], strict=True)):
        print(f"timerec   NDCG@10 {ndcg:.4f}  after {seconds:.0f} s, segment {n}{', as good' if ndcg >= bar else ''}")
    print(f"timerec   {found['timerec']['whole']:.0f} s with the last segment")
    for name, what in (("ratio_tuned", "tuning"), ("ratio", "tuning and fit")):
        told = "never" if found[name] is None else f"{found[name]:.2f}"
        print(f"timerec's seconds to LightGBM's accuracy over those of LightGBM's {what}: {told}")
    print(json.dumps(found))


def race(run: Path, config: Config) -> dict[str, Any]:
    """NDCG@10 and seconds of both, and timerec's seconds to LightGBM's accuracy over LightGBM's (null: never)."""
    folders = RunFolders(*(run / name for name in ("prepared", "encode", "forecast", "finetune")))
    state = state_files(folders).open()
    val_from, test_from = int(state.manifest["val_from"]), int(state.manifest["test_from"])
    val = requests_of(state, history(state), config, val_from, test_from, val_from)
    trees = LambdaRank(state, config.train, os.cpu_count() or 1)
    judged = validation_requests(state, config, val_from, test_from)
    trees.rows(judged.take(np.arange(1)), None)  # compiles
    trees.tune(val, val_from, test_from)
    bar = _ndcg(trees, judged)
    whole = sum(trees.seconds.values())
    with tempfile.TemporaryDirectory(prefix="bench-race-") as out:
        began = clock.perf_counter()
        metrics = finetune(folders.prepared, folders.encoded, folders.forecast / "features", Path(out), config)
        spent = clock.perf_counter() - began
    ours = walk(metrics["curve"], spent, bar)
    reached = ours["reached"]
    return {
        "lightgbm": {"ndcg": bar, **trees.seconds, "tuned": trees.tuned_seconds, "whole": whole},
        "timerec": ours,
        "ratio_tuned": None if reached is None else reached / trees.tuned_seconds,
        "ratio": None if reached is None else reached / whole,
    }


def walk(curve: list[dict[str, float]], spent: float, bar: float) -> dict[str, Any]:
    """NDCG@10 and seconds since the start after each judged segment, and the seconds to `bar` (None: never).

    Args:
        curve: as `finetune` tells it; what it does not tell of the `spent` seconds is taken to lie before the first segment.
    """
    start = spent - sum(segment["seconds"] for segment in curve)
    judged = [segment for segment in curve if "ndcg" in segment]
    ndcg = [segment["ndcg"] for segment in judged]
    seconds = list(accumulate((segment["seconds"] for segment in judged), initial=start))[1:]
    reached = next((after for value, after in zip(ndcg, seconds, strict=True) if value >= bar), None)
    return {"ndcg": ndcg, "seconds": seconds, "whole": spent, "reached": reached}


def _ndcg(trees: LambdaRank, judged: TrainingRequests) -> float:
    """NDCG@10 of the tuned trees on the requests that judge the segments."""
    nobody = np.zeros(len(judged.user), np.int64)
    requests = Requests(judged.user, judged.time, judged.start, judged.item, nobody, nobody.astype(bool))
    ranked, _ = trees.answer(requests, 10, tuned=True)
    return float(np.mean(ranking_metrics(ranked, judged.start, judged.item, 10)["ndcg@10"]))


if __name__ == "__main__":
    main()
