"""Requests of a file answered from a data set directory as of their timestamps, with a trained bundle."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray
from pandas.api.types import is_datetime64_any_dtype as is_moment

from timerec.bundle import Bundle, place_of
from timerec.config import Config
from timerec.data.cluster import connect
from timerec.pipeline.opened import open_data
from timerec.pipeline.predict import answer
from timerec.schema import Columns, DataError, Prepared


def recommend(bundle: Path, data: Path, requests: Path, out: Path, k: int, config: Config | None = None) -> dict[str, Any]:
    """Answer the requests of a Parquet or CSV file: request_id, user_id, timestamp.

    Args:
        data: data set directory; everything in it strictly before a request's timestamp counts, also what came after the
            bundle was trained.
        out: Parquet file that receives request_id, rank, item_id, score.

    Returns:
        Counts of requests, of strangers among them, and of rows.

    Raises:
        DataError: a file lacks a column or cannot be read.
    """
    if k < 1:
        raise DataError(f"--k is {k}: ask for at least one item")
    asked = read_requests(requests)
    with _Opened(bundle, data, int(asked[Columns.TIME].max()), out, config) as opened:
        users = opened.user_index(asked[Columns.USER])
        items, scores, _ = answer(opened.files, bundle, users, asked[Columns.TIME].to_numpy(), k=k, cluster=opened.cluster)
        row, column = np.nonzero(items >= 0)
        table = pa.table(
            {
                Columns.REQUEST: pa.array(asked[Columns.REQUEST].to_numpy()[row]),
                Columns.RANK: column + 1,
                Columns.ITEM: opened.items.take(pa.array(items[row, column])),
                Columns.SCORE: scores[row, column],
            }
        )
    _write(table, out)
    return {"requests": len(asked), "strangers": int((users < 0).sum()), "rows": table.num_rows, "out": str(out)}


def score(bundle: Path, data: Path, requests: Path, pairs: Path, out: Path, config: Config | None = None) -> dict[str, Any]:
    """Score pairs (request_id, item_id) for the requests of a file; writes request_id, item_id, score in the order of the pairs.

    Raises:
        DataError: also where an item is in no table of `data`, or a pair's request is not among the requests.
    """
    asked = read_requests(requests)
    wanted = _read(pairs, (Columns.REQUEST, Columns.ITEM))
    row = place_of(pa.array(wanted[Columns.REQUEST]), pa.array(asked[Columns.REQUEST]))
    if (row < 0).any():
        first = wanted[Columns.REQUEST].iloc[int(np.argmax(row < 0))]
        raise DataError(f"{pairs}: column request_id holds {first!r}, which is not in {requests}: add it there or drop the pair")
    with _Opened(bundle, data, int(asked[Columns.TIME].max()), out, config) as opened:
        item = place_of(pa.array(wanted[Columns.ITEM]), opened.items)
        if (item < 0).any():
            first = wanted[Columns.ITEM].iloc[int(np.argmax(item < 0))]
            raise DataError(
                f"{pairs}: column item_id holds {first!r}, which is in no table of {data} ({int((item < 0).sum())} such pairs): "
                "list it in items"
            )
        order = np.argsort(row, kind="stable")
        start = np.searchsorted(row[order], np.arange(len(asked) + 1))
        users = opened.user_index(asked[Columns.USER])
        times = asked[Columns.TIME].to_numpy()
        _, _, found = answer(
            opened.files, bundle, users, times, pairs=(start, item[order].astype(np.int32)), cluster=opened.cluster
        )
    scores = np.empty(len(found), np.float32)
    scores[order] = found
    columns = {name: pa.array(wanted[name]) for name in (Columns.REQUEST, Columns.ITEM)}
    _write(pa.table({**columns, Columns.SCORE: scores}), out)
    return {"requests": len(asked), "pairs": len(scores), "out": str(out)}


def read_requests(path: Path) -> pd.DataFrame:
    """The request file, with timestamps as whole unix seconds."""
    frame = _read(path, (Columns.REQUEST, Columns.USER, Columns.TIME))
    if frame[Columns.REQUEST].duplicated().any():
        first = frame[Columns.REQUEST][frame[Columns.REQUEST].duplicated()].iloc[0]
        raise DataError(f"{path}: column request_id holds {first!r} twice: number the requests")
    time = frame[Columns.TIME]
    if pd.api.types.is_numeric_dtype(time) and not pd.api.types.is_bool_dtype(time):
        seconds = time.to_numpy(dtype=np.float64, na_value=np.nan)
        median = np.nanmedian(seconds) if np.isfinite(seconds).any() else 0.0
        for limit, unit in ((1e17, 1e9), (1e14, 1e6), (1e11, 1e3)):  # nano-, micro- and milliseconds
            if median > limit:
                seconds = seconds / unit
                break
    else:
        moments = pd.to_datetime(time, utc=True, errors="coerce", format=None if is_moment(time) else "ISO8601")
        seconds = (moments - pd.Timestamp(0, tz="UTC")).dt.total_seconds().to_numpy(dtype=np.float64)
    if not np.isfinite(seconds).all():
        place = int(np.argmax(~np.isfinite(seconds)))
        raise DataError(f"{path}: column timestamp of row {place} is {time.iloc[place]!r}: give unix seconds or a datetime")
    return frame.assign(**{Columns.TIME: np.ceil(seconds).astype(np.int64)})


class _Opened:
    """A data set directory prepared for a bundle, in a temporary folder."""

    def __init__(self, bundle: Path, data: Path, latest: int, out: Path, config: Config | None) -> None:
        self._bundle, self._data, self._latest, self._config = Bundle.open(bundle), data, latest, config
        self._beside = out.absolute().parent

    def __enter__(self) -> _Opened:
        self.cluster = (self._config or Config.model_validate(self._bundle.config)).cluster
        connect(self.cluster.address)
        self._beside.mkdir(parents=True, exist_ok=True)
        self._folder = tempfile.TemporaryDirectory(prefix=".timerec-", dir=self._beside)  # where all machines can read it
        self.files = open_data(self._bundle, self._data, Path(self._folder.name), self._latest)
        prepared = self.files.prepared
        self.items = pq.read_table(prepared / Prepared.ITEMS, columns=[Columns.ITEM])[Columns.ITEM].combine_chunks()
        self._users = pq.read_table(prepared / Prepared.USERS, columns=[Columns.USER])[Columns.USER]
        return self

    def __exit__(self, *_: object) -> None:
        self._folder.cleanup()

    def user_index(self, users: pd.Series) -> NDArray[np.int32]:
        """Index of each user id, -1 for a stranger."""
        return place_of(pa.array(users), self._users).astype(np.int32)


def _read(path: Path, columns: tuple[str, ...]) -> pd.DataFrame:
    try:
        frame = _read_csv(path) if path.suffix == ".csv" else pd.read_parquet(path)
    except FileNotFoundError:
        raise DataError(f"{path}: is not there: give a .parquet or .csv file with columns {', '.join(columns)}") from None
    except (OSError, ValueError, pa.ArrowException) as error:
        raise DataError(f"{path}: cannot be read ({str(error).splitlines()[0]}): give a .parquet or .csv file") from None
    missing = [name for name in columns if name not in frame]
    if missing:
        have = ", ".join(map(str, frame.columns))
        raise DataError(f"{path}: has no column {missing[0]} (it has {have}): rename or add it")
    if not len(frame):
        raise DataError(f"{path}: has no row: ask for something")
    empty = [name for name in columns if frame[name].isna().any()]
    if empty:
        raise DataError(f"{path}: column {empty[0]} has empty values: fill them or drop the rows")
    return frame


def _read_csv(path: Path) -> pd.DataFrame:
    """Ids as they are written: a column of whole numbers becomes one, but 007 is not 7."""
    frame = pd.read_csv(path, dtype=str, keep_default_na=False)
    frame = frame.mask(frame == "")
    for name in frame:
        numbers = pd.to_numeric(frame[name], errors="coerce")
        if not numbers.notna().all():
            continue
        if name == Columns.TIME or (pd.api.types.is_integer_dtype(numbers) and (numbers.astype(str) == frame[name]).all()):
            frame[name] = numbers
    return frame


def _write(table: pa.Table, out: Path) -> None:
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(table, out)
    except OSError as error:
        raise DataError(f"{out}: cannot be written ({error.strerror}): choose another --out") from None
