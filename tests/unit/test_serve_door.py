"""What a request passes before anything is done for it."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

from serve_app.door import Door
from serve_app.keys import Keys, add_key
from serve_app.metrics import Metrics
from serve_app.rules import Rules
from serve_app.settings import Limits


class Behind:
    """An application that reads the whole body, and may take its time."""

    def __init__(self) -> None:
        self.read = 0
        self.go_on = asyncio.Event()
        self.go_on.set()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        from serve_app.problems import Problem

        try:
            more = True
            while more:
                message = await receive()
                self.read += len(message["body"])
                more = message.get("more_body", False)
        except Problem as problem:
            await problem.response()(scope, receive, send)
            return
        await self.go_on.wait()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"{}"})


async def ask(
    door: Door,
    path: str = "/v1/recommend",
    headers: dict[str, str] | None = None,
    parts: tuple[bytes, ...] = (b"{}",),
    root: str = "",
    method: str = "POST",
):
    """Status, headers and body of one request."""
    left, sent = list(parts), []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": left.pop(0), "more_body": bool(left)}

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    told = [(name.encode(), value.encode()) for name, value in (headers or {}).items()]
    scope = {"type": "http", "method": method, "path": root + path, "root_path": root, "headers": told}
    await door(scope, receive, send)
    body = b"".join(message.get("body", b"") for message in sent)
    names = {name.decode().lower(): value.decode() for name, value in sent[0]["headers"]}
    return sent[0]["status"], names, json.loads(body or b"{}")


def door(behind: Behind, keys: Keys | None = None, hosts: tuple[str, ...] = (), **limits: Any) -> tuple[Door, Metrics]:
    metrics = Metrics("one")
    return Door(behind, Rules(Limits(**limits), keys), metrics, hosts), metrics


def test_a_body_that_is_too_long_is_refused_whatever_it_says() -> None:
    async def run() -> None:
        behind = Behind()
        one, _ = door(behind, body_bytes=2048)
        assert (await ask(one, headers={"Content-Length": "2049"}))[0] == 413
        assert (await ask(one, headers={"Content-Length": "-5"}))[0] == 413
        assert (await ask(one, headers={"Content-Length": "9" * 5000}))[0] == 413
        assert behind.read == 0
        status, _, body = await ask(one, headers={"Content-Length": "2"}, parts=(b"x" * 1500,) * 9)
        assert (status, behind.read) == (413, 1500) and "2048 bytes" in body["detail"]
        assert (await ask(one, parts=(b"x" * 1024, b"x" * 1024)))[0] == 200

    asyncio.run(run())


def test_without_keys_only_this_machine_is_called_by_its_names(tmp_path: Path) -> None:
    async def run() -> None:
        one, _ = door(Behind(), hosts=("Shop.example",))
        for host in ("localhost", "localhost:8000", "127.0.0.1:8000", "127.9.9.9", "[::1]:8000", "[::1]", "shop.EXAMPLE:80", ""):
            assert (await ask(one, headers={"Host": host}))[0] == 200, host
        for host in ("evil.example:8000", "127.0.0.1.evil.example", "192.0.2.1:8000", "[2001:db8::1]:80", "localhost.evil", "["):
            for method in ("GET", "POST"):
                status, _, told = await ask(one, headers={"Host": host, "Origin": f"http://{host}"}, method=method)
                assert status == 403 and "hosts" in told["detail"], host
        assert (await ask(one, "/healthz", headers={"Host": "10.0.0.1:8000"}, method="GET"))[0] == 200
        path = tmp_path / "keys"
        asked = {"Host": "shop.example", "Authorization": f"Bearer {add_key(path, 'shop')}"}
        assert (await ask(door(Behind(), Keys(path))[0], headers=asked))[0] == 200

    asyncio.run(run())


def test_more_requests_than_there_is_room_for_are_told_at_once() -> None:
    async def run() -> None:
        behind = Behind()
        one, _ = door(behind, in_flight=2)
        behind.go_on.clear()
        waiting = [asyncio.create_task(ask(one)) for _ in range(2)]
        await asyncio.sleep(0)
        status, headers, _ = await ask(one)
        assert (status, headers["retry-after"]) == (503, "1")
        behind.go_on.set()
        assert [(await task)[0] for task in waiting] == [200, 200]
        assert (await ask(one))[0] == 200

    asyncio.run(run())


def test_keys_rates_and_rights(tmp_path: Path) -> None:
    path = tmp_path / "keys"
    shop, admin = add_key(path, "shop"), add_key(path, "admin")

    async def run() -> None:
        one, _ = door(Behind(), Keys(path), per_key=2)
        bearer = {name: {"Authorization": f"Bearer {key}"} for name, key in (("shop", shop), ("admin", admin), ("no", "x"))}
        assert (await ask(one))[0] == 401
        status, headers, body = await ask(one, headers=bearer["no"])
        assert (status, headers["www-authenticate"], body["status"]) == (401, "Bearer", 401)
        assert (await ask(one, headers={"Authorization": f"Basic {shop}"}))[0] == 401
        assert (await ask(one, "/healthz"))[0] == 200
        assert (await ask(one, "/v1/models", bearer["shop"]))[0] == 403
        assert (await ask(one, "/v1/models", bearer["admin"]))[0] == 200
        answers = [await ask(one, headers=bearer["shop"]) for _ in range(3)]
        assert [status for status, _, _ in answers] == [200, 200, 429]
        assert answers[2][1]["retry-after"] == "1" and shop not in json.dumps(answers[2][2])

    asyncio.run(run())


def test_metrics_count_by_status_and_do_not_grow_with_paths() -> None:
    async def run() -> None:
        one, metrics = door(Behind(), body_bytes=2048)
        for number in range(5):
            await ask(one, f"/v1/similar/{number}")
        await ask(one, headers={"Content-Length": "5000"})
        text = metrics.text().decode()
        assert 'timerec_http_requests_total{method="POST",replica="one",route="other",status="200"} 5.0' in text
        assert 'timerec_http_requests_total{method="POST",replica="one",route="other",status="413"} 1.0' in text
        assert "similar" not in text

    asyncio.run(run())


def test_rights_are_those_of_the_route_wherever_the_service_is_mounted(tmp_path: Path) -> None:
    keys = tmp_path / "keys.txt"
    shop = {"Authorization": f"Bearer {add_key(keys, 'shop')}"}

    async def run() -> None:
        one, _ = door(Behind(), Keys(keys))
        for root in ("", "/shop"):
            assert (await ask(one, "/v1/models", shop, root=root))[0] == 403
            assert (await ask(one, "/v1/recommend", shop, root=root))[0] == 200
            assert (await ask(one, "/healthz", root=root))[0] == 200

    asyncio.run(run())


def test_pages_of_other_sites_change_nothing() -> None:
    async def run() -> None:
        one, _ = door(Behind())
        foreign = {"Host": "127.0.0.1:8000", "Origin": "https://elsewhere.example"}
        status, _, body = await ask(one, "/v1/models:back", foreign)
        assert status == 403 and "another site" in body["detail"]
        for origin in ("null", "http://[", "\xff", "", "http://127.0.0.1:8000@elsewhere.example", "127.0.0.1:8000"):
            assert (await ask(one, "/v1/models:back", {**foreign, "Origin": origin}))[0] == 403
        assert (await ask(one, "/v1/users", foreign, method="GET"))[0] == 200
        assert (await ask(one, "/v1/events", {**foreign, "Origin": "http://127.0.0.1:8000"}))[0] == 200

    asyncio.run(run())


def test_a_body_that_does_not_come_gives_its_place_back() -> None:
    async def run() -> None:
        one, _ = door(Behind(), in_flight=1, body_seconds=0.05)
        sent: list[dict[str, Any]] = []

        async def never() -> dict[str, Any]:
            await asyncio.sleep(60)
            raise AssertionError("nobody waits so long")

        async def send(message: dict[str, Any]) -> None:
            sent.append(message)

        scope = {"type": "http", "method": "POST", "path": "/v1/events", "root_path": "", "headers": []}
        await one(scope, never, send)
        assert sent[0]["status"] == 408 and (b"connection", b"close") in sent[0]["headers"]
        assert (await ask(one))[0] == 200

    asyncio.run(run())


def test_a_compressed_body_is_refused_before_it_is_read() -> None:
    async def run() -> None:
        behind = Behind()
        one, _ = door(behind)
        status, _, body = await ask(one, headers={"Content-Encoding": "gzip"})
        assert (status, behind.read) == (415, 0) and "without Content-Encoding" in body["detail"]
        assert (await ask(one, headers={"Content-Encoding": "identity"}))[0] == 200

    asyncio.run(run())


def test_no_answer_is_taken_for_what_it_does_not_say_it_is() -> None:
    async def run() -> None:
        one, _ = door(Behind(), body_bytes=2048)
        for headers in ({}, {"Content-Length": "5000"}):
            assert (await ask(one, headers=headers))[1]["x-content-type-options"] == "nosniff"

    asyncio.run(run())
