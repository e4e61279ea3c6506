"""Starting the application without Ray: proxies and replicas beside each other, and what goes wrong with either is told."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest
from ray.serve._private.constants import SERVE_CONTROLLER_NAME, SERVE_NAMESPACE

from serve_app import app
from serve_app.settings import Settings

SOON = 5.0  # seconds after which something that should have happened has not


@pytest.fixture
def serve(monkeypatch: pytest.MonkeyPatch) -> Serve:
    """Stands for Ray Serve."""
    found = Serve()
    monkeypatch.setattr(app, "build", lambda settings: "the graph")
    monkeypatch.setattr(app, "serve", found)
    monkeypatch.setattr(app.ray, "get_actor", found.get_actor)
    return found


class Serve:
    """`start` waits for proxies that come when the application runs, or as soon as they may."""

    def __init__(self) -> None:
        self.controller, self.running = threading.Event(), threading.Event()
        self.told: list[Any] = []
        self.fault: Exception | None = None  # of the proxies

    def get_actor(self, *name: str) -> str:
        if not self.controller.is_set():
            raise ValueError(f"no actor {name}")
        return "the controller"

    def start(self, **options: Any) -> None:
        if self.fault is not None:
            raise self.fault
        self.controller.set()
        self.told += [options["http_options"], self.running.wait(SOON)]

    def run(self, graph: Any, **_: Any) -> None:
        assert self.controller.is_set()
        self.told.append(graph)
        self.running.set()


def test_replicas_start_while_the_proxies_do(serve: Serve) -> None:
    app.start(Settings(bundle=Path("bundle")), "127.0.0.1", 8123)
    assert serve.told == ["the graph", {"host": "127.0.0.1", "port": 8123}, True]


def test_without_a_controller_nothing_is_run(serve: Serve) -> None:
    serve.fault = RuntimeError("the port is taken")
    with pytest.raises(RuntimeError, match="the port is taken"):
        app.start(Settings(bundle=Path("bundle")), "127.0.0.1", 8123)
    assert serve.told == []


def test_a_proxy_that_fails_is_told(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    def start(**options: Any) -> None:
        serve.controller.set()
        serve.running.wait(SOON)
        raise RuntimeError("no proxy")

    monkeypatch.setattr(serve, "start", start)
    with pytest.raises(RuntimeError, match="no proxy"):
        app.start(Settings(bundle=Path("bundle")), "127.0.0.1", 8123)
    assert serve.told == ["the graph"]


def test_of_two_faults_that_of_the_proxies_is_told(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    def start(**options: Any) -> None:
        serve.controller.set()
        serve.running.wait(SOON)
        raise RuntimeError("no proxy")

    def run(graph: Any, **_: Any) -> None:
        serve.running.set()
        raise TimeoutError("not available after 60 s")

    monkeypatch.setattr(serve, "start", start)
    monkeypatch.setattr(serve, "run", run)
    with pytest.raises(RuntimeError, match="no proxy"):
        app.start(Settings(bundle=Path("bundle")), "127.0.0.1", 8123)


def test_the_controller_has_the_name_that_ray_gives_it() -> None:
    assert app.CONTROLLER == (SERVE_CONTROLLER_NAME, SERVE_NAMESPACE)
