"""`timerec run` and batch answers on a large synthetic log: seconds a stage, largest memory, milliseconds a request.

    python -m bench.scale [--events 10000000] [--items 200000] [--users 400000] [--folder DIR] [--set section.key=value]…

The log is skewed as large shops are: item popularity falls with its rank as a power, and the ranks turn over from week to week;
user activity is log-normal; a visit is a basket; people come back to a few of their own items; titles are short, many are alike.
Memory is the proportional set size (PSS) of this process and all below it, polled. Prints a table and, last, JSON.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import threading
import time as clock
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import psutil
import pyarrow as pa
import pyarrow.parquet as pq

from timerec.clock import DAY, HOUR, WEEK
from timerec.config import load_config
from timerec.pipeline.recommend import recommend
from timerec.pipeline.run import run

START, DAYS = 1_600_000_000, 180
ROWS_A_FILE = 1_000_000
BASKET = 3.0
ADJECTIVES = ("small", "large", "red", "blue", "light", "strong", "fresh", "classic", "daily", "fine")
NOUNS = 400  # categories


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=10_000_000)
    parser.add_argument("--items", type=int, default=200_000)
    parser.add_argument("--users", type=int, default=400_000)
    parser.add_argument("--requests", type=int, default=20_000, help="answered in batch")
    parser.add_argument("--folder", type=Path, help="where log and run go; by default a temporary folder")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        found = measure(asked, asked.folder or Path(name))
    for stage, spent in found["seconds"].items():
        print(f"{stage:12}{spent:9.1f} s{found['peak_gib'].get(stage, 0):9.2f} GiB")
    print(f"in all      {sum(found['seconds'].values()):9.1f} s{max(found['peak_gib'].values()):9.2f} GiB")
    print(f"recommend   {found['recommend_ms']:9.1f} ms a request in a batch of {found['requests']:,}, all included")
    print(f"            {found['marginal_ms']:9.1f} ms for each further request")
    print(json.dumps(found))


def measure(asked: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Write the log, run all stages, answer a large and a small batch."""
    data, out = folder / "data", folder / "run"
    if not (data / "items.parquet").exists():
        write_log(data, asked.events, asked.items, asked.users)
    memory = PeakMemory()
    memory.start()

    def progress(stage: str, state: str) -> None:
        memory.phase = stage
        print(f"{clock.strftime('%H:%M:%S')} {stage} {state}", flush=True)

    config = load_config(overrides=asked.set)
    summary = run(data, out, config, progress=progress)
    memory.phase = "recommend"
    spent = {}
    rows = pq.read_table(sorted((data / "interactions").glob("*.parquet"))[-1], columns=["user_id", "timestamp"]).to_pandas()
    rows = rows.drop_duplicates().sample(min(asked.requests, len(rows)), random_state=1)
    for number in (max(1, len(rows) // 10), len(rows)):
        path = folder / f"requests-{number}.parquet"
        rows[:number].assign(request_id=np.arange(number)).to_parquet(path)
        began = clock.perf_counter()
        recommend(out / "bundle", data, path, folder / "lists.parquet", 10, config)
        spent[number] = clock.perf_counter() - began
        print(f"{clock.strftime('%H:%M:%S')} {number:,} requests answered in {spent[number]:.0f} s", flush=True)
    few, many = spent
    return {
        "events": asked.events,
        "items": asked.items,
        "seconds": summary["seconds"],
        "peak_gib": memory.stop(),
        "ndcg": summary["test"]["ndcg@10"],
        "best_baseline": summary["best_baseline"],
        "requests": many,
        "recommend_ms": 1000 * spent[many] / many,
        "marginal_ms": 1000 * (spent[many] - spent[few]) / (many - few),
    }


def write_log(folder: Path, events: int, n_items: int, n_users: int, seed: int = 0) -> None:
    """Interactions in files of a million rows, in order of time, and items with short titles."""
    (folder / "interactions").mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    activity = np.cumsum(np.exp(rng.normal(0, 1.2, n_users)))
    own = rng.integers(0, n_items, (n_users, 5)).astype(np.int32)
    shuffled = rng.permutation(n_items)
    for number, first in enumerate(range(0, events, ROWS_A_FILE)):
        n = min(ROWS_A_FILE, events - first)
        visits = int(n / BASKET) + 1
        user = np.searchsorted(activity, rng.random(visits) * activity[-1])
        when = START + (first + np.sort(rng.random(visits)) * n) / events * DAYS * DAY
        when = when // DAY * DAY + rng.normal(17, 4, visits) % 24 * HOUR
        visit = np.repeat(np.arange(visits), 1 + rng.poisson(BASKET - 1, visits))[:n]
        rank = n_items ** (rng.random(len(visit)) ** 0.8) - 1
        moved = (when[visit] - START) // WEEK * (n_items // 300)  # old ranks fall, new ones rise
        item = shuffled[((rank + moved) % n_items).astype(np.int64)]
        again = rng.random(len(visit)) < 0.3
        item[again] = own[user[visit][again], rng.integers(0, 5, int(again.sum()))]
        table = pa.table({"user_id": user[visit], "item_id": item.astype(np.int64), "timestamp": when[visit].astype(np.int64)})
        pq.write_table(table, folder / "interactions" / f"part-{number:05d}.parquet")
    item = np.arange(n_items)
    noun, word = rng.integers(0, NOUNS, n_items), rng.integers(0, len(ADJECTIVES), n_items)
    titles = [f"{ADJECTIVES[w]} thing {n} size {i % 10}" for w, n, i in zip(word, noun, item, strict=True)]
    pd.DataFrame({"item_id": item, "title": titles, "category": [f"kind {n}" for n in noun]}).to_parquet(folder / "items.parquet")


class PeakMemory(threading.Thread):
    """Largest PSS (GiB) of this process and all below it, by phase. Shared memory counts once."""

    def __init__(self, seconds: float = 2.0) -> None:
        super().__init__(daemon=True)
        self.phase = "start"
        self._seconds, self._over, self._peak = seconds, threading.Event(), {}  # type: ignore[var-annotated]

    def run(self) -> None:
        while not self._over.wait(self._seconds):
            me = psutil.Process(os.getpid())
            total = 0
            for process in (me, *me.children(recursive=True)):
                try:
                    total += process.memory_full_info().pss
                except (psutil.Error, ProcessLookupError):  # it has ended
                    continue
            phase = self.phase
            self._peak[phase] = max(self._peak.get(phase, 0.0), total / 2**30)

    def stop(self) -> dict[str, float]:
        """Stop polling; the peaks."""
        self._over.set()
        self.join()
        return self._peak


if __name__ == "__main__":
    main()
