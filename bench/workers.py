"""Fine-tuning with one worker, with two, and with two of which one is killed: quality and time on a finished run's stages.

    python -m bench.workers RUN [--set train.epochs=2] [--kill-after 25]

Prints a table and, last, JSON: validation NDCG@10 and seconds of each, and the ratios to one worker.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import psutil

from timerec.config import Config, load_config
from timerec.data.cluster import connect
from timerec.pipeline.finetune import finetune


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="the --out folder of `timerec run`")
    parser.add_argument("--set", action="append", default=[], help="section.key=value")
    parser.add_argument("--kill-after", type=float, default=25.0, help="seconds after the workers' start")
    asked = parser.parse_args()
    connect()
    found = {}
    for name, workers, kill in (("one", 1, None), ("two", 2, None), ("two, one killed", 2, asked.kill_after)):
        config = load_config(overrides=[*asked.set, f"cluster.workers={workers}"])
        found[name] = _measure(asked.run, config, kill)
        print(f"{name:16s} NDCG@10 {found[name]['ndcg']:.4f}  {found[name]['seconds']:7.1f} s", flush=True)
    base = found["one"]
    for entry in found.values():
        entry["ndcg_ratio"] = entry["ndcg"] / base["ndcg"]
        entry["time_ratio"] = entry["seconds"] / base["seconds"]
    print(json.dumps(found))


def _measure(run: Path, config: Config, kill_after: float | None) -> dict[str, Any]:
    out = Path(tempfile.mkdtemp(prefix="bench-workers-"))
    killed: list[int] = []
    if kill_after is not None:
        threading.Thread(target=_kill, args=(kill_after, killed), daemon=True).start()
    began = time.perf_counter()
    metrics = finetune(run / "prepared", run / "encode", run / "forecast" / "features", out, config)
    spent = time.perf_counter() - began
    shutil.rmtree(out)
    return {"ndcg": metrics["validation_ndcg"], "seconds": spent, "workers": metrics["workers"], "killed": killed}


def _kill(after: float, killed: list[int]) -> None:
    """Kill one of this process's own Ray Train workers, `after` seconds after it was first seen."""
    mine = psutil.Process(os.getpid())
    while not (workers := [p for p in mine.children(recursive=True) if "RayTrainWorker" in p.name() or _is_worker(p)]):
        time.sleep(0.5)
    time.sleep(after)
    os.kill(workers[-1].pid, signal.SIGKILL)
    killed.append(workers[-1].pid)


def _is_worker(process: psutil.Process) -> bool:
    try:
        return any("RayTrainWorker" in word for word in process.cmdline()[:1])
    except psutil.Error:
        return False


if __name__ == "__main__":
    main()
