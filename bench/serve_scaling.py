"""The service scaled up by load and down again: what fails meanwhile, and whether new replicas know every event.

    python -m bench.serve_scaling RUN/bundle [--replicas 2] [--clients 24] [--few 3] [--most 300]

It starts with one replica of each part. Many clients ask until gateway, encoder and fusion run so many replicas each, and some
time longer; then few do, with pauses, until all but one of each are drained and ended. Each client tells an event of a user who
is new with it, asks for that user's list, which must know the user whichever replica answers, and for the list of a user of the
bundle. Nothing is asked again: what is no 200, or a broken connection, counts as failed. Prints the replicas over time, a table
and, last, JSON.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import tempfile
import time
import uuid
from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

import aiohttp

from bench.chaos import all_of
from bench.load import bundle_users
from bench.service import scaled
from serve_app.environment import PROXIES, prepare
from serve_app.settings import Settings
from timerec.data.cluster import connect, disconnect
from timerec.store.open import open_store

# calls in work a replica at which more are started: requests share those to fusion and encoder, and the encoder is seldom at work
TARGETS = {"gateway": 4.0, "encoder": 0.15, "fusion": 1.0}
DELAYS = {"upscale_delay_s": 2.0, "downscale_delay_s": 5.0}
LOOK = 0.5  # seconds between looks at the replicas
PAUSE = 0.2  # seconds between the rounds of each of the few
AFTER = 15.0  # seconds of load with all replicas, and of little load after the last one has gone


class Seen(NamedTuple):
    """Running replicas at a moment."""

    at: float  # seconds since the load began
    running: dict[str, int]

    def all(self, count: int) -> bool:
        """Whether each part runs so many."""
        return all(running == count for running in self.running.values())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundle", type=Path)
    standard = 2 if (os.cpu_count() or 1) <= 4 else 4
    parser.add_argument("--replicas", type=int, default=standard, help=f"of each part at most; here by default {standard}")
    parser.add_argument("--clients", type=int, default=24, help="that ask until the replicas run")
    parser.add_argument("--few", type=int, default=3, help="that go on until all but one have gone")
    parser.add_argument("--most", type=float, default=300.0, help="seconds for either way")
    parser.add_argument("--proxy", choices=PROXIES, default="auto", help="what HTTP comes through")
    parser.add_argument("--port", type=int, default=8768)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="timerec-scaling-") as name:
        found = run(asked, Path(name))
    print(f"{'second':>8} " + " ".join(f"{part:>8}" for part in TARGETS))
    for at, running in found["replicas"]:
        print(f"{at:8.1f} " + " ".join(f"{running[part]:>8}" for part in TARGETS))
    for key, value in found.items():
        if key != "replicas":
            print(f"{key:28} {value}")
    print(json.dumps(found))


def run(asked: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """The whole: service, load up and down, and what the store holds in the end."""
    prepare(asked.proxy)
    connect(num_cpus=4 + 4 * asked.replicas)
    from ray import serve  # after the environment: Ray reads it on import

    from serve_app.app import build

    scale = {
        part: {"max_replicas": asked.replicas, "target_ongoing_requests": target, **DELAYS} for part, target in TARGETS.items()
    }
    store = str(folder / "events.db")
    settings = scaled(Settings(bundle=asked.bundle, store=store, folder=folder / "base", clock="log"), scale)
    try:
        graph = build(settings)
        serve.start(http_options={"host": "127.0.0.1", "port": asked.port}, logging_config={"log_level": "ERROR"})
        serve.run(graph, name="timerec", route_prefix="/")
        load = Load(f"http://127.0.0.1:{asked.port}", bundle_users(asked.bundle))
        seen, up, down = asyncio.run(up_and_down(asked, load))
        with open_store(store) as events:
            stored = Counter(one.event.event_id for one in all_of(events))
        return {
            "replicas": changes(seen), f"seconds until {asked.replicas} each": up, "seconds until 1 each": down, **load.told(),
            "acknowledged events": len(load.acknowledged), "lost": sum(name not in stored for name in load.acknowledged),
            "twice": sum(count > 1 for count in stored.values()),
        }  # fmt: skip
    finally:
        serve.shutdown()
        disconnect()


class Load:
    """Clients, and what they met."""

    def __init__(self, url: str, users: list[str]) -> None:
        self._url, self._users = url, users
        self.wanted = 0  # clients; those above it stop after the request they are at
        self.pause = 0.0  # seconds between the rounds of a client
        self.acknowledged: list[str] = []
        self.requests, self.unknown = 0, 0
        self.failed, self.degraded = Counter[str](), Counter[str]()

    async def client(self, session: aiohttp.ClientSession, number: int) -> None:
        """Tell of somebody new and ask for that list, then for the list of somebody known, over and over."""
        draw = random.Random(number)
        while number < self.wanted:
            name = uuid.uuid4().hex
            body = {"event_id": name, "user_id": f"new {name}", "item_id": f"item {draw.randrange(50)}"}
            if await self._send(session, "/v1/events", body):
                self.acknowledged.append(name)
                answer = await self._send(session, "/v1/recommend", {"user_id": f"new {name}"})
                self.unknown += answer is not None and not answer["known"]
            await self._send(session, "/v1/recommend", {"user_id": draw.choice(self._users)})
            await asyncio.sleep(self.pause)

    async def _send(self, session: aiohttp.ClientSession, path: str, body: dict[str, Any]) -> dict[str, Any] | None:
        self.requests += 1
        try:
            async with session.post(self._url + path, json=body) as response:
                text = await response.text()
                if response.status == 200:
                    told: dict[str, Any] = json.loads(text)
                    self.degraded.update(told.get("degraded", ()))
                    return told
                self.failed[f"{path} {response.status}"] += 1
        except (aiohttp.ClientError, TimeoutError) as error:
            self.failed[f"{path} {type(error).__name__}"] += 1
        return None

    def told(self) -> dict[str, Any]:
        """Counts of everything."""
        return {
            "requests": self.requests, "failed": self.failed.total(), "faults": dict(self.failed),
            "new users not known": self.unknown, "degraded": dict(self.degraded),
        }  # fmt: skip


async def up_and_down(asked: argparse.Namespace, load: Load) -> tuple[list[Seen], float | None, float | None]:
    """Replicas over time; seconds of much load until all ran, and of little until one was left; None where it took too long."""
    seen: list[Seen] = []
    began = time.monotonic()

    async def until(count: int) -> float | None:
        start = time.monotonic()
        while (spent := time.monotonic() - start) < asked.most:
            seen.append(Seen(time.monotonic() - began, await asyncio.to_thread(running)))
            if seen[-1].all(count):
                return round(spent, 1)
            await asyncio.sleep(LOOK)
        return None

    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0), timeout=aiohttp.ClientTimeout(30)) as session:
        load.wanted = asked.clients
        clients = [asyncio.create_task(load.client(session, number)) for number in range(asked.clients)]
        up = await until(asked.replicas)
        await asyncio.sleep(AFTER)
        load.wanted, load.pause = asked.few, PAUSE
        down = await until(1)
        await asyncio.sleep(AFTER)
        load.wanted = 0
        await asyncio.gather(*clients)
    return seen, up, down


def running() -> dict[str, int]:
    """Replicas that run or are being drained, of each part that scales."""
    from ray import serve

    told = serve.status().applications["timerec"].deployments
    return {part: sum(told[part].replica_states.get(state, 0) for state in ("RUNNING", "STOPPING")) for part in TARGETS}


def changes(seen: list[Seen]) -> list[tuple[float, dict[str, int]]]:
    """The moments at which the replicas are others than before.

    >>> changes([Seen(0.0, {"fusion": 1}), Seen(0.5, {"fusion": 1}), Seen(1.0, {"fusion": 2})])
    [(0.0, {'fusion': 1}), (1.0, {'fusion': 2})]
    """
    found = [one for place, one in enumerate(seen) if place == 0 or one.running != seen[place - 1].running]
    return [(round(one.at, 1), one.running) for one in found]


if __name__ == "__main__":
    main()
