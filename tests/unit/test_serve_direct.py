"""A sound body reaches its endpoint at once; whatever is not plain goes FastAPI's way, with the same answers."""

from __future__ import annotations

import asyncio
import json
from typing import Annotated, Any

import pytest
from fastapi import Body, FastAPI, Request, Response
from fastapi.routing import APIRoute
from fastapi.testclient import TestClient

from serve_app import problems
from serve_app.direct import Direct
from serve_app.problems import Problem
from serve_app.schemas import At, Deadline, EventBatch, Events, RecommendRequest

SOUND = [
    ("/recommend", {"user_id": "a"}),
    ("/recommend", {"user_id": 12345678901234567890123}),
    ("/recommend", {"user_id": "é\u2028\U0001f600", "k": "5"}),
    ("/recommend", {"at": "2017-11-28T18:00:00Z", "k": 5.0}),
    ("/recommend", {"at": "1511892000.5"}),
    ("/recommend", {"history": [{"item_id": 1, "timestamp": "2017-11-28", "value": "2"}], "explain": "yes"}),
    ("/events", {"user_id": "a", "item_id": "b", "timestamp": 1511892000}),
    ("/events", {"events": [{"user_id": "a", "item_id": 7, "event": "view", "value": 0.1}]}),
]
AMISS = [
    ("/recommend", {"user_id": ""}),
    ("/recommend", {"user_id": True}),
    ("/recommend", {"user_id": "\ud800"}),
    ("/recommend", {"k": 0, "diversity": 2}),
    ("/recommend", {"k": 1.5, "unknown": 1}),
    ("/recommend", {"at": float("nan")}),
    ("/recommend", {"diversity": float("inf")}),
    ("/recommend", []),
    ("/recommend", None),
    ("/events", {"events": []}),
    ("/events", {"user_id": "a"}),
]


def client(route: type[APIRoute]) -> TestClient:
    api = FastAPI()
    api.router.route_class = route
    problems.install(api)

    @api.post("/recommend")
    async def recommend(body: RecommendRequest, deadline: Deadline = None) -> Response:
        return Response(json.dumps([repr(body), deadline]))

    @api.post("/events")
    async def events(body: Events) -> Response:
        return Response(repr(body.events if isinstance(body, EventBatch) else body))

    @api.post("/refused")
    async def refused(body: RecommendRequest) -> Response:
        raise Problem(503, "not now", {"Retry-After": "1"})

    @api.get("/state")
    async def state(at: At = None) -> Response:
        return Response(str(at))

    @api.post("/asked")
    async def asked(body: RecommendRequest, at: At = None) -> Response:
        return Response(str(at))

    @api.post("/request")
    async def with_request(request: Request, body: RecommendRequest) -> Response:
        return Response(request.url.path)

    @api.post("/thread")
    def in_a_thread(body: RecommendRequest) -> Response:
        return Response(str(body.k))

    @api.post("/plain")
    async def plain(body: RecommendRequest) -> RecommendRequest:
        return body

    @api.post("/embedded")
    async def embedded(body: Annotated[RecommendRequest, Body(embed=True)]) -> Response:
        return Response(str(body.k))

    return TestClient(api, raise_server_exceptions=False)


@pytest.fixture
def both() -> tuple[TestClient, TestClient]:
    return client(Direct), client(APIRoute)


def same(both: tuple[TestClient, TestClient], method: str, path: str, **sent: Any) -> int:
    """Ask both, which must answer alike; the status."""
    one, other = (asked.request(method, path, **sent) for asked in both)
    assert (one.status_code, one.content, one.headers) == (other.status_code, other.content, other.headers)
    return one.status_code


@pytest.mark.parametrize(("path", "body"), SOUND)
def test_a_sound_body_is_read_as_fastapi_reads_it(both, path: str, body: Any) -> None:
    assert same(both, "POST", path, content=json.dumps(body), headers={"content-type": "application/json"}) == 200


@pytest.mark.parametrize(("path", "body"), AMISS)
def test_what_is_amiss_is_told_as_fastapi_tells_it(both, path: str, body: Any) -> None:
    assert same(both, "POST", path, content=json.dumps(body), headers={"content-type": "application/json"}) == 422


@pytest.mark.parametrize("body", [b"", b"{", b"\xff{}", b"[" * 5000, b'{"user_id": "a"}{}', b'{"k": 1, "k": 0}'])
def test_so_is_what_is_no_json(both, body: bytes) -> None:
    assert same(both, "POST", "/recommend", content=body, headers={"content-type": "application/json"}) in (400, 422)


def test_other_headers_go_the_usual_way(both) -> None:
    body = b'{"user_id": "a"}'
    for headers, status in (
        ({"content-type": "application/json", "x-deadline-ms": "5.5"}, 200),
        ({"content-type": "application/json", "X-Deadline-Ms": "-1"}, 422),
        ({"content-type": "application/json; charset=utf-8"}, 200),
        ({"content-type": "application/merge-patch+json"}, 200),
        ({"content-type": "text/plain"}, 422),
        ({}, 422),
    ):
        assert same(both, "POST", "/recommend", content=body, headers=headers) == status


def test_problems_and_routes_without_a_body_are_as_ever(both) -> None:
    assert same(both, "POST", "/refused", json={"user_id": "a"}) == 503
    assert same(both, "GET", "/state?at=5") == 200
    assert same(both, "POST", "/asked?at=5", json={"user_id": "a"}) == 200


@pytest.mark.parametrize(("path", "body"), [("/request", {}), ("/thread", {}), ("/plain", {}), ("/embedded", {"body": {"k": 3}})])
def test_other_kinds_of_endpoints_are_fastapis(both, path: str, body: Any) -> None:
    assert same(both, "POST", path, json=body) == 200


@pytest.mark.parametrize(
    ("fault", "status"),
    [(RuntimeError("gone"), 400), (Problem(413, "too long"), 413), (None, 400)],
    ids=["fails", "refused", "gone"],
)
def test_a_body_that_does_not_come_is_told_as_ever(both, fault: Exception | None, status: int) -> None:
    told = []
    for asked in both:
        sent: list[dict[str, Any]] = []

        async def receive() -> dict[str, Any]:
            if fault is not None:
                raise fault
            return {"type": "http.disconnect"}

        async def send(message: dict[str, Any], sent: list[dict[str, Any]] = sent) -> None:
            sent.append(message)

        headers = [(b"content-type", b"application/json")]
        scope = {"type": "http", "method": "POST", "path": "/recommend", "query_string": b"", "headers": headers}
        asyncio.run(asked.app(scope, receive, send))
        told.append(sent)
    assert told[0] == told[1] and told[0][0]["status"] == status


def test_a_sound_body_costs_no_search_for_parameters(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = client(Direct)

    async def solve(**_: Any) -> None:
        raise AssertionError("FastAPI looked for parameters")

    monkeypatch.setattr("fastapi.routing.solve_dependencies", solve)
    assert asked.post("/recommend", json={"user_id": "a"}).status_code == 200
    assert asked.post("/recommend", json={"user_id": "a"}, headers={"x-deadline-ms": "5"}).status_code == 500
