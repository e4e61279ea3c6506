"""Steady load on the service while its parts are killed and its model is changed: what fails, and which events are lost.

    python -m bench.chaos RUN/bundle [--seconds 180] [--clients 16] [--replicas 2] [--store redis]

Each client tells an event and then asks for a list, over and over. Meanwhile, in turns: kill -9 of a replica of each part (the
gateway is what the proxy talks to), of Redis (started again), and with --kill-proxy of the proxy itself (on one machine nobody
listens until it is back); two changes of the model and one broken bundle. What is answered by anything but 200, or a broken
connection, is asked again as the client of `timerec.client` does, and counted by what had just been done: that is what the
service itself did not absorb. Prints a table and, last, JSON.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import math
import os
import random
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import uuid
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import Any

import aiohttp
import psutil

from bench.load import bundle_users
from bench.service import HAPROXY, PARTS, scaled
from serve_app.environment import PROXIES, prepare
from serve_app.settings import Settings
from timerec.data.cluster import connect, disconnect
from timerec.sealed import HEAD
from timerec.store.open import open_store

KILLED = ("fusion", "encoder", "forecaster", "gateway", "proxy", "redis")
PROCESS = {part: (f"ray::ServeReplica:timerec:{part}",) for part in KILLED[:4]} | {"proxy": (HAPROXY, "ray::ProxyActor")}
REDIS = ("--appendonly", "yes", "--appendfsync", "always", "--save", "", "--bind", "127.0.0.1")
AGAIN = 6  # tries of one client for one request
JUST = 15.0  # seconds after a deed for which what goes wrong is put down to it


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--seconds", type=float, default=180.0)
    parser.add_argument("--clients", type=int, default=16)
    parser.add_argument("--replicas", type=int, default=2, help="of gateway, encoder, forecaster and fusion each")
    parser.add_argument("--store", choices=["sqlite", "redis"], default="redis")
    parser.add_argument("--kill-proxy", action="store_true", help="kill what HTTP comes through, too")
    parser.add_argument("--proxy", choices=PROXIES, default="auto", help="what HTTP comes through")
    parser.add_argument("--port", type=int, default=8766)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="timerec-chaos-") as name:
        found = run(asked, Path(name))
    for key, value in found.items():
        if isinstance(value, (dict, list)):
            lines = [f"{name}: {count}" for name, count in value.items()] if isinstance(value, dict) else value
            print(f"{key:28} {lines[0] if lines else 0}", *(f"{'':28} {line}" for line in lines[1:]), sep="\n")
        else:
            print(f"{key:28} {value}")
    print(json.dumps(found))


def run(asked: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """The whole: service, load, and what is done to it."""
    prepare(asked.proxy)
    connect(num_cpus=16)
    from ray import serve  # after the environment: Ray reads it on import

    from serve_app.app import build

    redis = Redis(folder) if asked.store == "redis" else None
    store = redis.url if redis else str(folder / "events.db")
    settings = Settings(bundle=asked.bundle, store=store, folder=folder / "base", clock="log")
    many = {"min_replicas": asked.replicas, "max_replicas": asked.replicas}
    settings = scaled(settings, dict.fromkeys(PARTS, many))
    try:
        graph = build(settings)
        serve.start(http_options={"host": "127.0.0.1", "port": asked.port}, logging_config={"log_level": "ERROR"})
        serve.run(graph, name="timerec", route_prefix="/")
        deeds = Deeds()
        load = Load(f"http://127.0.0.1:{asked.port}", bundle_users(asked.bundle), deeds)
        asyncio.run(everything(asked, folder, load, redis, deeds))
        with open_store(store) as events:
            stored = Counter(one.event.event_id for one in all_of(events))
        lost = [name for name in load.acknowledged if name not in stored]
        twice = [name for name, count in stored.items() if count > 1]
        return {
            **load.told(),
            "acknowledged events": len(load.acknowledged),
            "lost": len(lost),
            "twice": len(twice),
            "done": deeds.told,
        }
    finally:
        serve.shutdown()
        disconnect()
        if redis:
            redis.kill()


class Redis:
    """A server of this run's own that acknowledges what is on disk."""

    def __init__(self, folder: Path) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        self.url = f"redis://127.0.0.1:{port}/0"
        self._words = ["redis-server", *REDIS, "--port", str(port), "--dir", str(folder)]
        self.start()

    def start(self) -> None:
        """Start it, on what it wrote before."""
        self._process = subprocess.Popen(self._words, stdout=subprocess.DEVNULL)
        time.sleep(0.5)

    def kill(self) -> None:
        """kill -9."""
        self._process.kill()
        self._process.wait()


class Deeds:
    """What was done to the service, and when."""

    def __init__(self) -> None:
        self.told: list[str] = []
        self._last, self._until = "", 0.0

    def begin(self, name: str) -> None:
        """From now on what goes wrong is put down to this deed."""
        self._last, self._until = name, math.inf

    def end(self, found: str) -> None:
        """It is done, with this outcome; what goes wrong is put down to it for a while yet."""
        self.told.append(f"{self._last}: {found}")
        self._until = time.monotonic() + JUST

    def just(self) -> str:
        """The deed under way or done just now."""
        return self._last if time.monotonic() < self._until else "nothing"


def detail_of(text: str) -> str:
    """What an answer that is a problem says of itself."""
    try:
        return str(json.loads(text)["detail"])
    except (ValueError, TypeError, KeyError):
        return "in no words of the service"


class Load:
    """Clients, and what they met."""

    def __init__(self, url: str, users: list[str], deeds: Deeds) -> None:
        self._url, self._users, self._deeds = url, users, deeds
        self.acknowledged: list[str] = []
        self.answered, self.again, self.degraded = 0, Counter[str](), Counter[str]()
        self.failed: Counter[str] = Counter()
        self.slowest = 0.0

    async def client(self, session: aiohttp.ClientSession, until: float) -> None:
        """Tell an event, ask for a list, until the time is over."""
        draw = random.Random()
        while time.monotonic() < until:
            name, user = uuid.uuid4().hex, draw.choice(self._users)
            if await self._send(
                session, "/v1/events", {"event_id": name, "user_id": user, "item_id": f"item {draw.randrange(50)}"}
            ):
                self.acknowledged.append(name)
            answer = await self._send(session, "/v1/recommend", {"user_id": user})
            self.degraded.update(f"{part} after {self._deeds.just()}" for part in (answer["degraded"] if answer else []))

    async def _send(self, session: aiohttp.ClientSession, path: str, body: dict[str, Any]) -> dict[str, Any] | None:
        began, last = time.monotonic(), ""
        for turn in range(AGAIN):
            try:
                async with session.post(self._url + path, json=body) as response:
                    text = await response.text()
                    if response.status == 200:
                        self.answered += 1
                        self.slowest = max(self.slowest, time.monotonic() - began)
                        told: dict[str, Any] = json.loads(text)
                        return told
                    last = f"{path} {response.status} {detail_of(text)}"
            except (aiohttp.ClientError, TimeoutError) as error:
                last = f"{path} {type(error).__name__}"
            self.again[f"{last} after {self._deeds.just()}"] += 1
            await asyncio.sleep(0.2 * 2**turn)
        self.failed[last] += 1
        return None

    def told(self) -> dict[str, Any]:
        """Counts of everything."""
        gateway = sum(count for name, count in self.again.items() if name.endswith(("kill gateway", "kill proxy")))
        return {
            "answered": self.answered, "failed after retries": sum(self.failed.values()), "failed": dict(self.failed),
            "asked again": self.again.total(), "but for gateway and proxy": self.again.total() - gateway,
            "asked again by deed": dict(self.again), "degraded": dict(self.degraded), "slowest s": round(self.slowest, 2),
        }  # fmt: skip


async def everything(asked: argparse.Namespace, folder: Path, load: Load, redis: Redis | None, deeds: Deeds) -> None:
    """Load for so many seconds, and in it one thing after the other that may go wrong."""
    until = time.monotonic() + asked.seconds
    left_alone = {part for part, killed in (("redis", bool(redis)), ("proxy", asked.kill_proxy)) if not killed}
    coming = [*(("kill", part) for part in KILLED if part not in left_alone), ("model", "a"), ("model", "b"), ("broken", "c")]
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(30)) as session:
        clients = [asyncio.create_task(load.client(session, until)) for _ in range(asked.clients)]
        pause = asked.seconds / (len(coming) + 1)
        for number, (deed, name) in enumerate(coming, 1):
            await asyncio.sleep(max(0.0, until - asked.seconds + number * pause - time.monotonic()))
            deeds.begin(f"{deed} {name}")
            if deed != "kill":
                deeds.end(await change(session, asked, folder, deed, name))
            elif name == "redis" and redis:
                redis.kill()
                await asyncio.sleep(1.0)
                await asyncio.to_thread(redis.start)
                deeds.end("killed, started again a second later")
            else:
                deeds.end(await asyncio.to_thread(kill, name))
        await asyncio.gather(*clients)


def kill(part: str) -> str:
    """Kill one process of a part: of the proxy HAProxy itself, where there is one."""
    running = {}
    for process in psutil.Process().children(recursive=True):  # this run's own, and no other service's
        with suppress(psutil.Error):  # it ended meanwhile, or was killed before
            running[process.pid] = " ".join(process.cmdline())
    for name in PROCESS[part]:
        for pid, words in running.items():
            if name in words:
                os.kill(pid, signal.SIGKILL)
                return "killed"
    return "not found"


async def change(session: aiohttp.ClientSession, asked: argparse.Namespace, folder: Path, deed: str, name: str) -> str:
    """Change to a copy of the bundle, sound or broken."""
    copy = folder / name
    shutil.copytree(asked.bundle, copy)
    (copy / HEAD).write_text((copy / HEAD).read_text() + " " * (1 + ord(name)))  # another digest
    if deed == "broken":
        (copy / "model.safetensors").write_bytes(b"nothing")
    body = {"bundle": str(copy)}
    async with session.post(f"http://127.0.0.1:{asked.port}/v1/models", json=body, timeout=aiohttp.ClientTimeout(300)) as answer:
        return str(answer.status)


def all_of(store: Any) -> Any:
    """Every event of a store."""
    seq = 0
    while stored := store.since(seq):
        yield from stored
        seq = stored[-1].seq


if __name__ == "__main__":
    main()
