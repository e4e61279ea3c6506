"""What the serving benchmarks count, without a service."""

from __future__ import annotations

import pytest

from bench import chaos, serve_scaling, service
from serve_app.settings import Settings


def test_what_goes_wrong_is_put_down_to_the_last_deed_for_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr("bench.chaos.time.monotonic", lambda: now[0])
    deeds = chaos.Deeds()
    assert deeds.just() == "nothing"
    deeds.begin("model a")
    now[0] += 1000  # however long it takes
    assert deeds.just() == "model a"
    deeds.end("200")
    now[0] += chaos.JUST - 1
    assert deeds.just() == "model a"
    now[0] += 2
    assert deeds.just() == "nothing" and deeds.told == ["model a: 200"]


def test_requests_asked_again_are_told_apart_from_those_a_dead_gateway_broke() -> None:
    load = chaos.Load("http://nowhere", [], chaos.Deeds())
    load.again.update({"/v1/events 500 after kill gateway": 3, "/v1/recommend 503 after kill fusion": 2})
    told = load.told()
    assert (told["asked again"], told["but for gateway and proxy"]) == (5, 2)


def test_replicas_are_told_where_they_change() -> None:
    seen = [serve_scaling.Seen(at / 2, {"fusion": count, "gateway": 1}) for at, count in enumerate((1, 1, 2, 2, 1))]
    assert [(at, one["fusion"]) for at, one in serve_scaling.changes(seen)] == [(0.0, 1), (1.0, 2), (2.0, 1)]
    assert seen[0].all(1) and not seen[2].all(2)


def test_scales_are_changed_in_part() -> None:
    changed = service.scaled(Settings(bundle="b"), {"gateway": {"min_replicas": 2, "max_replicas": 2}})
    assert (changed.gateway.min_replicas, changed.gateway.max_ongoing_requests) == (2, 320)  # its own default stays
    assert changed.forecaster == Settings(bundle="b").forecaster
    with pytest.raises(ValueError, match="below min_replicas"):
        service.scaled(Settings(bundle="b"), {"fusion": {"min_replicas": 2}})
