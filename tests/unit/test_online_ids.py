"""Identifiers as they come over the wire."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pyarrow as pa
import pytest

from timerec.online.ids import Ids


@pytest.mark.parametrize("known", [pa.array([7, 42, -3]), pa.array(["7", "42", "-3"])])
def test_integers_and_texts_are_known_by_their_spelling(known):
    ids = Ids(known)
    assert ids.indices(["42", "-3", "7"]).tolist() == [1, 2, 0]
    assert ids.indices(["007", "+7", "7.0", " 7", "٧", "", "x", "9" * 30, str(2**63)]).tolist() == [-1] * 9
    assert [ids.name(index) for index in range(3)] == ["7", "42", "-3"]


def test_new_identifiers_come_behind_the_known_ones_and_keep_their_spelling():
    ids = Ids(pa.array([7]))
    reserved = ids.reserve(2)
    assert reserved.tolist() == [1, 2]
    assert (ids.add("007"), ids.add("x")) == (3, 4)
    assert ids.indices(["7", "007", "x"]).tolist() == [0, 3, 4]
    assert (ids.name(3), len(ids)) == ("007", 5)
    assert ids.index("") == -1


def test_search_finds_what_begins_so_in_old_and_new():
    ids = Ids(pa.array(["anna", "ann", "bob", "änne"]))
    ids.add("anton")
    assert sorted(ids.name(int(index)) for index in ids.starting_with("an")) == ["ann", "anna", "anton"]
    assert ids.starting_with("zz").tolist() == []
    assert sorted(ids.starting_with("").tolist()) == [0, 1, 2, 3, 4]
    numbers = Ids(pa.array([9, 10, -1, 100, 1]))
    assert [numbers.name(int(index)) for index in numbers.starting_with("1")] == ["1", "10", "100"]


def test_search_needs_no_more_room_for_one_long_identifier():
    ids = Ids(pa.array(["x" * 100_000, *(f"user {number}" for number in range(50_000))]))
    tracemalloc.start()
    try:
        assert len(ids.starting_with("user 4999")) == 11
        assert tracemalloc.get_traced_memory()[1] < 10_000_000
    finally:
        tracemalloc.stop()


def test_search_in_nothing_finds_nothing():
    assert np.issubdtype(Ids(pa.array([], pa.string())).starting_with("a").dtype, np.integer)
