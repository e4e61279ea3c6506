"""The service against a graph of its shape that computes nothing, side by side in one run.

    python -m bench.serve RUN/bundle [--clients 1 16 64] [--seconds 10] [--rounds 3] [--grow 10]

Both graphs run in one Ray, and load goes to one after the other, in turns; the two of a round are compared. Prints a table and,
last, JSON: requests a second, p50 and p99 of both, the ratio of the rates, and how far the p99 is over 2 x the no-op's + 10 ms.
Beside them memory: what all processes of the service hold, shared pages counted once (PSS). With --grow also what more items and
longer histories cost (`bench.serve_growth`).
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from bench.load import bundle_users, measured
from bench.service import PARTS, memory
from serve_app.environment import PROXIES, prepare
from serve_app.settings import Settings
from timerec.data.cluster import connect, disconnect


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--clients", type=int, nargs="*", default=[1, 16, 64])
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--grow", type=int, help="serve logs with so many times the items and the history, too")
    parser.add_argument("--proxy", choices=PROXIES, default="auto", help="what HTTP comes through")
    parser.add_argument("--port", type=int, default=8765)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="timerec-bench-") as name:
        rows, held, started = measure(asked, Path(name))
    print(f"{'clients':>7} {'system':8} {'rps':>8} {'p50 ms':>8} {'p99 ms':>8} {'failed':>7} {'ratio':>7} {'p99 over':>9}")
    for row in rows:
        for system in ("no-op", "timerec"):
            one = row[system]
            line = (
                f"{row['clients']:>7} {system:8} {one['rps']:8.1f} {one['p50_ms']:8.1f} {one['p99_ms']:8.1f} {one['failed']:>7}"
            )
            print(line + (f" {row['ratio']:7.2f} {row['p99_over']:+9.1f}" if system == "timerec" else ""))
    print(f"memory {held:.2f} GiB, ready {started:.1f} s after the start of Ray")
    told = {"rows": rows, "memory_gib": held, "start_seconds": started, "cores": os.cpu_count()}
    if asked.grow:
        from bench.serve_growth import grow, table  # it wants no Ray of this process

        with tempfile.TemporaryDirectory(prefix="timerec-grown-") as name:
            told["grown"] = grow(asked, Path(name))
        print(table(told["grown"]))
    print(json.dumps(told))


def measure(asked: argparse.Namespace, folder: Path) -> tuple[list[dict[str, Any]], float, float]:
    """Rows of the table, memory in GiB and seconds from Ray's start to readiness."""
    prepare(asked.proxy)
    began = time.perf_counter()
    connect(num_cpus=16)
    from ray import serve  # after the environment: Ray reads it on import

    from bench.serve_noop import build as build_noop
    from serve_app.app import build, options_of

    users = folder / "users.json"
    users.write_text(json.dumps(bundle_users(asked.bundle)))
    settings = Settings(bundle=asked.bundle, store=str(folder / "events.db"), folder=folder / "base", clock="log")
    try:
        graph = build(settings)
        serve.start(http_options={"host": "127.0.0.1", "port": asked.port}, logging_config={"log_level": "ERROR"})
        serve.run(graph, name="timerec", route_prefix="/")
        started = time.perf_counter() - began
        held = memory(os.getpid())
        options = {name: options_of(getattr(settings, name)) for name in PARTS}
        serve.run(build_noop(options), name="noop", route_prefix="/noop")
        root = f"http://127.0.0.1:{asked.port}"
        addresses = {"no-op": f"{root}/noop", "timerec": f"{root}/v1/recommend"}
        rows = []
        for clients in asked.clients:
            rounds: dict[str, list[dict[str, Any]]] = {"no-op": [], "timerec": []}
            for address in addresses.values():
                measured(address, clients, 2.0, users)
            for _ in range(asked.rounds):
                for system, address in addresses.items():
                    rounds[system].append(measured(address, clients, asked.seconds, users))
            rows.append(compare(clients, rounds))
        return rows, held, started
    finally:
        serve.shutdown()
        disconnect()


def compare(clients: int, rounds: dict[str, list[dict[str, Any]]]) -> dict[str, Any]:
    """Medians over the rounds of both systems, and of the ratios within each round."""
    row: dict[str, Any] = {"clients": clients}
    for system, found in rounds.items():
        row[system] = {name: float(np.median([one[name] for one in found])) for name in ("rps", "p50_ms", "p99_ms")}
        row[system]["failed"] = sum(one["failed"] for one in found)
    pairs = list(zip(rounds["timerec"], rounds["no-op"], strict=True))
    row["ratio"] = float(np.median([one["rps"] / other["rps"] for one, other in pairs]))
    row["p99_over"] = float(np.median([one["p99_ms"] - 2 * other["p99_ms"] - 10 for one, other in pairs]))
    return row


if __name__ == "__main__":
    main()
