"""A service for a benchmark: `timerec serve` as a process of its own, settings with other numbers of replicas, its memory."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import psutil

from serve_app.settings import Settings

ROOT = Path(__file__).parent.parent
PARTS = ("gateway", "encoder", "forecaster", "fusion")
HAPROXY = "haproxy.cfg"  # in the command line of its process
PROCESSES = (
    "ray::ServeReplica:timerec", "ray::ServeController", "ray::ProxyActor", "ray::HAProxyManager", HAPROXY,
    "raylet", "gcs_server",
)  # fmt: skip


class Service(NamedTuple):
    """A running service."""

    url: str
    pid: int
    seconds: float  # from its start until it answered


@contextmanager
def served(folder: Path, port: int, options: Mapping[str, Any]) -> Iterator[Service]:
    """`timerec serve` with these options (`--bundle` and so on), run in `folder`; stopped at the end."""
    words = [sys.executable, "-m", "timerec.cli", "serve", "--port", str(port)]
    words += [str(word) for pair in options.items() for word in pair]
    log, began = folder / "serve.log", time.perf_counter()
    # this process may have been told of a HAProxy of its own
    own = {name: value for name, value in os.environ.items() if not name.startswith("RAY_SERVE_HAPROXY")}
    with log.open("w") as out:
        process = subprocess.Popen(words, stdout=out, stderr=out, cwd=folder, env={**own, "PYTHONPATH": str(ROOT)})
    try:
        while "ready: " not in log.read_text():
            if process.poll() is not None:
                raise SystemExit(log.read_text())
            time.sleep(0.2)
        yield Service(f"http://127.0.0.1:{port}", process.pid, time.perf_counter() - began)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(120)


def scaled(settings: Settings, parts: Mapping[str, Mapping[str, Any]]) -> Settings:
    """The settings with some of the scale of some parts changed.

    >>> scaled(Settings(bundle="b"), {"fusion": {"max_replicas": 3}}).fusion.max_replicas
    3
    """
    changed = {part: {**getattr(settings, part).model_dump(), **scale} for part, scale in parts.items()}
    return Settings.model_validate({**settings.model_dump(), **changed})


def memory(pid: int) -> float:
    """GiB of all replicas of the service, Serve's controller and proxy, Ray's own processes and `pid`, which started them.

    Shared pages count once (PSS).
    """
    starter = psutil.Process(pid)
    total = starter.memory_full_info().pss
    for process in starter.children(recursive=True):
        try:
            if any(name in " ".join(process.cmdline()) for name in PROCESSES):
                total += process.memory_full_info().pss
        except psutil.Error:  # it ended meanwhile
            continue
    return float(total) / 2**30
