"""Speed and memory of `prepare` on synthetic logs.

python -m bench.prepare [--events 1000000 10000000] [--folder DIR]

A log is skewed as real ones are (few users and items have most events) and written shard by shard, in order of time.
"""

from __future__ import annotations

import argparse
import json
import shutil
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
import psutil
import pyarrow as pa
import pyarrow.parquet as pq

from timerec.clock import DAY
from timerec.config import DataConfig
from timerec.data.cluster import connect, disconnect
from timerec.pipeline.prepare import prepare

ROWS_A_FILE = 500_000
START = 1_600_000_000


def write_log(folder: Path, events: int, seed: int = 0) -> None:
    """A log of `events` events in files of half a million rows; users and items grow with its square root."""
    target = folder / "interactions"
    target.mkdir(parents=True)
    rng = np.random.default_rng(seed)
    users, items = int(100 * events**0.5), int(30 * events**0.5)
    for number, first in enumerate(range(0, events, ROWS_A_FILE)):
        n = min(ROWS_A_FILE, events - first)
        moment = (first + np.sort(rng.random(n)) * n) / events
        rows = pa.table(
            {
                "user_id": (users * rng.random(n) ** 2).astype(np.int64),
                "item_id": (items * rng.random(n) ** 4).astype(np.int64) * 7,
                "timestamp": START + (moment * 365 * DAY).astype(np.int64),
                "event": pa.array(rng.choice(["view", "buy"], n)),
                "value": rng.integers(1, 6, n).astype(np.float32),
            }
        )
        pq.write_table(rows, target / f"part-{number:05d}.parquet")


class PeakMemory(threading.Thread):
    """Largest unique memory (USS, bytes) of any single Ray worker below this process, polled."""

    def __init__(self, seconds: float = 0.1) -> None:
        super().__init__(daemon=True)
        self.peak = 0
        self._seconds, self._over = seconds, threading.Event()

    def run(self) -> None:
        while not self._over.wait(self._seconds):
            for process in psutil.Process().children(recursive=True):
                try:
                    if process.name().startswith("ray::"):
                        self.peak = max(self.peak, process.memory_full_info().uss)
                except psutil.NoSuchProcess:
                    continue

    def stop(self) -> int:
        """Stop polling and return the peak."""
        self._over.set()
        self.join()
        return self.peak


def measure(events: int, folder: Path) -> dict[str, float]:
    """Prepare a log of `events` events once."""
    source, out = folder / f"in-{events}", folder / f"out-{events}"
    write_log(source, events)
    memory = PeakMemory()
    memory.start()
    begin = time.perf_counter()
    manifest = prepare(source, out, DataConfig())
    seconds = time.perf_counter() - begin
    result = {"events": events, "seconds": round(seconds, 2), "worker_peak_mib": round(memory.stop() / 2**20)}
    result |= {"kept": manifest["n_events"], "shards": len(list((out / "events").iterdir()))}
    result |= {f"seconds_{phase}": lap for phase, lap in manifest["seconds"].items()}
    shutil.rmtree(source)
    shutil.rmtree(out)
    return result


def main() -> None:
    """Measure and print JSON and a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, nargs="+", default=[1_000_000, 10_000_000])
    parser.add_argument("--folder", type=Path, help="where the logs are written; by default a temporary folder")
    arguments = parser.parse_args()
    connect()
    with tempfile.TemporaryDirectory(dir=arguments.folder) as name:
        measure(100_000, Path(name))  # start the workers and compile the kernels
        results = [measure(events, Path(name)) for events in arguments.events]
    disconnect()
    print(json.dumps(results, indent=1))
    print(f"{'events':>12} {'seconds':>8} {'ratio':>6} {'largest worker MiB':>19} {'shards':>6}")
    for result in results:
        ratio = result["seconds"] / results[0]["seconds"]
        print(
            f"{result['events']:>12,} {result['seconds']:>8.1f} {ratio:>6.2f} {result['worker_peak_mib']:>19} "
            f"{result['shards']:>6}"
        )


if __name__ == "__main__":
    main()
