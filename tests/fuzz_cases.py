"""A hostile client: sends what no HTTP library would, keeps what was acknowledged, and can send everything once more."""

from __future__ import annotations

import json
import select
import socket
import threading
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import psutil
import requests

from tests.serve_cases import ROOT

BUSY = (503, 504)  # what the interface promises for too much work and for too little time
# of the code, of its libraries, and of what Python says of its faults
SECRETS = ("Traceback", "site-packages", '.py", line', '.py\\", line', f"{ROOT}/")
SECONDS = 120.0  # that an answer may take on a machine with much other work


class Told(NamedTuple):
    """An answer as it came over the wire; status 0 where the connection was closed without one."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def problem(self) -> dict[str, Any]:
        """The problem details; an assertion fails where they are none."""
        assert self.headers.get("content-type") == "application/problem+json", self
        told = json.loads(self.body)
        assert {"type", "title", "status", "detail"} <= set(told) and told["status"] == self.status, self
        return told


class Fuzzer:
    """Sends requests to one service.

    Attributes:
        acknowledged: events of all 200 answers to `POST /v1/events`: event_id to the fields that were sent.
        refused: whether an answer to such a call was 503; then an event may be on disk that nobody was told of.
    """

    def __init__(self, url: str, secrets: tuple[str, ...]) -> None:
        self.url, self.address = url, (urlsplit(url).hostname, urlsplit(url).port)
        self.secrets = (*SECRETS, *secrets)
        self.acknowledged: dict[str, dict[str, Any]] = {}
        self.refused = False
        self._sent: list[tuple[Callable[[], Told], requests.PreparedRequest | None]] = []

    def http(self, method: str, path: str, body: Any = None, **headers: str) -> Told:
        """A request of a well-behaved library; a body that is no bytes is sent as JSON."""
        data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        told = {"Content-Type": "application/json", **{name.replace("_", "-"): value for name, value in headers.items()}}
        return self.send(requests.Request(method, self.url + path, data=data, headers=told).prepare())

    def send(self, request: requests.PreparedRequest, told: Told | None = None) -> Told:
        """Send a prepared request, or keep one with its answer that somebody else has sent."""

        def once() -> Told:
            with requests.Session() as session:  # a connection of its own: a kept one may be closed as the request is sent
                return _told(session.send(request, timeout=SECONDS, allow_redirects=False))

        return self._judged(once, request, told or once())

    def raw(self, data: bytes, rest: bytes = b"") -> Told:
        """Bytes on a socket, and what came back.

        Args:
            rest: sent after them until the service answers, up to 64 MiB.
        """

        def once() -> Told:
            return exchange(self.address, data, rest)

        return self._judged(once, None, once())

    def again(self) -> Counter[int]:
        """Send everything once more, in the same order; how often each status came."""
        sent, self._sent = self._sent, []
        return Counter(self._judged(once, request, once()).status for once, request in sent)

    def _judged(self, once: Callable[[], Told], request: requests.PreparedRequest | None, told: Told) -> Told:
        """The answer, which keeps to what holds of every one; it is kept how to get it again."""
        self._sent.append((once, request))
        sent = request and (request.method, request.url, request.headers, request.body)
        assert told.status < 500 or told.status in BUSY, (sent, told)
        text = told.body.decode("utf-8", "replace")
        assert not [secret for secret in self.secrets if secret in text], (sent, told)
        if request is not None and request.path_url == "/v1/events" and request.method == "POST":
            self.refused |= told.status in BUSY
            if told.status == 200:
                self._keep(json.loads(request.body or b""), json.loads(told.body)["events"])
        return told

    def _keep(self, sent: Any, stored: list[dict[str, Any]]) -> None:
        for one, answer in zip(sent.get("events", [sent]), stored, strict=True):
            if not answer["duplicate"]:
                assert answer["event_id"] not in self.acknowledged, answer
                self.acknowledged[answer["event_id"]] = {**one, "seq": answer["seq"]}


class Shop(threading.Thread):
    """Tells events while others fuzz the service, as a well-behaved client does."""

    def __init__(self, client: Fuzzer) -> None:
        super().__init__(daemon=True)
        self.client, self._ended, self._fault = client, threading.Event(), None  # type: Fuzzer, threading.Event, Exception | None

    def run(self) -> None:
        """Tell an event of one of a few users, again and again."""
        number = 0
        try:
            while not self._ended.wait(0.1):
                event = {
                    "event_id": f"shop-{number}",
                    "user_id": f"shopper-{number % 5}",
                    "item_id": str(100 + 3 * (number % 60)),
                }
                number += self.client.http("POST", "/v1/events", event).status not in BUSY
        except Exception as fault:
            self._fault = fault

    def end(self) -> None:
        """Stop, and raise what went wrong meanwhile."""
        self._ended.set()
        self.join(SECONDS)
        if self._fault is not None:
            raise self._fault


def _told(response: requests.Response) -> Told:
    return Told(response.status_code, {name.lower(): value for name, value in response.headers.items()}, response.content)


def exchange(address: tuple[str | None, int | None], data: bytes, rest: bytes = b"") -> Told:
    """Send bytes, then `rest` again and again until an answer comes; that answer."""
    with socket.create_connection((str(address[0]), int(address[1] or 0)), timeout=SECONDS) as line:
        try:
            line.sendall(data)
            for _ in range((64 << 20) // len(rest) if rest else 0):
                if select.select([line], [], [], 0.0)[0]:
                    break
                line.sendall(rest)
        except OSError:
            pass  # it takes no more: the answer, if any, is there already
        return read_answer(line)


def read_answer(line: socket.socket) -> Told:
    """The answer that comes next on a socket; a HEAD request has another one."""
    read = b""
    try:
        while b"\r\n\r\n" not in read:
            piece = line.recv(1 << 16)
            if not piece:
                break
            read += piece
        if not read.startswith(b"HTTP/1."):  # nothing, or HTTP/2, which HAProxy speaks to who begins with it
            return Told(0, {}, read)
        head, _, body = read.partition(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        pairs = (one.partition(":") for one in lines)
        headers = {name.strip().lower(): value.strip() for name, _, value in pairs}
        length = int(headers.get("content-length", "0"))
        chunked = headers.get("transfer-encoding") == "chunked"
        while (not body.endswith(b"0\r\n\r\n") if chunked else len(body) < length) and (piece := line.recv(1 << 16)):
            body += piece
        body = body[:length] if "content-length" in headers else body  # behind it comes the answer to what was sent behind
    except ConnectionError:
        return Told(0, {}, read)
    return Told(int(first.split()[1]), headers, body) if first else Told(0, {}, b"")


def request_bytes(method: str, path: str | bytes, body: bytes = b"", *headers: tuple[str, str]) -> bytes:
    """A request as it goes over the wire."""
    target = path if isinstance(path, bytes) else path.encode()
    lines = [("Host", "localhost"), *headers]
    if body:
        lines += [("Content-Type", "application/json"), ("Content-Length", str(len(body)))]
    head = "".join(f"{name}: {value}\r\n" for name, value in lines)
    return method.encode() + b" " + target + b" HTTP/1.1\r\n" + head.encode("latin-1") + b"\r\n" + body


def memory_of_service(pid: int) -> dict[int, float]:
    """MiB of every replica and proxy of the service that runs as process `pid`, by process.

    Anonymous memory: what is shared of libraries grows and shrinks with other programs of the machine.
    """
    found = {}
    for process in psutil.Process(pid).children(recursive=True):
        try:
            name = " ".join(process.cmdline())
        except psutil.Error:  # it has ended
            continue
        if name.startswith(("ray::ServeReplica", "ray::ProxyActor")):
            lines = Path(f"/proc/{process.pid}/status").read_text().splitlines()
            found[process.pid] = int(next(line for line in lines if line.startswith("RssAnon")).split()[1]) / 1024
    assert len(found) >= 5, found
    return found
