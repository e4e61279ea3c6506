"""A served graph of the small run, as a process of its own."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).parent.parent
# what is as large as the catalogue must not be a message between replicas; the test catalogue is small, so the limit is, too
SMALL_MESSAGES = {"RAY_SERVE_REPLICA_GRPC_MAX_MESSAGE_LENGTH": str(64 << 10)}


class Reply(NamedTuple):
    status: int
    headers: dict[str, str]
    body: Any


class Served(NamedTuple):
    """A running service."""

    url: str
    pid: int
    log: Path

    def ask(self, path: str, body: Any = None, *, headers: dict[str, str] | None = None, raw: bytes | None = None) -> Reply:
        """GET, or POST of a JSON body; an answer that is no JSON comes as text."""
        data = raw if raw is not None else None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data, {"Content-Type": "application/json", **(headers or {})})
        try:
            with urllib.request.urlopen(request, timeout=30) as response:
                return _reply(response)
        except urllib.error.HTTPError as error:
            return _reply(error)


def _reply(response: Any) -> Reply:
    text = response.read().decode()
    headers = {name.lower(): value for name, value in response.headers.items()}
    return Reply(response.status, headers, json.loads(text) if "json" in headers.get("content-type", "") else text)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def served(folder: Path, bundle: Path, *options: str, environment: Mapping[str, str] | None = None) -> Iterator[Served]:
    """`timerec serve` on a free port, with more `environment` where given; SIGINT ends it."""
    port, log = free_port(), folder / "serve.log"
    command = [sys.executable, "-m", "timerec.cli", "serve", "--bundle", str(bundle), "--port", str(port), *options]
    with log.open("w") as out:
        process = subprocess.Popen(
            command, cwd=folder, stdout=out, stderr=out, start_new_session=True,
            env={**os.environ, "PYTHONPATH": str(ROOT), **SMALL_MESSAGES, **(environment or {})},
        )  # fmt: skip
    try:
        until = time.monotonic() + 600
        while "ready: " not in log.read_text():
            assert process.poll() is None and time.monotonic() < until, log.read_text()
            time.sleep(0.2)
        yield Served(f"http://127.0.0.1:{port}", process.pid, log)
    finally:
        process.send_signal(signal.SIGINT)
        try:
            process.wait(60)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            raise
