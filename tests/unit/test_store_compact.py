"""What a bundle holds is removed from a store, and nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.store_cases import bundle_of
from timerec.store import Event, EventStore, open_store
from timerec.store.compact import compact


@pytest.fixture
def store(tmp_path: Path) -> Iterator[EventStore]:
    with open_store(tmp_path / "store" / "events.db") as opened:
        yield opened


@pytest.mark.parametrize("numbers", [True, False])
def test_compaction_removes_what_the_bundle_holds_and_nothing_else(store: EventStore, tmp_path: Path, numbers: bool) -> None:
    rng = np.random.default_rng(7)
    drawn = {"user_id": rng.integers(0, 5, 300), "item_id": rng.integers(10, 16, 300), "timestamp": rng.integers(0, 12, 300)}
    rows = pd.DataFrame(drawn | {"event": rng.choice(["buy", "view", "odd", "strange"], 300)}).drop_duplicates()
    if not numbers:
        rows = rows.astype({"user_id": str, "item_id": str})
    inside = rows.sample(len(rows) // 2, random_state=1)
    users, items = sorted(inside["user_id"].unique().tolist()), sorted(inside["item_id"].unique().tolist())
    bundle = bundle_of(tmp_path / "bundle", inside, users, items, ["buy", "view"])
    told = {"odd": "", "strange": ""}  # kinds that the bundle does not tell apart
    key = ["user_id", "item_id", "timestamp", "kind"]
    known = set(inside.assign(kind=inside["event"].replace(told))[key].astype(str).apply(tuple, axis=1))
    strangers = [
        ("9", "10", 1, "buy"),
        ("0", "99", 1, "buy"),
        ("007", "10", 1, "buy"),
        ("0", "10", -5, "buy"),
        ("0", "10", 2**40, "buy"),
    ]
    sent = [Event(str(n), *map(str, row[:2]), *row[2:]) for n, row in enumerate([*rows.itertuples(index=False), *strangers])]
    store.append(sent)
    stay = [one for one in sent if (one[1], one[2], str(one[3]), told.get(one[4], one[4])) not in known]
    found = compact(store, bundle)
    assert found == {"events": len(sent), "removed": len(sent) - len(stay), "kept": len(stay), "last": len(sent)}
    assert [one.event for one in store.since(0)] == stay and len(stay) > 50
    assert all(answer.duplicate for answer in store.append(sent))
    assert compact(store, bundle)["removed"] == 0


def test_compaction_goes_page_by_page(store: EventStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("timerec.store.compact.PAGE", 3)
    rows = pd.DataFrame({"user_id": [1] * 10, "item_id": [2] * 10, "timestamp": range(10), "event": ""})
    store.append([Event(str(k), "1", "2", k) for k in range(20)])
    seen: list[tuple[int, int]] = []
    assert compact(store, bundle_of(tmp_path / "b", rows, [1], [2], []), lambda *done: seen.append(done))["removed"] == 10
    assert [one.event.timestamp for one in store.since(0)] == list(range(10, 20)) and seen[-1] == (20, 20) and len(seen) == 7
