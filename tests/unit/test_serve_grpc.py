"""The gRPC interface: messages, their conversion, and the rules before them."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorProto, FileDescriptorSet

from serve_app import answers, schemas, wire
from serve_app import timerec_pb2 as pb
from serve_app.grpc import CODES, Calls
from serve_app.keys import Keys, add_key
from serve_app.metrics import Metrics
from serve_app.problems import TITLES, Problem
from serve_app.rules import Rules
from serve_app.settings import Limits

ROOT = Path(__file__).parents[2]
ITEM = {"rank": 1, "item_id": "7", "score": 0.1, "title": "Brötchen", "category": "bread", "parts": {"taste": 0.5}}
ANSWER = {
    "request_id": "r", "user_id": None, "at": 9, "known": False, "items": [ITEM], "degraded": ["store"], "model": "m", "seq": 4,
}  # fmt: skip


class Context:
    """What Serve gives of a call."""

    def __init__(self, **metadata: str) -> None:
        self._metadata = [(name.replace("_", "-"), value) for name, value in metadata.items()]
        self.code: grpc.StatusCode | None = None
        self.details, self.trailing = "", {}  # type: str, dict[str, str]

    def invocation_metadata(self) -> list[tuple[str, Any]]:
        return [("trace-bin", b"\xff"), *self._metadata]

    def set_code(self, code: grpc.StatusCode) -> None:
        self.code = code

    def set_details(self, details: str) -> None:
        self.details = details

    def set_trailing_metadata(self, metadata: list[tuple[str, str]]) -> None:
        self.trailing = dict(metadata)


class Gateway(Calls):
    """A gateway without parts."""

    def __init__(self, keys: Keys | None = None, **limits: Any) -> None:
        self.rules, self.metrics = Rules(Limits(**limits), keys), Metrics("one")
        self.asked: list[tuple[schemas.RecommendRequest, float]] = []
        self.error: Exception | None = None
        self.go_on = asyncio.Event()
        self.go_on.set()

    def until(self, deadline: float | None) -> float:
        return time.monotonic() + (deadline or 1e6) / 1000

    async def recommend(self, body: schemas.RecommendRequest, until: float) -> dict[str, Any]:
        self.asked.append((body, until))
        await self.go_on.wait()
        if self.error:
            raise self.error
        return ANSWER

    async def state(self) -> dict[str, Any]:
        part = {"ok": False, "seq": None, "behind": True, "models": {"m": 3}}
        parts = {"encoder": part, "forecaster": {"ok": False}, "fusion": part, "store": {"ok": True, "seq": 3}}
        return {**parts, "ready": False, "model": "m", "now": 9, "version": "1"}


def told(gateway: Gateway, method: str = "Recommend", message: Any = None, **metadata: str) -> tuple[Any, Context]:
    context = Context(**metadata)
    message = pb.RecommendRequest(user_id="1") if message is None else message
    return asyncio.run(getattr(gateway, method)(message, grpc_context=context)), context


def test_the_generated_modules_are_those_of_the_proto_file(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "grpc_tools.protoc", "-I.", f"--descriptor_set_out={tmp_path / 'set'}"]
    subprocess.run([*command, "serve_app/timerec.proto"], cwd=ROOT, check=True)
    anew = FileDescriptorSet.FromString((tmp_path / "set").read_bytes()).file[0]
    for message in [*anew.message_type, *(nested for one in anew.message_type for nested in one.nested_type)]:
        for field in message.field:
            field.ClearField("json_name")  # which the modules leave out
    assert anew == FileDescriptorProto.FromString(pb.DESCRIPTOR.serialized_pb), "run `make proto`"
    stubs = (ROOT / "serve_app" / "timerec_pb2_grpc.py").read_text()
    hints = (ROOT / "serve_app" / "timerec_pb2.pyi").read_text()
    assert all(f"'/timerec.v1.Timerec/{call.name}'" in stubs for call in anew.service[0].method)
    assert all(f"class {message.name}(" in hints for message in anew.message_type)


@pytest.mark.parametrize(
    "name",
    ["SeenItem", "RecommendRequest", "BatchRequest", "NewEvent", "EventBatch", "HistoryQuery", "ForecastQuery", "SimilarQuery",
     "UsersQuery", "Item", "RecommendAnswer", "BatchAnswer", "StoredEvent", "EventAnswer"],
)  # fmt: skip
def test_messages_have_the_fields_of_http(name: str) -> None:
    assert [field.name for field in getattr(pb, name).DESCRIPTOR.fields] != []
    assert {field.name for field in getattr(pb, name).DESCRIPTOR.fields} == set(
        (getattr(schemas, name, None) or getattr(answers, name)).model_fields
    )


def test_every_call_is_answered_by_the_gateway() -> None:
    assert all(hasattr(Calls, call.name) for call in pb.DESCRIPTOR.services_by_name["Timerec"].methods)


@pytest.mark.parametrize(
    ("message", "body"),
    [
        (pb.RecommendRequest(), {}),
        (pb.RecommendRequest(user_id="1", k=3, exclude=["a"], category="", diversity=0.5, explain=True),
         {"user_id": 1, "k": 3, "exclude": ["a"], "category": "", "diversity": 0.5, "explain": True}),
        (pb.RecommendRequest(items=pb.ItemIds(), history=pb.SeenItems()), {"items": [], "history": []}),
        (pb.RecommendRequest(items=pb.ItemIds(item_ids=["a", "b"])), {"items": ["a", "b"]}),
        (pb.RecommendRequest(at=pb.Moment(seconds=1.5)), {"at": 1.5}),
        (pb.RecommendRequest(at=pb.Moment(seconds=0)), {"at": 0}),
        (pb.RecommendRequest(at=pb.Moment(iso="2017-11-28T18:00:00Z")), {"at": "2017-11-28T18:00:00Z"}),
        (pb.RecommendRequest(history=pb.SeenItems(events=[
            pb.SeenItem(item_id="7", timestamp=pb.Moment(seconds=5)),
            pb.SeenItem(item_id="8", timestamp=pb.Moment(seconds=6), event="buy", value=0)])),
         {"history": [{"item_id": "7", "timestamp": 5}, {"item_id": "8", "timestamp": 6, "event": "buy", "value": 0}]}),
    ],
)  # fmt: skip
def test_a_message_is_the_request_that_http_would_have(message: pb.RecommendRequest, body: dict[str, Any]) -> None:
    assert wire.request(schemas.RecommendRequest, message) == schemas.RecommendRequest.model_validate(body)


@pytest.mark.parametrize(
    ("kind", "message", "words"),
    [
        (schemas.RecommendRequest, pb.RecommendRequest(k=0), "body.k: Input should be greater than or equal to 1"),
        (schemas.RecommendRequest, pb.RecommendRequest(user_id=""), "body.user_id: "),
        (schemas.RecommendRequest, pb.RecommendRequest(diversity=float("nan")), "body.diversity: Input should be"),
        (schemas.RecommendRequest, pb.RecommendRequest(at=pb.Moment()), "body.at."),
        (schemas.BatchRequest, pb.BatchRequest(requests=[pb.RecommendRequest(k=-1)]), "body.requests.0.k: "),
        (schemas.Events, pb.EventBatch(events=[pb.NewEvent(user_id="a")]), "body.several.events.0.item_id: "),
        (schemas.HistoryQuery, pb.HistoryQuery(user_id="a", limit=1001), "query.limit: Input should be less than"),
        (schemas.HistoryQuery, pb.HistoryQuery(user_id="a" * 257), "path.user_id: "),
        (schemas.SimilarQuery, pb.SimilarQuery(item_id="a", k=0), "query.k: "),
    ],
)  # fmt: skip
def test_what_is_no_request_is_told_as_over_http(kind: Any, message: Any, words: str) -> None:
    with pytest.raises(Problem) as caught:
        wire.request(kind, message)
    assert caught.value.status_code == 422 and caught.value.detail.startswith(words), caught.value.detail


def test_moments_of_queries_are_text_as_in_a_url() -> None:
    assert (
        wire.request(schemas.HistoryQuery, pb.HistoryQuery(user_id="a", at=pb.Moment(seconds=1_500_000_000))).at == "1500000000.0"
    )
    found = wire.request(schemas.ForecastQuery, pb.ForecastQuery(item_id="a", at=pb.Moment(iso="2017-11-28")))
    assert (found.item_id, found.at) == ("a", "2017-11-28")
    assert wire.request(schemas.UsersQuery, pb.UsersQuery()) == schemas.UsersQuery()


@pytest.fixture
def keys(tmp_path: Path) -> tuple[Keys, str]:
    key = add_key(tmp_path / "keys", "shop")
    return Keys(tmp_path / "keys"), f"Bearer {key}"


def test_an_answer_is_the_message_of_what_http_says(keys: tuple[Keys, str]) -> None:
    answer, context = told(gateway := Gateway(keys[0]), authorization=keys[1], x_deadline_ms="1000")
    assert context.code is None and isinstance(answer, pb.RecommendAnswer)
    assert not answer.HasField("user_id") and (answer.at, answer.known, list(answer.degraded)) == (9, False, ["store"])
    item = answer.items[0]
    assert {**{name: getattr(item, name) for name in ITEM}, "parts": dict(item.parts)} == ITEM
    body, until = gateway.asked[0]
    assert body == schemas.RecommendRequest(user_id="1") and until - time.monotonic() < 1.0
    assert 'timerec_grpc_requests_total{code="OK",method="Recommend",replica="one"} 1.0' in gateway.metrics.text().decode()


def test_keys_are_those_of_http_and_without_any_nobody_is_answered(keys: tuple[Keys, str]) -> None:
    for metadata in ({}, {"authorization": "Bearer wrong"}, {"authorization": keys[1].replace("Bearer", "Basic")}):
        _, context = told(gateway := Gateway(keys[0]), **metadata)
        assert context.code == grpc.StatusCode.UNAUTHENTICATED and "Authorization: Bearer KEY" in context.details
        assert not gateway.asked
    _, context = told(gateway := Gateway(None))
    assert context.code == grpc.StatusCode.PERMISSION_DENIED and "API keys only" in context.details and not gateway.asked
    state, context = told(Gateway(None), "Health", pb.HealthQuery())
    assert context.code is None and not state.ready and not state.encoder.HasField("seq") and state.store.seq == 3


def test_rate_room_and_size_are_one_with_http(keys: tuple[Keys, str]) -> None:
    gateway = Gateway(keys[0], per_key=0.001, body_bytes=1024, in_flight=1)
    _, context = told(gateway, message=pb.RecommendRequest(user_id="1" * 1025), authorization=keys[1])
    assert context.code == grpc.StatusCode.INVALID_ARGUMENT and "1024 bytes" in context.details
    with gateway.rules.in_work():  # as a request of HTTP is
        _, context = told(gateway, authorization=keys[1])
        assert (context.code, context.trailing) == (grpc.StatusCode.UNAVAILABLE, {"retry-after": "1"})
    assert gateway.rules.refuse(keys[1]) is None  # HTTP takes the only token
    _, context = told(gateway, authorization=keys[1])
    assert context.code == grpc.StatusCode.RESOURCE_EXHAUSTED and int(context.trailing["retry-after"]) > 900
    assert not gateway.asked


def test_a_call_is_in_work_until_it_is_answered_or_given_up(keys: tuple[Keys, str]) -> None:
    async def run() -> None:
        gateway = Gateway(keys[0], in_flight=1)
        gateway.go_on.clear()
        context = Context(authorization=keys[1])
        call = asyncio.create_task(gateway.Recommend(pb.RecommendRequest(), grpc_context=context))
        await asyncio.sleep(0)
        assert gateway.rules.full() is not None
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        assert gateway.rules.full() is None
        assert 'code="CANCELLED",method="Recommend",replica="one"} 1.0' in gateway.metrics.text().decode()

    asyncio.run(run())


def test_problems_become_statuses_and_faults_of_the_service_say_nothing_more(keys: tuple[Keys, str]) -> None:
    gateway = Gateway(keys[0])
    for status in TITLES.keys() - {405, 408, 415, 500}:
        gateway.error = Problem(status, "so it is", {"Retry-After": "2"} if status == 503 else None)
        _, context = told(gateway, authorization=keys[1])
        assert (context.code, context.details) == (CODES[status], "so it is")
        assert context.trailing == ({"retry-after": "2"} if status == 503 else {})
    gateway.error = RuntimeError("a secret of the inside")
    _, context = told(gateway, authorization=keys[1])
    assert context.code == grpc.StatusCode.INTERNAL and "secret" not in context.details
    _, context = told(gateway, authorization=keys[1], x_deadline_ms="soon")
    assert context.code == grpc.StatusCode.INVALID_ARGUMENT and context.details.startswith("header.X-Deadline-Ms: ")


def test_a_gateway_that_nobody_asks_over_grpc_does_not_import_the_messages() -> None:
    script = "import sys, serve_app.gateway; sys.exit('serve_app.timerec_pb2' in sys.modules or 'serve_app.wire' in sys.modules)"
    subprocess.run([sys.executable, "-c", script], cwd=ROOT, check=True)
