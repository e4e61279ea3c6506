"""What the candidate stage loses, and what it costs as the catalogue grows.

    python -m bench.candidates loss RUN [--requests 300]
    python -m bench.candidates cost [--items 20000 200000 2000000] [--requests 2000]

`loss`: NDCG@10 of a finished run's model over every item on offer against over its candidates only, on the same test requests.
`cost`: processor milliseconds a request for candidates and features (no network) on synthetic logs of other catalogues with the
same users, events a user and skew. Prints a table and, last, JSON.
"""

from __future__ import annotations

import argparse
import json
import time as clock
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from timerec.bundle import Bundle, RunFolders
from timerec.candidates import similar
from timerec.candidates.arrivals import arrivals
from timerec.candidates.batch import build
from timerec.candidates.pairs import ForecastTable, Sources, layout, workspace
from timerec.clock import DAY, WEEK
from timerec.config import load_config
from timerec.engine import Engine
from timerec.evaluation.metrics import ranking_metrics
from timerec.eventlog import build as build_log
from timerec.pipeline.evaluate import history, requests_of
from timerec.pipeline.run import state_files

START, SPAN = 1_600_000_000, 365 * DAY
K = 10


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ways = parser.add_subparsers(dest="way", required=True)
    one = ways.add_parser("loss")
    one.add_argument("run", type=Path, help="the --out folder of `timerec run`")
    one.add_argument("--requests", type=int, default=300)
    two = ways.add_parser("cost")
    two.add_argument("--items", type=int, nargs="+", default=[20_000, 200_000, 2_000_000])
    two.add_argument("--events", type=int, default=2_000_000)
    two.add_argument("--users", type=int, default=20_000)
    two.add_argument("--requests", type=int, default=2_000)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    if asked.way == "loss":
        found: Any = loss(asked.run, asked.requests)
        print(f"{'':24}{'NDCG@10':>9}{'ms a request':>14}")
        for name in ("candidates", "everything"):
            print(f"{name:24}{found[name]['ndcg']:9.4f}{found[name]['ms']:14.1f}")
        print(f"lost by candidates: {found['lost']:.2%}; lists that differ: {found['lists_that_differ']:.1%}")
        print(f"share of the truth that is a candidate: {found['recall']:.3f}")
    else:
        found = [cost(items, asked.events, asked.users, asked.requests) for items in asked.items]
        print(f"{'items':>10}{'ms a request':>14}{'ratio':>8}{'candidates':>12}")
        for entry in found:
            entry["ratio"] = entry["ms"] / found[0]["ms"]
            print(f"{entry['items']:>10,}{entry['ms']:>14.2f}{entry['ratio']:>8.2f}{entry['candidates']:>12.0f}")
    print(json.dumps(found))


def loss(run: Path, number: int) -> dict[str, Any]:
    """NDCG@10 of the run's model over all items on offer, and over its candidates."""
    folders = RunFolders(*(run.absolute() / name for name in ("prepared", "encode", "forecast", "finetune")))
    state = state_files(folders).open()
    engine = Engine(state, Bundle.open(run / "bundle", verify=False).model(state))
    manifest, log = state.manifest, history(state)
    cut = int(manifest["test_from"])
    config = load_config(overrides=[f"evaluate.requests={number}"])
    requests = requests_of(state, log, config, cut, int(manifest["last"]) + 1, cut)
    began = clock.perf_counter()
    lists, _ = engine.rank(requests.user, requests.time, K)
    middle = clock.perf_counter()
    known = state.first_known()
    full = np.full((len(requests), K), -1, np.int32)
    inside = 0
    for r in range(len(requests)):
        user, t = requests.user[r : r + 1], requests.time[r : r + 1]
        on_offer = np.flatnonzero(known <= t[0]).astype(np.int32)
        if not state.sources.repeats:
            start = state.log.user_start[user[0]]
            past = slice(start, start + np.searchsorted(state.log.event_time[start : start + state.log.user_size[user[0]]], t[0]))
            on_offer = np.setdiff1d(on_offer, state.log.event_item[past])
        scores = engine.score(user, t, np.array([0, len(on_offer)]), on_offer)
        full[r] = _top(on_offer, scores)
        truth = requests.truth_item[requests.truth_start[r] : requests.truth_start[r + 1]]
        inside += int(np.isin(truth, engine.rank(user, t, 600)[0]).sum())
    ended = clock.perf_counter()
    entries = {}
    for name, ranked, spent in (("candidates", lists, middle - began), ("everything", full, ended - middle)):
        value = ranking_metrics(ranked, requests.truth_start, requests.truth_item, K)["ndcg@10"]
        entries[name] = {"ndcg": float(np.mean(value)), "ms": 1000 * spent / len(requests)}
    lost = 1 - entries["candidates"]["ndcg"] / entries["everything"]["ndcg"]
    outside = float((full != lists).any(1).mean())
    return {
        **entries,
        "lost": lost,
        "lists_that_differ": outside,
        "recall": inside / len(requests.truth_item),
        "requests": len(requests),
    }


def _top(items: NDArray[np.int32], scores: NDArray[np.float32]) -> NDArray[np.int32]:
    best = np.argsort(-scores, kind="stable")[:K]
    return np.pad(items[best], (0, K - len(best)), constant_values=-1)


def cost(n_items: int, events: int, n_users: int, number: int) -> dict[str, Any]:
    """Milliseconds a request of candidates and features on a synthetic log."""
    rng = np.random.default_rng(7)
    user = np.sort((n_users * rng.random(events) ** 2).astype(np.int32))
    rank = n_items ** rng.random(events) - 1  # Zipf: as many events between the ranks 1 and 10 as between 10 and 100
    time = START + rng.integers(0, SPAN, events)
    item = rng.permutation(n_items)[((rank + time // WEEK * n_items // 500) % n_items).astype(np.int64)].astype(np.int32)
    order = np.lexsort((item, time, user))
    user, time, item = user[order], time[order], item[order]
    ones = np.ones(events, np.float32)
    category = (np.arange(n_items) % min(500, n_items // 20)).astype(np.int32)
    log = build_log(user, item, time, ones, ones, n_users=n_users, item_category=category)
    forecast = ForecastTable(np.arange(n_items + 1), np.zeros(n_items, np.int32), np.zeros((n_items, 7), np.float32), START, WEEK)
    vectors = rng.standard_normal((n_items, 32), dtype=np.float32)
    family = rng.integers(0, n_items // 4, n_items).astype(np.int32)
    found = similar.fit(log, np.array([START + SPAN // 2]))
    sources = Sources(log, forecast, found, vectors, family, arrivals(log), True)
    names, ws = layout([], [f"f{i}" for i in range(7)], []), workspace(log, 0)
    chosen = rng.choice(events, number + 64, replace=False)
    chosen = chosen[time[chosen] > START + SPAN // 2][: number // 2 + 64]
    spent, candidates = 0.0, 0
    for first in range(0, len(chosen), 64):
        part = chosen[first : first + 64]
        began = clock.thread_time()  # of the processor: others on the machine do not count
        built = build(
            sources, ws, names, user[part], time[part],
            extra_start=np.zeros(len(part) + 1, np.int64), extra_item=np.zeros(0, np.int32), history=50,
        )  # fmt: skip
        if first:  # the first compiles
            spent += clock.thread_time() - began
            candidates += int(built.count.sum())
    measured = len(chosen) - 64
    return {"items": n_items, "requests": measured, "ms": 1000 * spent / measured, "candidates": candidates / measured}


if __name__ == "__main__":
    main()
