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
