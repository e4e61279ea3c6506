"""Identifiers, instants, numbers and texts, value by value."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from timerec.data.columns import (
    NULL,
    OK,
    UNREADABLE,
    TimeFormat,
    all_canonical,
    as_text,
    hash_ids,
    id_kind,
    time_format,
    to_floats,
    to_ids,
    to_seconds,
    to_text,
)
from timerec.schema import DataError

NOON = 1_500_000_000  # 2017-07-14 02:40:00 UTC


def column(values: Sequence[object], kind: pa.DataType | None = None) -> pa.ChunkedArray:
    return pa.chunked_array([pa.array(values, kind)])


def test_integer_ids_that_pandas_stored_as_floats() -> None:
    ids, verdict = to_ids(column([1.0, None, 2.5, float("nan"), float("inf")]), "integer")
    assert ids.to_pylist() == [1, None, None, None, None]
    assert verdict.tolist() == [OK, NULL, UNREADABLE, NULL, UNREADABLE]


def test_integer_ids_as_strings_have_no_decimal_point() -> None:
    assert to_ids(column([12.0, 7.0]), "string")[0].to_pylist() == ["12", "7"]
    assert to_ids(column([12, 7]), "string")[0].to_pylist() == ["12", "7"]


def test_unsigned_ids_beyond_int64_are_refused() -> None:
    ids, verdict = to_ids(column([5, 2**63], pa.uint64()), "integer")
    assert ids.to_pylist() == [5, None]
    assert verdict.tolist() == [OK, UNREADABLE]


def test_empty_string_is_no_id() -> None:
    ids, verdict = to_ids(column(["a", "", None]).dictionary_encode(), "string")
    assert ids.to_pylist() == ["a", None, None]
    assert verdict.tolist() == [OK, NULL, NULL]


def test_id_kinds() -> None:
    assert id_kind({pa.int32(), pa.dictionary(pa.int8(), pa.string())}, "f", "c") == {"integer", "string"}
    with pytest.raises(DataError, match="interactions.parquet, column 'user_id' is of type bool"):
        id_kind({pa.bool_()}, "interactions.parquet", "user_id")


def test_canonical_numbers() -> None:
    assert all_canonical(pa.array(["0", "-3", "120"]))
    for odd in ("007", "+1", "1.0", "-0", "12345678901234567890"):
        assert not all_canonical(pa.array(["1", odd])), odd


@pytest.mark.parametrize(
    ("ticks", "unit"), [(1, "seconds"), (10**3, "milliseconds"), (10**6, "microseconds"), (10**9, "nanoseconds")]
)
def test_unit_of_numbers(ticks: int, unit: str) -> None:
    form = time_format([pa.array([NOON * ticks] * 3)], "f", "timestamp")
    assert (form.ticks, form.unit) == (ticks, unit)
    assert to_seconds(column([NOON * ticks + ticks - 1]), form)[0].tolist() == [NOON]
    texts = pa.array([str(NOON * ticks)])
    assert time_format([texts], "f", "timestamp") == form
    assert to_seconds(column(texts.to_pylist()), form)[0].tolist() == [NOON]


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
def test_datetimes_of_every_resolution_and_zone(unit: str) -> None:
    naive = pd.Series(np.array([NOON], "datetime64[s]").astype(f"datetime64[{unit}]"))
    assert to_seconds(pa.chunked_array([pa.array(naive)]), TimeFormat(False))[0].tolist() == [NOON]
    zoned = naive.dt.tz_localize("UTC").dt.tz_convert("Asia/Tokyo")
    assert to_seconds(pa.chunked_array([pa.array(zoned)]), TimeFormat(False))[0].tolist() == [NOON]


def test_dates() -> None:
    assert to_seconds(column([pd.Timestamp("1970-01-03").date()]), TimeFormat(False))[0].tolist() == [2 * 86_400]


def test_iso_texts_are_utc_unless_they_say_otherwise() -> None:
    texts = ["2017-07-14", "2017-07-14T02:40:00Z", "2017-07-14 04:40:00+02:00", "2017-07-14 02:40:00.75", "later", None]
    form = time_format([pa.array(texts)], "f", "timestamp")
    seconds, verdict = to_seconds(column(texts), form)
    assert seconds[:4].tolist() == [NOON - 9_600, NOON, NOON, NOON]
    assert verdict.tolist() == [OK, OK, OK, OK, UNREADABLE, NULL]


def test_fractions_before_the_epoch_are_cut_downwards() -> None:
    seconds, verdict = to_seconds(column([1.9, -0.5, float("nan"), float("inf"), 1e300, None]), TimeFormat(True))
    assert seconds[:2].tolist() == [1, -1]
    assert verdict.tolist() == [OK, OK, UNREADABLE, UNREADABLE, UNREADABLE, NULL]


def test_numbers_beside_dates_are_refused() -> None:
    with pytest.raises(DataError, match="f, column 'timestamp' mixes numbers and dates"):
        time_format([pa.array([NOON]), pa.array(["2017-07-14"])], "f", "timestamp")


@pytest.mark.parametrize("kind", [pa.bool_(), pa.time32("s"), pa.list_(pa.int64())])
def test_types_that_are_no_time(kind: pa.DataType) -> None:
    with pytest.raises(DataError, match="write unix seconds or a datetime"):
        time_format([pa.nulls(2, kind)], "f", "timestamp")


def test_floats() -> None:
    value, verdict = to_floats(column(["1.5", "nan", "-inf", "x", None, "1e39"]))
    assert verdict.tolist() == [OK, UNREADABLE, UNREADABLE, UNREADABLE, NULL, UNREADABLE]
    assert value[0] == np.float32(1.5)
    assert np.isnan(value[1:]).all()
    assert to_floats(column([True, False]))[0].tolist() == [1.0, 0.0]


def test_texts_are_cleaned_and_cut() -> None:
    text, dirty, long = to_text(column(["a\x00\x1bb", "tab\tand\nline", "é" * 4_001, None, "\x9f"]))
    assert text.to_pylist() == ["a b", "tab\tand\nline", "é" * 4_000, "", ""]
    assert (dirty, long) == (2, 1)
    assert to_text(column([7]))[0].to_pylist() == ["7"]


def test_values_as_written() -> None:
    assert as_text(column([1.5, None, float("inf")])).to_pylist() == ["1.5", None, "inf"]
    assert as_text(column([[1], None])).to_pylist() == ["[1]", None]


def test_hashes_are_the_same_everywhere() -> None:
    # fixed numbers: a change would renumber the users of every prepared log
    assert hash_ids(pa.array([1, 2, 1])).tolist()[:2] == [6238072747940578789, 15839785061582574730]
    assert hash_ids(pa.array(["b", "a"])).tolist() == [12688059582079114975, 13950350942979735504]
