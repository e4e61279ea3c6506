"""Answering a request again as it was answered then: from the same bundle and exactly the events that each part knew."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, NamedTuple

from timerec.online.base import Base
from timerec.online.messages import Ask, Seen
from timerec.online.system import System
from timerec.schema import DataError
from timerec.store.base import EventStore
from timerec.store.events import Stored

CLOSE = 1e-5  # scores of one request in batches of other sizes differ in the last bits
PAGE = 10_000  # events read at once


class Replayed(NamedTuple):
    """An answer, then and now."""

    ask: Ask
    then: list[dict[str, Any]]  # items as they were answered
    now: list[dict[str, Any]]  # items of the replay, with the parts of their scores
    same: bool  # the same items in the same order, and scores within CLOSE


def replay(request_id: str, store: EventStore, base: Base) -> Replayed:
    """Replay a logged request.

    Raises:
        DataError: the store does not know the request, or another bundle or log answered it.
    """
    text = store.request(request_id)
    if text is None:
        raise DataError(f"request_id {request_id}: is not in this store (any more): give the store that the service wrote to")
    record = json.loads(text)
    answer = record["answer"]
    if answer["model"] != base.digest:
        raise DataError(
            f"request_id {request_id}: was answered by bundle and log {answer['model']}, these are {base.digest}: give the same"
        )
    ask = _ask(record["ask"])
    system = System(base)
    _catch_up(system, store, answer["seq"], record["heard"], record["forecast"])
    heard = system.reader.read([ask]) if record["heard"] is not None else [None]
    (found,) = system.ranker.rank([ask._replace(explain=True)], heard)
    return Replayed(ask, answer["items"], found.items, _alike(answer["items"], found.items))


def _catch_up(system: System, store: EventStore, seq: int, heard: int | None, forecast: list[int]) -> None:
    covered, told = forecast
    for stored in _pages(store, max(seq, heard or 0, told)):
        for part, last in ((system.live, seq), (system.history, heard or 0), (system.forecasts, told)):
            part.take([one for one in stored if one.seq <= last])
    forecasts = system.forecasts
    if told or covered > forecasts.covered:
        forecasts.renew(forecasts.origin + covered * forecasts.step)
        system.live.forecast(forecasts.table())


def _pages(store: EventStore, last: int) -> Iterator[list[Stored]]:
    at = 0
    while stored := [one for one in store.since(at, PAGE) if one.seq <= last]:
        yield stored
        at = stored[-1].seq


def _ask(told: dict[str, Any]) -> Ask:
    history = None if told["history"] is None else tuple(Seen(*one) for one in told["history"])
    items = None if told["items"] is None else tuple(told["items"])
    return Ask(**{**told, "history": history, "items": items, "exclude": tuple(told["exclude"])})


def _alike(then: list[dict[str, Any]], now: list[dict[str, Any]]) -> bool:
    if [one["item_id"] for one in then] != [one["item_id"] for one in now]:
        return False
    return all(abs(one["score"] - other["score"]) <= CLOSE for one, other in zip(then, now, strict=True))
