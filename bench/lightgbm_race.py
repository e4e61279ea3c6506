"""Time to LightGBM's accuracy: fine-tuning against LightGBM's tuning and fit, one after the other on the same cores.

    python -m bench.lightgbm_race RUN [--out runs/race]

RUN is a finished run, whose prepared log, vectors and forecasts both read. LightGBM is tuned on validation requests and fitted
again for the test; then fine-tuning runs anew. Its validation NDCG@10 after each segment is on its own draw of validation
requests, so both final systems are judged on the same requests of the test too (`python -m bench.accuracy RUN --peers lightgbm`).
Prints what was reached when and, last, JSON.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import time
from pathlib import Path
from typing import Any

import numpy as np

from timerec.bundle import RunFolders
from timerec.config import load_config
from timerec.data.cluster import connect
from timerec.evaluation.metrics import ranking_metrics
from timerec.evaluation.peers.lightgbm import LambdaRank
from timerec.evaluation.protocol import Requests
from timerec.pipeline.evaluate import history, requests_of
from timerec.pipeline.finetune import finetune
from timerec.pipeline.run import state_files


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("--out", type=Path, default=Path("runs/race"))
    asked = parser.parse_args()
    found = race(asked.run.absolute(), asked.out.absolute())
    for name, value in found.items():
        print(f"{name}: {value}")
    print(json.dumps(found))


def race(run: Path, out: Path) -> dict[str, Any]:
    """Seconds and accuracy of both."""
    config = load_config(run / "config.json")
    folders = RunFolders(*(run / name for name in ("prepared", "encode", "forecast", "finetune")))
    state = state_files(folders).open()
    log = history(state)
    val_from, test_from, end = (int(state.manifest[name]) for name in ("val_from", "test_from", "last"))
    val = requests_of(state, log, config, val_from, test_from, val_from)
    test = requests_of(state, log, config, test_from, end + 1, test_from)
    ranker = LambdaRank(state, config.train, os.cpu_count() or 1)
    warm(ranker, val)
    params = ranker.tune(val, val_from, test_from)
    ranked, _ = ranker.answer(test, 10)
    theirs = float(ranking_metrics(ranked, test.truth_start, test.truth_item)["ndcg@10"].mean())

    connect(config.cluster.address)
    shutil.rmtree(out, ignore_errors=True)  # an earlier race's checkpoints would be taken up
    began = time.perf_counter()
    metrics = finetune(folders.prepared, folders.encoded, folders.forecast / "features", out, config)
    spent = time.perf_counter() - began
    return {
        "lightgbm": {
            "seconds": {name: round(value, 1) for name, value in ranker.seconds.items()},
            "together": round(sum(ranker.seconds.values()), 1),
            "validation": max(value for _, value in ranker.tried),
            "test": theirs,
            "params": params,
        },
        "timerec": {"seconds": round(spent, 1), "curve": metrics["curve"], "tables": metrics["seconds"]["tables"]},
        "cores": os.cpu_count(),
    }


def warm(ranker: LambdaRank, val: Requests) -> None:
    """Load the compiled kernels before the clock starts."""
    few = np.arange(min(2, len(val)))
    ranker._build(val.user[few], val.time[few], np.zeros(len(few) + 1, np.int64), np.zeros(0, np.int32))


if __name__ == "__main__":
    main()
