"""Changing the model of a running service."""

from __future__ import annotations

import json
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import SmallRun
from tests.serve_cases import Served, served
from tests.small_data import DAYS, START
from timerec.clock import DAY
from timerec.sealed import HEAD

pytestmark = pytest.mark.slow  # starts the service, which takes a minute on two busy cores


@pytest.fixture(scope="module")
def other(small_run: SmallRun, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The small run's bundle with the weights of the network turned round: it answers otherwise."""
    import hashlib

    from safetensors.torch import load_file, save_file

    bundle = tmp_path_factory.mktemp("other") / "bundle"
    shutil.copytree(small_run.bundle, bundle)
    weights = load_file(bundle / "model.safetensors")
    save_file({name: -value if "head" in name and value.is_floating_point() else value for name, value in weights.items()},
              bundle / "model.safetensors")  # fmt: skip
    head = json.loads((bundle / HEAD).read_text())
    head["files"]["model.safetensors"] = hashlib.sha256((bundle / "model.safetensors").read_bytes()).hexdigest()
    (bundle / HEAD).write_text(json.dumps(head))
    return bundle


@pytest.fixture(scope="module")
def service(small_run: SmallRun, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("models")
    with served(folder, small_run.bundle, "--store", str(folder / "events.db"), "--clock", "log") as running:
        yield running


def listed(service: Served, user: str = "1003") -> tuple[str, list[str]]:
    """Which model answers, and its list as of a moment that no event of these tests is before."""
    answer = service.ask("/v1/recommend", {"user_id": user, "at": START + (DAYS - 1) * DAY}).body
    return answer["model"], [item["item_id"] for item in answer["items"]]


def test_a_model_is_changed_under_load_taken_back_and_shadowed(service: Served, other: Path) -> None:
    old, before = listed(service)
    service.ask("/v1/events", {"user_id": "came-before", "item_id": 103})
    stop, failed = threading.Event(), []

    def ask_on() -> None:
        while not stop.is_set():
            reply = service.ask("/v1/recommend", {"user_id": "1004"})
            if reply.status != 200 or not reply.body["items"]:
                failed.append(reply)

    asking = [threading.Thread(target=ask_on) for _ in range(3)]
    for thread in asking:
        thread.start()
    changed = service.ask("/v1/models", {"bundle": str(other)})
    new, after = listed(service)
    stop.set()
    for thread in asking:
        thread.join()
    assert changed.status == 200 and not failed, (changed, failed[:3])
    assert changed.body["checked"]["users"] == 20 and 0 <= changed.body["checked"]["overlap"] < 1
    assert new == changed.body["active"]["digest"] != old and after != before
    assert service.ask("/v1/recommend", {"user_id": "came-before"}).body["known"]  # the new one has read the store

    assert service.ask("/v1/models:back", {}).body["active"]["digest"] == old
    assert listed(service) == (old, before)

    assert service.ask("/v1/models", {"bundle": str(other), "shadow": 1.0}).body["shadow"]["digest"] == new
    assert listed(service)[0] == old
    text = service.ask("/metrics").body
    for _ in range(50):
        if "timerec_shadow_overlap_count{" in text:
            break
        listed(service)
        text = service.ask("/metrics").body
    assert "timerec_shadow_overlap_count{" in text


def test_a_broken_bundle_changes_nothing(service: Served, other: Path, tmp_path: Path) -> None:
    before = service.ask("/v1/models").body
    missing = service.ask("/v1/models", {"bundle": str(tmp_path / "nothing")})
    assert missing.status == 422 and "is no timerec bundle" in missing.body["detail"]
    broken = tmp_path / "broken"
    shutil.copytree(other, broken)
    weights = broken / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"\0")
    (broken / HEAD).write_text((broken / HEAD).read_text() + " ")  # another digest than that of the sound one
    damaged = service.ask("/v1/models", {"bundle": str(broken)})
    assert damaged.status == 422 and "damaged" in damaged.body["detail"]
    assert service.ask("/v1/models").body == before
    assert listed(service)[1]
