"""Requests and events as they are read: moments, limits, and what is said of what is amiss."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest

from serve_app.clock import Clock
from serve_app.problems import Problem
from serve_app.schemas import NewEvent, RecommendRequest
from serve_app.sent import AHEAD, Sent
from serve_app.settings import Limits

NOW = 1_500_000_000.25
DAY = 86_400


class Stopped(Clock):
    """A clock that stands."""

    def now(self) -> float:
        return NOW


@pytest.fixture
def sent() -> Sent:
    return Sent(Limits(k=50, items=3, history=2, late_days=10), Stopped(0.0))


def refused(work: Any) -> str:
    with pytest.raises(Problem) as caught:
        work()
    assert caught.value.status_code == 422
    return str(caught.value.detail)


def test_now_includes_this_second_and_a_moment_between_two_the_one_before(sent: Sent) -> None:
    assert sent.moment(None) == sent.request(RecommendRequest()).at == int(NOW) + 1
    assert sent.moment("1499999990") == sent.moment("1499999989.5") == 1_499_999_990
    assert sent.moment("2017-07-14T02:39:50Z") == sent.moment("2017-07-14T04:39:50+02:00") == 1_499_999_990
    assert sent.moment("2017-07-14T02:39:50") == 1_499_999_990  # UTC where it says nothing else
    assert sent.request(RecommendRequest(at=datetime(2017, 7, 14, 2, 39, 50))).at == 1_499_999_990


@pytest.mark.parametrize("text", ["then", "inf", "nan", "1e30", "1500000002", "2017-13-01", ""])
def test_no_moment_and_none_to_come(sent: Sent, text: str) -> None:
    assert refused(lambda: sent.moment(text)).startswith("at ")


def test_a_history_is_read_in_the_order_of_time(sent: Sent) -> None:
    events = [
        {"item_id": "b", "timestamp": 1_400_000_009.5},
        {"item_id": 7, "timestamp": 1_400_000_000, "event": "view", "value": 2},
    ]
    ask = sent.request(RecommendRequest.model_validate({"history": events, "k": 3, "exclude": ["x"], "items": []}))
    assert ask.history is not None
    assert [tuple(seen) for seen in ask.history] == [("7", 1_400_000_000, "view", 2.0), ("b", 1_400_000_009, "", 1.0)]
    assert (ask.user_id, ask.k, ask.exclude, ask.items) == (None, 3, ("x",), ())


@pytest.mark.parametrize(
    ("body", "name"),
    [
        ({"k": 51}, "k"),
        ({"exclude": ["a"] * 4}, "exclude"),
        ({"items": ["a"] * 4}, "items"),
        ({"history": [{"item_id": "a", "timestamp": 5}] * 3}, "history"),
    ],
)
def test_no_more_than_one_request_may_have(sent: Sent, body: dict[str, Any], name: str) -> None:
    assert refused(lambda: sent.request(RecommendRequest.model_validate(body))).startswith(f"{name}: ")


def test_events_are_of_their_second_neither_too_old_nor_to_come(sent: Sent) -> None:
    def event(timestamp: float | None) -> Any:
        return sent.event(NewEvent(user_id="u", item_id="i", timestamp=timestamp), NOW)

    assert event(None).timestamp == int(NOW) and len({event(None).event_id for _ in range(5)}) == 5
    assert event(NOW - 0.5).timestamp == int(NOW) - 1
    assert event(int(NOW) - 10 * DAY + 1).timestamp == int(NOW) - 10 * DAY + 1
    assert event(int(NOW) + AHEAD).timestamp == int(NOW) + AHEAD
    assert "days ago" in refused(lambda: event(int(NOW) - 10 * DAY - 1))
    assert "ahead" in refused(lambda: event(int(NOW) + AHEAD + 1)) and "1970" in refused(lambda: event(-1))
    assert sent.event(NewEvent(user_id="u", item_id="i", event_id="mine", event="view", value=2.5), NOW)[:6] == (
        "mine", "u", "i", int(NOW), "view", 2.5,
    )  # fmt: skip


def test_the_click_of_this_second_is_before_now(sent: Sent) -> None:
    ask = sent.request(RecommendRequest.model_validate({"history": [{"item_id": "a", "timestamp": NOW}]}))
    stored = sent.event(NewEvent(user_id="u", item_id="a", timestamp=NOW), NOW)
    assert ask.history is not None and ask.history[0].timestamp == stored.timestamp < ask.at
