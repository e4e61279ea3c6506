"""`timerec serve --grpc-port`: the answers of HTTP over gRPC, from the same gateway behind the same rules."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import cycle
from typing import Any, NamedTuple

import grpc
import pytest

from serve_app import timerec_pb2 as pb
from serve_app.keys import add_key
from serve_app.timerec_pb2_grpc import TimerecStub
from tests.conftest import SmallRun
from tests.serve_cases import Reply, Served, free_port, served
from tests.small_data import DAYS, START
from timerec.clock import DAY

END = START + DAYS * DAY
PER_KEY = 5  # requests a second
KEYS = 40  # of the shop, which takes turns with them
pytestmark = pytest.mark.slow  # starts the service, which takes a minute on two busy cores


class Both(NamedTuple):
    """One service, asked both ways with the same keys."""

    service: Served
    stub: Any
    keys: Iterator[str]
    greedy: str

    @property
    def key(self) -> str:
        return next(self.keys)

    def http(self, path: str, body: Any = None) -> Reply:
        return self.service.ask(path, body, headers={"Authorization": f"Bearer {self.key}"})

    def grpc(self, method: str, message: Any, **more: Any) -> Any:
        return getattr(self.stub, method)(message, metadata=bearer(self.key, **more), timeout=30)


def bearer(key: str, **more: str) -> list[tuple[str, str]]:
    return [("authorization", f"Bearer {key}"), *((name.replace("_", "-"), value) for name, value in more.items())]


@pytest.fixture(scope="module")
def both(small_run: SmallRun, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Both]:
    folder = tmp_path_factory.mktemp("serve-grpc")
    keys, port, config = folder / "keys.txt", free_port(), folder / "settings.yaml"
    shop, greedy = [add_key(keys, f"shop-{number}") for number in range(KEYS)], add_key(keys, "greedy")
    config.write_text(f"bundle: {small_run.bundle}\nlimits: {{per_key: {PER_KEY}}}\n")
    options = ("--config", str(config), "--store", str(folder / "events.db"), "--clock", "log", "--keys", str(keys))
    with (
        served(folder, small_run.bundle, *options, "--grpc-port", str(port)) as service,
        grpc.insecure_channel(f"127.0.0.1:{port}") as channel,
    ):
        yield Both(service, TimerecStub(channel), cycle(shop), greedy)


def listed(items: Any) -> list[tuple[Any, ...]]:
    """Places of a list, of either kind."""
    if items and isinstance(items[0], dict):
        return [(one["rank"], one["item_id"], one["score"], one["title"], one["category"], one.get("parts", {})) for one in items]
    return [(one.rank, one.item_id, one.score, one.title, one.category, dict(one.parts)) for one in items]


def refused(call: Any) -> grpc.RpcError:
    with pytest.raises(grpc.RpcError) as caught:
        call()
    return caught.value


def test_a_list_is_that_of_http(both: Both) -> None:
    at = END - 3 * DAY
    wanted = {"user_id": "1003", "k": 7, "explain": True, "diversity": 0.3, "exclude": ["103"]}
    told = both.http("/v1/recommend", {**wanted, "at": at}).body
    for moment in (pb.Moment(seconds=at), pb.Moment(iso=str(at))):
        answer = both.grpc("Recommend", pb.RecommendRequest(**wanted, at=moment))
        assert len(answer.items) == 7 and listed(answer.items) == listed(told["items"])
        assert (answer.at, answer.known, answer.model, answer.user_id) == (at, True, told["model"], "1003")
        assert answer.request_id != told["request_id"] and list(answer.degraded) == told["degraded"]


def test_somebody_with_a_history_and_an_empty_list_of_items(both: Both) -> None:
    at = END - DAY
    seen = [{"item_id": "100", "timestamp": at - 50}, {"item_id": "103", "timestamp": at - 40, "value": 2.0}]
    told = both.http("/v1/recommend", {"history": seen, "at": at}).body
    history = pb.SeenItems(events=[pb.SeenItem(**{**one, "timestamp": pb.Moment(seconds=one["timestamp"])}) for one in seen])
    answer = both.grpc("Recommend", pb.RecommendRequest(history=history, at=pb.Moment(seconds=at)))
    assert listed(answer.items) == listed(told["items"]) and not answer.HasField("user_id") and answer.known
    nothing = both.grpc("Recommend", pb.RecommendRequest(user_id="1003", items=pb.ItemIds()))
    assert not nothing.items and both.http("/v1/recommend", {"user_id": "1003", "items": []}).body["items"] == []


def test_a_batch_series_histories_and_likeness_are_those_of_http(both: Both) -> None:
    at = END - 2 * DAY
    moment = pb.Moment(seconds=at)
    users = ("1001", "1002", "nobody")
    told = both.http("/v1/recommend:batch", {"requests": [{"user_id": user, "at": at, "k": 3} for user in users]}).body["answers"]
    batch = pb.BatchRequest(requests=[pb.RecommendRequest(user_id=user, at=moment, k=3) for user in users])
    answers = both.grpc("RecommendBatch", batch).answers
    for one, other in zip(answers, told, strict=True):
        mine, theirs = listed(one.items), listed(other["items"])
        assert [(*row[:2], *row[3:]) for row in mine] == [(*row[:2], *row[3:]) for row in theirs]
        # the last bits depend on which requests were computed together
        assert [row[2] for row in mine] == pytest.approx([row[2] for row in theirs], abs=1e-5)

    told = both.http(f"/v1/items/103/forecast?at={at}").body
    answer = both.grpc("Forecast", pb.ForecastQuery(item_id="103", at=moment))
    assert [(getattr(one, "from"), one.count) for one in answer.series] == [(one["from"], one["count"]) for one in told["series"]]
    ahead = [{name.name: value for name, value in one.ListFields()} for one in answer.forecast]
    assert ahead == told["forecast"] and len(ahead) == 4 and answer.step_seconds == told["step_seconds"]

    told = both.http(f"/v1/users/1003/history?at={at}&limit=3").body
    answer = both.grpc("History", pb.HistoryQuery(user_id="1003", at=moment, limit=3))
    names = ("item_id", "title", "timestamp", "event", "value")
    assert [{name: getattr(one, name) for name in names} for one in answer.events] == told["events"] != []
    assert answer.count == told["count"]

    told = both.http(f"/v1/similar/103?k=3&at={at}").body["items"]
    answer = both.grpc("Similar", pb.SimilarQuery(item_id="103", k=3, at=moment))
    names = ("item_id", "title", "category", "reason", "score")
    assert [{name: getattr(one, name) for name in names} for one in answer.items] == told != []

    told = both.http("/v1/users?search=100&limit=3").body["users"]
    found = both.grpc("Users", pb.UsersQuery(search="100", limit=3)).users
    assert [{"user_id": one.user_id, "events": one.events} for one in found] == told != []


def test_an_event_over_grpc_is_in_the_very_next_answer_of_http_and_counts_once(both: Both) -> None:
    assert not both.http("/v1/recommend", {"user_id": "newcomer"}).body["known"]
    event = pb.NewEvent(event_id="g1", user_id="newcomer", item_id="103", event="buy", timestamp=pb.Moment(seconds=END - DAY))
    stored = both.grpc("Events", pb.EventBatch(events=[event])).events[0]
    after = both.http("/v1/recommend", {"user_id": "newcomer"}).body
    assert after["known"] and after["seq"] >= stored.seq and not stored.duplicate
    again = both.grpc("Events", pb.EventBatch(events=[event])).events[0]
    assert (again.event_id, again.seq, again.duplicate) == ("g1", stored.seq, True)
    over_http = both.http("/v1/events", {"event_id": "g1", "user_id": "newcomer", "item_id": "103", "timestamp": END - DAY})
    assert over_http.body["events"] == [{"event_id": "g1", "seq": stored.seq, "duplicate": True}]
    assert both.http("/v1/users/newcomer/history").body["count"] == 1
    assert [one.event for one in both.grpc("History", pb.HistoryQuery(user_id="newcomer")).events] == ["buy"]


@pytest.mark.parametrize(
    ("method", "message", "path", "body", "code"),
    [
        ("Recommend", pb.RecommendRequest(user_id="1", k=0), "/v1/recommend", {"user_id": "1", "k": 0}, "INVALID_ARGUMENT"),
        ("Recommend", pb.RecommendRequest(user_id="1", k=201), "/v1/recommend", {"user_id": "1", "k": 201}, "INVALID_ARGUMENT"),
        ("Recommend", pb.RecommendRequest(at=pb.Moment(iso="then")), "/v1/recommend", {"at": "then"}, "INVALID_ARGUMENT"),
        ("RecommendBatch", pb.BatchRequest(), "/v1/recommend:batch", {"requests": []}, "INVALID_ARGUMENT"),
        ("Events", pb.EventBatch(), "/v1/events", {"events": []}, "INVALID_ARGUMENT"),
        ("Events", pb.EventBatch(events=[pb.NewEvent(user_id="a", item_id="b", timestamp=pb.Moment(seconds=5))]), "/v1/events",
         {"events": [{"user_id": "a", "item_id": "b", "timestamp": 5}]}, "INVALID_ARGUMENT"),
        ("Events", pb.EventBatch(events=[pb.NewEvent(user_id="a", item_id="b", value=1e20)]), "/v1/events",
         {"events": [{"user_id": "a", "item_id": "b", "value": 1e20}]}, "INVALID_ARGUMENT"),
        ("History", pb.HistoryQuery(user_id="nobody-here"), "/v1/users/nobody-here/history", None, "NOT_FOUND"),
        ("History", pb.HistoryQuery(user_id="1003", limit=0), "/v1/users/1003/history?limit=0", None, "INVALID_ARGUMENT"),
        ("History", pb.HistoryQuery(user_id="1003", at=pb.Moment(iso="never")), "/v1/users/1003/history?at=never", None,
         "INVALID_ARGUMENT"),
        ("Forecast", pb.ForecastQuery(item_id="nothing"), "/v1/items/nothing/forecast", None, "NOT_FOUND"),
        ("Similar", pb.SimilarQuery(item_id="103", k=201), "/v1/similar/103?k=201", None, "INVALID_ARGUMENT"),
        ("Similar", pb.SimilarQuery(item_id="x" * 257), "/v1/similar/" + "x" * 257, None, "INVALID_ARGUMENT"),
    ],
)  # fmt: skip
def test_faults_are_told_in_the_words_of_http(both: Both, method: str, message: Any, path: str, body: Any, code: str) -> None:
    error = refused(lambda: both.grpc(method, message))
    assert error.code().name == code, error
    assert error.details() == both.http(path, body).body["detail"] != ""


def test_who_has_no_key_gets_nothing_but_health(both: Both) -> None:
    request = pb.RecommendRequest(user_id="1003")
    for metadata in (None, bearer("wrong"), [("authorization", f"Basic {both.key}")]):
        error = refused(lambda given=metadata: both.stub.Recommend(request, metadata=given, timeout=30))
        assert error.code() == grpc.StatusCode.UNAUTHENTICATED
        assert error.details() == both.service.ask("/v1/recommend", {"user_id": "1003"}).body["detail"]
    state = both.stub.Health(pb.HealthQuery(), timeout=30)
    told = both.service.ask("/readyz").body
    assert state.ready and state.model == told["model"] and state.fusion.ok and state.store.seq == told["store"]["seq"]
    assert dict(state.fusion.models) == told["fusion"]["models"] and state.version == told["version"]


def test_a_body_that_is_too_long_is_refused(both: Both) -> None:
    error = refused(lambda: both.grpc("Users", pb.UsersQuery(search="x" * (2 << 20))))
    assert error.code() == grpc.StatusCode.INVALID_ARGUMENT and "1048576 bytes" in error.details()


def test_a_key_that_asks_too_often_is_told_when_to_come_back(both: Both) -> None:
    request, metadata = pb.UsersQuery(limit=1), bearer(both.greedy)
    calls = [both.stub.Users.future(request, metadata=metadata, timeout=60) for _ in range(20 * PER_KEY)]
    codes = [call.code() for call in calls]
    assert set(codes) == {grpc.StatusCode.OK, grpc.StatusCode.RESOURCE_EXHAUSTED}
    refusal = calls[codes.index(grpc.StatusCode.RESOURCE_EXHAUSTED)]
    assert refusal.details() == "key greedy asks more often than agreed"
    assert dict(refusal.trailing_metadata())["retry-after"] == "1"


def test_deadlines_are_kept(both: Both) -> None:
    request = pb.RecommendRequest(user_id="1003")
    late = refused(lambda: both.grpc("Recommend", request, x_deadline_ms="0.01"))
    assert late.code() == grpc.StatusCode.DEADLINE_EXCEEDED and late.details() == "no answer in time: ask again, or wait longer"
    assert both.grpc("Recommend", request, x_deadline_ms="9000").items
    wrong = refused(lambda: both.grpc("Recommend", request, x_deadline_ms="-1"))
    assert wrong.code() == grpc.StatusCode.INVALID_ARGUMENT and "X-Deadline-Ms" in wrong.details()
    own = refused(lambda: both.stub.Recommend(request, metadata=bearer(both.key), timeout=0.0005))
    assert own.code() == grpc.StatusCode.DEADLINE_EXCEEDED
    assert both.grpc("Recommend", request).items  # and the service lives


def test_metrics_count_calls_and_faults_leave_no_stack_trace(both: Both) -> None:
    text = both.http("/metrics").body
    assert 'timerec_grpc_requests_total{code="OK",method="Recommend",replica=' in text
    assert 'timerec_grpc_requests_total{code="NOT_FOUND",method="History",replica=' in text
    assert 'timerec_grpc_seconds_count{method="Recommend",replica=' in text
    assert "Traceback" not in both.service.log.read_text()
