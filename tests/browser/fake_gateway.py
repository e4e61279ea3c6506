"""A gateway without models behind the real routes and the real door: canned answers with hostile words, and what was asked."""

from __future__ import annotations

import socket
import threading
import time
from pathlib import Path
from typing import Any

import uvicorn

from serve_app.door import Door
from serve_app.http import make_api
from serve_app.keys import Keys
from serve_app.metrics import Metrics
from serve_app.problems import Problem
from serve_app.rules import Rules
from serve_app.schemas import NewEvent, RecommendRequest
from serve_app.settings import Limits

DAY = 86_400
NOW = 1_700_000_000
HOSTILE = '<img src="http://elsewhere.invalid/x" onerror="window.pwned=1"><script>window.pwned=1</script>'
HOSTILE_USER = '"><b onmouseover=alert(1)>eve'
USERS = {"anna": 40, "anton": 30, "berta": 12, HOSTILE_USER: 3}
ITEMS = [
    {"item_id": "i0", "title": HOSTILE, "category": '"onload="x'},
    *({"item_id": f"i{n}", "title": f"Title {n}", "category": ("bread", "fruit")[n % 2]} for n in range(1, 14)),
    {"item_id": "<u>i14</u>", "title": "", "category": ""},
]
PARTS = {"taste": 1.5, "momentum": 0.75, "habit": -0.5, "context": -0.25, "baseline": 0.1}


class FakeGateway:
    """What serve_app.http asks of a gateway."""

    def __init__(self) -> None:
        self.metrics = Metrics("fake")
        self.asked: list[RecommendRequest] = []
        self.events: list[NewEvent] = []
        self.degraded: list[str] = []
        self.missing: set[str] = set()
        self.first = 0  # unix seconds before which no item is known
        self.problem: Problem | None = None
        self._began = time.monotonic()

    def now(self) -> int:
        return NOW + int(time.monotonic() - self._began)

    async def recommend(self, body: RecommendRequest, until: float) -> dict[str, Any]:
        self.asked.append(body)
        if self.problem:
            raise self.problem
        taken = {event.item_id for event in self.events if event.user_id == body.user_id}
        kept = [
            item for item in ITEMS if item["item_id"] not in {*taken, *body.exclude} and body.category in (None, item["category"])
        ]
        if taken:
            kept[:2] = kept[1::-1]
        items = [
            {
                "rank": rank,
                **item,
                "score": sum(PARTS.values()) / rank,
                "parts": {name: value / rank for name, value in PARTS.items()},
            }
            for rank, item in enumerate(kept[: body.k], 1)
        ]
        known = body.user_id in USERS or bool(taken)
        at = self.now() if body.at is None else body.at
        return {
            "request_id": "r", "user_id": body.user_id, "at": at, "known": known, "items": items, "degraded": self.degraded,
            "model": "m", "seq": len(self.events),
        }  # fmt: skip

    async def append(self, sent: list[NewEvent]) -> list[dict[str, Any]]:
        self.events += sent
        return [{"event_id": one.event_id, "seq": len(self.events), "duplicate": False} for one in sent]

    async def users(self, search: str, limit: int) -> list[dict[str, Any]]:
        return [{"user_id": name, "events": events} for name, events in USERS.items() if name.startswith(search)][:limit]

    async def history(self, user_id: str, at: int, limit: int) -> dict[str, Any]:
        own = [event for event in self.events if event.user_id == user_id]
        if user_id not in USERS and not own:
            raise Problem(404, f"user_id {user_id!r} has no event")
        new = [
            {**_item(event.item_id), "timestamp": self.now() - 1, "event": event.event, "value": 1.0} for event in reversed(own)
        ]
        old = [
            {**ITEMS[n % len(ITEMS)], "timestamp": NOW - 2 * DAY * (n + 1), "event": "buy", "value": 1.0 + n % 2}
            for n in range(USERS.get(user_id, 0))
        ]
        return {"user_id": user_id, "at": at, "count": len(new + old), "events": (new + old)[:limit]}

    async def forecast(self, item_id: str, at: int) -> dict[str, Any]:
        self._known(item_id, at)
        first = NOW - 30 * DAY
        past = [{"from": first + n * DAY, "count": float(n % 7)} for n in range(30)]
        ahead = [{"from": NOW + n * DAY, "mean": 3.0, "q10": 1.0, "q50": 3.0, "q90": 6.0 + n} for n in range(4)]
        return {"item_id": item_id, "at": at, "step_seconds": DAY, "series": past, "forecast": ahead}

    def _known(self, item_id: str, at: int) -> None:
        if at <= self.first:
            raise Problem(404, f"item_id {item_id!r} is not known as of then")

    async def similar(self, item_id: str, k: int, at: int) -> list[dict[str, Any]]:
        self._known(item_id, at)
        return [{**item, "reason": "text", "score": 0.5} for item in ITEMS[:3] if item["item_id"] != item_id]

    async def state(self) -> dict[str, Any]:
        seq = len(self.events)
        parts = {
            name: {"ok": False} if name in self.missing else {"ok": True, "seq": seq, "behind": False}
            for name in ("encoder", "forecaster", "fusion", "store")
        }
        return {**parts, "ready": not self.missing, "now": self.now(), "version": "1.2.3"}

    def moment(self, text: str | None) -> int:
        return self.now() if text is None else int(text)

    def until(self, deadline: float | None) -> float:
        return time.monotonic() + 10


def _item(item_id: str) -> dict[str, str]:
    return next(item for item in ITEMS if item["item_id"] == item_id)


class Service:
    """The fake gateway on a loopback port, which can be stopped and started again."""

    def __init__(self, keys: Path | None = None) -> None:
        self.gateway = FakeGateway()
        self._keys = Keys(keys) if keys else None
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        app = Door(make_api(self.gateway), Rules(Limits(), self._keys), self.gateway.metrics)
        self._server = uvicorn.Server(uvicorn.Config(app, port=self.port, log_level="warning", timeout_graceful_shutdown=1))
        self._thread = threading.Thread(target=self._server.run, daemon=True)
        self._thread.start()
        end = time.monotonic() + 20
        while not self._server.started:
            assert time.monotonic() < end, "the fake server did not start"
            time.sleep(0.01)

    def stop(self) -> None:
        self._server.should_exit = True
        self._thread.join(timeout=20)
