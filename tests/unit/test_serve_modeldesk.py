"""Changes of models, without replicas."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path
from typing import Any

import pytest

from serve_app.modeldesk import ModelDesk
from serve_app.models import NOTE, Model, read_models
from serve_app.problems import Problem
from serve_app.schemas import NewModel
from tests.store_cases import PlainStore
from timerec.schema import DataError
from timerec.store import StoreUnavailable

CONFIGURED = Model("first", None, "first")


class Gateway:
    """Loads what it is asked to, once it may; knows no users, so nothing is compared."""

    def __init__(self, faults: tuple[str, ...] = ()) -> None:
        self.go_on, self.faults = asyncio.Event(), list(faults)

    async def load(self, model: Model) -> list[str]:
        await self.go_on.wait()
        return self.faults

    async def follow_now(self) -> None:
        """Nothing follows."""

    async def some_users(self, count: int, model: str) -> list[str]:
        return []


def bundle(folder: Path, name: str) -> str:
    (folder / name).mkdir()
    (folder / name / "bundle.json").write_text(name)
    return str(folder / name)


def desk(store: Any, *faults: str) -> tuple[ModelDesk, Gateway]:
    gateway: Any = Gateway(faults)
    return ModelDesk(gateway, store, CONFIGURED), gateway


def test_a_change_and_the_way_back(tmp_path: Path) -> None:
    async def run() -> None:
        store = PlainStore()
        one, gateway = desk(store)
        gateway.go_on.set()
        told = await one.change(NewModel(bundle=bundle(tmp_path, "a")))
        assert told["active"]["bundle"].endswith("a") and told["previous"]["digest"] == "first" and told["coming"] is None
        assert (await one.back())["active"]["digest"] == "first"

    asyncio.run(run())


@pytest.mark.parametrize("faults", [(), ("damaged",)])
def test_of_two_gateways_the_one_that_comes_second_undoes_nothing(tmp_path: Path, faults: tuple[str, ...]) -> None:
    async def run() -> None:
        store = PlainStore()
        (slow, holds), (quick, goes) = desk(store, *faults), desk(store)
        first = asyncio.create_task(slow.change(NewModel(bundle=bundle(tmp_path, "a"))))
        while read_models(store, CONFIGURED).coming is None:
            await asyncio.sleep(0.01)
        goes.go_on.set()
        told = await quick.change(NewModel(bundle=bundle(tmp_path, "b")))
        assert told["active"]["bundle"].endswith("b")
        holds.go_on.set()
        with pytest.raises(Problem) as caught:
            await first
        assert caught.value.status_code == (422 if faults else 409)
        found = read_models(store, CONFIGURED)
        assert found.active.bundle.endswith("b") and found.coming is None and found.previous == CONFIGURED

    asyncio.run(run())


class CutOff(PlainStore):
    """A store that does what it is told, and of which nobody hears so."""

    away = False

    def renote(self, name: str, text: str, was: str | None) -> bool:
        done = super().renote(name, text, was)
        if self.away:
            self.away = False
            raise StoreUnavailable("cut off")
        return done


@pytest.mark.parametrize("swapped", [False, True])
def test_a_change_that_was_cut_off_leaves_no_model_behind_that_is_never_asked(tmp_path: Path, swapped: bool) -> None:
    async def run() -> None:
        store = CutOff()
        one, gateway = desk(store)
        store.away = not swapped
        change = asyncio.create_task(one.change(NewModel(bundle=bundle(tmp_path, "a"))))
        while swapped and read_models(store, CONFIGURED).coming is None:
            await asyncio.sleep(0.01)
        store.away |= swapped
        gateway.go_on.set()
        with pytest.raises(StoreUnavailable):
            await change
        found = read_models(store, CONFIGURED)
        assert found.coming is None and found.active.bundle.endswith("a" if swapped else "first")

    asyncio.run(run())


def test_a_store_that_is_not_as_it_must_be_is_told_and_no_fault_of_ours() -> None:
    class Wrong(PlainStore):
        def noted(self, name: str) -> str | None:
            raise DataError("appendfsync is everysec")

    one, _ = desk(Wrong())
    with pytest.raises(Problem, match="appendfsync is everysec") as caught:
        asyncio.run(one.told())
    assert caught.value.status_code == 503


def test_who_goes_while_the_store_writes_leaves_no_model_behind(tmp_path: Path) -> None:
    begun, go_on = threading.Event(), threading.Event()

    class Slow(PlainStore):
        def renote(self, name: str, text: str, was: str | None) -> bool:
            begun.set()
            assert go_on.wait(60)
            return super().renote(name, text, was)

    async def run() -> None:
        store = Slow()
        one, _ = desk(store)
        change = asyncio.create_task(one.change(NewModel(bundle=bundle(tmp_path, "a"))))
        assert await asyncio.to_thread(begun.wait, 60)
        change.cancel()
        asyncio.get_running_loop().call_later(0.1, go_on.set)
        with pytest.raises(asyncio.CancelledError):
            await change
        assert store.noted(NOTE) and read_models(store, CONFIGURED).coming is None

    asyncio.run(run())
