"""What every request passes first: its size, its key, its rate, and whether there is room for it."""

from __future__ import annotations

import asyncio
import time
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serve_app.keys import Keys, Rates
from serve_app.metrics import Metrics
from serve_app.problems import Problem
from serve_app.settings import Limits

ADMIN = "/v1/models"
OPEN = ("/healthz", "/readyz", "/metrics")  # for whoever watches the service; told apart by the network, not by keys
READING = ("GET", "HEAD")
LONGEST_NUMBER = 18  # digits of a length that can be one
NOSNIFF = (b"x-content-type-options", b"nosniff")  # an identifier may hold markup: an answer is what it says it is
PAGE = ("/", "/page/")  # files without data: a browser must have them before it can ask for the key


class Door:
    """An ASGI middleware in front of an API."""

    def __init__(self, api: ASGIApp, limits: Limits, keys: Keys | None, metrics: Metrics) -> None:
        self._app, self._limits, self._keys, self._metrics = api, limits, keys, metrics
        self._rates, self._busy = Rates(limits.per_key), 0

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
        self._busy += 1
        try:
            await self._app(scope, _bounded(receive, self._limits.body_bytes, self._limits.body_seconds), send)
        finally:
            self._busy -= 1

    def _refuse(self, headers: dict[bytes, bytes], method: str, path: str) -> Problem | None:
        if self._busy >= self._limits.in_flight:
            return Problem(503, "too many requests at this moment: ask again", {"Retry-After": "1"})
        length = headers.get(b"content-length", b"0")
        if not length.isdigit() or len(length) > LONGEST_NUMBER or int(length) > self._limits.body_bytes:
            return Problem(413, f"the body is longer than {self._limits.body_bytes} bytes: send less at once")
        if headers.get(b"content-encoding", b"identity").lower() != b"identity":
            return Problem(415, "the body is compressed: send it as it is, without Content-Encoding")
        origin = headers.get(b"origin")  # SCHEME://HOST, or anything that somebody sent
        if origin is not None and method not in READING and origin.partition(b"://")[2] != headers.get(b"host"):
            return Problem(403, "a page of another site sent this: only this service's own page may change something")
        if self._keys is None or path == PAGE[0] or path.startswith(PAGE[1]):
            return None
        scheme, _, key = headers.get(b"authorization", b"").decode("latin-1").partition(" ")
        name = self._keys.name(key.strip()) if scheme.lower() == "bearer" else None
        if name is None:
            return Problem(401, "send a valid API key as `Authorization: Bearer KEY`", {"WWW-Authenticate": "Bearer"})
        if path.startswith(ADMIN) and not name.startswith("admin"):
            return Problem(403, f"key {name} may not see or change models: use one whose name begins with admin")
        wait = self._rates.wait(name)
        if wait:
            return Problem(429, f"key {name} asks more often than agreed", {"Retry-After": str(max(1, round(wait)))})
        return None


def _bounded(receive: Receive, most: int, seconds: float) -> Receive:
    """Stop reading a body that is longer than it may be, whatever its length was said to be, or that does not come.

    A body that never ends would keep its place among the requests in work, and others out.
    """
    read, whole, until = 0, False, asyncio.get_running_loop().time() + seconds

    async def limited() -> Message:
        nonlocal read, whole
        if whole:
            return await receive()
        try:
            async with asyncio.timeout_at(until):
                message = await receive()
        except TimeoutError:
            raise Problem(408, f"the body did not come within {seconds:g} s: send it at once", {"Connection": "close"}) from None
        read += len(message.get("body", b""))
        if read > most:
            raise Problem(413, f"the body is longer than {most} bytes: send less at once")
        whole = not message.get("more_body", False)
        return message

    return limited


def _route(scope: Scope) -> str:
    """The path as it was declared: metrics must not grow with every identifier."""
    route: Any = scope.get("route")
    return getattr(route, "path_format", "other")
