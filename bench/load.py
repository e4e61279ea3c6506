"""Clients that ask a service one request after the other: the load of the serving benchmarks.

    python -m bench.load URL --clients 16 --seconds 10 --users users.json

Prints one line of JSON: requests a second, latencies, failures. It is a process of its own and shares no loop with the service.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import aiohttp
import numpy as np
import pyarrow.parquet as pq

from timerec.bundle import LOG
from timerec.schema import Columns, Prepared


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("url")
    parser.add_argument("--clients", type=int, default=16)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--users", type=Path, required=True, help="JSON list of user ids")
    parser.add_argument("--at", type=int, help="moment of every request; by default now")
    asked = parser.parse_args()
    print(json.dumps(asyncio.run(load(asked.url, asked.clients, asked.seconds, json.loads(asked.users.read_text()), asked.at))))


async def load(url: str, clients: int, seconds: float, users: list[str], at: int | None = None) -> dict[str, Any]:
    """Ask for `seconds` with so many clients at once."""
    spent: list[float] = []
    failed: list[str] = []
    until = time.perf_counter() + seconds
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout(30)) as session:

        async def client(number: int) -> None:
            draw = random.Random(number)
            while (began := time.perf_counter()) < until:
                body = {"user_id": draw.choice(users)} | ({"at": at} if at else {})
                try:
                    async with session.post(url, json=body) as response:
                        await response.read()
                        if response.status != 200:
                            failed.append(str(response.status))
                except aiohttp.ClientError as error:
                    failed.append(type(error).__name__)
                spent.append(time.perf_counter() - began)

        began = time.perf_counter()
        await asyncio.gather(*(client(number) for number in range(clients)))
        took = time.perf_counter() - began
    p50, p95, p99 = (float(value) * 1e3 for value in np.percentile(spent, [50, 95, 99]))
    return {
        "clients": clients, "requests": len(spent), "rps": len(spent) / took, "p50_ms": p50, "p95_ms": p95, "p99_ms": p99,
        "failed": len(failed), "faults": sorted(set(failed)),
    }  # fmt: skip


def measured(url: str, clients: int, seconds: float, users: Path) -> dict[str, Any]:
    """What this program prints, run as a process of its own.

    Args:
        users: file with a JSON list of user ids.
    """
    words = [sys.executable, "-m", "bench.load", url, "--clients", str(clients), "--seconds", str(seconds), "--users", str(users)]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def bundle_users(bundle: Path) -> list[str]:
    """The ids of the users in a bundle's log."""
    return [str(user) for user in pq.read_table(bundle / LOG / Prepared.USERS, columns=[Columns.USER])[Columns.USER].to_pylist()]


if __name__ == "__main__":
    main()
