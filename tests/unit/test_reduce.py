"""Short text vectors, and families of items whose texts are alike."""

from __future__ import annotations

import numpy as np
import pytest

from tests.unit.core_cases import build_log, random_events, snapshots
from timerec.candidates import similar
from timerec.encoder import reduce
from timerec.training.tables import load_tables, save_tables

KINDS, SORTS, WIDTH = 30, 5, 32


@pytest.fixture(scope="module")
def text():
    """Sorts of a kind lie close together, kinds far apart; the last item has no text."""
    rng = np.random.default_rng(0)
    kinds = rng.normal(size=(KINDS, WIDTH))
    rows = np.repeat(kinds, SORTS, 0) + 0.01 * rng.normal(size=(KINDS * SORTS, WIDTH))
    return np.concatenate([rows, np.zeros((1, WIDTH))]).astype(np.float32)


def test_short_vectors_keep_who_is_near_to_whom(text):
    short = reduce.fit(text, 0)(text)
    np.testing.assert_allclose(np.linalg.norm(short[:-1], axis=1), 1, atol=1e-4)
    assert not short[-1].any()
    near = short[:-1] @ short[:-1].T
    kind = np.arange(KINDS * SORTS) // SORTS
    assert near[kind[:, None] == kind].min() > near[kind[:, None] != kind].max()


def test_sorts_of_one_kind_are_a_family(text):
    reducer = reduce.fit(text, 0)
    family = reducer.families(reducer(text))
    of_kind = family[:-1].reshape(KINDS, SORTS)
    assert (of_kind == of_kind[:, :1]).mean() > 0.9  # k-means may part or join a few
    assert len(np.unique(family)) > KINDS * 0.6
    assert family[-1] not in family[:-1]
    assert sorted(np.unique(family)) == list(range(family.max() + 1))


def test_a_new_items_family_is_that_of_the_nearest_texts(text):
    reducer = reduce.fit(text[:-1], 0)
    later = np.concatenate([text[:-1], text[7:8] * 1.001])
    family = reducer.families(reducer(later))
    assert family[-1] == family[7]


def test_families_have_numbers_below_the_number_of_items(text):
    reducer = reduce.fit(text, 0)
    few = reducer.families(reducer(text[[3, 149, 60]]))
    assert few.max() < 3
    assert reducer.families(np.zeros((4, 0), np.float32)).tolist() == [0] * 4


def test_repeated_and_missing_texts_are_not_learnt_from(text):
    plain, more = reduce.fit(text[:-1], 0), reduce.fit(np.concatenate([text, text[:40], 0 * text]), 0)
    for name, array in vars(plain).items():
        np.testing.assert_array_equal(getattr(more, name), array)


@pytest.mark.parametrize("shape", [(3, 0), (0, WIDTH), (3, WIDTH)])
def test_without_texts_short_vectors_have_no_width_and_all_items_one_family(shape):
    nothing = np.zeros(shape, np.float32)
    reducer = reduce.fit(nothing, 0)
    short = reducer(nothing)
    assert short.shape == (shape[0], 0) and short.dtype == np.float32
    assert reducer.families(short).tolist() == [0] * shape[0]


@pytest.mark.parametrize("texts", [1, 2, 3])
def test_so_many_texts_have_one_dimension_less_and_one_family(text, texts):
    reducer = reduce.fit(text[:texts], 0)
    short = reducer(text)
    assert short.shape == (len(text), texts - 1)
    assert len(reducer.centres) == (texts > 1)
    assert reducer.families(short[:texts]).tolist() == [0] * texts


def test_a_text_at_the_mean_is_as_if_it_were_none():
    text = np.array([[1, 2], [3, 2], [2, 2], [0, 0]], np.float32)
    assert not reduce.fit(text, 0)(text)[2:].any()


def test_texts_that_fall_together_may_be_fewer_than_families():
    """Of texts in one dimension only the side is left."""
    text = np.arange(1, 25, dtype=np.float32)[:, None]
    reducer = reduce.fit(text, 0)
    family = reducer.families(np.sign(reducer(text)))
    assert len(reducer.centres) == 6 and family.max() == 1
    assert (family == family[0]).tolist() == [True] * 12 + [False] * 12


def test_there_are_no_more_families_than_the_largest_number(text, monkeypatch):
    monkeypatch.setattr(reduce, "FAMILIES", 7)
    assert len(reduce.fit(text, 0).centres) == 7


def test_of_many_texts_a_sample_is_learnt_from_that_the_seed_draws(text, monkeypatch):
    monkeypatch.setattr(reduce, "SAMPLE", 40)
    one, same, other = (reduce.fit(text, seed) for seed in (1, 1, 2))
    assert len(one.centres) == 40 // reduce.FAMILY
    np.testing.assert_array_equal(one.mean, same.mean)
    assert (one.mean != other.mean).any()


def test_the_seed_decides_the_families(text):
    one, same, other = (reduce.fit(text, seed).centres for seed in (1, 1, 2))
    np.testing.assert_array_equal(one, same)
    assert (one != other).any()


def test_tables_are_read_back_as_they_were_stored(text, tmp_path):
    found = similar.fit(build_log(random_events(1, 300)), snapshots())
    for vectors in (text, np.zeros((3, 0), np.float32)):
        reducer = reduce.fit(vectors, 0)
        save_tables(tmp_path, found, reducer)
        weights, again = load_tables(tmp_path)
        for name, array in vars(reducer).items():
            np.testing.assert_array_equal(getattr(again, name), array)
        for name, array in found._asdict().items():
            np.testing.assert_array_equal(getattr(weights, name), array)
