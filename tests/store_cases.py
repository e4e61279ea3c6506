"""A Redis server of the tests' own, the event store as plain Python would have it, and bundles that hold a log."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from timerec.sealed import FORMAT, HEAD, VERSION
from timerec.store import Accepted, Event, EventStore, Stored

DURABLE = {"appendonly": "yes", "appendfsync": "always"}


class RedisServer:
    """A redis-server on a free loopback port, with its files in a folder."""

    def __init__(self, folder: Path, **settings: str) -> None:
        self.binary = shutil.which("redis-server")
        if self.binary is None:
            pytest.fail("redis-server is not installed: run make redis")
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.folder, self.settings = folder, DURABLE | settings
        folder.mkdir(parents=True, exist_ok=True)
        self.start()

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def start(self) -> None:
        """Start it, and wait until it answers."""
        settings = {"port": str(self.port), "bind": "127.0.0.1", "dir": str(self.folder), "save": ""} | self.settings
        words = [word for name, value in settings.items() for word in (f"--{name}", value)]
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen([self.binary, *words], stdout=log, stderr=log)
        give_up = time.monotonic() + 20
        while not self._answers():
            assert self.process.poll() is None and time.monotonic() < give_up, (self.folder / "log").read_text()
            time.sleep(0.02)

    def kill(self) -> None:
        """End it as a power cut would end the process."""
        os.kill(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def _answers(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=1) as connection:
                connection.sendall(b"PING\r\n")
                return connection.recv(100).startswith((b"+PONG", b"-NOAUTH"))
        except OSError:
            return False


class PlainStore(EventStore):
    """The same promises in a few lines over a list."""

    def __init__(self) -> None:
        self.events: dict[int, Stored] = {}
        self.ids: dict[str, int] = {}
        self.records: dict[str, str] = {}
        self.notes: dict[str, str] = {}

    def append(self, events: Sequence[Event]) -> list[Accepted]:
        answers = []
        for event in events:
            duplicate = event.event_id in self.ids
            seq = self.ids.setdefault(event.event_id, len(self.ids) + 1)
            if not duplicate:
                self.events[seq] = Stored(seq, event, 0.0)
            answers.append(Accepted(seq, duplicate))
        return answers

    def since(self, seq: int, limit: int = 10_000) -> list[Stored]:
        return [one for key, one in sorted(self.events.items()) if key > seq][:limit]

    def last(self) -> int:
        return len(self.ids)

    def count(self) -> int:
        return len(self.events)

    def history(self, user_id: str, before: int | None = None, limit: int = 100) -> list[Stored]:
        own = [one for one in self.events.values() if one.event.user_id == user_id]
        earlier = [one for one in own if before is None or one.event.timestamp < before]
        return sorted(earlier, key=lambda one: (one.event.timestamp, one.seq), reverse=True)[:limit]

    def get(self, event_id: str) -> Stored | None:
        return self.events.get(self.ids.get(event_id, 0))

    def log_requests(self, records: Sequence[tuple[str, str]]) -> None:
        for request_id, text in records:
            self.records.setdefault(request_id, text)

    def request(self, request_id: str) -> str | None:
        return self.records.get(request_id)

    def note(self, name: str, text: str) -> None:
        self.notes[name] = text

    def renote(self, name: str, text: str, was: str | None) -> bool:
        if self.notes.get(name) not in (was, text):
            return False
        self.notes[name] = text
        return True

    def noted(self, name: str) -> str | None:
        return self.notes.get(name)

    def remove(self, seqs: Sequence[int]) -> int:
        return sum(self.events.pop(seq, None) is not None for seq in seqs)

    def shrink(self) -> None:
        """Nothing to give back."""

    def ping(self) -> None:
        """Always there."""

    def close(self) -> None:
        """Nothing to let go of."""


def bundle_of(folder: Path, rows: pd.DataFrame, users: list, items: list, kinds: list[str]) -> Path:
    """A bundle that holds nothing but a log, in two shards."""
    log = folder / "log"
    user = rows["user_id"].map(users.index).to_numpy(np.int32)
    columns = {
        "user": user,
        "item": rows["item_id"].map(items.index).to_numpy(np.int32),
        "time": rows["timestamp"].to_numpy(np.int64),
    }
    columns["kind"] = np.array([kinds.index(kind) if kind in kinds else -1 for kind in rows["event"]], np.int8)
    table = pa.table(columns).sort_by([("user", "ascending"), ("time", "ascending"), ("item", "ascending")])
    half = len(rows) // 2
    for shard, part in enumerate((table.slice(0, half), table.slice(half))):
        (log / "events").mkdir(parents=True, exist_ok=True)
        pq.write_table(part, log / "events" / f"shard-{shard:05d}.parquet")
    pq.write_table(pa.table({"user_id": users}), log / "users.parquet")
    pq.write_table(pa.table({"item_id": items}), log / "items.parquet")
    (log / "manifest.json").write_text(json.dumps({"kinds": kinds}))
    return sealed(folder)


def sealed(folder: Path) -> Path:
    """The folder as a bundle that opens: with a head and checksums."""
    paths = [path for path in folder.rglob("*") if path.is_file()]
    files = {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in paths}
    (folder / HEAD).write_text(json.dumps({"format": FORMAT, "version": VERSION, "config": {}, "files": files}))
    return folder
