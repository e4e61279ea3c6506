"""Request files of any make: ids as written, times in any unit, faults named."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from timerec.pipeline.recommend import read_requests
from timerec.schema import DataError


def _csv(folder: Path, text: str) -> Path:
    path = folder / "requests.csv"
    path.write_text(text)
    return path


def test_ids_of_a_csv_stay_as_they_are_written(tmp_path: Path) -> None:
    found = read_requests(_csv(tmp_path, "request_id,user_id,timestamp\n01,007,1500000000\n02,NA,1500000001\n"))
    assert found["request_id"].tolist() == ["01", "02"]
    assert found["user_id"].tolist() == ["007", "NA"]
    assert found["timestamp"].tolist() == [1_500_000_000, 1_500_000_001]


def test_whole_numbers_of_a_csv_are_numbers(tmp_path: Path) -> None:
    found = read_requests(_csv(tmp_path, "request_id,user_id,timestamp\n1,7,1500000000\n2,12,1500000001\n"))
    assert found["request_id"].tolist() == [1, 2]
    assert found["user_id"].tolist() == [7, 12]


@pytest.mark.parametrize("factor", [1, 1_000, 1_000_000, 1_000_000_000])
def test_times_in_any_unit(tmp_path: Path, factor: int) -> None:
    path = tmp_path / "requests.parquet"
    pd.DataFrame({"request_id": [1], "user_id": [2], "timestamp": [1_500_000_000 * factor]}).to_parquet(path)
    assert read_requests(path)["timestamp"].tolist() == [1_500_000_000]


def test_iso_times_of_several_forms(tmp_path: Path) -> None:
    text = "request_id,user_id,timestamp\n1,a,1970-01-02\n2,a,1970-01-02T01:00:00\n3,a,1970-01-02T01:00:00+01:00\n"
    assert read_requests(_csv(tmp_path, text))["timestamp"].tolist() == [86_400, 90_000, 86_400]


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("request_id,user,timestamp\n1,a,5\n", "user_id"),
        ("request_id,user_id,timestamp\n1,a,5\n1,b,6\n", "twice"),
        ("request_id,user_id,timestamp\n1,,5\n", "user_id"),
        ("request_id,user_id,timestamp\n1,a,soon\n", "timestamp"),
        ("request_id,user_id,timestamp\n", "no row"),
    ],
)
def test_faults_are_named(tmp_path: Path, text: str, named: str) -> None:
    with pytest.raises(DataError, match=named):
        read_requests(_csv(tmp_path, text))
