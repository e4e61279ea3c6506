"""The fusion's deployment without Ray: what runs beside what, and what it makes of an encoder that fails."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from ray.exceptions import RayActorError

from serve_app.fusion import Fusion
from serve_app.models import Failed, Missing, Model
from serve_app.replica import Replica
from timerec.online.messages import Answer, Ask, Heard, Waits
from timerec.store.events import Stored
from timerec.store.sqlite import SqliteStore

SOON = 5.0  # seconds after which something that should have happened has not


class Part:
    """Finds the users' names as candidates, and answers with whom the encoder told of."""

    seq = 0
    forecast = (0, 0)

    def __init__(self) -> None:
        self.gathered: Callable[[], None] = lambda: None
        self.begun: Callable[[], None] = lambda: None
        self.scored: Callable[[], None] = lambda: None

    def take(self, stored: Sequence[Stored]) -> None: ...

    def candidates(self, asks: list[Ask], behind: bool) -> list[str | None]:
        self.gathered()
        return [ask.user_id for ask in asks]

    def begin(self, found: list[str | None]) -> int:
        self.begun()
        return len(found)

    def answer(self, found: list[str | None], begun: int, heard: list[Heard | None]) -> list[Answer]:
        self.scored()
        assert begun == len(found)
        return [Answer([{"item_id": name}], True, 0, one.seq if one else None) for name, one in zip(found, heard, strict=True)]


class Encoder:
    """A handle whose `read` does what it is told."""

    def __init__(self) -> None:
        self.says: Callable[[list[Ask]], Any] = lambda asks: [heard(7) for _ in asks]
        self.read = SimpleNamespace(remote=self._read)

    async def _read(self, model: str, asks: list[Ask]) -> Any:
        found = self.says(asks)
        return await found if asyncio.iscoroutine(found) else found


def heard(seq: int) -> Heard:
    return Heard(np.zeros(2, np.float32), np.zeros((1, 2), np.float32), seq)


@pytest.fixture
def fusion(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Fusion:
    """A fusion that holds the model one, with an encoder that answers."""
    monkeypatch.setattr(Replica, "_load", lambda self, model: self._parts.update({model.digest: Part()}))
    monkeypatch.setattr("serve_app.replica.open_store", lambda url, seconds: SqliteStore(Path(url)))
    forecaster: Any = SimpleNamespace(options=lambda **_: None)
    encoder: Any = Encoder()
    return Fusion(vars(Model("bundle", None, "one")), str(tmp_path), str(tmp_path / "events.db"), encoder, forecaster)


def rank(fusion: Fusion, *users: str, model: str = "one", seconds: float = SOON) -> Any:
    n = len(users)
    return fusion.rank(model, [Ask(user, 9) for user in users], [(0, 0)] * n, [Waits(seconds, seconds)] * n)


def test_candidates_are_gathered_and_begun_to_be_scored_while_the_encoder_reads(fusion: Fusion) -> None:
    part: Any = fusion._parts["one"]
    encoder: Any = fusion._encoder
    begun, reading, beside = threading.Event(), threading.Event(), []

    async def read(asks: list[Ask]) -> list[Heard]:
        reading.set()
        beside.append(await asyncio.to_thread(begun.wait, SOON))
        return [heard(7) for _ in asks]

    encoder.says, part.gathered, part.begun = read, lambda: beside.append(reading.wait(SOON)), begun.set
    (answer,) = asyncio.run(rank(fusion, "anna"))
    assert beside == [True, True] and (answer.items, answer.heard) == ([{"item_id": "anna"}], 7)


def test_the_call_to_the_encoder_leaves_before_candidates_are_gathered(fusion: Fusion) -> None:
    part: Any = fusion._parts["one"]
    encoder: Any = fusion._encoder
    order: list[str] = []

    async def read(asks: list[Ask]) -> list[Heard]:
        for _ in range(4):  # as Serve: it chooses a replica, and packs the arguments, in turns of their own
            await asyncio.sleep(0)
            time.sleep(0.01)
        order.append("sent")
        return [heard(7) for _ in asks]

    encoder.says, part.gathered = read, lambda: order.append("gathered")
    asyncio.run(rank(fusion, "anna"))
    assert order == ["sent", "gathered"]


def test_what_fails_to_begin_fails_by_itself(fusion: Fusion) -> None:
    part: Any = fusion._parts["one"]

    def begin(found: list[str | None]) -> int:
        if "bert" in found:
            raise ValueError("cannot be scored")
        return len(found)

    part.begin = begin
    anna, bert = asyncio.run(rank(fusion, "anna", "bert"))
    assert anna.items == [{"item_id": "anna"}] and bert == Failed("ValueError")


@pytest.mark.parametrize("amiss", ["fails", "is let go"])
def test_what_is_amiss_with_candidates_does_not_wait_for_a_late_encoder(fusion: Fusion, amiss: str) -> None:
    part: Any = fusion._parts["one"]
    encoder: Any = fusion._encoder

    def fail() -> None:
        raise ValueError("no candidates")

    async def let_go() -> Any:
        asked = asyncio.create_task(rank(fusion, "anna"))
        await asyncio.sleep(0)  # it has looked whether the model is held
        del fusion._parts["one"]
        return await asked

    encoder.says, part.gathered = lambda asks: asyncio.sleep(SOON), fail
    began = time.monotonic()
    found = asyncio.run(rank(fusion, "anna") if amiss == "fails" else let_go())
    assert found == [Failed("ValueError") if amiss == "fails" else Missing("one")]
    assert time.monotonic() - began < SOON / 2


def test_an_answer_needs_no_event_loop_once_the_encoder_has_been_heard(fusion: Fusion) -> None:
    part: Any = fusion._parts["one"]
    gathered, still, scored, without = threading.Event(), threading.Event(), threading.Event(), []
    part.gathered, part.begun, part.scored = gathered.set, lambda: still.wait(SOON), scored.set

    async def stand_still() -> None:
        await asyncio.to_thread(gathered.wait, SOON)
        still.set()
        without.append(scored.wait(SOON))

    async def both() -> Any:
        return await asyncio.gather(rank(fusion, "anna"), stand_still())

    (answer,), _ = asyncio.run(both())
    assert without == [True] and (answer.items, answer.heard) == ([{"item_id": "anna"}], 7)


@pytest.mark.parametrize(
    ("ask", "late", "expected"),
    [
        (Ask("anna", 9), False, "11"),
        (Ask("anna", 9), True, "12"),
        (Ask("anna", 9, explain=True), False, "22"),
        (Ask("anna", 9, diversity=0.5), False, "22"),
    ],
)
def test_a_short_request_alone_stays_in_one_thread_if_the_encoder_is_in_time(
    fusion: Fusion, ask: Ask, late: bool, expected: str
) -> None:
    part: Any = fusion._parts["one"]
    encoder: Any = fusion._encoder
    begun, threads = threading.Event(), [""]

    async def read(asks: list[Ask]) -> list[Heard]:
        if late:
            await asyncio.to_thread(begun.wait, SOON)
            await asyncio.sleep(0.1)
        return [heard(7) for _ in asks]

    def here() -> str:
        return threading.current_thread().name.removesuffix("_0")

    def begin() -> None:
        threads.append(here())
        begun.set()

    encoder.says, part.gathered = read, lambda: threads.__setitem__(0, here())
    part.begun, part.scored = begin, lambda: threads.append(here())
    (answer,) = asyncio.run(fusion.rank("one", [ask], [(0, 0)], [Waits(SOON, SOON)]))
    names = {"1": "timerec", "2": "timerec-scoring"}
    assert threads == ["timerec", *(names[number] for number in expected)] and answer.heard == 7


def test_one_batch_is_scored_while_the_next_is_gathered(fusion: Fusion) -> None:
    part: Any = fusion._parts["one"]
    gathered, next_gathered, beside = 0, threading.Event(), []

    def count() -> None:
        nonlocal gathered
        gathered += 1
        if gathered == 2:
            next_gathered.set()

    part.gathered, part.scored = count, lambda: beside.append(next_gathered.wait(SOON))

    async def both() -> Any:
        return await asyncio.gather(rank(fusion, "anna"), rank(fusion, "bert"))

    found = asyncio.run(both())
    assert beside == [True, True]
    assert [answer.items[0]["item_id"] for (answer,) in found] == ["anna", "bert"]


@pytest.mark.parametrize("fault", [RayActorError(), KeyError("a fault of its own"), asyncio.CancelledError(), None])
def test_without_the_encoder_an_answer_lacks_what_it_says(fusion: Fusion, fault: BaseException | None) -> None:
    async def read(asks: list[Ask]) -> Any:
        if fault is None:  # it is late
            await asyncio.sleep(SOON)
        raise fault or AssertionError

    encoder: Any = fusion._encoder
    encoder.says = read
    found = asyncio.run(rank(fusion, "anna", "bert", seconds=0.05))
    assert [(answer.items[0]["item_id"], answer.heard) for answer in found] == [("anna", None), ("bert", None)]


def test_a_request_that_the_encoder_cannot_read_takes_nothing_from_the_others(fusion: Fusion) -> None:
    encoder: Any = fusion._encoder
    encoder.says = lambda asks: [Failed("ValueError") if ask.user_id == "bert" else heard(7) for ask in asks]
    found = asyncio.run(rank(fusion, "anna", "bert", "cleo"))
    assert [answer.heard for answer in found] == [7, None, 7]


def test_a_request_that_cannot_be_computed_costs_the_others_no_second_call(fusion: Fusion) -> None:
    calls: list[int] = []
    encoder: Any = fusion._encoder
    part: Any = fusion._parts["one"]

    def read(asks: list[Ask]) -> list[Heard]:
        calls.append(len(asks))
        return [heard(place) for place in range(len(asks))]

    def answer(found: list[str | None], begun: int, heard: list[Heard | None]) -> list[Answer]:
        if "bert" in found:
            raise ZeroDivisionError
        return Part.answer(part, found, begun, heard)

    encoder.says, part.answer = read, answer
    anna, bert, cleo = asyncio.run(rank(fusion, "anna", "bert", "cleo"))
    assert (anna.heard, bert, cleo.heard, calls) == (0, Failed("ZeroDivisionError"), 2, [3])


def test_who_has_gone_takes_the_call_to_the_encoder_along(fusion: Fusion) -> None:
    cancelled: list[bool] = []

    async def read(asks: list[Ask]) -> None:
        try:
            await asyncio.sleep(SOON)
        except asyncio.CancelledError:
            cancelled.append(True)
            raise

    async def leave() -> None:
        asked = asyncio.create_task(rank(fusion, "anna"))
        await asyncio.sleep(0.05)
        asked.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asked

    encoder: Any = fusion._encoder
    encoder.says = read
    asyncio.run(leave())
    assert cancelled == [True]


@pytest.mark.parametrize(
    ("goes", "explain", "expected"),
    [("gathering", False, []), ("queued", True, []), ("beginning", False, ["begun"]), ("beginning", True, ["begun"])],
)
def test_for_who_has_gone_nothing_more_is_computed(fusion: Fusion, goes: str, explain: bool, expected: list[str]) -> None:
    part: Any = fusion._parts["one"]
    there, gone, done = threading.Event(), threading.Event(), []

    def stay() -> None:
        there.set()
        gone.wait(SOON)

    def begin() -> None:
        done.append("begun")
        if goes == "beginning":
            stay()

    async def leave() -> None:
        asked = asyncio.create_task(fusion.rank("one", [Ask("anna", 9, explain=explain)], [(0, 0)], [Waits(SOON, SOON)]))
        await asyncio.to_thread(there.wait, SOON)
        if goes == "queued":
            await asyncio.to_thread(fusion._thread.submit(lambda: None).result, SOON)  # its candidates are handed on
        asked.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asked

    part.begun, part.scored = begin, lambda: done.append("scored")
    if goes == "gathering":
        part.gathered = stay
    elif goes == "queued":  # behind another batch
        part.gathered = there.set
        fusion._scoring.submit(gone.wait, SOON)
    asyncio.run(leave())
    gone.set()
    fusion._thread.submit(lambda: None).result()
    fusion._scoring.submit(lambda: None).result()
    assert done == expected and fusion._in_work == 0


def test_a_model_that_fusion_or_encoder_does_not_hold_is_said_to_be_missing(fusion: Fusion) -> None:
    encoder: Any = fusion._encoder
    encoder.says = lambda asks: asyncio.sleep(SOON)
    began = time.monotonic()
    assert asyncio.run(rank(fusion, "anna", model="two")) == [Missing("two")]
    assert time.monotonic() - began < SOON / 2  # it does not wait for an encoder that is late
    assert fusion._task is not None  # which looks what models it shall hold
    encoder.says = lambda asks: [Missing("one") for _ in asks]
    assert asyncio.run(rank(fusion, "anna", "bert")) == [Missing("one")] * 2
