"""A Ray head of a test's own: free ports, its own folder, and an end that touches no other Ray on the machine."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import psutil

START_SECONDS = 90
BIN = Path(sys.executable).parent


def environment() -> dict[str, str]:
    """This process's environment for Ray's commands: no cluster preset, authentication off, this Python first."""
    keep = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    return keep | {
        "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}",
        "RAY_AUTH_MODE": "disabled",
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0",
        "RAY_worker_niceness": "0",
        "OMP_NUM_THREADS": "1",
    }


@contextmanager
def ray_head(cpus: int = 6) -> Iterator[str]:
    """Start `ray start --head` and yield the address for `ray job submit`."""
    folder = Path(tempfile.mkdtemp(prefix="ray-", dir="/tmp"))  # short: socket paths end at 107 characters
    gcs, dashboard, client, agent = _free_ports(4)
    command = [
        str(BIN / "ray"), "start", "--head", "--block", f"--num-cpus={cpus}", f"--temp-dir={folder}",
        f"--port={gcs}", f"--dashboard-port={dashboard}", "--dashboard-host=127.0.0.1", "--node-ip-address=127.0.0.1",
        f"--ray-client-server-port={client}", f"--dashboard-agent-listen-port={agent}",
        "--min-worker-port=0", "--max-worker-port=0", "--object-store-memory=500000000", "--disable-usage-stats",
    ]  # fmt: skip
    log = folder / "start.log"
    with log.open("w") as output:
        head = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, env=environment(), start_new_session=True)
    try:
        _wait(f"http://127.0.0.1:{dashboard}/api/version", head, log)
        yield f"http://127.0.0.1:{dashboard}"
    finally:
        _end(head, folder)
        shutil.rmtree(folder, ignore_errors=True)


def _free_ports(n: int) -> list[int]:
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(n)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


def _wait(url: str, head: subprocess.Popen[bytes], log: Path) -> None:
    end = time.monotonic() + START_SECONDS
    while time.monotonic() < end:
        assert head.poll() is None, log.read_text()
        try:
            with urllib.request.urlopen(url, timeout=5):
                return
        except (urllib.error.URLError, TimeoutError, ConnectionError):
            time.sleep(0.5)
    raise AssertionError(f"Ray did not start in {START_SECONDS} s: {log.read_text()}")


def _end(head: subprocess.Popen[bytes], folder: Path) -> None:
    """End the head's processes and those that name its folder, by their ids."""
    family = _family(head.pid, folder)
    head.terminate()  # `--block` ends what it started
    try:
        head.wait(timeout=30)
    except subprocess.TimeoutExpired:
        head.kill()
        head.wait()
    for process in psutil.wait_procs(family, timeout=5)[1]:
        process.kill()  # psutil refuses where the id has been given to another process
    psutil.wait_procs(family, timeout=5)


def _family(pid: int, folder: Path) -> list[psutil.Process]:
    own = {process.pid: process for process in psutil.Process(pid).children(recursive=True)} if psutil.pid_exists(pid) else {}
    for process in psutil.process_iter(["cmdline"]):
        if any(str(folder) in word for word in process.info["cmdline"] or []):
            own[process.pid] = process
            own |= {child.pid: child for child in process.children(recursive=True)}
    own.pop(pid, None)
    return list(own.values())
