"""`prepare` from end to end on a local Ray."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.integration.data_sets import START, events_of, run, small_items, small_log
from timerec.clock import DAY, HOUR
from timerec.config import DataConfig
from timerec.data.series import MONDAY
from timerec.schema import DataError

pytestmark = pytest.mark.usefixtures("ray_local")


def test_every_event_returns_with_its_ids(tmp_path: Path) -> None:
    log = small_log()
    manifest = run(tmp_path, interactions=log, items=small_items(log), config=DataConfig(shards=3))
    out = tmp_path / "out"
    events, users, items = (
        events_of(out),
        pd.read_parquet(out / "users.parquet"),
        pd.read_parquet(out / "items.parquet"),
    )
    assert events.dtypes.astype(str).tolist() == ["int32", "int32", "int64", "float32", "float32", "int8"]
    order = events[["user", "time", "item"]]
    assert order.equals(order.sort_values(["user", "time", "item"], ignore_index=True))

    back = pd.DataFrame(
        {
            "user_id": users["user_id"].to_numpy()[events["user"]],
            "item_id": items["item_id"].to_numpy()[events["item"]],
            "timestamp": events["time"],
            "value": events["value"],
        }
    ).sort_values("timestamp", ignore_index=True)
    pd.testing.assert_frame_equal(back, log[list(back.columns)])

    assert users["user"].tolist() == list(range(log["user_id"].nunique()))
    assert items["item_id"].tolist() == sorted({*log["item_id"], 9_999})
    assert items["item"].dtype == items["category_index"].dtype == np.int32
    shards = [set(pd.read_parquet(path)["user"]) for path in sorted((out / "events").glob("*.parquet"))]
    assert [min(shard) for shard in shards[1:]] == [max(shard) + 1 for shard in shards[:-1]]
    assert manifest["n_events"] == manifest["files"]["users.parquet"] - manifest["n_users"] + len(log)


def test_users_and_items_know_their_events(tmp_path: Path) -> None:
    log = small_log()
    run(tmp_path, interactions=log, items=small_items(log))
    for name, key in (("users", "user_id"), ("items", "item_id")):
        table = pd.read_parquet(tmp_path / "out" / f"{name}.parquet").set_index(key)
        truth = log.groupby(key)["timestamp"].agg(["size", "min", "max"])
        found = table.loc[truth.index, ["events", "first", "last"]]
        assert (found.to_numpy() == truth.to_numpy()).all()
    untouched = table.loc[9_999]
    assert (untouched["events"], untouched["title"], untouched["listed_at"]) == (0, "title 9999", 2**62)


def test_the_order_of_the_rows_does_not_matter(tmp_path: Path) -> None:
    log = small_log()
    first = run(tmp_path, interactions=log, items=small_items(log))
    shuffled = log.sample(frac=1, random_state=1)
    second = run(tmp_path, "again", interactions=shuffled, items=small_items(log).sample(frac=1, random_state=2))
    for name in first["files"]:
        assert (tmp_path / "out" / name).read_bytes() == (tmp_path / "again" / name).read_bytes(), name
    assert {**first, "seconds": 0} == {**second, "seconds": 0}
    assert json.loads((tmp_path / "out" / "manifest.json").read_text()) == first


def test_a_folder_of_shards_gives_the_same_as_one_file(tmp_path: Path) -> None:
    log = small_log()
    first = run(tmp_path, interactions=log)
    folder = tmp_path / "in" / "interactions"
    (tmp_path / "in" / "interactions.parquet").unlink()
    folder.mkdir()
    for part in range(4):
        log[part::4].astype({"item_id": "int32" if part % 2 else "int64"}).to_parquet(folder / f"part-{part}.parquet")
    second = run(tmp_path, "again")
    assert {**first, "seconds": 0} == {**second, "seconds": 0}
    assert events_of(tmp_path / "out").equals(events_of(tmp_path / "again"))


def test_csv_gives_the_same_events(tmp_path: Path) -> None:
    log = small_log()
    run(tmp_path, "parquet", interactions=log)
    (tmp_path / "in" / "interactions.parquet").unlink()
    manifest = run(tmp_path, "csv", interactions=log.to_csv(index=False))
    items = pd.read_parquet(tmp_path / "csv" / "items.parquet")
    assert items["item_id"].tolist() == sorted(set(log["item_id"]))  # integers again, in numeric order
    users = pd.read_parquet(tmp_path / "csv" / "users.parquet")
    assert users["user_id"].dtype == np.int64
    assert manifest["n_events"] == len(log)
    totals = [pd.read_parquet(tmp_path / kind / "users.parquet").set_index("user_id")["events"] for kind in ("csv", "parquet")]
    assert totals[0].sort_index().equals(totals[1].sort_index())


def test_the_split_is_global_in_time(tmp_path: Path) -> None:
    log = small_log()
    manifest = run(tmp_path, interactions=log)
    assert manifest["val_from"] == int(np.quantile(log["timestamp"], 0.8))
    assert manifest["test_from"] == int(np.quantile(log["timestamp"], 0.9))
    assert (manifest["first"], manifest["last"]) == (log["timestamp"].min(), log["timestamp"].max())


def test_repeats_are_measured_before_validation_only(tmp_path: Path) -> None:
    log = small_log(events=500)
    log["item_id"] = np.arange(500)  # nothing is ever repeated ...
    log.loc[450:, "item_id"] = 499  # ... before validation begins
    log.loc[450:, "user_id"] = 3
    manifest = run(tmp_path, interactions=log)
    assert (manifest["repeats"], manifest["repeat_share"]) == (False, 0.0)
    log["item_id"] = log["user_id"]
    again = run(tmp_path, interactions=log)
    before = log[log["timestamp"] < again["val_from"]]
    assert again["repeat_share"] == pytest.approx(before.duplicated(["user_id", "item_id"]).mean())
    assert again["repeats"] is True
    assert run(tmp_path, interactions=log, config=DataConfig(repeats="no"))["repeats"] is False


@pytest.mark.parametrize("step", ["hour", "day", "week"])
def test_series_hold_the_whole_log(tmp_path: Path, step: str) -> None:
    log = small_log()
    config = DataConfig(step=step, event_weights={"buy": 3.0})  # type: ignore[arg-type]
    manifest = run(tmp_path, interactions=log, config=config)
    series = pd.read_parquet(tmp_path / "out" / "series.parquet")
    assert series["count"].sum() == np.where(log["event"] == "buy", 3, 1).sum()
    assert series["value"].sum() == log["value"].sum()
    assert series["step"].max() == manifest["n_steps"] - 1
    assert (manifest["origin"] - MONDAY) % manifest["step_seconds"] == 0 or step != "week"
    assert manifest["origin"] <= START + DAY


def test_the_step_is_chosen_by_the_lives_of_items(tmp_path: Path) -> None:
    log = small_log(events=1_000)
    assert run(tmp_path, interactions=log)["step"] == "week"
    log["item_id"] = (log["timestamp"] - START) // (5 * DAY)  # a new item every five days
    assert run(tmp_path, interactions=log)["step"] == "day"
    log["item_id"] = (log["timestamp"] - START) // (20 * HOUR)
    assert run(tmp_path, interactions=log)["step"] == "hour"


def test_given_dates_win_and_are_checked(tmp_path: Path) -> None:
    from timerec.pipeline.prepare import prepare

    log = small_log()
    run(tmp_path, interactions=log)
    manifest = prepare(tmp_path / "in", tmp_path / "out", DataConfig(), START + 50 * DAY, START + 60 * DAY)
    assert (manifest["val_from"], manifest["test_from"]) == (START + 50 * DAY, START + 60 * DAY)
    with pytest.raises(DataError, match="the split needs"):
        prepare(tmp_path / "in", tmp_path / "out", DataConfig(), START + 50 * DAY, START + 500 * DAY)
