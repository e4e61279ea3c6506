"""Finding and reading the files of a table."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from timerec.data.tables import FAULT, find_table, pieces, read_piece, read_table, sample_column
from timerec.schema import DataError

REQUIRED = ("user_id", "item_id", "timestamp")


def rows(n: int, **extra: list[object]) -> pa.Table:
    return pa.table({"user_id": list(range(n)), "item_id": [1] * n, "timestamp": [5] * n, **extra})


def find(folder: Path):  # type: ignore[no-untyped-def]
    return find_table(folder, "interactions", REQUIRED)


def test_a_parquet_file_is_cut_along_its_row_groups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("timerec.data.tables.BATCH", 25)
    pq.write_table(rows(100), tmp_path / "interactions.parquet", row_group_size=10)
    table = find(tmp_path)
    assert (table.rows, table.columns) == (100, ["user_id", "item_id", "timestamp"])
    parts = pieces(table, REQUIRED)
    assert [part.groups for part in parts] == [(0, 1), (2, 3), (4, 5), (6, 7), (8, 9)]
    read = pa.concat_tables([batch for part in parts for batch in read_piece(part)])
    assert read["user_id"].to_pylist() == list(range(100))
    monkeypatch.setattr("timerec.data.tables.BATCH", 5)
    assert [part.groups for part in pieces(table, REQUIRED)] == [(group,) for group in range(10)]


def test_a_folder_of_shards(tmp_path: Path) -> None:
    folder = tmp_path / "interactions"
    (folder / "day=1").mkdir(parents=True)
    (folder / "_SUCCESS").touch()
    (folder / ".part.parquet.crc").write_bytes(b"x")
    pq.write_table(rows(3), folder / "day=1" / "b.parquet")
    pq.write_table(rows(2, value=[1.0, 2.0]), folder / "a.parquet")
    pq.write_table(rows(0), folder / "empty.parquet")
    table = find(tmp_path)
    assert [file.path.name for file in table.files] == ["a.parquet", "b.parquet"]
    assert read_table(table, (*REQUIRED, "value"))["value"].to_pylist() == [1.0, 2.0, None, None, None]


def test_csv_with_broken_lines_quotes_and_byte_order_mark(tmp_path: Path) -> None:
    text = '\ufeffuser_id,item_id,timestamp,event\n1,"a,b",5,x\n1,2\n2,c,,"two\nlines"\n1,2,3,4,5\n'
    (tmp_path / "interactions.csv").write_text(text, encoding="utf-8")
    table = find(tmp_path)
    read = pa.concat_tables(read_piece(pieces(table, (*REQUIRED, "event"))[0]), promote_options="default")
    assert read["item_id"].to_pylist() == ["a,b", "c", None, None]
    assert read["timestamp"].to_pylist() == ["5", None, None, None]
    assert read["event"].to_pylist() == ["x", "two\nlines", None, None]
    assert [line and line.strip() for line in read[FAULT].to_pylist()] == [None, None, "1,2", "1,2,3,4,5"]


@pytest.mark.parametrize(
    ("name", "close"), [("user", "user"), ("UserID", "UserID"), ("usr_id", "usr_id"), ("customer_id", "customer_id")]
)
def test_a_misnamed_column_is_recognised(tmp_path: Path, name: str, close: str) -> None:
    table = rows(2).rename_columns([name, "item_id", "timestamp"])
    pq.write_table(table, tmp_path / "interactions.parquet")
    with pytest.raises(DataError, match=f"interactions.parquet has no column 'user_id': rename its column '{close}' to 'u"):
        find(tmp_path)


def test_a_missing_column_lists_the_others(tmp_path: Path) -> None:
    pq.write_table(pa.table({"user_id": [1], "item_id": [1], "colour": [1]}), tmp_path / "interactions.parquet")
    with pytest.raises(DataError, match="no column 'timestamp': it has 'user_id', 'item_id', 'colour'; add it"):
        find(tmp_path)


def test_a_column_missing_in_one_shard_names_the_shard(tmp_path: Path) -> None:
    (tmp_path / "interactions").mkdir()
    pq.write_table(rows(2), tmp_path / "interactions" / "a.parquet")
    pq.write_table(rows(2).drop_columns(["item_id"]), tmp_path / "interactions" / "b.parquet")
    with pytest.raises(DataError, match="interactions/b.parquet has no column 'item_id'"):
        find(tmp_path)


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("interactions.parquet", b"", "is empty"),
        ("interactions.parquet", b"PAR1 but not really", "cannot be read as Parquet"),
        ("interactions.csv", b"", "is empty"),
        ("interactions.csv", b"user_id,item_id,timestamp\n", "is empty"),
        ("interactions.csv", "user_id,item_id,timestamp\n1,é,3\n".encode("latin-1"), "cannot be read as CSV in UTF-8"),
    ],
)
def test_unusable_files(tmp_path: Path, name: str, content: bytes, sentence: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=sentence):
        find(tmp_path)


def test_no_rows(tmp_path: Path) -> None:
    pq.write_table(rows(0), tmp_path / "interactions.parquet")
    with pytest.raises(DataError, match="interactions.parquet is empty"):
        find(tmp_path)


def test_damaged_pages_are_found_while_reading(tmp_path: Path) -> None:
    path = tmp_path / "interactions.parquet"
    pq.write_table(rows(5_000), path, compression="snappy", use_dictionary=False)
    content = bytearray(path.read_bytes())
    content[40:400] = b"\xff" * 360
    path.write_bytes(content)
    with pytest.raises(DataError, match="cannot be read as Parquet"):
        list(read_piece(pieces(find(tmp_path), REQUIRED)[0]))


def test_no_table_and_two_tables(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such folder"):
        find(tmp_path / "nowhere")
    with pytest.raises(DataError, match="holds no interactions.parquet, interactions.csv or folder interactions"):
        find(tmp_path)
    assert find_table(tmp_path, "items", ("item_id",), optional=True) is None
    pq.write_table(rows(1), tmp_path / "interactions.parquet")
    (tmp_path / "interactions.csv").write_text("user_id,item_id,timestamp\n1,2,3\n")
    with pytest.raises(DataError, match=r"holds both interactions.parquet and interactions.csv; keep one"):
        find(tmp_path)


def test_samples_come_from_several_files(tmp_path: Path) -> None:
    (tmp_path / "interactions").mkdir()
    for number in range(3):
        pq.write_table(rows(4), tmp_path / "interactions" / f"{number}.parquet")
    assert [len(sample) for sample in sample_column(find(tmp_path), "timestamp")] == [4, 4, 4]
