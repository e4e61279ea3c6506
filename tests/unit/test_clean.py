"""Each fault of a row has its reason, and no row goes missing."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from timerec.data import clean
from timerec.data.clean import LogFormat, count_reasons, judge
from timerec.data.columns import TimeFormat
from timerec.data.tables import FAULT

NOW = 1_600_000_000
FORM = LogFormat("integer", "integer", TimeFormat(True), NOW)
GOOD: dict[str, Any] = {"user_id": 1.0, "item_id": 2.0, "timestamp": 1e9, "event": "view", "value": 3.0}


def log(*rows: dict[str, Any]) -> pa.Table:
    return pa.Table.from_pylist([{**GOOD, **row} for row in rows])


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ({"user_id": None}, clean.USER_NULL),
        ({"user_id": 1.5}, clean.USER_NOT_WHOLE),
        ({"item_id": None}, clean.ITEM_NULL),
        ({"item_id": 0.25}, clean.ITEM_NOT_WHOLE),
        ({"timestamp": None}, clean.TIME_NULL),
        ({"timestamp": float("nan")}, clean.TIME_UNREADABLE),
        ({"timestamp": float("inf")}, clean.TIME_UNREADABLE),
        ({"timestamp": -1.0}, clean.TIME_EARLY),
        ({"timestamp": NOW + 86_401.0}, clean.TIME_FUTURE),
        ({"value": float("nan")}, clean.VALUE_NOT_FINITE),
        ({"value": float("-inf")}, clean.VALUE_NOT_FINITE),
        ({"value": 1e300}, clean.VALUE_NOT_FINITE),
    ],
)
def test_each_fault_is_refused_with_its_reason(fault: dict[str, Any], reason: str) -> None:
    judged = judge(log({}, fault, {}), FORM)
    assert judged.kept.num_rows == 2
    assert judged.refused["reason"].to_pylist() == [reason]
    assert judged.refused["table"].to_pylist() == ["interactions"]
    name, value = next(iter(fault.items()))
    written = judged.refused[name].to_pylist()[0]
    assert written is None if value is None else float(written) == pytest.approx(value, nan_ok=True)
    assert reason in clean.REASONS


def test_the_edges_of_time_are_kept() -> None:
    assert judge(log({"timestamp": 0.0}, {"timestamp": NOW + 86_400.0}), FORM).kept.num_rows == 2


def test_broken_lines_are_counted_once() -> None:
    rows = log({}, {}).append_column(FAULT, pa.array([None, "1,2,3,4,5,6"]))
    judged = judge(rows, FORM)
    assert count_reasons(judged.refused) == {clean.BROKEN_LINE: 1}
    assert judged.refused["line"].to_pylist() == ["1,2,3,4,5,6"]


def test_missing_values_count_as_one() -> None:
    judged = judge(log({"value": None}, {}), FORM)
    assert judged.kept["value"].to_pylist() == [1.0, 3.0]
    assert judged.values_missing == 1
    assert judge(log({}).drop_columns(["value", "event"]), FORM).kept["value"].to_pylist() == [1.0]


def test_weights_of_kinds() -> None:
    form = LogFormat("integer", "integer", TimeFormat(True), NOW, {"buy": 5.0, "never": 2.0, "view": 0.5})
    rows = log({"event": "view"}, {"event": "buy"}, {"event": "other"}, {"event": None}, {"event": "buy", "user_id": None})
    judged = judge(rows, form)
    assert judged.kept["weight"].to_pylist() == [0.5, 5.0, 1.0, 1.0]
    assert judged.known_kinds == [1, 0, 1]
    assert len(set(judged.kept["kind"].to_pylist())) == 4


def test_a_row_with_two_faults_has_the_first_reason() -> None:
    assert judge(log({"user_id": None, "value": float("nan")}), FORM).refused["reason"].to_pylist() == [clean.USER_NULL]


_NUMBER = st.one_of(st.none(), st.floats(allow_nan=True, allow_infinity=True), st.integers(0, 2_000_000_000).map(float))


@given(st.lists(st.fixed_dictionaries(dict.fromkeys(("user_id", "item_id", "timestamp", "value"), _NUMBER)), min_size=1))
def test_every_row_is_kept_or_refused(rows: list[dict[str, Any]]) -> None:
    schema = pa.schema([(name, pa.float64()) for name in ("user_id", "item_id", "timestamp", "value")])
    judged = judge(pa.Table.from_pylist(rows, schema=schema), FORM)
    assert judged.kept.num_rows + judged.refused.num_rows == len(rows)
    assert sum(count_reasons(judged.refused).values()) == judged.refused.num_rows
    time = judged.kept["time"].to_numpy()
    assert ((time >= 0) & (time <= NOW + 86_400)).all()
    assert np.isfinite(judged.kept["value"].to_numpy()).all()
    assert judged.kept["user_id"].null_count == judged.kept["item_id"].null_count == 0
