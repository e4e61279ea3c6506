"""Scatter and gather: whatever the order of the rows, the same shards."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from timerec.data import shard
from timerec.data.clean import LogFormat
from timerec.data.columns import TimeFormat
from timerec.data.index import build_catalogue, log_items
from timerec.data.kinds import hash_kinds
from timerec.data.passes import read_arrow, write_arrow
from timerec.data.shard import ranks
from timerec.data.tables import find_table, pieces

FORM = LogFormat("string", "integer", TimeFormat(True), now=2_000_000_000)
_EVENT = st.tuples(
    st.sampled_from(["ann", "bob", "cy", "dee", "eve"]),
    st.sampled_from([3, 20, 100]),
    st.integers(0, 3),
    st.sampled_from(["view", "buy"]),
    st.integers(0, 3),
)
Event = tuple[str, int, int, str, int]


@pytest.fixture(autouse=True)
def in_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Run the passes in this process: what they compute does not depend on Ray."""

    def each(tasks: list[dict[str, Any]], function: Any, **arguments: Any) -> list[dict[str, Any]]:
        return [found for task in reversed(tasks) for found in function(task, **arguments)]

    monkeypatch.setattr(shard, "each", each)


def shards_of(events: list[Event], shards: int, row_group: int) -> tuple[list[pa.Table], list[list[str]], list[dict[str, Any]]]:
    names = ("user_id", "item_id", "timestamp", "event", "value")
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        columns = {name: [event[axis] for event in events] for axis, name in enumerate(names)}
        pq.write_table(pa.table(columns), root / "interactions.parquet", row_group_size=row_group)
        table = find_table(root, "interactions", names[:3])
        assert table is not None
        parts = [part for group in pieces(table, names) for part in _split(group)]
        runs = shard.scatter(parts, FORM, shards, root, root)
        catalogue = build_catalogue(log_items([run["items"] for run in runs]), None, False, None)
        write_arrow(pa.table({"item_id": catalogue}), root / "catalogue.arrow")
        found = shard.gather([run["run"] for run in runs], shards, root)
        tables = [pa.Table.from_pandas(read_arrow(root / f"shard-{s:05d}.arrow").to_pandas()) for s in range(shards)]
        users = [read_arrow(root / f"users-{s:05d}.arrow")["user_id"].to_pylist() for s in range(shards)]
        return tables, users, found


def _split(piece: Any) -> list[Any]:
    return [type(piece)(piece.path, (group,), piece.columns) for group in piece.groups]


@settings(max_examples=40, deadline=None)
@given(st.lists(_EVENT, min_size=1, max_size=40), st.integers(1, 4), st.randoms(use_true_random=False))
def test_shards_hold_every_event_once_in_order(events: list[Event], shards: int, random: Any) -> None:
    tables, users, found = shards_of(events, shards, row_group=7)
    catalogue = sorted({event[1] for event in events})
    rebuilt = []
    for table, names in zip(tables, users, strict=True):
        assert len(set(names)) == len(names)
        rows = list(zip(*(table[name].to_pylist() for name in ("user", "time", "item")), strict=True))
        assert rows == sorted(rows)
        rebuilt += [(names[user], catalogue[item], time) for user, time, item in rows]
    assert sorted(rebuilt) == sorted((u, i, t) for u, i, t, _ in {event[:4] for event in events})
    everyone = [name for names in users for name in names]
    assert sorted(everyone) == sorted({event[0] for event in events})
    assert sum(part["events"] + part["merged"] for part in found) == len(events)

    # the order of users hangs neither on the number of shards nor on who else is there
    together = [name for names in shards_of(events, 1, row_group=7)[1] for name in names]
    assert everyone == together
    fewer = [event for event in events if event[0] != together[-1]]
    if fewer:
        assert shards_of(fewer, 1, row_group=7)[1] == [together[:-1]]

    shuffled = random.sample(events, len(events))
    again, users_again, found_again = shards_of(shuffled, shards, row_group=3)
    assert users_again == users
    assert found_again == found
    assert all(one.equals(other) for one, other in zip(tables, again, strict=True))


def test_of_duplicates_with_different_values_the_largest_stays() -> None:
    events: list[Event] = [
        ("ann", 3, 1, "buy", 1),
        ("ann", 3, 1, "buy", 2),
        ("ann", 3, 1, "view", 0),
        ("ann", 3, 1, "buy", 2),
    ]
    tables, _, found = shards_of(events, 1, row_group=2)
    assert sorted(zip(tables[0]["value"].to_pylist(), tables[0]["kind"].to_pylist(), strict=True)) == [
        (value, int(hash_kinds([kind])[0])) for value, kind in ((0.0, "view"), (2.0, "buy"))
    ]
    assert found[0]["merged"] == 2
    assert (found[0]["first"], found[0]["last"], found[0]["users"]) == (1, 1, 1)


def test_a_piece_that_is_read_in_several_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    read_piece = shard.read_piece
    monkeypatch.setattr(shard, "read_piece", lambda piece: read_piece(piece, 3))
    events: list[Event] = [("ann", 3, number, "buy", 1) for number in range(10)]
    tables, _, found = shards_of(events, 1, row_group=10)
    assert tables[0]["time"].to_pylist() == list(range(10))
    assert found[0]["events"] == 10


def test_users_of_a_shard_are_told_apart_by_hash_alone() -> None:
    events: list[Event] = [(f"user-{number}", 3, number, "buy", 1) for number in range(2_000)]
    tables, _, _ = shards_of(events, 4, row_group=500)
    assert all(400 < table.num_rows < 600 for table in tables)


def test_whole_number_users_are_noticed() -> None:
    assert shards_of([("7", 3, 1, "buy", 1), ("12", 3, 1, "buy", 1)], 1, 5)[2][0]["canonical"]
    assert not shards_of([("7", 3, 1, "buy", 1), ("07", 3, 1, "buy", 1)], 1, 5)[2][0]["canonical"]


def test_ranks_are_places_in_sorted_order() -> None:
    ids, rank = ranks(pa.array([30, 4, 30, 100]))
    assert ids.to_pylist() == [4, 30, 100]
    assert np.array_equal(rank, [1, 0, 1, 2])
