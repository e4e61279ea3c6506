"""Bad input: rows are refused and counted, a meaningless run stops with one sentence."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from tests.integration.data_sets import NOW, events_of, quarantined, run, small_items, small_log
from timerec.clock import DAY
from timerec.config import DataConfig
from timerec.data import clean
from timerec.data.faults import full_disk_is_data_error
from timerec.data.passes import each
from timerec.schema import DataError

pytestmark = pytest.mark.usefixtures("ray_local")


def test_bad_rows_are_refused_with_their_reason(tmp_path: Path) -> None:
    log = small_log()
    bad = log.head(6).astype({"user_id": "Int64", "item_id": "Int64", "timestamp": "float64"})
    bad.loc[0, "user_id"] = pd.NA
    bad.loc[1, "item_id"] = pd.NA
    bad.loc[2, "timestamp"] = np.inf
    bad.loc[3, "timestamp"] = -5
    bad.loc[4, "timestamp"] = NOW + 2 * DAY
    bad = pa.Table.from_pandas(bad, preserve_index=False)
    value = pa.array([1.0] * 5 + [float("nan")], pa.float32())
    bad = bad.set_column(bad.schema.get_field_index("value"), "value", value)
    good = pa.Table.from_pandas(log, preserve_index=False)
    table = pa.concat_tables([good, bad], promote_options="permissive")
    manifest = run(tmp_path, interactions=table)
    reasons = [
        clean.USER_NULL, clean.ITEM_NULL, clean.TIME_UNREADABLE, clean.TIME_EARLY, clean.TIME_FUTURE,
        clean.VALUE_NOT_FINITE,
    ]  # fmt: skip
    assert manifest["counts"]["interactions"] == {
        "read": 606, "kept": 600, "merged": 0, "quarantined": 6, "reasons": dict.fromkeys(sorted(reasons), 1)
    }  # fmt: skip
    refused = quarantined(tmp_path / "out").set_index("reason")
    assert refused.loc[clean.TIME_UNREADABLE, "timestamp"] == "inf"
    assert refused.loc[clean.USER_NULL, "item_id"] == str(log["item_id"][0])
    assert set(refused["table"]) == {"interactions"}


def test_duplicates_are_merged(tmp_path: Path) -> None:
    log = small_log()
    manifest = run(tmp_path, interactions=pd.concat([log, log.head(30), log.head(10)]))
    counts = manifest["counts"]["interactions"]
    assert (counts["kept"], counts["merged"]) == (600, 40)
    assert events_of(tmp_path / "out")["value"].sum() == log["value"].sum()


@pytest.mark.parametrize(("ticks", "unit"), [(10**3, "milliseconds"), (10**6, "microseconds"), (10**9, "nanoseconds")])
def test_other_units_of_time_are_recognised_and_said(tmp_path: Path, ticks: int, unit: str) -> None:
    log = small_log()
    manifest = run(tmp_path, interactions=log.assign(timestamp=log["timestamp"] * ticks))
    assert manifest["notes"] == [f"interactions.parquet: timestamp is in {unit}, converted to seconds"]
    assert sorted(events_of(tmp_path / "out")["time"]) == log["timestamp"].tolist()


def test_datetimes_with_a_zone(tmp_path: Path) -> None:
    log = small_log()
    zoned = pd.to_datetime(log["timestamp"], unit="s", utc=True).dt.tz_convert("America/Lima")
    run(tmp_path, interactions=log.assign(timestamp=zoned))
    assert sorted(events_of(tmp_path / "out")["time"]) == log["timestamp"].tolist()


def test_ids_that_differ_only_in_type_are_matched_and_said(tmp_path: Path) -> None:
    log = small_log()
    items = small_items(log)
    manifest = run(tmp_path, interactions=log, items=items.assign(item_id=items["item_id"].astype(str)))
    assert manifest["n_items"] == len(items)
    assert manifest["notes"][0].startswith("item_id differs in type between files (interactions.parquet as integer, items")
    table = pd.read_parquet(tmp_path / "out" / "items.parquet")
    assert (table["title"] == "title " + table["item_id"]).all()


def test_ids_that_do_not_match_stop_the_run(tmp_path: Path) -> None:
    log = small_log()
    items = small_items(log)
    with pytest.raises(DataError, match="items.parquet, column 'item_id' has none of the items of interactions"):
        run(tmp_path, interactions=log, items=items.assign(item_id="sku-" + items["item_id"].astype(str)))


def test_items_and_attributes_are_cleaned(tmp_path: Path) -> None:
    log = small_log()
    items = small_items(log)
    items["text"] = "plain"
    items.loc[0, "text"] = "bell\x07"
    items.loc[1, "text"] = "m" * 1_000_000
    ids = items["item_id"].to_numpy()
    attributes = pd.DataFrame(
        {
            "item_id": [ids[0], ids[0], ids[0], 123_456, ids[1]],
            "timestamp": [NOW - 9, NOW - 9, NOW - 5, NOW - 9, -1],
            "price": [1.0, 1.0, 2.0, 3.0, 4.0],
        }
    )
    manifest = run(tmp_path, interactions=log, items=pd.concat([items, items.head(2)]), item_attributes=attributes)
    assert manifest["counts"]["items"]["quarantined"] == 2
    assert manifest["counts"]["item_attributes"] == {
        "read": 5, "kept": 2, "merged": 1, "quarantined": 2,
        "reasons": {"item_id is in no other table": 1, clean.TIME_EARLY: 1},
    }  # fmt: skip
    assert manifest["attribute_names"] == ["price"]
    assert len(manifest["notes"]) == 2
    assert set(quarantined(tmp_path / "out")["table"]) == {"items", "item_attributes"}


def test_a_weight_that_no_event_has_is_said(tmp_path: Path) -> None:
    manifest = run(tmp_path, interactions=small_log(), config=DataConfig(event_weights={"buy": 2, "bye": 3}))
    assert manifest["notes"] == ["data.event_weights names 'bye', which no row of interactions.parquet has"]


def test_the_kinds_of_a_bundle_are_told_apart_whatever_the_log_has(tmp_path: Path) -> None:
    log = small_log().assign(event=["buy", "view"] * (len(small_log()) // 2) + ["buy"] * (len(small_log()) % 2))
    assert run(tmp_path, interactions=log)["kinds"] == ["buy", "view"]
    assert run(tmp_path, interactions=log, kinds=["cart", "view"])["kinds"] == ["cart", "view"]
    assert run(tmp_path, interactions=log, kinds=[])["kinds"] == []
    with pytest.raises(DataError, match=r"interactions\.parquet, column 'event': no row is of a kind .* \(cart, like\)"):
        run(tmp_path, interactions=log, kinds=["cart", "like"])


def test_unused_columns_and_missing_values_are_said(tmp_path: Path) -> None:
    log = small_log().assign(colour="red")
    log.loc[3, "value"] = None
    assert run(tmp_path, interactions=log)["notes"] == [
        "interactions.parquet: columns not used: colour",
        "interactions.parquet: 1 rows have no value, which counts as 1",
    ]


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"user_id": 1}, "column 'user_id' has one value only"),
        ({"item_id": 1}, "column 'item_id' has one value only"),
        (
            {"timestamp": "03/04/2017"},
            "0 usable events are left .600 rows were refused because timestamp is not a finite",
        ),
        ({"timestamp": 1_500_000_000}, "column 'timestamp': the split needs"),
        ({"value": "much"}, "column 'value' is of type .*: write numbers"),
        ({"user_id": True}, "column 'user_id' is of type bool"),
        ({"timestamp": True}, "column 'timestamp' is of type bool"),
    ],
)
def test_a_meaningless_log_stops_the_run(tmp_path: Path, change: dict[str, Any], sentence: str) -> None:
    with pytest.raises(DataError, match=f"interactions.*{sentence}") as caught:
        run(tmp_path, interactions=small_log().assign(**change))
    assert "\n" not in str(caught.value)


def test_too_few_events(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="49 usable events are left, but training, validation and test need at least 50"):
        run(tmp_path, interactions=small_log(events=49))
    assert not (tmp_path / "out" / "manifest.json").exists()


def test_a_worker_that_cannot_read_names_the_file(tmp_path: Path) -> None:
    run(tmp_path, interactions=small_log())
    path = tmp_path / "in" / "interactions.parquet"
    content = bytearray(path.read_bytes())
    content[60:600] = b"\xff" * 540
    path.write_bytes(content)
    with pytest.raises(DataError, match="interactions.parquet: cannot be read as Parquet") as caught:
        run(tmp_path)
    assert "\n" not in str(caught.value)


def test_a_full_disk_is_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("timerec.pipeline.prepare.write_arrow", full)
    with pytest.raises(DataError, match="out: the disk is full"):
        run(tmp_path, interactions=small_log())


def test_a_full_disk_in_a_worker_is_a_sentence(tmp_path: Path) -> None:
    def task(_: object) -> Iterator[dict[str, Any]]:
        yield {}
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(DataError, match="the disk is full"), full_disk_is_data_error(tmp_path):
        each([{}], task)


def test_what_an_earlier_run_left_is_replaced(tmp_path: Path) -> None:
    log = small_log()
    run(tmp_path, interactions=pd.concat([log, log.head(1).assign(timestamp=-1)]), config=DataConfig(shards=4))
    assert len(quarantined(tmp_path / "out")) == 1
    (tmp_path / "out" / "mine.txt").write_text("kept")
    run(tmp_path, interactions=log, config=DataConfig(shards=2))
    assert len(list((tmp_path / "out" / "events").iterdir())) == 2
    assert not list((tmp_path / "out" / "quarantine").iterdir())
    assert not (tmp_path / "out" / "work").exists()
    assert (tmp_path / "out" / "mine.txt").exists()
