"""One numbering of the catalogue over tables whose identifiers may differ in type."""

from __future__ import annotations

import pyarrow as pa
import pytest

from timerec.data.index import build_catalogue, common_kind, may_be_integer, place_in
from timerec.data.tables import Table
from timerec.schema import DataError

ITEMS = Table("items", "items.parquet", ())


def test_kinds_that_agree() -> None:
    assert common_kind({"a": ({"integer"}, False), "b": ({"integer"}, False)}, "item_id") == ("integer", None)
    assert common_kind({"a": ({"string"}, False)}, "item_id") == ("string", None)
    assert common_kind({"a": ({"integer"}, False), "b.csv": (set(), True)}, "item_id") == ("string", None)


def test_kinds_that_differ_are_said() -> None:
    kind, note = common_kind({"interactions": ({"integer"}, False), "items": ({"string"}, False)}, "item_id")
    assert kind == "string"
    assert note == (
        "item_id differs in type between files (interactions as integer, items as string): read as strings everywhere"
    )


def test_only_csv_text_may_become_integers() -> None:
    assert may_be_integer({"a.csv": (set(), True), "b": ({"integer"}, False)})
    assert not may_be_integer({"a.csv": (set(), True), "b": ({"string"}, False)})


def test_the_catalogue_joins_both_tables_in_numeric_order() -> None:
    assert build_catalogue(pa.array([100, 9]), pa.array([20, 9]), True, ITEMS).to_pylist() == [9, 20, 100]
    assert build_catalogue(pa.array(["100", "9"]), None, True, None).to_pylist() == [9, 100]
    assert build_catalogue(pa.array(["100", "9"]), None, False, None).to_pylist() == ["100", "9"]
    assert build_catalogue(pa.array(["100", "a9"]), None, True, None).to_pylist() == ["100", "a9"]


def test_tables_of_different_data_sets_are_refused() -> None:
    with pytest.raises(DataError, match="items.parquet, column 'item_id' has none of the items of interactions"):
        build_catalogue(pa.array(["1", "2"]), pa.array(["A1", "A2"]), True, ITEMS)


def test_places() -> None:
    catalogue = pa.array([9, 20, 100])
    assert place_in(catalogue, pa.array([100, 9, 7, None])).tolist() == [2, 0, -1, -1]
    assert place_in(catalogue, pa.array(["100", "9", "x", None])).tolist() == [2, 0, -1, -1]
    assert place_in(pa.array(["a", "b"]), pa.array(["b", None])).tolist() == [1, -1]
