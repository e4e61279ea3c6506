"""A log that went through an event store is the same log to `prepare`, and compaction knows it again."""

from __future__ import annotations

import shutil
from pathlib import Path

import pyarrow.parquet as pq

from tests.small_data import write_small
from tests.store_cases import sealed
from timerec.config import DataConfig
from timerec.pipeline.prepare import prepare
from timerec.schema import Columns, Prepared
from timerec.sealed import LOG
from timerec.store import open_store
from timerec.store.compact import compact
from timerec.store.transfer import export, load


def test_through_a_store_and_back(ray_local: None, tmp_path: Path) -> None:
    data = write_small(tmp_path / "data")
    with open_store(tmp_path / "events.db") as store:
        found = load(store, data)
        assert found["stored"] == found["read"] and found["notes"] == []
        export(store, tmp_path / "exported")
        for table in data.iterdir():
            if not table.name.startswith("interactions"):
                shutil.copy(table, tmp_path / "exported" / table.name)
        before = prepare(data, tmp_path / "before", DataConfig())
        after = prepare(tmp_path / "exported", tmp_path / "after", DataConfig())
        assert {**before, "seconds": 0} == {**after, "seconds": 0}
        for name in (Prepared.USERS, Prepared.ITEMS, Prepared.EVENTS):
            assert pq.read_table(tmp_path / "before" / name).equals(pq.read_table(tmp_path / "after" / name))
        assert pq.read_table(tmp_path / "after" / Prepared.ITEMS)[Columns.ITEM].type == "int64"

        shutil.copytree(tmp_path / "before", tmp_path / "bundle" / LOG)
        assert compact(store, sealed(tmp_path / "bundle")) == {
            "events": found["read"],
            "removed": found["read"],
            "kept": 0,
            "last": found["read"],
        }
