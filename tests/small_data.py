"""A synthetic data set with a trend, habits, categories and texts: what a small run is trained on."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from timerec.clock import DAY, HOUR
from timerec.config import Config, load_config

START = 1_500_000_000
DAYS = 120
USERS, ITEMS = 120, 60
KINDS = ("bread", "fruit", "drinks", "sweets", "tools")


def small_log(seed: int = 0) -> pd.DataFrame:
    """About 6,000 events: each user takes favourites again at their own rhythm, and items come into and out of fashion."""
    rng = np.random.default_rng(seed)
    visits = [_visits(rng) for _ in range(USERS)]
    user = np.repeat(np.arange(USERS), [len(own) for own in visits])
    size = rng.integers(1, 4, len(user))
    user, time = np.repeat(user, size), np.repeat(np.concatenate(visits), size)
    favourites = rng.integers(0, ITEMS, (USERS, 4))
    day = (time - START) // DAY
    fashion = (day // 2 + rng.integers(0, 6, len(time))) % ITEMS
    habit = favourites[user, rng.integers(0, 4, len(time))]
    item = np.where(rng.random(len(time)) < 0.6, habit, fashion)
    frame = pd.DataFrame({"user_id": user + 1000, "item_id": item * 3 + 100, "timestamp": time})
    frame["value"] = rng.integers(1, 4, len(frame)).astype(float)
    frame["event"] = rng.choice(["buy", "view"], len(frame), p=[0.6, 0.4])
    return frame.drop_duplicates(["user_id", "item_id", "timestamp"]).sample(frac=1, random_state=seed, ignore_index=True)


def _visits(rng: np.random.Generator) -> np.ndarray:
    every = rng.uniform(3, 8)
    times = START + np.cumsum(rng.gamma(4, every / 4, 60)) * DAY
    return (times[times < START + DAYS * DAY] // HOUR * HOUR).astype(np.int64)


def small_items() -> pd.DataFrame:
    """Titles and categories of all items, one of which nobody takes."""
    item = np.arange(ITEMS + 1)
    return pd.DataFrame(
        {
            "item_id": item * 3 + 100,
            "title": [f"{KINDS[i % len(KINDS)]} number {i}" for i in item],
            "category": [KINDS[i % len(KINDS)] for i in item],
        }
    )


def small_attributes() -> pd.DataFrame:
    """A price an item every month."""
    item = np.repeat(np.arange(ITEMS), DAYS // 30)
    month = np.tile(np.arange(DAYS // 30), ITEMS)
    price = 2.0 + item % 7 + 0.5 * ((item + month) % 3)
    return pd.DataFrame({"item_id": item * 3 + 100, "timestamp": START + month * 30 * DAY, "price": price})


def write_small(folder: Path, log: pd.DataFrame | None = None, attributes: pd.DataFrame | None = None) -> Path:
    """Write the tables of the data set into `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    (small_log() if log is None else log).to_parquet(folder / "interactions.parquet")
    small_items().to_parquet(folder / "items.parquet")
    (small_attributes() if attributes is None else attributes).to_parquet(folder / "item_attributes.parquet")
    return folder


def small_config() -> Config:
    """Settings that train in seconds."""
    return load_config(
        overrides=[
            "encoder.text=none", "forecaster.epochs=2", "forecaster.hidden=8", "train.requests=300", "train.epochs=1",
            "train.val_requests=100", "evaluate.requests=200", "evaluate.bootstrap=20", "fusion.width=16", "fusion.hidden=32",
            "fusion.heads=2", "cluster.workers=1",
        ]
    )  # fmt: skip
