"""A state that takes events from a store equals one that was built with them."""

from __future__ import annotations

import numpy as np
import pytest

from tests.unit.core_cases import KINDS, START, Events, attribute_rows, build_log, random_events, sources_of, state_of
from timerec.candidates import batch
from timerec.candidates.pairs import ForecastTable
from timerec.online.live import GUESTS, LiveHistory, LiveState
from timerec.online.messages import Seen
from timerec.state import State
from timerec.store.events import Event, Stored

WEIGHTS = {"buy": 2.7, "view": 0.3}


def state(events: Events, whole: Events) -> State:
    """A state on some of the events, with what was learnt on all of them."""
    return state_of(sources_of(build_log(whole))._replace(log=build_log(events)))


def stored(events: Events) -> list[Stored]:
    """The events as a store holds them, in order of arrival."""
    kinds = [*KINDS, "other"]
    told = zip(*(column.tolist() for column in (events.user, events.item, events.time, events.value, events.kind)), strict=True)
    return [
        Stored(number, Event(str(number), f"u{user}", f"i{item}", time, kinds[kind], value), 0.0)
        for number, (user, item, time, value, kind) in enumerate(told, 1)
    ]


def weighed(events: Events) -> Events:
    return events._replace(weight=np.array([WEIGHTS.get([*KINDS, "other"][kind], 1.0) for kind in events.kind], np.float32))


def built(live: LiveState, users, times) -> batch.Batch:
    return batch.build(
        live.sources, live.space, live.layout, np.asarray(users, np.int32), np.asarray(times, np.int64),
        extra_start=np.zeros(len(users) + 1, np.int64), extra_item=np.zeros(0, np.int32), history=8,
    )  # fmt: skip


@pytest.mark.parametrize("pieces", [1, 7, 400])
def test_answers_equal_those_of_a_state_built_with_the_same_events(pieces):
    events = weighed(random_events(11, 400))
    early = np.zeros(len(events.time), bool)
    early[np.random.default_rng(0).permutation(len(early))[:150]] = True  # what comes is late and early alike
    live = LiveState(state(events.where(early), events), WEIGHTS)
    whole = LiveState(state(events, events), WEIGHTS)
    coming = stored(events.where(~early))
    users, last = np.arange(-1, 12), int(events.time.max()) + 1
    for part in np.array_split(np.arange(len(coming)), pieces):
        built(live, users, np.full(13, last))  # what is remembered of this moment must not outlive the next event
        live.take([coming[place] for place in part])
    assert live.seq == len(coming)
    for t in (last, START + 10**6):
        one, other = (built(state, users, np.full(13, t)) for state in (live, whole))
        for name in batch.Batch._fields:
            np.testing.assert_array_equal(getattr(one, name), getattr(other, name), err_msg=name)


def test_what_is_there_already_counts_once():
    events = weighed(random_events(5, 120))
    live = LiveState(state(events, events), WEIGHTS)
    n = len(live.live)
    live.take(stored(events))
    assert len(live.live) == n
    new = Event("a", "u1", "i2", START + 10**7, "buy", 1.0)
    rows = live.take([Stored(900, new, 0.0), Stored(901, new._replace(event_id="b", value=3.0), 0.0)])
    assert (len(rows.user), len(live.live), live.seq) == (1, n + 1, 901)
    live.take([Stored(902, new._replace(event_id="c", event="view"), 0.0)])
    assert len(live.live) == n + 2


def test_new_people_and_new_items_are_answered_and_offered():
    events = weighed(random_events(3, 300))
    live = LiveState(state(events, events), WEIGHTS)
    t = int(events.time.max())
    coming = [Stored(k, Event(str(k), f"new{k % 90}", f"fresh{k % 80}", t + k, "buy"), 0.0) for k in range(1, 400)]
    live.take(coming)
    user = live.intake.users.index("new3")
    found = built(live, [user], [t + 1000])
    fresh = {live.intake.items.index(f"fresh{k}") for k in range(80)}
    assert fresh & set(found.items[0, : found.count[0]].tolist())
    assert np.isfinite(found.features).all() and found.context[0, 9] == 0.0  # not cold
    forecast = [name.startswith("forecast_") for name in live.layout.names]
    row = next(place for place in range(found.count[0]) if found.items[0, place] in fresh)
    assert (found.features[0, row][forecast] == 0.0).all()


def test_a_guest_is_answered_as_a_user_with_that_history_and_leaves_no_trace():
    events = weighed(random_events(8, 300))
    alone = events.user != 4
    live, t = LiveState(state(events.where(alone), events), WEIGHTS), int(events.time.max()) + 5
    mine = events.where(~alone)
    kinds = [*KINDS, "other"]
    told = [
        Seen(f"i{item}", time, kinds[kind], value)
        for item, time, value, kind in zip(mine.item, mine.time, mine.value, mine.kind, strict=True)
    ]
    before = built(live, [1], [t])
    guests = live.host([told[::-1], [Seen("unknown", t)]], [t, t])
    both = built(live, guests, [t, t])
    own = live.live.log
    start = own.user_start[guests[0]]
    assert own.event_item[start : start + own.user_size[guests[0]]].tolist() == mine.item.tolist()
    assert own.user_size[guests[1]] == 0
    assert both.history[0, -1] == mine.item[-1] and both.history[1, -1] == -1
    after = built(live, [1], [t])
    for name in batch.Batch._fields:
        np.testing.assert_array_equal(getattr(before, name), getattr(after, name), err_msg=name)
    assert len(live.host([[]] * GUESTS, [t] * GUESTS)) == GUESTS


def test_a_guest_may_bring_an_item_that_nobody_had_before():
    events = weighed(random_events(5, 200))
    live = LiveState(state(events, events), WEIGHTS)
    first = int(events.time.min())
    for t in (first - 10**6, first, 1, -10):
        guest = live.host([[Seen(f"i{events.item[0]}", t - 5, "buy", 1.0)]], [t])
        found = built(live, guest, [t])
        assert found.context[0, 4] > 0  # the history is read
        for name in ("context", "features", "gaps", "values"):
            assert np.isfinite(getattr(found, name)).all(), (name, t)


def test_a_history_longer_than_any_before_is_answered():
    events = weighed(random_events(8, 60))
    live, t = LiveState(state(events, events), WEIGHTS), int(events.time.max()) + 10**6
    guest = live.host([[Seen(f"i{k % 25}", t - 500 + k) for k in range(400)]], [t])
    assert built(live, guest, [t]).context[0, 4] == pytest.approx(np.log1p(400))


@pytest.mark.parametrize("known", [25, 500])  # fewer and more items than there is room for
def test_another_table_of_forecasts_is_read_from_the_next_answer_on(known: int):
    events = weighed(random_events(2, 200))
    live, t = LiveState(state(events, events), WEIGHTS), int(events.time.max()) + 1
    table = live.sources.forecast
    ones = ForecastTable(
        np.arange(known + 1, dtype=np.int64), np.zeros(known, np.int32),
        np.full((known, table.values.shape[1]), 7.0, np.float32), table.origin, table.step,
    )  # fmt: skip
    built(live, [1], [t])
    compiled = len(batch._fill.signatures)
    for array in (ones.values, ones.offsets, ones.first_step):
        array.flags.writeable = False  # as what comes out of Ray's object store
    live.forecast(ones)
    found = built(live, [1], [t])
    assert len(batch._fill.signatures) == compiled
    forecast = [name.startswith("forecast_") for name in live.layout.names]
    assert (found.features[0, : found.count[0]][:, forecast] == 7.0).all()


def test_a_log_without_counters_reads_the_same_histories():
    from timerec.candidates.window import windows

    events = weighed(random_events(6, 300))
    early = np.arange(len(events.time)) % 2 == 0
    whole = state_of(sources_of(build_log(events.where(early), attributes=attribute_rows(3, 25))))
    live = LiveHistory(whole, WEIGHTS, counters=False)
    live.take(stored(events.where(~early)))
    users, times = np.arange(-1, 12, dtype=np.int32), np.full(13, START + 40 * 86_400)
    found = windows(live.live.log, users, times, 8)
    expected = built(LiveState(state(events, events), WEIGHTS), users, times)
    for name in found._fields:
        np.testing.assert_array_equal(getattr(found, name), getattr(expected, name), err_msg=name)
    for name in ("occurrence_state", "attribute_time", "attribute_value"):  # the bulk of a log, which it does without
        assert getattr(whole.log, name).size, name
        assert not getattr(live.live.log, name).size, name
