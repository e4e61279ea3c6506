"""A running system, event by event, answers as `timerec recommend` does from the finished log."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.conftest import SmallRun
from tests.small_data import DAYS, START, small_log, write_small
from timerec.bundle import FORECASTER
from timerec.clock import DAY
from timerec.forecaster.frozen import MODEL
from timerec.online.base import Base, open_base
from timerec.online.forecasts import LiveForecasts
from timerec.online.messages import Ask, Seen
from timerec.online.similar import Likeness
from timerec.online.system import System
from timerec.pipeline.recommend import recommend
from timerec.recommend import Recommender
from timerec.store.events import Event, Stored

CUT = START + 100 * DAY + 3 * 3600
END = START + DAYS * DAY
NEW_USER, NEW_ITEM = 77_777, 55


@pytest.fixture(scope="module")
def log() -> pd.DataFrame:
    """The small log, and a user and an item that come only behind the cut, in seconds of their own.

    What one second holds stands in the order of indices, and those of newcomers are others in a finished log.
    """
    log, rng = small_log(), np.random.default_rng(1)
    new = rng.choice(log.index[log["timestamp"] >= CUT], 80, replace=False)
    log.loc[new[:40], "item_id"], log.loc[new[40:], "user_id"] = NEW_ITEM, NEW_USER
    log.loc[new, "timestamp"] += 1 + np.arange(80)
    return log.drop_duplicates(["user_id", "item_id", "timestamp"])


@pytest.fixture(scope="module")
def early(small_run: SmallRun, log: pd.DataFrame, tmp_path_factory: pytest.TempPathFactory) -> Base:
    folder = tmp_path_factory.mktemp("early")
    data = write_small(folder / "data", log[log["timestamp"] < CUT])
    return open_base(small_run.bundle, folder / "base", data)


@pytest.fixture(scope="module")
def own(small_run: SmallRun, tmp_path_factory: pytest.TempPathFactory) -> Base:
    return open_base(small_run.bundle, tmp_path_factory.mktemp("own"))


def stored(rows: pd.DataFrame) -> list[Stored]:
    told = zip(*(rows[name].tolist() for name in ("user_id", "item_id", "timestamp", "event", "value")), strict=True)
    return [Stored(seq, Event(str(seq), str(u), str(i), t, e, v), 0.0) for seq, (u, i, t, e, v) in enumerate(told, 1)]


def test_replayed_event_by_event_it_answers_as_from_the_finished_log(small_run, log, early, tmp_path: Path):
    coming = stored(log[log["timestamp"] >= CUT].sort_values("timestamp", kind="stable"))
    rng = np.random.default_rng(2)
    chosen = np.sort(rng.choice(len(coming), 80, replace=False))
    requests = pd.DataFrame(
        {
            "request_id": np.arange(80),
            "user_id": [int(coming[place].event.user_id) for place in chosen],
            "timestamp": [coming[place].event.timestamp for place in chosen],
        }
    )
    requests.loc[5, "user_id"] = 5  # a stranger
    requests.to_parquet(tmp_path / "requests.parquet")
    recommend(small_run.bundle, write_small(tmp_path / "data", log), tmp_path / "requests.parquet", tmp_path / "out.parquet", 10)
    expected = pd.read_parquet(tmp_path / "out.parquet")

    system, sent, answers = System(early), 0, []
    early_steps = system.forecasts.covered
    for user, at in zip(requests["user_id"], requests["timestamp"], strict=True):
        due = sent
        while due < len(coming) and coming[due].event.timestamp < at:
            due += 1
        system.take(coming[sent:due])
        sent = due
        answers += system.answer([Ask(str(user), int(at))])
    assert system.forecasts.covered >= early_steps + 2  # the replay crosses the ends of steps
    assert system.live.intake.users.index(str(NEW_USER)) >= 0 and system.live.intake.items.index(str(NEW_ITEM)) >= 0
    for number, answer in enumerate(answers):
        rows = expected[expected["request_id"] == number]
        assert [item["item_id"] for item in answer.items] == rows["item_id"].astype(str).tolist(), number
        np.testing.assert_allclose([item["score"] for item in answer.items], rows["score"], atol=1e-5)
    assert [answer.known for answer in answers][5] is False


def test_late_events_are_as_if_they_had_come_in_time(log, early):
    coming = stored(log[log["timestamp"] >= CUT].sort_values("timestamp", kind="stable"))
    shuffled = [coming[place] for place in np.random.default_rng(3).permutation(len(coming))]
    ordered, mixed = System(early), System(early)
    ordered.take(coming)
    for first in range(0, len(shuffled), 97):
        mixed.take(shuffled[first : first + 97])
    asks = [Ask(str(user), END) for user in sorted(log["user_id"].unique())[:40]]
    for one, other in zip(ordered.answer(asks), mixed.answer(asks), strict=True):
        assert [item["item_id"] for item in one.items] == [item["item_id"] for item in other.items]
        np.testing.assert_allclose([i["score"] for i in one.items], [i["score"] for i in other.items], atol=1e-5)


def test_one_base_answers_as_the_recommender_and_is_unpacked_once(small_run, own, tmp_path_factory):
    again = open_base(small_run.bundle, own.files.prepared.parent.parent)
    assert again.digest == own.digest and again.files == own.files
    users = [str(user) for user in range(1000, 1040)]
    answers = System(own).answer([Ask(user, END) for user in users])
    recommender = Recommender.load(small_run.bundle)
    for user, answer in zip(users, answers, strict=True):
        expected = recommender.recommend([int(user)], at=END, k=10)
        assert [item["item_id"] for item in answer.items] == expected["item_id"].astype(str).tolist()
        np.testing.assert_allclose([item["score"] for item in answer.items], expected["score"], atol=1e-5)


def test_parts_sum_to_the_score(own):
    (answer,) = System(own).answer([Ask("1003", END, explain=True)])
    for item in answer.items:
        assert sum(item["parts"].values()) == pytest.approx(item["score"], abs=1e-4)


def test_without_the_encoder_there_is_an_answer_without_its_term(own):
    asks = [Ask("1003", END), Ask("1004", END)]
    system = System(own)
    full, less = system.answer(asks), system.answer(asks, encoder=False)
    mixed = system.ranker.rank(asks, [None, system.reader.read(asks)[1]])
    assert [len(answer.items) for answer in less] == [10, 10]
    assert [item["score"] for item in less[0].items] != [item["score"] for item in full[0].items]
    np.testing.assert_allclose(scores(mixed[0]), scores(less[0]), atol=1e-5)
    np.testing.assert_allclose(scores(mixed[1]), scores(full[1]), atol=1e-5)


def test_what_happens_between_candidates_and_score_is_in_no_answer(own):
    system = System(own)
    asks = [
        Ask("1003", END, diversity=0.5),
        Ask(None, END, history=(Seen("100", END - 60, "buy", 1.0),)),
        Ask("1004", END, explain=True),
    ]
    expected = system.answer(asks)
    found, heard = system.ranker.candidates(asks), system.reader.read(asks)
    begun = system.ranker.begin(found)
    events = [Event(str(n), "1003", f"new {n}", END - 9, "buy", 1.0) for n in range(100)]  # more items than there is room for
    system.take([Stored(seq, event, 0.0) for seq, event in enumerate(events, 1)])
    system.ranker.candidates([Ask(None, END, history=(Seen("105", END - 5, "buy", 1.0),))])  # another guest in the same place
    assert system.ranker.score(found, begun, heard) == expected
    (now,) = system.answer([asks[0]])
    assert now.seq == 100 and now.items != expected[0].items


def test_what_is_known_only_later_changes_no_answer(own):
    system = System(own)
    asks = [
        Ask("later", END),
        Ask("1003", END, items=("later", "103")),
        Ask(None, END, history=(Seen("later", END - 60, "buy", 1.0), Seen("103", END - 50, "buy", 1.0))),
        Ask(None, END, history=(Seen("later", END - 60, "buy", 1.0),)),
    ]
    likeness = Likeness(system.live)
    expected, alike = system.answer(asks), likeness.like("later", 5, END)
    system.take([Stored(1, Event("a", "later", "later", END, "buy", 1.0), 0.0)])
    told = [answer._replace(seq=0) for answer in system.answer(asks)]
    assert told == [answer._replace(seq=0) for answer in expected]
    assert alike is None and likeness.like("later", 5, END) is None and system.forecasts.item("later", END) is None
    after = [ask._replace(at=END + 1) for ask in asks]
    assert [answer.known for answer in system.answer(after)] == [True, True, True, True]
    assert "later" in [item["item_id"] for item in system.answer(after)[1].items]
    assert likeness.like("later", 5, END + 1) is not None and system.forecasts.item("later", END + 1) is not None


def scores(answer) -> list[float]:
    return [item["score"] for item in answer.items]


def test_filters_keep_to_what_was_asked(own):
    system = System(own)
    (plain,) = system.answer([Ask("1003", END, k=60)])
    by_id = {item["item_id"]: item["score"] for item in plain.items}
    wanted = ("100", "103", "106", "nothing")
    (only,) = system.answer([Ask("1003", END, items=wanted)])
    assert {item["item_id"] for item in only.items} == {"100", "103", "106"}
    for item in only.items:
        assert item["score"] == pytest.approx(by_id[item["item_id"]], abs=1e-5)
    (bread,) = system.answer([Ask("1003", END, category="bread", k=50)])
    assert {item["category"] for item in bread.items} == {"bread"} and len(bread.items) == 12
    (nothing,) = system.answer([Ask("1003", END, category="no such")])
    assert nothing.items == []
    first = plain.items[0]["item_id"]
    (without,) = system.answer([Ask("1003", END, exclude=(first,))])
    assert first not in {item["item_id"] for item in without.items}
    assert [item["item_id"] for item in without.items] == [item["item_id"] for item in plain.items[1:11]]


def test_diversity_brings_other_categories_and_keeps_the_best_first(own):
    system = System(own)
    plain, mixed = (system.answer([Ask("1003", END, k=5, diversity=weight)])[0] for weight in (0.0, 0.7))
    assert plain.items[0]["item_id"] == mixed.items[0]["item_id"]
    assert len({item["category"] for item in mixed.items}) == 5 > len({item["category"] for item in plain.items})


def test_someone_who_brings_a_history_is_answered_as_a_user_with_it(log, own):
    mine = log[(log["user_id"] == 1005)]
    seen = tuple(
        Seen(str(item), int(time), kind, value)
        for item, time, kind, value in zip(mine["item_id"], mine["timestamp"], mine["event"], mine["value"], strict=True)
    )
    guest, stranger = System(own).answer([Ask(None, END, history=seen), Ask(None, END)])
    assert guest.known and not stranger.known
    taken = set(mine["item_id"].astype(str))
    assert len(taken & {item["item_id"] for item in guest.items}) > len(taken & {item["item_id"] for item in stranger.items})


def test_an_item_is_forecast_as_of_then(log, own):
    forecasts = System(own).forecasts
    at = forecasts.origin + 60 * DAY
    found = forecasts.item("103", at)
    assert found is not None and found["step_seconds"] == forecasts.step
    counted = log[(log["item_id"] == 103) & (log["timestamp"] < at // forecasts.step * forecasts.step)]
    assert len(found["forecast"]) == 4 and all(one["q10"] <= one["q50"] <= one["q90"] for one in found["forecast"])
    assert found["forecast"][0]["from"] == found["series"][-1]["from"] + forecasts.step <= at
    assert sum(one["count"] for one in found["series"]) <= len(counted) + 1
    assert forecasts.item("no such", at) is None


def test_when_a_silent_item_wakes_is_in_no_forecast_before(small_run, own, tmp_path: Path):
    bundle = shutil.copytree(small_run.bundle, tmp_path / "bundle")
    facts = json.loads((bundle / FORECASTER / MODEL).read_text())
    (bundle / FORECASTER / MODEL).write_text(json.dumps(facts | {"quiet": 5}))
    sleeps, wakes = (LiveForecasts(own.files, bundle, own.weights) for _ in range(2))
    at = sleeps.origin + (sleeps.covered + 20) * sleeps.step
    wakes.take([Stored(1, Event("a", "1003", "103", at + 3 * sleeps.step, "buy", 1.0), 0.0)])
    sleeps.renew(at)
    wakes.renew(at + 10 * sleeps.step)
    found = sleeps.item("103", at)
    assert found == wakes.item("103", at) != wakes.item("103", at + 10 * sleeps.step)
    assert found["forecast"][0]["from"] == at == found["series"][-1]["from"] + sleeps.step
    assert [row["count"] for row in found["series"][-19:]] == [0.0] * 19


def test_likeness_knows_what_goes_together_and_is_as_of_then(own):
    likeness = Likeness(System(own).live)
    found = likeness.like("103", 5, END)
    assert found is not None and found[0][1] == "together"
    assert [score for _, _, score in found] == sorted((score for _, _, score in found), reverse=True)
    assert likeness.like("no such", 5, END) is None
    assert likeness.like("103", 5, START) == []
