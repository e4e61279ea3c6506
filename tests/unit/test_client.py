"""The client against a server that fails at times."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from tests.serve_cases import free_port
from timerec.client import Client, ServiceError


class Server(ThreadingHTTPServer):
    """Answers what it was told to, in order, and remembers what it was asked."""

    def __init__(self) -> None:
        self.answers: list[tuple[int, dict[str, str], Any]] = []
        self.asked: list[tuple[str, str, dict[str, str], Any]] = []
        super().__init__(("127.0.0.1", 0), Handler)


class Handler(BaseHTTPRequestHandler):
    server: Server

    def answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        self.server.asked.append((self.command, self.path, dict(self.headers), json.loads(body) if body else None))
        status, headers, told = self.server.answers.pop(0)
        data = told if isinstance(told, bytes) else json.dumps(told).encode()
        self.send_response(status)
        for name, value in {"Content-Length": str(len(data)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)

    do_GET = do_POST = answer  # noqa: N815 - the names that the base class looks for

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def server() -> Iterator[Server]:
    made = Server()
    threading.Thread(target=made.serve_forever, daemon=True).start()
    yield made
    made.shutdown()
    made.server_close()


def client(server: Server, **options: Any) -> Client:
    return Client(f"http://127.0.0.1:{server.server_port}/", **options)


def test_busy_answers_are_tried_again_with_the_same_event_ids(server: Server) -> None:
    server.answers = [(503, {"Retry-After": "0"}, {}), (429, {}, {}), (200, {}, {"events": [{"seq": 1}]})]
    told = [{"user_id": "a", "item_id": "b"}, {"user_id": "a", "item_id": "c", "event_id": None}, {"event_id": "mine"}]
    assert client(server).events(told) == [{"seq": 1}]
    sent = [tuple(event["event_id"] for event in body["events"]) for _, _, _, body in server.asked]
    assert len(sent) == 3 and len(set(sent)) == 1 and all(sent[0]) and len(set(sent[0])) == 3 and sent[0][2] == "mine"


def test_what_a_dying_gateway_had_in_work_is_sent_again(server: Server) -> None:
    server.answers = [(500, {"Content-Type": "text/plain"}, b"Actor is unavailable."), (200, {}, {"items": []})]
    assert client(server).recommend("a") == {"items": []} and len(server.asked) == 2


def test_a_problem_is_told_in_its_words_and_not_repeated(server: Server) -> None:
    server.answers = [(422, {}, {"detail": "k: 900 is more than the 200"})]
    with pytest.raises(ServiceError, match="422: k: 900 is more") as caught:
        client(server).recommend(1, k=900)
    assert (caught.value.status, len(server.asked)) == (422, 1)


def test_who_stays_busy_is_told_so(server: Server) -> None:
    server.answers = [(503, {"Retry-After": "0"}, {"detail": "busy"})] * 3
    with pytest.raises(ServiceError, match="503: busy"):
        client(server, retries=2).history("u")
    assert len(server.asked) == 3


def test_keys_and_names_are_sent_as_they_must_be(server: Server) -> None:
    server.answers = [(200, {}, {"events": []}), (200, {}, {"items": [1]}), (200, {}, {"answers": [2]})]
    one = client(server, key="secret")
    one.history("a/b ä?", at=5, limit=3)
    assert one.similar(7, k=2) == [1] and one.recommend_batch([{"user_id": 1}]) == [2]
    (method, path, headers, body), second, third = server.asked
    assert (method, path, body) == ("GET", "/v1/users/a%2Fb%20%C3%A4%3F/history?at=5&limit=3", None)
    assert headers["Authorization"] == "Bearer secret"
    assert second[1] == "/v1/similar/7?k=2" and third[3] == {"requests": [{"user_id": 1}]}


def test_no_service_and_no_json_are_told(server: Server) -> None:
    server.answers = [(200, {}, b"<html>")]
    with pytest.raises(ServiceError, match="no JSON"):
        client(server).models()
    with pytest.raises(ServiceError, match="does not answer") as caught:
        Client(f"http://127.0.0.1:{free_port()}", retries=0).models()
    assert caught.value.status is None
