"""Logs with more items and longer histories, which the serving benchmark makes."""

from __future__ import annotations

import pytest

from bench import serve_growth
from tests.small_data import small_attributes, small_items, small_log


@pytest.fixture
def tables() -> serve_growth.Tables:
    return {"interactions": small_log(), "items": small_items(), "item_attributes": small_attributes()}


def test_copies_of_items_are_new_and_thin(tables: serve_growth.Tables) -> None:
    grown, items = serve_growth.more_items(tables, 3), len(tables["items"])
    assert grown["items"]["item_id"].is_unique and len(grown["items"]) == 3 * items
    assert grown["items"]["title"].nunique() == tables["items"]["title"].nunique()
    assert len(grown["item_attributes"]) == 3 * len(tables["item_attributes"])
    assert set(grown["item_attributes"]["item_id"]) <= set(grown["items"]["item_id"])
    added = grown["interactions"].iloc[len(tables["interactions"]) :]
    assert sorted(added["item_id"]) == sorted(grown["items"]["item_id"][items:])  # each copy once
    assert added["timestamp"].between(*tables["interactions"]["timestamp"].agg(["min", "max"])).all()


def test_ids_that_are_texts_get_a_mark(tables: serve_growth.Tables) -> None:
    for table in tables.values():
        table["item_id"] = "i" + table["item_id"].astype(str)
    grown = serve_growth.more_items(tables, 2)
    assert grown["items"]["item_id"].is_unique and "i100 copy 1" in set(grown["items"]["item_id"])


def test_a_longer_history_repeats_every_user_at_the_same_hours(tables: serve_growth.Tables) -> None:
    before, grown = tables["interactions"], serve_growth.longer_history(tables, 4)["interactions"]
    assert (grown.groupby("user_id").size() == 4 * before.groupby("user_id").size()).all()
    assert grown["timestamp"].max() == before["timestamp"].max()
    assert not grown.duplicated(["user_id", "item_id", "timestamp"]).any()
    week = 7 * 86_400
    assert set(grown["timestamp"] % week) == set(before["timestamp"] % week)
    with pytest.raises(SystemExit, match="before 1970"):
        serve_growth.longer_history(tables, 1000)
