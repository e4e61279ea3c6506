"""What replicas have in common, without Ray."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from serve_app.models import NOTE, Failed, Missing, Model, Models
from serve_app.replica import Replica
from timerec.online.digest import digest_of
from timerec.store import Event, StoreUnavailable
from timerec.store.events import Stored
from timerec.store.sqlite import SqliteStore


class Counting:
    """A part that only counts."""

    def __init__(self) -> None:
        self.seq = 0

    def take(self, stored: Sequence[Stored]) -> None:
        self.seq = stored[-1].seq


class Away(SqliteStore):
    """A store that can be away."""

    away = False
    asked = 0

    def since(self, seq: int, limit: int = 10_000) -> list[Stored]:
        self.asked += 1
        if self.away:
            raise StoreUnavailable("away")
        return super().since(seq, limit)


class Counted(Replica[Counting]):
    """A replica whose models count what they are asked."""

    def make(self, base: object) -> Counting:
        return Counting()


@pytest.fixture
def replica(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Replica[Counting]:
    """A replica that holds the models one and two."""
    monkeypatch.setattr(Replica, "_load", lambda self, model: self._parts.update({model.digest: Counting()}))
    monkeypatch.setattr("serve_app.replica.open_store", lambda url, seconds: Away(Path(url)))
    made = Counted(vars(Model("bundle", None, "one")), str(tmp_path), str(tmp_path / "events.db"))
    made._parts["two"] = Counting()
    return made


def test_one_failing_request_is_answered_so_and_no_other(replica: Replica[Counting]) -> None:
    calls: list[list[int]] = []

    async def work(rows: list[int]) -> list[str] | Missing:
        def told(part: Counting) -> list[str]:
            calls.append(rows)
            if 2 in rows:
                raise ZeroDivisionError
            return [f"row {row}" for row in rows]

        return await replica.ask("one", told)

    assert asyncio.run(replica.together([0, 2, 4], work)) == ["row 0", Failed("ZeroDivisionError"), "row 4"]
    assert calls == [[0, 2, 4], [0], [2], [4]]

    async def nowhere(rows: list[int]) -> list[str] | Missing:
        return await replica.ask("three", lambda part: [])

    assert asyncio.run(replica.together([0, 1], nowhere)) == [Missing("three")] * 2


def test_a_store_that_is_away_costs_one_request_its_patience_and_is_found_again(replica: Replica[Counting]) -> None:
    store: Any = replica._store
    store.append([Event("a", "u", "i", 5)])
    assert replica.part("one").seq == 1
    store.away, asked = True, store.asked
    assert [replica.part("one").seq for _ in range(5)] == [1] * 5 and replica.behind and store.asked == asked + 1
    store.away = False
    store.append([Event("b", "u", "i", 6)])

    async def between() -> None:
        await replica.status()
        for _ in range(100):
            await asyncio.sleep(0.05)
            if not replica.behind:
                break

    asyncio.run(between())
    assert not replica.behind and replica.part("one").seq == 2


def test_a_store_is_found_again_while_a_model_is_loaded(replica: Replica[Counting], monkeypatch: pytest.MonkeyPatch) -> None:
    store: Any = replica._store
    begun, go_on = threading.Event(), threading.Event()

    def load(self: Replica[Counting], model: Model) -> None:
        begun.set()
        assert go_on.wait(60)

    monkeypatch.setattr(Replica, "_load", load)
    wanted = Models(Model("bundle", None, "one"), coming=Model("slow", None, "slow"))
    store.note(NOTE, wanted.note(replica._configured))

    async def between() -> None:
        await replica.status()
        assert await asyncio.to_thread(begun.wait, 60)
        store.append([Event("a", "u", "i", 5)])
        replica.behind = True
        for _ in range(200):
            await asyncio.sleep(0.05)
            if not replica.behind:
                break
        assert not replica.behind and replica.part("one").seq == 1 and not go_on.is_set()
        go_on.set()

    asyncio.run(between())


def test_another_bundle_in_the_same_folder_is_not_taken_for_the_old_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "bundle.json").write_text("{}")
    old = Model(str(tmp_path), None, digest_of(tmp_path))
    monkeypatch.setattr("serve_app.replica.open_store", lambda url, seconds: Away(Path(url)))

    class Base:
        digest = "of a bundle that was written later"

    monkeypatch.setattr("timerec.online.base.open_base", lambda *_: Base())
    with pytest.raises(Exception, match="holds another bundle by now"):
        Counted(vars(old), str(tmp_path), str(tmp_path / "events.db"))
