"""Training requests, their draw, sizes of segments and the validation metric."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.core_cases import SPAN, START, build_log, random_events
from timerec.clock import DAY
from timerec.config import TrainConfig
from timerec.evaluation.metrics import ranking_metrics
from timerec.training.fit import ndcg
from timerec.training.requests import between, draw
from timerec.training.rules import FEWEST, SEGMENT, SEGMENTS, SEGMENTS_SMALL, SMALL, last_size, segments


def as_dict(requests):
    """{(user, time): [items]} of requests."""
    spans = zip(requests.user, requests.time, requests.start[:-1], requests.start[1:], strict=True)
    return {(int(u), int(t)): requests.item[a:b].tolist() for u, t, a, b in spans}


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000), st.booleans())
def test_requests_are_what_a_user_took_at_one_second(seed, repeats):
    rng = np.random.default_rng(seed)
    events = random_events(seed, 300)
    twice = rng.integers(0, len(events.time), 20)  # the same item twice in a second is one target
    events = events.plus(events.where(twice))
    start, end = np.sort(rng.choice(events.time, 2))
    known = np.where(rng.random(25) < 0.5, rng.choice(events.time, 25), 0)  # an item is on offer from that second on
    expected: dict = {}
    for user, item, time, *_ in zip(*(column.tolist() for column in events), strict=True):
        had = ((events.user == user) & (events.item == item) & (events.time < time)).any()
        if start <= time < end and known[item] <= time and (repeats or not had):
            expected.setdefault((user, time), set()).add(item)
    found = between(build_log(events), known, int(start), int(end), repeats)
    assert as_dict(found) == {key: sorted(items) for key, items in expected.items()}


def test_take_keeps_order_and_items():
    requests = between(build_log(random_events(1)), np.zeros(25), START, START + SPAN, True)
    rows = np.array([5, 0, 5, 2])
    taken = requests.take(rows)
    for place, row in enumerate(rows):
        assert (taken.user[place], taken.time[place]) == (requests.user[row], requests.time[row])
        own = slice(requests.start[row], requests.start[row + 1])
        assert taken.item[taken.start[place] : taken.start[place + 1]].tolist() == requests.item[own].tolist()


def test_draw_takes_each_request_once_and_newer_ones_more_often():
    requests = between(build_log(random_events(2, 1200, users=40), users=40), np.zeros(25), START, START + SPAN, True)
    now, half_life, n = START + SPAN, 15 * DAY, len(requests.user) // 10
    age = np.concatenate([now - draw(requests, n, half_life, now, seed).time for seed in range(200)])
    assert len(set(as_dict(draw(requests, n, half_life, now, 1)))) == n
    assert as_dict(draw(requests, 10**6, half_life, now, 1)) == as_dict(requests)
    weight = np.exp2(-(now - requests.time) / half_life)
    for border in (10 * DAY, 20 * DAY, 40 * DAY):
        share = weight[now - requests.time < border].sum() / weight.sum()
        assert (age < border).mean() == pytest.approx(share, abs=0.04)
    one, same, other = (draw(requests, n, half_life, now, seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(one.time, same.time)
    assert not np.array_equal(one.time, other.time)
    assert (np.diff(one.time) < 0).any()  # in random order
    assert (np.diff(one.time) > 0).any()


@pytest.mark.parametrize(
    ("settings_", "available", "expected"),
    [
        ({}, 300, (300, SEGMENTS_SMALL)),  # a tiny log: everything in each
        ({}, 900, (FEWEST, SEGMENTS_SMALL)),
        ({}, 30_000, (10_000, SEGMENTS_SMALL)),
        ({}, SMALL, (SEGMENT, SEGMENTS_SMALL)),
        ({}, SMALL + 1, (SEGMENT, SEGMENTS)),
        ({}, 10**6, (SEGMENT, SEGMENTS)),
        ({"requests": 700, "epochs": 3}, 10**6, (700, 3)),
        ({"requests": 700}, 400, (400, SEGMENTS_SMALL)),
    ],
)
def test_sizes_follow_from_the_data(settings_, available, expected):
    assert segments(TrainConfig(**settings_), available) == expected


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000), st.integers(3, 30))
def test_validation_metric_is_that_of_the_evaluation(seed, width):
    rng = np.random.default_rng(seed)
    items = np.stack([rng.permutation(60)[:width] for _ in range(8)])
    truth = [np.sort(rng.permutation(60)[: rng.integers(1, 15)]) for _ in range(8)]  # candidates or not
    scores = torch.from_numpy(rng.normal(size=(8, width)))
    target = torch.tensor([[item in wanted for item in row] for row, wanted in zip(items.tolist(), truth, strict=True)])
    found = ndcg(scores, target, torch.tensor([len(wanted) for wanted in truth]))
    ranked = np.full((8, max(10, width)), -1, np.int32)
    ranked[:, :width] = np.take_along_axis(items, np.argsort(-scores.numpy(), 1), 1)
    start = np.concatenate([[0], np.cumsum([len(wanted) for wanted in truth])])
    expected = ranking_metrics(ranked, start, np.concatenate(truth).astype(np.int32), 10)["ndcg@10"]
    np.testing.assert_allclose(found.numpy(), expected, atol=1e-12)


def test_the_last_segment_of_a_large_log_is_twice_as_long():
    assert last_size(SEGMENT, SMALL + 1) == 2 * SEGMENT
    assert last_size(500, SMALL) == 500
