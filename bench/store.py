"""What the event store costs: microseconds of each call, alone on the store.

    python -m bench.store [--store FILE] [--store redis://127.0.0.1:6379/0?prefix=bench] [--calls 200]

Stores must be empty; without --store a SQLite file in a temporary folder. Prints a table and, last, JSON.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time as clock
from collections.abc import Callable
from pathlib import Path

import numpy as np

from timerec.store import Event, EventStore, open_store

EVENTS, USERS, ITEMS = 1_000, 500, 2_000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--store", action="append", default=[], help="file path or URL, may be repeated")
    parser.add_argument("--calls", type=int, default=200)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        found = {url.partition("?")[0]: costs(url, asked.calls) for url in asked.store or [str(Path(folder) / "events.db")]}
    for url, rows in found.items():
        print(url)
        print(f"  {'microseconds':28}{'best':>10}{'median':>10}{'99 %':>10}")
        for name, row in rows.items():
            print(f"  {name:28}{row['best']:10,.0f}{row['median']:10,.0f}{row['p99']:10,.0f}")
    print(json.dumps(found))


def costs(url: str, calls: int) -> dict[str, dict[str, float]]:
    """Microseconds of each call on an empty store."""
    with open_store(url) as store:
        assert store.last() == 0, f"{url}: holds events already"
        found = {
            "append 1 event": measure(lambda k: store.append(events(k, 1)), calls),
            f"append {EVENTS:,} events": measure(lambda k: store.append(events(calls + k, EVENTS)), max(20, calls // 10)),
        }
        last = store.last()
        found["since, nothing new"] = measure(lambda _: store.since(last), 10 * calls)
        found["since, 1,000 events"] = measure(lambda _: store.since(last - EVENTS), calls)
        found["history of 20"] = measure(lambda k: store.history(f"user-{k % USERS}", limit=20), calls)
        empty(store)
    return found


def events(call: int, n: int) -> list[Event]:
    """Events that no other call makes."""
    rng = np.random.default_rng(call)
    users, items = rng.integers(0, USERS, n).tolist(), rng.integers(0, ITEMS, n).tolist()
    return [
        Event(f"{call:08d}-{k:08d}", f"user-{user}", f"item-{item}", 1_700_000_000 + call, "view")
        for k, (user, item) in enumerate(zip(users, items, strict=True))
    ]


def measure(call: Callable[[int], object], calls: int) -> dict[str, float]:
    """Best, median and 99 % quantile in microseconds."""
    spent = []
    for k in range(calls):
        start = clock.perf_counter()
        call(k)
        spent.append(1e6 * (clock.perf_counter() - start))
    return {name: round(float(np.quantile(spent, share)), 1) for name, share in (("best", 0), ("median", 0.5), ("p99", 0.99))}


def empty(store: EventStore) -> None:
    """Leave no events behind."""
    while found := store.since(0):
        store.remove([one.seq for one in found])


if __name__ == "__main__":
    main()
