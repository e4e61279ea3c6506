"""The HTTP interface under requests made of its own description, and under hostile ones. The tests follow each other."""

from __future__ import annotations

import copy
import gzip
import json
import socket
import time
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple, cast
from urllib.parse import quote

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis.errors import Unsatisfiable
from hypothesis.strategies import SearchStrategy
from schemathesis import BaseSchema, GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import content_type_conformance, response_schema_conformance, status_code_conformance

from serve_app.http import make_api
from tests.conftest import SmallRun
from tests.fuzz_cases import BUSY, SECONDS, Fuzzer, Shop, Told, memory_of_service, read_answer, request_bytes
from tests.hostile import BODIES, FIELDS, LINES, MARKUP, MOMENTS, NUMBERS, PATHS, WORDS
from tests.serve_cases import Served, served
from tests.small_data import START
from timerec.clock import DAY
from timerec.store.open import open_store

pytestmark = pytest.mark.slow  # starts the service, which takes a minute on two busy cores

EXAMPLES = 60  # random cases of each operation beside those at the borders of its description; raise it to search longer
SEED = 20_261
AT = START + 25 * DAY  # older than the oldest event that the service takes
NAMES = ["1003", "1010", "103", "160", "nobody", "a/b", "<b>x</b>"]  # users and items that random text would never hit
ROUNDS = 4  # of everything once more, after one that warms up
GROWN = 8.0  # MiB that one of these may add, the median of each process together: 3 KiB a request
BODY_SECONDS = 5.0
# glibc gives freed memory back, of whatever size, and from one heap: else large bodies raise and lower it by tens of MiB. Of the
# gateway's memory in use, counted in Python's blocks and malloc's, nothing grew where its process took 10 MiB in five rounds
GIVEN_BACK = {"MALLOC_ARENA_MAX": "1", "MALLOC_MMAP_THRESHOLD_": "131072", "MALLOC_TRIM_THRESHOLD_": "131072"}
CHECKS = [status_code_conformance, content_type_conformance, response_schema_conformance]


class Fuzzed(NamedTuple):
    """A running service, its hostile client and a well-behaved one, and what it answered before all this."""

    service: Served
    client: Fuzzer
    shop: Shop
    store: Path
    before: dict[str, Any]


def fixed_answer(service: Served) -> dict[str, Any]:
    """A list as of a moment that is before everything these tests send, without what tells two answers apart."""
    reply = service.ask("/v1/recommend", {"user_id": 1003, "at": AT, "k": 20, "explain": True})
    assert reply.status == 200 and not reply.body["degraded"], reply
    return {name: reply.body[name] for name in ("user_id", "at", "known", "items", "model")}


@pytest.fixture(scope="module", params=["haproxy", "serve"])
def fuzzed(small_run: SmallRun, tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Iterator[Fuzzed]:
    folder = tmp_path_factory.mktemp("fuzz")
    settings = folder / "settings.yaml"
    patience = "patience: {answer: 60, encoder: 30, forecaster: 30}"  # a busy machine is no fault of what is sent
    settings.write_text(f"limits: {{body_seconds: {BODY_SECONDS}}}\n{patience}\n")
    options = ("--store", str(folder / "events.db"), "--clock", "log", "--config", str(settings), "--proxy", request.param)
    with served(folder, small_run.bundle, *options, environment=GIVEN_BACK) as running:
        client = Fuzzer(running.url, secrets=(str(folder),))
        shop = Shop(Fuzzer(running.url, secrets=(str(folder),)))
        told = Fuzzed(running, client, shop, folder / "events.db", fixed_answer(running))
        for number in range(20):  # acknowledged before
            event = {"event_id": f"before-{number}", "user_id": f"u{number % 3}", "item_id": f"{100 + 3 * number}"}
            assert client.http("POST", "/v1/events", event).status == 200
        shop.start()
        yield told
        shop.end()
        assert running.log.read_text().count("Traceback") == 0


@pytest.fixture(scope="module")
def described(fuzzed: Fuzzed) -> BaseSchema:
    """The interface's own description, made strict: a field of an answer that it does not name is a fault."""
    told = json.loads(fuzzed.client.http("GET", "/openapi.json").body)
    assert told["paths"].keys() == {path for _, path in OPERATIONS}
    strict = copy.deepcopy(told)
    for schema in strict["components"]["schemas"].values():
        schema.setdefault("additionalProperties", False)
    for operations in strict["paths"].values():
        for operation in operations.values():
            for parameter in operation.get("parameters", ()):
                if parameter["in"] == "path":
                    parameter["schema"] = {"anyOf": [{"enum": NAMES}, parameter["schema"]]}
    for name in ("RecommendRequest", "SeenItem", "NewEvent"):
        for field in {"user_id", "item_id"} & set(strict["components"]["schemas"][name]["properties"]):
            known = strict["components"]["schemas"][name]["properties"][field]
            strict["components"]["schemas"][name]["properties"][field] = {"anyOf": [{"enum": NAMES}, known]}
    config = schemathesis.Config.from_dict({"base-url": fuzzed.service.url, "seed": SEED})
    return schemathesis.openapi.from_dict(strict, config=config)


OPERATIONS = [(method.upper(), path) for path, told in make_api(cast(Any, None)).openapi()["paths"].items() for method in told]


@pytest.mark.parametrize(("method", "path"), OPERATIONS)
def test_an_operation_keeps_to_its_description(described: BaseSchema, fuzzed: Fuzzed, method: str, path: str) -> None:
    operation = described[path][method]

    def try_one(case: schemathesis.Case) -> None:
        response = case.call(timeout=SECONDS, allow_redirects=False)
        headers = {name: values[0] for name, values in response.headers.items()}
        told = fuzzed.client.send(response.request, Told(response.status_code, headers, response.content))
        if case.method != method:  # a method that is in no description
            assert told.problem["status"] == 405
            return
        case.validate_response(response, checks=CHECKS if told.status in BUSY else [not_a_server_error, *CHECKS])

    for case in described.iter_coverage_cases(
        operation, generation_modes=list(GenerationMode), generation_config=described.config.generation
    ):
        try_one(case)
    for mode in GenerationMode:
        try:
            random_cases(operation.as_strategy(generation_mode=mode), try_one)
        except Unsatisfiable:
            assert mode == GenerationMode.NEGATIVE and not operation.body and not list(operation.iter_parameters())


def random_cases(cases: SearchStrategy[schemathesis.Case], try_one: Callable[[schemathesis.Case], None]) -> None:
    """Try `EXAMPLES` random cases, the same ones in each run."""
    phases = (Phase.generate, Phase.shrink)

    @seed(SEED)
    @settings(max_examples=EXAMPLES, phases=phases, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(cases)
    def each(case: schemathesis.Case) -> None:
        try_one(case)

    each()


def test_no_bundle_path_changes_the_models(fuzzed: Fuzzed) -> None:
    before = fuzzed.client.http("GET", "/v1/models").body
    paths = [
        "/",
        "/etc/passwd",
        "../../..",
        "~",
        "-",
        " ",
        "\u202e/tmp",
        "a\0b",
        "\ud800",
        "x" * 4096,
        "/dev/stdin",
        "file:///etc",
        "$(id)",
    ]
    for path in (*paths, *(f"/{'../' * depth}proc/self" for depth in range(1, 6))):
        for more in ({}, {"shadow": 0.5}, {"data": path}):
            told = fuzzed.client.http("POST", "/v1/models", {"bundle": path, **more})
            assert told.status == 422 and told.problem, (path, told)
    assert fuzzed.client.http("POST", "/v1/models:back").status == 409
    assert fuzzed.client.http("GET", "/v1/models").body == before


def test_numbers_that_are_none_and_names_that_nobody_knows(fuzzed: Fuzzed) -> None:
    for number in NUMBERS:
        for field in FIELDS:
            told = fuzzed.client.http("POST", "/v1/recommend", f'{{"user_id": "1003", "{field}": {number}}}'.encode())
            assert told.status == 200 or told.problem, (field, number[:20], told)
        for field in ("timestamp", "value", "event_id", "item_id"):
            body = f'{{"user_id": "u", "item_id": "i", "{field}": {number}}}'.encode()
            told = fuzzed.client.http("POST", "/v1/events", body)
            assert told.status == 200 or told.problem, (field, number[:20], told)


def test_moments_that_are_none(fuzzed: Fuzzed) -> None:
    for moment in MOMENTS:
        for path in ("/v1/items/103/forecast", "/v1/users/1003/history", "/v1/similar/103"):
            told = fuzzed.client.http("GET", f"{path}?at={quote(moment, safe='%')}")
            assert told.status == 200 or told.problem, (moment, path, told)
        for body in ({"user_id": "1003", "at": moment}, {"history": [{"item_id": "103", "timestamp": moment, "value": -1e9}]}):
            told = fuzzed.client.http("POST", "/v1/recommend", {**body, "explain": True})
            assert told.status == 200 or told.problem, (moment, told)
    before_all = {"history": [{"item_id": "103", "timestamp": 0}], "at": 1, "explain": True}  # when nobody had that item yet
    assert fuzzed.client.http("POST", "/v1/recommend", before_all).status == 200


def test_bodies_that_no_library_would_send(fuzzed: Fuzzed) -> None:
    for body in BODIES:
        for path in ("/v1/recommend", "/v1/recommend:batch", "/v1/events", "/v1/models"):
            told = fuzzed.client.http("POST", path, body)
            assert told.status == 200 or told.problem, (body[:30], path, told)
    for kind in (
        "text/plain",
        "application/xml",
        "multipart/form-data; boundary=x",
        "application/x-www-form-urlencoded",
        "",
        "a/b;=;",
    ):
        assert fuzzed.client.http("POST", "/v1/recommend", {"user_id": "1003"}, Content_Type=kind).problem["status"] == 422
    packed = gzip.compress(b'{"user_id": "1003"}')
    bomb = gzip.compress(b" " * (64 << 20))
    for body, name in ((packed, "gzip"), (bomb, "gzip"), (packed, "deflate, gzip"), (packed, "br")):
        assert fuzzed.client.http("POST", "/v1/recommend", body, Content_Encoding=name).problem["status"] == 415


def test_a_body_without_end_is_refused_whatever_it_says(fuzzed: Fuzzed) -> None:
    head = b"POST /v1/events HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    told = fuzzed.client.raw(head + b"Content-Length: 1073741824\r\n\r\n{")
    assert told.problem["status"] == 413
    piece = b"10000\r\n" + b" " * 0x10000 + b"\r\n"
    told = fuzzed.client.raw(head + b"Transfer-Encoding: chunked\r\n\r\n", rest=piece)
    assert told.problem["status"] == 413


# what uvicorn and HAProxy, which heeds no error file there, say of what is no HTTP, and Serve's proxy of a target that is no
# path, before anything of this service sees it: words that hold nothing of what was sent
NOT_HTTP = {
    (400, "text/plain"): b"Invalid HTTP request received.",
    (400, "text/html"): b"<html><body><h1>400 Bad request</h1>\nYour browser sent an invalid request.\n</body></html>\n",
    (
        422,
        "text/html",
    ): b"<html><body><h1>422 Unprocessable Content</h1>\nThe server cannot process the contained instructions.\n",
    (404, "text/plain"): b"not found. Ping http://.../-/routes for available routes.",
}


def said(told: Told) -> None:
    """An answer, a problem, or the HTTP server's own word on what is no HTTP."""
    kind = told.headers.get("content-type", "").partition(";")[0]
    if kind.startswith("text/") and told.status != 200:
        assert (told.status, kind) in NOT_HTTP and NOT_HTTP[told.status, kind] in told.body, told
    else:
        assert told.status == 200 or told.problem, told
        assert told.headers["x-content-type-options"] == "nosniff"


def test_paths_lead_nowhere_else(fuzzed: Fuzzed) -> None:
    for path in PATHS:
        told = fuzzed.client.raw(request_bytes("GET", path))
        said(told)
        assert b"root:" not in told.body and b"import " not in told.body, (path, told)
        assert not 300 <= told.status < 400, (path, told)
    for path in (b"/v1/users/\xff\xfe/history", b"/\0", b"/" + b"a" * (1 << 20), b"*", b"v1/users", b"", b"/v1/users HTTP/1.0"):
        said(fuzzed.client.raw(request_bytes("GET", path)))


def test_headers_and_lines_that_are_none(fuzzed: Fuzzed) -> None:
    client, body = fuzzed.client, b'{"user_id": "1003"}'
    for value in ("nan", "inf", "-inf", "-1", "0", "1e400", "1e-320", "", "abc", "1,2", "0x5", "\xb2", "1" * 5000):
        said(client.raw(request_bytes("POST", "/v1/recommend", body, ("X-Deadline-Ms", value))))
    said(client.raw(request_bytes("POST", "/v1/recommend", body, ("X-Deadline-Ms", "5"), ("X-Deadline-Ms", "9000"))))
    for value in ("-1", "many", "9" * 30, "9" * 5000, "0x10", "+5", "1, 1", ""):
        said(client.raw(request_bytes("POST", "/v1/recommend", b"", ("Content-Length", value))))
    for line in LINES:
        said(client.raw(b"POST /v1/recommend HTTP/1.1\r\n" + line + b"\r\n\r\n{}"))
    said(client.raw(request_bytes("GET", "/v1/users", b"", *((f"X-{number}", "y") for number in range(5000)))))
    said(client.raw(request_bytes("GET", "/v1/users", b"", ("X-Long", "y" * (1 << 20)), ("Cookie", "a=" * 10_000))))
    for start in (
        b"hello",
        b"GET / HTTP/9.9",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\0" * 50,
    ):
        said(client.raw(start + b"\r\n\r\n"))
    told = client.raw(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
    if told.status or b"\x04" not in told.body[3:4]:  # settings, as HTTP/2 begins
        said(told)


def test_methods_that_are_not_there(fuzzed: Fuzzed) -> None:
    for method in ("PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "PROPFIND", "CONNECT", "BREW", "get"):
        for path in ("/v1/users", "/v1/events", "/healthz", "/"):
            told = fuzzed.client.raw(request_bytes(method, path))
            said(told)
            assert told.status in (400, 405), (method, path, told)
    for path, allowed in (("/v1/recommend", "POST"), ("/v1/users", "GET")):
        told = fuzzed.client.raw(request_bytes("PATCH", path))
        assert told.problem["status"] == 405 and told.headers["allow"] == allowed


def test_any_text_is_an_identifier_and_comes_back_as_it_went(fuzzed: Fuzzed) -> None:
    client = fuzzed.client
    for word in WORDS:
        event = {"event_id": f"w {word}"[:256], "user_id": word, "item_id": word, "event": word}
        told = client.http("POST", "/v1/events", event)
        assert told.status == 200 and json.loads(told.body)["events"][0]["event_id"] == event["event_id"], (word, told)
        path = quote(word, safe="")
        history = client.raw(request_bytes("GET", f"/v1/users/{path}/history"))
        assert history.status == 200, (word, history)
        assert history.headers["content-type"] == "application/json" and history.headers["x-content-type-options"] == "nosniff"
        found = json.loads(history.body)
        assert found["user_id"] == word and found["events"][0]["item_id"] == word
        users = json.loads(client.raw(request_bytes("GET", f"/v1/users?limit=1000&search={path}")).body)["users"]
        assert word in [user["user_id"] for user in users], word
        for kind in ("items/{}/forecast", "similar/{}"):
            told = client.raw(request_bytes("GET", "/v1/" + kind.format(path)))
            assert told.status == 200 and json.loads(told.body)["item_id"] == word, (word, told)
        answer = client.http(
            "POST", "/v1/recommend", {"user_id": word, "items": [word, "103"], "exclude": ["106"], "category": word}
        )
        assert answer.status == 200 and json.loads(answer.body)["user_id"] == word


def test_the_page_holds_nothing_that_was_sent(fuzzed: Fuzzed) -> None:
    fuzzed.client.http("POST", "/v1/events", {"user_id": MARKUP, "item_id": MARKUP})
    for path in ("/", f"/?user={quote(MARKUP)}", "/page/main.js"):
        told = fuzzed.client.http("GET", path)
        assert told.status == 200 and MARKUP.encode() not in told.body
        assert (
            told.headers["x-content-type-options"] == "nosniff" and "script-src 'self'" in told.headers["content-security-policy"]
        )
    for path in (f"/{quote(MARKUP)}", f"/v1/users/{quote(MARKUP * 5)}/history", f"/v1/similar/x?at={quote(MARKUP)}"):
        told = fuzzed.client.raw(request_bytes("GET", path))
        assert told.problem and told.headers["x-content-type-options"] == "nosniff"


def test_half_sent_requests_keep_nobody_out(fuzzed: Fuzzed) -> None:
    """More of them than the service works on at once; they are told to go, and others are answered meanwhile."""
    head = b"POST /v1/events HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 99\r\n\r\n"
    lines = [socket.create_connection(fuzzed.client.address, timeout=SECONDS + BODY_SECONDS) for _ in range(300)]
    try:
        for line in lines:
            line.sendall(head + b'{"')
        until = time.monotonic() + SECONDS + BODY_SECONDS
        while fuzzed.service.ask("/v1/recommend", {"user_id": 1003, "at": AT}).status != 200:
            assert time.monotonic() < until, "the half-sent requests keep their places"
            time.sleep(0.5)
        told = [read_answer(line) for line in lines]
    finally:
        for line in lines:
            line.close()
    assert {one.problem["status"] for one in told} <= {408, 503} and 408 in {one.status for one in told}


def test_memory_is_steady_when_everything_is_sent_again(fuzzed: Fuzzed) -> None:
    """What is kept of every request adds to each round; in the median, since an allocator may take a page more in any of them."""
    held = []
    for _ in range(1 + ROUNDS):
        statuses = fuzzed.client.again()
        held.append(memory_of_service(fuzzed.service.pid))
    assert all(set(told) == set(held[0]) for told in held), "a replica was replaced"
    added = {process: [after[process] - before[process] for before, after in pairwise(held)] for process in held[0]}
    assert sum(max(0.0, median(rounds)) for rounds in added.values()) < GROWN, (held, added)
    assert sum(statuses.values()) > 10 * EXAMPLES and statuses[200] > 100 and statuses[422] > 100, statuses


def test_what_was_acknowledged_is_in_the_store_once(fuzzed: Fuzzed) -> None:
    fuzzed.shop.end()
    acknowledged = {**fuzzed.client.acknowledged, **fuzzed.shop.client.acknowledged}
    with open_store(fuzzed.store, create=False) as store:
        stored, seq = [], 0
        while page := store.since(seq):
            stored, seq = stored + page, page[-1].seq
    found = {one.event.event_id: one for one in stored}
    assert len(found) == len(stored) and len(acknowledged) > 100
    assert not set(acknowledged) - set(found)
    if not (fuzzed.client.refused or fuzzed.shop.client.refused):
        assert set(found) == set(acknowledged)  # and nothing that was refused
    for event_id, sent in acknowledged.items():
        one = found[event_id]
        assert one.seq == sent["seq"] and one.event.user_id == str(sent["user_id"]) and one.event.item_id == str(sent["item_id"])
        assert (one.event.event, one.event.value) == (sent.get("event", ""), sent.get("value", 1.0))


def test_answers_are_those_of_before(fuzzed: Fuzzed) -> None:
    after = fixed_answer(fuzzed.service)
    items = [{**item, "score": pytest.approx(item["score"], abs=1e-5), "parts": pytest.approx(item["parts"], abs=1e-4)}
             for item in fuzzed.before["items"]]  # fmt: skip
    assert after == {**fuzzed.before, "items": items} and items
    ready = fuzzed.service.ask("/readyz")
    assert ready.status == 200 and ready.body["ready"], ready
