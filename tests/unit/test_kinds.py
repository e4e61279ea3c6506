"""Which kinds of events are told apart."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from timerec.data.columns import as_text, hash_ids
from timerec.data.kinds import COUNTED, MOST, count_kinds, place_kinds, told_apart


def test_frequent_kinds_in_alphabetical_order():
    assert told_apart([{"view": 700, "cart": 200}, {"cart": 90, "buy": 10}]) == ["buy", "cart", "view"]


def test_one_kind_tells_nothing_apart():
    assert told_apart([{"view": 10}]) == [] and told_apart([{}]) == [] and told_apart([]) == []


def test_rare_kinds_and_those_after_the_sixth_are_others():
    assert told_apart([{"view": 10_000, "buy": 11, "typo": 9}]) == ["buy", "view"]
    assert told_apart([{name: 10 + number for number, name in enumerate("abcdefgh")}]) == list("cdefgh")
    assert len(told_apart([dict.fromkeys("abcdefgh", 10)])) == MOST


def test_missing_kinds_are_no_kind_and_free_text_is_cut():
    assert count_kinds(pa.array(["view", None, "", "view", "buy"])) == {"view": 2, "buy": 1}
    assert len(count_kinds(pa.array([f"text {number}" for number in range(COUNTED + 50)]))) == COUNTED


def test_rows_carry_the_place_of_their_kind():
    kind = hash_ids(as_text(pa.array(["view", "buy", "other", None])).fill_null(""))
    assert place_kinds(kind, ["buy", "view"]).tolist() == [1, 0, -1, -1]
    assert place_kinds(kind, []).dtype == np.int8
