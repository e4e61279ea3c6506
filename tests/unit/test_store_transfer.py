"""Logs into a store and out of it, and the commands."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq
import pytest

from tests.store_cases import bundle_of
from timerec.cli import main
from timerec.data.clean import LogFormat, judge
from timerec.data.columns import TimeFormat
from timerec.schema import DataError
from timerec.store import Event, EventStore, open_store
from timerec.store.transfer import event_id, export, load

NOW = 2_000_000_000


@pytest.fixture
def store(tmp_path: Path) -> Iterator[EventStore]:
    with open_store(tmp_path / "store" / "events.db") as opened:
        yield opened


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str]) -> Callable[..., dict[str, Any]]:
    """A command of the command line, and the JSON that it prints."""

    def run(*words: object) -> dict[str, Any]:
        capsys.readouterr()
        main([str(word) for word in words])
        found: dict[str, Any] = json.loads(capsys.readouterr().out)
        return found

    return run


def events(store: EventStore) -> list[tuple]:
    return [tuple(one.event) for one in store.since(0)]


def write(path: Path, **columns: list) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table(columns), path)
    return path


CSV = """user_id,item_id,timestamp,event,value,colour
007,a,2020-01-01T00:00:00Z,buy,2.5,red
7,b,2020-01-01T00:00:10.9+00:00,,,
,c,2020-01-01,buy,1,
8,,2020-01-01,buy,1,
8,c,yesterday,buy,1,
8,c,1950-01-01,buy,1,
8,c,2120-01-01,buy,1,
8,c,2020-01-02,buy,inf,
8,c
"""
REASONS = {
    "item_id is null": 1, "line has the wrong number of fields": 1, "timestamp is before 1970": 1,
    "timestamp is in the future": 1, "timestamp is not a finite time": 1, "user_id is null": 1, "value is not a finite number": 1,
}  # fmt: skip


def test_a_csv_is_judged_by_the_rules_of_prepare(store: EventStore, tmp_path: Path) -> None:
    (tmp_path / "log.csv").write_text(CSV)
    found = load(store, tmp_path / "log.csv", tmp_path / "out" / "refused.parquet", NOW)
    assert found == {
        "read": 9, "stored": 2, "duplicates": 0, "refused": 7, "reasons": REASONS,
        "notes": ["log.csv: columns not used: colour"], "last": 2,
    }  # fmt: skip
    start = 1_577_836_800
    assert [row[1:] for row in events(store)] == [("007", "a", start, "buy", 2.5), ("7", "b", start + 10, "", 1.0)]
    refused = pq.read_table(tmp_path / "out" / "refused.parquet").to_pandas()
    assert refused["reason"].value_counts().to_dict() == REASONS
    assert refused[refused.reason == "timestamp is not a finite time"].iloc[0][["user_id", "timestamp"]].tolist() == [
        "8",
        "yesterday",
    ]
    assert refused["line"].dropna().tolist() == ["8,c"]
    load(store, tmp_path / "log.csv", tmp_path / "refused.csv", NOW)
    assert pa_csv.read_csv(tmp_path / "refused.csv").num_rows == 7


def test_the_same_rows_are_kept_as_by_judge(store: EventStore, tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    times = [None, -1, 0, 5, NOW, NOW + 86_400, NOW + 86_401]
    rows = pa.table(
        {
            "user_id": pa.array(rng.choice([1.0, 2.0, 2.5, np.nan], 400), from_pandas=True),
            "item_id": pa.array([[None, 3, 4][k] for k in rng.integers(0, 3, 400)], pa.int64()),
            "timestamp": pa.array([times[k] for k in rng.integers(0, len(times), 400)], pa.int64()),
            "value": pa.array(rng.choice([1.0, np.nan, np.inf], 400)),
            "event": pa.array([["buy", "", None][k] for k in rng.integers(0, 3, 400)]),
        }
    )
    pq.write_table(rows, tmp_path / "log.parquet")
    kept = judge(rows, LogFormat("integer", "integer", TimeFormat(numeric=True), NOW)).kept.to_pandas()
    wanted = kept.astype({"user_id": str, "item_id": str})[["user_id", "item_id", "time"]].apply(tuple, axis=1)
    found = load(store, tmp_path / "log.parquet", now=NOW)
    assert found["stored"] + found["duplicates"] == len(wanted) and found["refused"] == 400 - len(wanted)
    assert {row[1:4] for row in events(store)} == set(wanted)


def test_loading_twice_stores_nothing_twice(store: EventStore, tmp_path: Path) -> None:
    path = write(tmp_path / "interactions.parquet", user_id=[1, 1, 1, 2], item_id=[5, 5, 5, 5], timestamp=[9, 9, 9, 9],
                 event=["a", "b", "a", "a"])  # fmt: skip
    assert load(store, path, now=NOW) | {"notes": []} == {
        "read": 4, "stored": 3, "duplicates": 1, "refused": 0, "reasons": {}, "notes": [], "last": 3
    }  # fmt: skip
    assert load(store, tmp_path, now=NOW)["duplicates"] == 4  # as a data set directory
    assert store.count() == 3


def test_ids_of_the_log_are_kept_and_empty_ones_are_refused(store: EventStore, tmp_path: Path) -> None:
    path = write(
        tmp_path / "log.parquet", user_id=["u"] * 4, item_id=["i"] * 4, timestamp=[1, 1, 2, 3], event_id=["x", "x", "", None]
    )
    found = load(store, path, tmp_path / "refused.csv", NOW)
    assert found["reasons"] == {"event_id is null": 2} and found["duplicates"] == 1 and found["notes"] == []
    assert [row[0] for row in events(store)] == ["x"]


def test_a_folder_of_shards_and_many_batches(store: EventStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("timerec.store.transfer.ROWS", 7)
    monkeypatch.setattr("timerec.store.transfer.APPENDED", 3)
    for shard in range(3):
        write(
            tmp_path / "shards" / f"{shard}.parquet",
            user_id=[shard] * 20,
            item_id=list(range(20)),
            timestamp=[1_600_000_000] * 20,
        )
    seen: list[tuple[int, int]] = []
    assert load(store, tmp_path / "shards", now=NOW, progress=lambda *done: seen.append(done))["stored"] == 60
    assert seen[-1] == (60, 60) and len(seen) == 9


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("nothing.csv", None, "is not there: give a .parquet or .csv file"),
        ("log.xlsx", "x", "is neither .parquet nor .csv"),
        ("log.parquet", "PAR1 not really", "cannot be read as Parquet"),
        ("log.csv", "user,item_id,timestamp\n1,2,3\n", "has no column 'user_id': rename its column 'user'"),
        ("log.csv", "user_id,item_id,timestamp\n", "is empty"),
    ],
)
def test_what_is_no_log(store: EventStore, tmp_path: Path, name: str, content: str | None, sentence: str) -> None:
    if content is not None:
        (tmp_path / name).write_text(content)
    with pytest.raises(DataError, match=sentence):
        load(store, tmp_path / name)
    with pytest.raises(DataError, match=r"--refused .*: is neither .parquet nor .csv"):
        load(store, write(tmp_path / "ok.parquet", user_id=[1], item_id=[1], timestamp=[1]), tmp_path / "refused.txt")


def test_an_event_id_does_not_run_fields_together() -> None:
    assert event_id("a", "b", 1, "c") == event_id("a", "b", 1, "c")
    assert (
        len({event_id("ab", "c", 1, ""), event_id("a", "bc", 1, ""), event_id("a", "b", 1, "c"), event_id("a", "b1", 1, "c")})
        == 4
    )


def test_an_export_is_whole_strictly_before_and_typed(store: EventStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("timerec.store.transfer.PAGE", 3)
    store.append([Event(f"e{k}", str(k % 3), f"i{k}", k, "buy" if k else "", k / 2) for k in range(10)])
    assert export(store, tmp_path / "out")["events"] == 10
    table = pq.read_table(tmp_path / "out" / "interactions.parquet")
    assert table.schema.types == [pa.int64(), pa.string(), pa.int64(), pa.string(), pa.float64(), pa.string()]
    assert [tuple(row.values()) for row in table.to_pylist()] == [
        (k % 3, f"i{k}", k, "buy" if k else None, k / 2, f"e{k}") for k in range(10)
    ]
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["interactions.parquet"]
    assert export(store, tmp_path / "part.parquet", until=4)["events"] == 4
    assert pq.read_table(tmp_path / "part.parquet")["timestamp"].to_pylist() == [0, 1, 2, 3]


@pytest.mark.parametrize("users", [["1", "007"], ["1", "9" * 19], ["1", "-0"], ["1", "1.0"], ["1", " 2"], ["1", "٣"]])
def test_ids_that_are_not_all_canonical_stay_text(store: EventStore, tmp_path: Path, users: list[str]) -> None:
    store.append([Event(user, user, "-5", 1) for user in users])
    export(store, tmp_path / "log.parquet")
    table = pq.read_table(tmp_path / "log.parquet")
    assert table["user_id"].to_pylist() == users and table["item_id"].to_pylist() == [-5, -5]


def test_an_export_goes_back_into_another_store(store: EventStore, tmp_path: Path) -> None:
    store.append([Event("x", "1", "é\0", 5, "buy", 0.1), Event("y", "2", "b", 6), Event("z", "2", "c", 6)])
    store.remove([2])
    export(store, tmp_path)
    with open_store(tmp_path / "copy.db") as copy:
        assert load(copy, tmp_path, now=NOW)["stored"] == 2
        assert [row[:5] for row in events(copy)] == [row[:5] for row in events(store)]


def test_nothing_to_export(store: EventStore, tmp_path: Path) -> None:
    store.append([Event("x", "1", "a", 5)])
    with pytest.raises(DataError, match="holds no event before 5: nothing is exported"):
        export(store, tmp_path / "out", until=5)
    assert not list((tmp_path / "out").iterdir())
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="cannot be written .*: choose another --out"):
        export(store, tmp_path / "file" / "log.parquet")


def test_the_commands(command: Callable[..., dict[str, Any]], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write(tmp_path / "data" / "interactions.parquet", user_id=[1, 2, None], item_id=[3, 3, 3], timestamp=[10, 86_400, 5])
    url = f"sqlite:///{tmp_path}/events.db"
    assert command("store", "load", "--store", url, "--data", path.parent, "--refused", tmp_path / "bad.csv")["stored"] == 2
    assert (tmp_path / "bad.csv").exists()
    out = tmp_path / "out"
    assert command("store", "export", "--store", url, "--out", out, "--until", "1970-01-02") == {
        "events": 1, "last": 2, "out": str(out / "interactions.parquet")
    }  # fmt: skip
    rows = pd.DataFrame({"user_id": [1], "item_id": [3], "timestamp": [10], "event": ""})
    bundle = bundle_of(tmp_path / "bundle", rows, [1], [3], [])
    assert command("store", "compact", "--store", url, "--bundle", bundle) == {"events": 2, "removed": 1, "kept": 1, "last": 2}
    for words in (["export", "--out", str(out)], ["compact", "--bundle", str(bundle)]):
        with pytest.raises(SystemExit) as stop:
            main(["store", words[0], "--store", str(tmp_path / "typo.db"), *words[1:]])
        assert stop.value.code == 2 and "there is no event store" in capsys.readouterr().err
    assert not (tmp_path / "typo.db").exists()
