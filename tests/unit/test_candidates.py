"""Who is scored, and that pairs asked for beside them change nothing."""

from __future__ import annotations

import numpy as np
import pytest

from tests.unit.core_cases import KINDS, START, attribute_rows, build_batch, build_log, layout_of, random_events, sources_of
from tests.unit.test_trending import log2_counters
from timerec.candidates.batch import build
from timerec.candidates.pairs import TREND, workspace
from timerec.candidates.without import NEAR
from timerec.clock import DAY, HALF_LIVES
from timerec.eventlog import TOP

ITEMS, USERS = 150, 10
PROPOSING = {"next": 1e-3, "around": 1e-3, "basket": 1e-3, "similar_fast": None, "similar_slow": None}


@pytest.fixture(scope="module", params=[True, False], ids=["repeats", "no repeats"])
def case(request):
    events = random_events(3, 1500, users=USERS, items=ITEMS)
    log = build_log(events, users=USERS, items=ITEMS, attributes=attribute_rows(3, ITEMS))
    return events, sources_of(log, repeats=request.param), layout_of(log)


def test_candidates_are_own_items_neighbours_and_trends(case):
    events, sources, names = case
    users, times = np.arange(-1, USERS), np.linspace(START + 25 * DAY, START + 60 * DAY, USERS + 1).astype(np.int64)
    built = build_batch(sources, names, users, times, [list(range(ITEMS))] * len(users))
    sizes = set()
    for r, (user, t) in enumerate(zip(users, times, strict=True)):
        own = set(events.item[(events.user == user) & (events.time < t)])
        scores = {}
        for name, floor in PROPOSING.items():
            column = built.features[r, :ITEMS, names.names.index(name)].astype(float)
            if floor:  # logarithms of the scores, back
                column = np.exp(column) - floor
                column[column < 1e-8] = 0
            scores[name] = np.zeros(ITEMS)
            scores[name][built.items[r, :ITEMS]] = column
        must, may = (set(own), set(own)) if sources.repeats else (set(), set())
        allowed = np.array([sources.repeats or item not in own for item in range(ITEMS)])
        for score in scores.values():
            take(score * allowed, NEAR, 1e-5, must, may)
        for half_life in HALF_LIVES:
            heat = log2_counters(events, t, half_life, ITEMS)
            listed = heat >= np.sort(heat)[-TOP]
            take(np.where(allowed & listed, heat - heat[np.isfinite(heat)].min() + 1, -1), TREND, 1e-5, must, may)
        found = built.items[r, : built.standard[r]].tolist()
        assert len(found) == len(set(found))
        assert must <= set(found) <= may
        sizes.add(len(found))
    assert 3 * TREND < max(sizes) < ITEMS  # neither empty nor everything


def take(score, most, close, must, may):
    """The best that are positive; near ties at the border may fall either way."""
    positive = np.sort(score[score > 0])[::-1]
    border = positive[most - 1] if len(positive) >= most else 0
    must |= set(np.flatnonzero((score > border + close * max(border, 1e-3)) & (score > 0)))
    may |= set(np.flatnonzero((score >= border - close * max(border, 1e-3)) & (score > 0)))


def test_pairs_asked_for_change_nothing_for_the_others(case):
    _, sources, names = case
    users, times = np.arange(-1, USERS), np.full(USERS + 1, START + 40 * DAY)
    plain = build_batch(sources, names, users, times)
    asked = [[5, 5, 149, *range(r, r + 20)] for r in range(len(users))]
    more = build_batch(sources, names, users, times, asked)
    assert (plain.count == plain.standard).all()
    np.testing.assert_array_equal(more.standard, plain.standard)
    np.testing.assert_array_equal(more.best, plain.best)  # of the own candidates, whatever else is scored
    for r, n in enumerate(plain.standard):
        np.testing.assert_array_equal(plain.best[r], plain.features[r, :n].max(0, initial=-np.inf))
    np.testing.assert_array_equal(more.context, plain.context)
    for r, count in enumerate(plain.standard):
        np.testing.assert_array_equal(more.items[r, :count], plain.items[r, :count])
        np.testing.assert_array_equal(more.features[r, :count], plain.features[r, :count])
        everyone = more.items[r, : more.count[r]].tolist()
        assert len(everyone) == len(set(everyone))
        assert set(everyone) == {*plain.items[r, :count], *asked[r]}
        assert not more.items[r, more.count[r] :].any()
        assert not more.features[r, more.count[r] :].any()


def test_scratch_memory_is_left_as_it_was(case):
    _, sources, names = case
    ws, fresh = (workspace(sources.log, len(KINDS)) for _ in range(2))
    users, times = np.arange(-1, USERS, dtype=np.int32), np.full(USERS + 1, START + 55 * DAY)
    extra = np.arange(USERS + 2) * 3, np.arange((USERS + 1) * 3, dtype=np.int32)
    how = {"extra_start": extra[0], "extra_item": extra[1], "history": 5}
    first = build(sources, ws, names, users, times, **how)
    for name in ("candidate_slot", "identity", "near", "fellow_near", "fellow_ahead"):
        np.testing.assert_array_equal(getattr(ws, name), getattr(fresh, name), err_msg=name)
    for name in ("items", "categories", "families"):
        np.testing.assert_array_equal(getattr(ws, name).slot, getattr(fresh, name).slot, err_msg=name)
    again = build(sources, ws, names, users[::-1].copy(), times, **how)
    alone = build(sources, fresh, names, users[:1], times[:1], extra_start=np.zeros(2, int), extra_item=extra[1][:0], history=5)
    np.testing.assert_array_equal(again.features[-1, : alone.count[0]], alone.features[0])
    np.testing.assert_array_equal(first.features[0, : alone.count[0]], alone.features[0])


def test_requests_of_one_moment_share_what_is_no_users_and_of_another_one_nothing(case, monkeypatch):
    _, sources, names = case
    monkeypatch.setattr("timerec.candidates.shared.ROOM", 5)  # less than one request has: what is remembered is overwritten
    small = workspace(sources.log, len(KINDS))
    monkeypatch.undo()
    large = workspace(sources.log, len(KINDS))
    users = np.tile(np.arange(USERS, dtype=np.int32), 3)
    times = np.repeat([START + 40 * DAY, START + 55 * DAY, START + 40 * DAY], USERS)
    none = np.zeros(len(users) + 1, np.int64), np.zeros(0, np.int32)

    def of(ws, rows):
        told = {"extra_start": none[0][: len(rows) + 1], "extra_item": none[1], "history": 0}
        return build(sources, ws, names, users[rows], times[rows], **told)

    everybody = np.arange(len(users))
    for ws in (small, large):
        together = of(ws, everybody)
        assert (ws.shared.sizes[0] > 5) == (ws is large)
        for row in everybody:
            alone = of(workspace(sources.log, len(KINDS)), everybody[row : row + 1])
            count = alone.count[0]
            assert together.count[row] == count
            np.testing.assert_array_equal(together.items[row, :count], alone.items[0])
            np.testing.assert_array_equal(together.features[row, :count], alone.features[0])


def test_layout_covers_the_columns_group_by_group(case):
    names = case[2]
    assert len(set(names.names)) == names.width == sum(s.stop - s.start for s in names.groups.values())
    at = {name: [names.names[k] for k in range(s.start, s.stop)] for name, s in names.groups.items()}
    assert {"next", "text_last", "similar_slow"} <= set(at["taste"])
    assert {"item_due", "category_due", "family_due"} <= set(at["habit"])
    assert {"decay_7", "category_7", "price_level", "forecast_period"} <= set(at["momentum"])
