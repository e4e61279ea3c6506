"""Training examples: what is scored beside the candidates, what is a target, what a negative stands for."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
import torch

from tests.unit.core_cases import START, build_log, random_events, sources_of, state_of
from timerec.clock import DAY
from timerec.training.batching import Builder, ahead
from timerec.training.requests import between

NEGATIVES = 7


@pytest.fixture(scope="module")
def state():
    return state_of(sources_of(build_log(random_events(3, 600))))


@pytest.fixture(scope="module")
def rows(state):
    found = between(state.log, state.first_known(), START + 5 * DAY, START + 60 * DAY, True).take(np.arange(0, 60, 3))
    truth = pa.LargeListArray.from_arrays(pa.array(found.start), pa.array(found.item))
    return pa.table({"user": found.user, "time": found.time, "truth": truth})


def test_targets_are_what_was_taken_and_negatives_are_known_by_then(state, rows):
    example = Builder(state, 10, NEGATIVES, 1)(rows, training=True)
    first_known, log = state.first_known(), state.log
    even, popular = NEGATIVES - NEGATIVES // 2, NEGATIVES // 2
    for r, (time, truth) in enumerate(zip(rows["time"].to_pylist(), rows["truth"].to_pylist(), strict=True)):
        real = example.x.mask[r].numpy()
        items = example.x.items[r].numpy()[real]
        assert set(truth) <= set(items)  # candidates or not, what was taken is scored
        assert sorted(items[example.target[r].numpy()[real]]) == sorted(truth)
        sampled = real & ~example.x.standard[r].numpy() & ~example.target[r].numpy()
        assert (first_known[example.x.items[r].numpy()[sampled]] <= time).all()
        assert example.drawn[r].numpy()[sampled].all()
        assert not (example.drawn[r] & example.target[r]).any()
        assert 0 < example.drawn[r].sum() <= NEGATIVES
        weight = example.log_weight[r].numpy()
        past = log.tape_item[log.tape_time < time]
        for c in np.flatnonzero(sampled):
            often = even / (first_known <= time).sum() + popular * np.mean(past == example.x.items[r, c].item())
            assert weight[c] == pytest.approx(max(-np.log(often), 0.0), abs=1e-5)
        assert (weight[~sampled] == 0).all()


def test_half_of_the_negatives_are_drawn_by_popularity(state, rows):
    builder = Builder(state, 10, 2000, 1)
    when = rows["time"].to_numpy()[-1:]
    drawn = builder._draw(np.random.default_rng(0), when)[0]
    past = state.log.tape_item[state.log.tape_time < when[0]]
    known = state.first_known() <= when[0]
    share = np.bincount(past, minlength=len(known)) / len(past)
    assert np.bincount(drawn[1000:], minlength=len(known)) / 1000 == pytest.approx(share, abs=0.04)
    assert np.bincount(drawn[:1000], minlength=len(known)) / 1000 == pytest.approx(known / known.sum(), abs=0.04)
    assert np.abs(share - known / known.sum()).max() > 0.08  # or the test would tell nothing


def test_a_sample_of_the_own_candidates_stands_for_all_of_them(state, rows):
    whole = Builder(state, 10, NEGATIVES, 1)(rows, training=True)
    kept = Builder(state, 10, NEGATIVES, 1, kept=5)(rows, training=True)
    seen = set()
    for r in range(len(rows)):
        own, all_own = kept.x.standard[r] & ~kept.target[r], whole.x.standard[r] & ~whole.target[r]
        for_all = own & torch.isfinite(kept.log_weight[r])
        assert int(for_all.sum()) == min(5, int(all_own.sum()))
        assert float(kept.log_weight[r][for_all].exp().sum()) == pytest.approx(int(all_own.sum()), rel=1e-5)
        assert bool(kept.drawn[r][own & ~for_all].all())  # the others stay for the order loss alone
        for part, every in ((kept.target, whole.target), (kept.drawn, whole.drawn)):
            assert set(kept.x.items[r][part[r]].tolist()) == set(whole.x.items[r][every[r]].tolist())
        place = {item: c for c, item in enumerate(whole.x.items[r][whole.x.mask[r]].tolist())}
        for c in torch.nonzero(kept.x.mask[r]).flatten().tolist():  # features move with their items
            torch.testing.assert_close(kept.x.features[r, c], whole.x.features[r, place[kept.x.items[r, c].item()]])
            if bool(for_all[c]):
                seen.add(place[kept.x.items[r, c].item()])
    torch.testing.assert_close(kept.x.best, whole.x.best)
    assert len(seen) > 5  # not always the first ones
    assert kept.x.items.shape[1] < whole.x.items.shape[1]


def test_validation_scores_the_candidates_alone(state, rows):
    example = Builder(state, 10, NEGATIVES, 1)(rows, training=False)
    assert bool((example.x.mask == example.x.standard).all())
    assert example.truths.tolist() == [len(truth) for truth in rows["truth"].to_pylist()]


def test_the_same_rows_give_the_same_example(state, rows):
    one, two = (Builder(state, 10, NEGATIVES, seed)(rows, training=True) for seed in (1, 1))
    other = Builder(state, 10, NEGATIVES, 2)(rows, training=True)
    assert bool((one.x.items == two.x.items).all())
    assert one.x.items.shape != other.x.items.shape or not bool((one.x.items == other.x.items).all())


def test_examples_come_in_order_and_an_error_in_the_thread_is_raised(state, rows):
    builder = Builder(state, 10, NEGATIVES, 1)
    parts = [rows.slice(first, 5) for first in range(0, len(rows), 5)]
    found = [example.truths.tolist() for example in ahead(builder, parts, training=True)]
    assert [size for sizes in found for size in sizes] == [len(truth) for truth in rows["truth"].to_pylist()]
    with pytest.raises(KeyError):
        list(ahead(builder, [rows.drop_columns(["truth"])], training=True))
