"""Small data sets for the tests of `prepare`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from timerec.clock import DAY
from timerec.config import DataConfig
from timerec.pipeline.prepare import prepare

START = 1_500_000_000
NOW = START + 400 * DAY


def small_log(events: int = 600, users: int = 40, items: int = 25, seed: int = 0) -> pd.DataFrame:
    """Events at distinct seconds over 100 days; integer ids that are not dense."""
    rng = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "user_id": rng.integers(0, users, events) * 7 + 3,
            "item_id": rng.integers(0, items, events) * 11 + 5,
            "timestamp": START + np.sort(rng.choice(100 * DAY, events, replace=False)),
            "event": rng.choice(["view", "buy"], events),
            "value": rng.integers(1, 5, events).astype("float32"),
        }
    )


def small_items(log: pd.DataFrame) -> pd.DataFrame:
    """The items of the log and one that nobody has touched."""
    ids = np.append(np.unique(log["item_id"]), 9_999)
    return pd.DataFrame({"item_id": ids, "title": [f"title {i}" for i in ids], "category": np.where(ids % 2, "odd", "even")})


def run(
    folder: Path, out: str = "out", config: DataConfig | None = None, kinds: list[str] | None = None, **tables: Any
) -> dict[str, Any]:
    """Write the tables into `folder/in`, prepare them into `folder/<out>` and check that every row is accounted for."""
    source = folder / "in"
    source.mkdir(exist_ok=True)
    for name, table in tables.items():
        if isinstance(table, str):
            (source / f"{name}.csv").write_text(table)
        else:
            rows = table if isinstance(table, pa.Table) else pa.Table.from_pandas(table, preserve_index=False)
            pq.write_table(rows, source / f"{name}.parquet", row_group_size=150)
    manifest = prepare(source, folder / out, config or DataConfig(), now=NOW, kinds=kinds)
    for name, count in manifest["counts"].items():
        assert count["read"] == count["kept"] + count["merged"] + count["quarantined"], name
        assert count["quarantined"] == sum(count["reasons"].values()), name
    return manifest


def events_of(prepared: Path) -> pd.DataFrame:
    """All events in the order of the shards."""
    return pd.concat([pd.read_parquet(path) for path in sorted((prepared / "events").glob("*.parquet"))], ignore_index=True)


def quarantined(prepared: Path) -> pd.DataFrame:
    """All refused rows."""
    return pd.concat([pd.read_parquet(path) for path in sorted((prepared / "quarantine").glob("*.parquet"))])
