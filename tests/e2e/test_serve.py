"""`timerec serve` over HTTP: what a shop's backend sees."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.conftest import SmallRun
from tests.serve_cases import ROOT, Served, served
from tests.small_data import DAYS, START
from timerec.clock import DAY
from timerec.recommend import Recommender

END = START + DAYS * DAY
pytestmark = pytest.mark.slow  # starts the service, which takes a minute on two busy cores


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("serve")


@pytest.fixture(scope="module", params=["haproxy", "serve"])
def service(small_run: SmallRun, folder: Path, request: pytest.FixtureRequest) -> Iterator[Served]:
    for file in folder.glob("events.db*"):
        file.unlink()
    options = ("--store", str(folder / "events.db"), "--clock", "log", "--proxy", request.param)
    with served(folder, small_run.bundle, *options) as running:
        yield running
    said = running.log.read_text()
    assert said.partition("ready: ")[2].splitlines()[1:] == ["stopping: requests in work are answered first …"]
    assert "ray.serve" not in said and "INFO" not in said


def recommend(service: Served, **body) -> dict:
    reply = service.ask("/v1/recommend", body)
    assert reply.status == 200, reply
    return reply.body


def test_an_answer_is_that_of_the_recommender(service: Served, small_run: SmallRun) -> None:
    at = END - 3 * DAY
    answer = recommend(service, user_id=1003, at=at, k=7, explain=True)
    expected = Recommender.load(small_run.bundle).recommend([1003], at=at, k=7)
    assert [item["item_id"] for item in answer["items"]] == expected["item_id"].astype(str).tolist()
    assert [item["score"] for item in answer["items"]] == pytest.approx(expected["score"].tolist(), abs=1e-5)
    assert (answer["at"], answer["known"], answer["degraded"], answer["user_id"]) == (at, True, [], "1003")
    assert [item["rank"] for item in answer["items"]] == list(range(1, 8))
    for item in answer["items"]:
        assert sum(item["parts"].values()) == pytest.approx(item["score"], abs=1e-4)


def test_the_very_next_answer_knows_an_event(service: Served) -> None:
    before = recommend(service, user_id="newcomer")
    assert not before["known"]
    stored = service.ask("/v1/events", {"user_id": "newcomer", "item_id": 103, "event": "buy"}).body["events"]
    after = recommend(service, user_id="newcomer")
    assert after["known"] and after["seq"] >= stored[0]["seq"]
    assert [item["score"] for item in after["items"]] != [item["score"] for item in before["items"]]
    history = service.ask("/v1/users/newcomer/history").body
    assert [(event["item_id"], event["event"]) for event in history["events"]] == [("103", "buy")]
    assert not recommend(service, user_id="newcomer", at=END - DAY)["known"]


def test_many_writers_and_readers_see_their_own(service: Served) -> None:
    def shop(number: int) -> bool:
        name, fine = f"many-{number}", True
        for turn in range(5):
            event = {"event_id": f"{name}-{turn}", "user_id": name, "item_id": f"{100 + 3 * turn}"}
            assert service.ask("/v1/events", event).status == 200
            recommend(service, user_id=name, k=3)
            events = service.ask(f"/v1/users/{name}/history").body["events"]
            fine &= {one["item_id"] for one in events} == {f"{100 + 3 * k}" for k in range(turn + 1)}
        return fine

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(shop, range(16)))


def test_an_event_that_is_sent_twice_counts_once(service: Served) -> None:
    event = {"event_id": "twice", "user_id": "twin", "item_id": "106", "timestamp": END - DAY}
    first = service.ask("/v1/events", event).body["events"][0]
    again = service.ask("/v1/events", {"events": [event, {**event, "event_id": "other"}]}).body["events"]
    assert (first["duplicate"], again[0]) == (False, {**first, "duplicate": True})
    assert service.ask("/v1/users/twin/history").body["count"] == 1  # the other id tells the same second, user and item


def test_batch_answers_in_order_and_as_single_ones(service: Served) -> None:
    wanted = [{"user_id": user, "at": END - 2 * DAY, "k": 3} for user in (1001, 1002, "nobody")]
    answers = service.ask("/v1/recommend:batch", {"requests": wanted}).body["answers"]
    for one, answer in zip(wanted, answers, strict=True):
        alone = recommend(service, **one)
        assert [item["item_id"] for item in answer["items"]] == [item["item_id"] for item in alone["items"]]
    assert [answer["known"] for answer in answers] == [True, True, False]


def test_filters_guests_and_diversity(service: Served) -> None:
    at = END - DAY
    guest = recommend(service, history=[{"item_id": 100, "timestamp": at - 50}, {"item_id": "103", "timestamp": at - 40}], at=at)
    assert guest["known"] and guest["user_id"] is None
    assert {item["category"] for item in recommend(service, user_id=1003, category="fruit")["items"]} == {"fruit"}
    assert {item["item_id"] for item in recommend(service, user_id=1003, items=[100, 103])["items"]} == {"100", "103"}
    first = recommend(service, user_id=1003, at=at)["items"][0]["item_id"]
    assert first not in {item["item_id"] for item in recommend(service, user_id=1003, at=at, exclude=[first])["items"]}
    assert len({item["category"] for item in recommend(service, user_id=1003, k=5, diversity=0.8)["items"]}) == 5


def test_series_likeness_and_search(service: Served) -> None:
    found = service.ask("/v1/items/103/forecast").body
    assert found["series"] and len(found["forecast"]) == 4
    assert service.ask("/v1/similar/103?k=3").body["items"][0]["reason"] == "together"
    assert all(user["user_id"].startswith("100") for user in service.ask("/v1/users?search=100&limit=3").body["users"])


def test_state_metrics_and_description(service: Served) -> None:
    assert service.ask("/healthz").status == 200
    state = service.ask("/readyz")
    assert state.status == 200 and state.body["ready"] and state.body["now"] < END + DAY
    text = service.ask("/metrics").body
    assert re.search(r'timerec_http_requests_total{method="POST",replica="\w+",route="/v1/recommend",status="200"}', text)
    assert "timerec_events_total" in text
    described = service.ask("/openapi.json").body
    assert described["paths"]["/v1/recommend"]["post"]["requestBody"]
    assert described["components"]["schemas"]["RecommendRequest"]["examples"]


@pytest.mark.parametrize(
    ("path", "body", "status", "words"),
    [
        ("/v1/recommend", {"user_id": 1, "k": 0}, 422, "k"),
        ("/v1/recommend", {"user_id": 1, "k": 201}, 422, "more than the 200"),
        ("/v1/recommend", {"user_id": 1, "at": END + 9 * DAY}, 422, "in the future"),
        ("/v1/recommend", {"user_id": 1, "at": "yesterday"}, 422, "at"),
        ("/v1/recommend", {"user_id": True}, 422, "user_id"),
        ("/v1/recommend", {"user_id": ""}, 422, "user_id"),
        ("/v1/recommend", {"usr": 1}, 422, "usr"),
        ("/v1/recommend", {"history": [{"item_id": 1, "timestamp": 1e300}]}, 422, "no time"),
        ("/v1/recommend", [1], 422, "body"),
        ("/v1/events", {"user_id": "a", "item_id": "b", "timestamp": END + 9 * DAY}, 422, "more than a day ahead"),
        ("/v1/events", {"user_id": "a", "item_id": "b", "timestamp": -5}, 422, "before 1970"),
        ("/v1/events", {"user_id": "a", "item_id": "b", "timestamp": 5}, 422, "more than 90 days ago"),
        ("/v1/events", {"user_id": "a", "item_id": "b", "value": 1e20}, 422, "value"),
        ("/v1/events", {"events": []}, 422, "events"),
        ("/v1/users/nobody-here/history", None, 404, "nobody-here"),
        ("/v1/items/nothing/forecast", None, 404, "nothing"),
        ("/v1/similar/nothing", None, 404, "nothing"),
        ("/v1/users/1003/history?at=never", None, 422, "no time"),
        ("/nowhere", None, 404, "Not Found"),
        ("/page/..%2fapp.py", None, 404, ""),
    ],
)  # fmt: skip
def test_faults_are_problem_details(service: Served, path: str, body, status: int, words: str) -> None:
    reply = service.ask(path, body)
    assert reply.status == status, reply
    assert reply.headers["content-type"] == "application/problem+json"
    assert reply.body["status"] == status and words in reply.body["detail"]
    assert "Traceback" not in json.dumps(reply.body)


def test_hostile_bodies_are_refused_and_the_service_lives(service: Served) -> None:
    deep = b'{"user_id":' * 50_000 + b"1" + b"}" * 50_000
    for raw in (b"", b"{", b"\xff\xfe", deep, b'{"user_id": "\\ud800"}', b'{"user_id": 1e999}', b"null"):
        reply = service.ask("/v1/recommend", raw=raw)
        assert 400 <= reply.status < 500, (raw[:20], reply)
    assert service.ask("/v1/recommend", raw=b"x" * (2 << 20)).status == 413
    assert recommend(service, user_id=1003)["items"]


def test_a_deadline_is_kept(service: Served) -> None:
    late = service.ask("/v1/recommend", {"user_id": 1003}, headers={"X-Deadline-Ms": "0.01"})
    assert late.status == 504 and late.body["title"] == "Too late"
    assert service.ask("/v1/recommend", {"user_id": 1003}, headers={"X-Deadline-Ms": "9000"}).status == 200


def test_a_logged_answer_replays_to_itself(service: Served, small_run: SmallRun, folder: Path) -> None:
    service.ask("/v1/events", {"user_id": "1010", "item_id": "109"})
    asked = [recommend(service, user_id="1010"), recommend(service, history=[{"item_id": 100, "timestamp": END - 50}], k=4)]
    service.ask("/v1/events", {"user_id": "1010", "item_id": "112"})  # what comes later must not count
    recommend(service, user_id="1010")
    time.sleep(1.0)  # answers are written a moment later
    for answer in asked:
        command = [sys.executable, "-m", "timerec.cli", "replay", answer["request_id"], "--bundle", str(small_run.bundle)]
        command += ["--store", str(folder / "events.db"), "--folder", str(folder / ".timerec-serve")]
        done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
        assert done.returncode == 0, done.stderr
        told = json.loads(done.stdout)
        assert told["same"] and [item["item_id"] for item in told["now"]] == [item["item_id"] for item in answer["items"]]
    command[4] = "unknown"
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 2 and "is not in this store" in done.stderr


def test_a_store_that_cannot_be_written_is_not_ready(service: Served, folder: Path) -> None:
    (folder / "events.db").rename(folder / "away.db")
    try:
        time.sleep(1.5)  # the state is looked up once a second
        state = service.ask("/readyz")
        assert state.status == 503 and not state.body["store"]["ok"] and state.body["fusion"]["ok"]
        assert service.ask("/v1/events", {"user_id": "1010", "item_id": "109"}).status == 503
        assert recommend(service, user_id=1003)["items"]
    finally:
        (folder / "away.db").rename(folder / "events.db")
    time.sleep(1.5)
    assert service.ask("/readyz").status == 200
