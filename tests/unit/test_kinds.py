"""Which kinds of events are told apart."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa

from timerec.data.columns import as_text, hash_ids
from timerec.data.kinds import MOST, NAMED, frequent_names, hash_kinds, place_kinds, told_apart
from timerec.data.passes import write_arrow

CUT = 100


def told(folder: Path, *shards: dict[str, int], late: dict[str, int] | None = None) -> list[str]:
    """What is told apart of so many events of each kind before the cut, shard by shard, and `late` ones from it on."""
    paths = []
    for number, rows in enumerate([*shards, late or {}]):
        kinds = [kind for kind, count in rows.items() for _ in range(count)]
        time = np.full(len(kinds), CUT if number == len(shards) else CUT - 1)
        path = folder / f"{number}.arrow"
        write_arrow(pa.table({"time": time, "kind": hash_kinds(kinds) if kinds else np.zeros(0, np.uint64)}), path)
        paths.append(path)
    known = [kind for rows in (*shards, late or {}) for kind in rows if kind]
    return told_apart(known, paths, CUT)


def test_frequent_kinds_in_alphabetical_order(tmp_path):
    assert told(tmp_path, {"view": 700, "cart": 200}, {"cart": 90, "buy": 10}) == ["buy", "cart", "view"]


def test_one_kind_tells_nothing_apart(tmp_path):
    assert told(tmp_path, {"view": 10}) == [] and told(tmp_path, {}) == []
    assert told(tmp_path, {"": 90, "view": 10}) == []


def test_rare_kinds_and_those_after_the_sixth_are_others(tmp_path):
    assert told(tmp_path, {"view": 10_000, "buy": 11, "typo": 9}) == ["buy", "view"]
    assert told(tmp_path, {name: 10 + number for number, name in enumerate("abcdefgh")}) == list("cdefgh")
    assert len(told(tmp_path, dict.fromkeys("abcdefgh", 10))) == MOST


def test_the_share_is_of_all_events_with_or_without_a_name(tmp_path):
    assert told(tmp_path, {"": 10_000, "a": 9, "b": 9}) == []
    assert told(tmp_path, {f"text {number}": 1 for number in range(3_000)}) == []


def test_what_comes_from_validation_on_changes_nothing(tmp_path):
    before = {"view": 50, "buy": 50}
    assert told(tmp_path, before, late={"aaa": 1_000, "buy": 3}) == told(tmp_path, before) == ["buy", "view"]


def test_names_of_a_batch():
    assert frequent_names(pa.array(["view", None, "", "view", "buy"])) == ["view", "buy"]
    many = [*(f"text {number}" for number in range(NAMED + 50)), "buy", "buy"]
    assert len(frequent_names(pa.array(many))) == NAMED and frequent_names(pa.array(many))[0] == "buy"


def test_rows_carry_the_place_of_their_kind():
    kind = hash_ids(as_text(pa.array(["view", "buy", "other", None])).fill_null(""))
    assert place_kinds(kind, ["buy", "view"]).tolist() == [1, 0, -1, -1]
    assert place_kinds(kind, []).dtype == np.int8
