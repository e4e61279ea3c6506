"""Training examples: what is scored beside the candidates, what is a target, what a negative stands for."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

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
    first_known = state.first_known()
    for r, (time, truth) in enumerate(zip(rows["time"].to_pylist(), rows["truth"].to_pylist(), strict=True)):
        real = example.x.mask[r].numpy()
        items = example.x.items[r].numpy()[real]
        assert set(truth) <= set(items)  # candidates or not, what was taken is scored
        assert sorted(items[example.target[r].numpy()[real]]) == sorted(truth)
        sampled = real & ~example.x.standard[r].numpy() & ~example.target[r].numpy()
        assert (first_known[example.x.items[r].numpy()[sampled]] <= time).all()
        weight = example.log_weight[r].numpy()
        alive = int((first_known <= time).sum())
        assert weight[sampled] == pytest.approx(np.log(max(alive / NEGATIVES, 1.0)), abs=1e-5)
        assert (weight[~sampled] == 0).all()


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
