"""Cleaning of items and attributes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from timerec.data import catalogue, clean
from timerec.data.catalogue import NEVER_LISTED, Cleaned, category_index, clean_attributes, clean_items
from timerec.data.tables import find_table
from timerec.schema import DataError

NOW = 1_600_000_000
IDS = pa.array([10, 20, 30])


def items(folder: Path, columns: dict[str, Any], kind: Any = "integer") -> Cleaned:
    pq.write_table(pa.table(columns), folder / "items.parquet")
    table = find_table(folder, "items", ("item_id",))
    assert table is not None
    return balanced(clean_items(table, kind))


def attributes(folder: Path, columns: dict[str, Any] | str) -> Cleaned:
    if isinstance(columns, str):
        (folder / "item_attributes.csv").write_text(columns)
    else:
        pq.write_table(pa.table(columns), folder / "item_attributes.parquet")
    table = find_table(folder, "item_attributes", ("item_id", "timestamp"))
    assert table is not None
    return balanced(clean_attributes(table, "integer" if not isinstance(columns, str) else "string", IDS, NOW))


def balanced(cleaned: Cleaned) -> Cleaned:
    counts = cleaned.counts()
    assert counts["read"] == cleaned.rows.num_rows + cleaned.merged + cleaned.refused.num_rows
    return cleaned


def test_the_first_of_a_twice_listed_item_is_kept(tmp_path: Path) -> None:
    cleaned = items(tmp_path, {"item_id": [3, 1, 3, None, 3], "title": ["a", "b", "c", "d", "e"]})
    assert cleaned.rows["item_id"].to_pylist() == [3, 1]
    assert cleaned.rows["title"].to_pylist() == ["a", "b"]
    assert cleaned.counts()["reasons"] == {catalogue.ITEM_TWICE: 2, clean.ITEM_NULL: 1}
    assert cleaned.refused["title"].to_pylist() == ["c", "d", "e"]
    assert cleaned.refused["table"].to_pylist() == ["items"] * 3


def test_missing_columns_of_items_are_empty(tmp_path: Path) -> None:
    rows = items(tmp_path, {"item_id": [1, 2]}).rows
    assert rows.to_pylist()[0] == {"item_id": 1, "title": "", "category": "", "text": "", "listed_at": NEVER_LISTED}


def test_texts_are_cleaned_and_said(tmp_path: Path) -> None:
    cleaned = items(tmp_path, {"item_id": [1, 2], "text": ["a\x00b", "x" * 1_000_000], "category": [5, None]})
    assert cleaned.rows["category"].to_pylist() == ["5", ""]
    assert [len(text) for text in cleaned.rows["text"].to_pylist()] == [3, 4_000]
    assert cleaned.notes == [
        "items.parquet: control characters removed from text of 1 items",
        "items.parquet: text of 1 items cut to 4000 characters",
    ]


def test_texts_of_refused_items_are_not_counted(tmp_path: Path) -> None:
    assert items(tmp_path, {"item_id": [1, 1], "text": ["a", "\x00"]}).notes == []


def test_a_column_that_is_no_text(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="items.parquet, column 'title' is of type list<.*>: write it as text"):
        items(tmp_path, {"item_id": [1], "title": [["a"]]})


def test_listing_times(tmp_path: Path) -> None:
    cleaned = items(tmp_path, {"item_id": [1, 2, 3, 4], "listed_at": [1e12, None, -5.0, float("inf")]})
    assert cleaned.rows["listed_at"].to_pylist() == [1_000_000_000, NEVER_LISTED]
    assert cleaned.counts()["reasons"] == {catalogue.LISTED_EARLY: 1, catalogue.LISTED_UNREADABLE: 1}
    assert cleaned.notes == ["items.parquet: listed_at is in milliseconds, converted to seconds"]


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ({"item_id": None}, clean.ITEM_NULL),
        ({"item_id": 99}, catalogue.ITEM_UNKNOWN),
        ({"timestamp": None}, clean.TIME_NULL),
        ({"timestamp": float("nan")}, clean.TIME_UNREADABLE),
        ({"timestamp": -1.0}, clean.TIME_EARLY),
        ({"timestamp": NOW + 367 * 86_400.0}, clean.TIME_FUTURE),
        ({"price": float("inf")}, catalogue.NOT_FINITE),
    ],
)
def test_faults_of_attributes(tmp_path: Path, fault: dict[str, Any], reason: str) -> None:
    good = {"item_id": 20, "timestamp": 1e9, "price": 2.0}
    rows = [good, {**good, **fault}, {**good, "timestamp": NOW + 86_400.0 * 30}]
    cleaned = attributes(tmp_path, pa.Table.from_pylist(rows).to_pydict())
    assert cleaned.counts()["reasons"] == {reason: 1}
    assert cleaned.rows["item"].to_pylist() == [1, 1]


def test_attributes_are_sorted_and_merged(tmp_path: Path) -> None:
    cleaned = attributes(
        tmp_path,
        {
            "item_id": [30, 10, 30, 30],
            "timestamp": [7, 9, 5, 7],
            "price": [None, 1.0, 2.0, 3.0],
            "promoted": [True, False, False, None],
            "note": ["a", "b", "c", "d"],
        },
    )
    assert cleaned.rows["item"].to_pylist() == [0, 2, 2]
    assert cleaned.rows["time"].to_pylist() == [9, 5, 7]
    assert cleaned.rows["price"].to_pylist() == [1.0, 2.0, 3.0]
    assert cleaned.rows["promoted"].to_pylist() == [0.0, 0.0, 1.0]
    assert cleaned.merged == 1
    assert cleaned.notes == ["item_attributes.parquet: column 'note' is not numeric and was ignored"]


def test_unknown_values_stay_unknown(tmp_path: Path) -> None:
    rows = attributes(tmp_path, {"item_id": [10, 10], "timestamp": [1, 2], "price": [float("nan"), 4.0]}).rows
    assert np.isnan(rows["price"].to_numpy()).tolist() == [True, False]


def test_attributes_in_csv(tmp_path: Path) -> None:
    cleaned = attributes(tmp_path, "item_id,timestamp,price,colour\n20,2001-09-09,1.5,red\n20,2001-09-10,,blue\n20,x,1,a\n")
    assert cleaned.rows["price"].to_pylist()[0] == 1.5
    assert cleaned.rows.column_names == ["item", "time", "price"]
    assert cleaned.counts()["reasons"] == {clean.TIME_UNREADABLE: 1}


def test_attributes_without_numbers_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="item_attributes.parquet has no numeric column"):
        attributes(tmp_path, {"item_id": [10], "timestamp": [1], "colour": ["red"]})


def test_categories_are_numbered_in_order() -> None:
    index, n = category_index(pa.array(["b", "", "a", "b"]))
    assert (index.tolist(), str(index.dtype), n) == ([2, 0, 1, 2], "int32", 3)
