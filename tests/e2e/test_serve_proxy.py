"""The service through HAProxy: what dies behind it nobody notices, and nothing of it is open to the network."""

from __future__ import annotations

import os
import signal
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest
import yaml

from tests.conftest import SmallRun
from tests.serve_cases import Served, served

OTHER = "127.0.0.2"  # an address beside the usual one
pytestmark = pytest.mark.slow  # starts the service, which takes a minute on two busy cores


@pytest.fixture(scope="module")
def service(small_run: SmallRun, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("proxy")
    settings = folder / "settings.yaml"
    settings.write_text(yaml.safe_dump({"gateway": {"min_replicas": 2, "max_replicas": 2}, "store": str(folder / "events.db")}))
    with served(
        folder, small_run.bundle, "--config", str(settings), "--clock", "log", "--proxy", "haproxy", "--host", OTHER
    ) as running:
        yield running


def processes(service: Served, name: str) -> list[psutil.Process]:
    running = psutil.Process(service.pid).children(recursive=True)
    return [process for process in running if process.is_running() and name in " ".join(process.cmdline())]


def listening(process: psutil.Process) -> list[tuple[str, int]]:
    return [(one.laddr.ip, one.laddr.port) for one in process.net_connections("inet") if one.status == psutil.CONN_LISTEN]


def configuration(haproxy: psutil.Process) -> Path:
    words = haproxy.cmdline()
    return Path(words[words.index("-f") + 1])


def wait(until: Callable[[], bool], seconds: float = 60.0) -> None:
    end = time.monotonic() + seconds
    while not until():
        assert time.monotonic() < end
        time.sleep(0.2)


def gateways_up(service: Served) -> int:
    """How many gateways HAProxy gives requests to, by its statistics; 0 where it is just being started anew."""
    for haproxy in processes(service, "haproxy.cfg"):
        port = configuration(haproxy).read_text().partition("listen stats")[2].split()[1].rpartition(":")[2]
        with suppress(OSError), urllib.request.urlopen(f"http://127.0.0.1:{port}/stats;csv") as answer:
            lines = answer.read().decode().splitlines()
            return sum("SERVE_REPLICA" in line and ",UP," in line for line in lines)
    return 0


def test_nothing_of_it_listens_on_another_interface(service: Served) -> None:
    (haproxy,) = processes(service, "haproxy.cfg")
    port = int(service.url.rpartition(":")[2])
    assert (OTHER, port) in listening(haproxy) and len(listening(haproxy)) >= 4
    assert {ip for ip, _ in listening(haproxy)} - {OTHER} == {"127.0.0.1"}
    assert [number for ip, number in listening(haproxy) if ip == OTHER] == [port]
    with urllib.request.urlopen(f"http://{OTHER}:{port}/healthz") as answer:
        assert answer.status == 200
    for gateway in processes(service, "ServeReplica:timerec:gateway"):  # Ray's own port wants its token
        assert [ip for ip, port in listening(gateway) if 30_000 <= port <= 31_000] == ["127.0.0.1"]
    assert configuration(haproxy).parent.parent.stat().st_mode & 0o077 == 0  # whoever opens its socket may command it


def test_a_gateway_that_is_killed_is_not_noticed(service: Served) -> None:
    stop, answers, failed = threading.Event(), [], []

    def shop(number: int) -> None:
        turn = 0
        while not stop.is_set():
            turn += 1
            event = {"event_id": f"shop-{number}-{turn}", "user_id": f"shop-{number}", "item_id": f"{100 + turn % 30}"}
            for path, body in (("/v1/events", event), ("/v1/recommend", {"user_id": f"shop-{number}", "k": 3})):
                try:
                    reply = service.ask(path, body)
                except OSError as error:
                    failed.append(error)
                    continue
                (answers if reply.status == 200 else failed).append(reply)

    clients = [threading.Thread(target=shop, args=(number,)) for number in range(8)]
    for client in clients:
        client.start()
    try:
        for _ in range(3):
            wait(lambda: gateways_up(service) == 2)
            before = len(answers)
            os.kill(processes(service, "ServeReplica:timerec:gateway")[0].pid, signal.SIGKILL)
            wait(lambda before=before: bool(failed) or len(answers) >= before + 200)
            assert not failed, failed[:3]
            wait(lambda: gateways_up(service) != 2)  # it knows by now
    finally:
        stop.set()
        for client in clients:
            client.join()
    assert not failed, failed[:3]
    stored = {number: service.ask(f"/v1/users/shop-{number}/history").body["count"] for number in range(8)}
    told = sum("events" in reply.body for reply in answers)
    assert sum(stored.values()) == told  # none lost, none twice
