"""What every HTTP request passes first: its size, its key, its rate, and whether there is room for it."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Collection
from ipaddress import ip_address
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serve_app.metrics import Metrics
from serve_app.problems import Problem
from serve_app.rules import Rules

ADMIN = "/v1/models"
OPEN = ("/healthz", "/readyz", "/metrics")  # for whoever watches the service; told apart by the network, not by keys
READING = ("GET", "HEAD")
LONGEST_NUMBER = 18  # digits of a length that can be one
NOSNIFF = (b"x-content-type-options", b"nosniff")  # an identifier may hold markup: an answer is what it says it is
PAGE = ("/", "/page/")  # files without data: a browser must have them before it can ask for the key


class Door:
    """An ASGI middleware in front of an API."""

    def __init__(self, api: ASGIApp, rules: Rules, metrics: Metrics, hosts: Collection[str] = ()) -> None:
        """Args: hosts: names by which the service may be called without keys, beside those of this machine."""
        self._app, self._rules, self._metrics = api, rules, metrics
        self._hosts = {name.lower() for name in hosts}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let the request in, or answer with a problem."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began, status = time.perf_counter(), 500

        async def watched(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message = {**message, "headers": [*message.get("headers", ()), NOSNIFF]}
            await send(message)

        try:
            await self._pass(scope, receive, watched)
        finally:
            self._metrics.request(scope["method"], _route(scope), status, time.perf_counter() - began)

    async def _pass(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope["path"].removeprefix(scope.get("root_path", ""))
        if path in OPEN:
            await self._app(scope, receive, send)
            return
        headers = {name.lower(): value for name, value in scope["headers"]}
        problem = self._refuse(headers, scope["method"], path)
        if problem:
            await problem.response()(scope, receive, send)
            return
        with self._rules.in_work():
            await self._app(scope, _bounded(receive, self._rules), send)

    def _refuse(self, headers: dict[bytes, bytes], method: str, path: str) -> Problem | None:
        length = headers.get(b"content-length", b"0")
        told = int(length) if length.isdigit() and len(length) <= LONGEST_NUMBER else sys.maxsize
        problem = self._rules.full() or self._rules.too_long(told)
        if problem:
            return problem
        if headers.get(b"content-encoding", b"identity").lower() != b"identity":
            return Problem(415, "the body is compressed: send it as it is, without Content-Encoding")
        origin = headers.get(b"origin")  # SCHEME://HOST, or anything that somebody sent
        if origin is not None and method not in READING and origin.partition(b"://")[2] != headers.get(b"host"):
            return Problem(403, "a page of another site sent this: only this service's own page may change something")
        # a page may have its own name resolved to this machine, and then it is no other site to a browser (DNS rebinding)
        if not self._rules.with_keys and not _local(name := _name(headers.get(b"host", b""))) and name not in self._hosts:
            return Problem(403, f"{name[:100]} is no name of this service: call it by one of its `hosts`, or give it keys")
        if path == PAGE[0] or path.startswith(PAGE[1]):
            return None
        return self._rules.refuse(headers.get(b"authorization", b"").decode("latin-1"), admin=path.startswith(ADMIN))


def _name(host: bytes) -> str:
    """The name of a Host header, without its port."""
    name = host.decode("latin-1").lower()
    return name.rpartition(":")[0] if name.rpartition(":")[2].isdigit() else name


def _local(name: str) -> bool:
    """Whether only this machine calls itself so; a program that says no name at all is no browser."""
    try:
        return name in ("", "localhost") or ip_address(name.strip("[]")).is_loopback
    except ValueError:
        return False


def _bounded(receive: Receive, rules: Rules) -> Receive:
    """Stop reading a body that is longer than it may be, whatever its length was said to be, or that does not come.

    A body that never ends would keep its place among the requests in work, and others out.
    """
    read, whole, until = 0, False, asyncio.get_running_loop().time() + rules.body_seconds

    async def limited() -> Message:
        nonlocal read, whole
        if whole:
            return await receive()
        try:
            async with asyncio.timeout_at(until):
                message = await receive()
        except TimeoutError:
            raise rules.too_slow() from None
        read += len(message.get("body", b""))
        problem = rules.too_long(read)
        if problem:
            raise problem
        whole = not message.get("more_body", False)
        return message

    return limited


def _route(scope: Scope) -> str:
    """The path as it was declared: metrics must not grow with every identifier."""
    route: Any = scope.get("route")
    return getattr(route, "path_format", "other")
