"""How many replicas Ray Serve is asked for."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
from ray import serve
from ray.serve.schema import ReplicaState

from serve_app.app import options_of
from serve_app.gateway import Gateway, Kind
from serve_app.gather import GatheredByKind
from serve_app.settings import Scale, Settings
from timerec.online.messages import Waits


def test_a_part_that_scales_does_so_by_its_own_delays() -> None:
    told = options_of(Scale(max_replicas=3, target_ongoing_requests=2, upscale_delay_s=1, downscale_delay_s=7))
    assert told["autoscaling_config"] == {
        "min_replicas": 1, "max_replicas": 3, "target_ongoing_requests": 2, "upscale_delay_s": 1, "downscale_delay_s": 7,
    }  # fmt: skip
    assert "num_replicas" not in told
    standard = options_of(Scale(max_replicas=2))["autoscaling_config"]
    assert (standard["upscale_delay_s"], standard["downscale_delay_s"]) == (5, 60)


def test_a_part_that_does_not_scale_has_its_number() -> None:
    told = options_of(Scale(min_replicas=2, max_replicas=2, upscale_delay_s=1))
    assert told["num_replicas"] == 2 and "autoscaling_config" not in told


def test_what_is_not_said_of_a_part_stays_as_that_part_has_it() -> None:
    told = Settings.model_validate({"bundle": "b", "gateway": {"max_replicas": 4}, "fusion": {"max_replicas": 8, "num_cpus": 2}})
    assert (told.gateway.max_ongoing_requests, told.gateway.max_replicas) == (320, 4)
    assert (told.fusion.target_ongoing_requests, told.fusion.num_cpus, told.encoder.target_ongoing_requests) == (1, 2, 0.6)
    assert told.forecaster.num_cpus == 0.25


def test_calls_under_way_follow_the_replicas_that_run(monkeypatch: pytest.MonkeyPatch) -> None:
    async def method() -> None: ...

    gateway: Any = SimpleNamespace(_rank=GatheredByKind(lambda kind: method, 1))
    states = {ReplicaState.RUNNING: 4, ReplicaState.STARTING: 2}
    told = SimpleNamespace(applications={"shop": SimpleNamespace(deployments={"fusion": SimpleNamespace(replica_states=states)})})
    monkeypatch.setattr(serve, "get_replica_context", lambda: SimpleNamespace(app_name="shop"))
    monkeypatch.setattr(serve, "status", lambda: told)
    asyncio.run(Gateway._count(gateway))
    assert gateway._rank.calls == 5
    monkeypatch.setattr(serve, "status", lambda: SimpleNamespace(applications={}))  # the controller begins anew
    asyncio.run(Gateway._count(gateway))
    assert gateway._rank.calls == 5
    states.clear()
    monkeypatch.setattr(serve, "status", lambda: told)
    asyncio.run(Gateway._count(gateway))
    assert gateway._rank.calls == 2


def test_requests_of_one_model_and_of_like_patience_are_of_one_kind() -> None:
    usual = Kind.of("one", Waits(1.0, 1.0))
    assert usual == Kind.of("one", Waits(0.5, 0.6)) == Kind.of("one", Waits(0.1, 1.0))
    assert usual not in (Kind.of("two", Waits(1.0, 1.0)), Kind.of("one", Waits(0.03, 0.03)))
    kinds = {Kind.of("one", Waits(ms / 1000, ms / 1000)) for ms in range(1, 10_000)}
    assert len(kinds) < 10
