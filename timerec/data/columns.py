"""Turning a user's columns into ours: identifiers, instants, numbers and texts, with a verdict for each value."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from timerec.schema import DataError

OK, NULL, UNREADABLE = 0, 1, 2  # verdicts of a value
TEXT_LIMIT = 4_000  # characters of a text that are kept
IdKind = Literal["integer", "string"]
_CONTROL = r"[\x00-\x08\x0B\x0C\x0E-\x1F\x7F\x{80}-\x{9F}]+"
_CANONICAL = r"^(0|-?[1-9][0-9]{0,17})$"
_UNITS: tuple[tuple[float, int, str], ...] = (  # median above, ticks a second, name
    (1e17, 1_000_000_000, "nanoseconds"),
    (1e14, 1_000_000, "microseconds"),
    (1e11, 1_000, "milliseconds"),
)
_TICKS = {"s": 1, "ms": 1_000, "us": 1_000_000, "ns": 1_000_000_000}


@dataclass(frozen=True)
class TimeFormat:
    """How a column writes instants: numbers of `ticks` a second (as numbers or as text), or dates."""

    numeric: bool
    ticks: int = 1
    unit: str = "seconds"


def id_kind(types: set[pa.DataType], label: str, column: str) -> set[IdKind]:
    """Kinds of identifiers among the Arrow types of a column.

    Raises:
        DataError: a type that cannot be an identifier.
    """
    kinds: set[IdKind] = set()
    for kind in types:
        kind = kind.value_type if pa.types.is_dictionary(kind) else kind
        if pa.types.is_integer(kind) or pa.types.is_floating(kind):
            kinds.add("integer")  # floats: what pandas makes of integers with gaps
        elif is_text(kind):
            kinds.add("string")
        elif not pa.types.is_null(kind):
            raise DataError(f"{label}, column '{column}' is of type {kind}: write identifiers as integers or strings")
    return kinds


def is_text(kind: pa.DataType) -> bool:
    """Whether an Arrow type is one of the string types."""
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))


def to_ids(column: pa.ChunkedArray, kind: IdKind) -> tuple[pa.Array, NDArray[np.int8]]:
    """Identifiers as int64 or string [N], and the verdict [N] for each; refused ones are null."""
    values = _plain(column)
    if pa.types.is_null(values.type):
        return pa.nulls(len(values), _id_type(kind)), np.full(len(values), NULL, np.int8)
    verdict = np.where(_mask(pc.is_null(values, nan_is_null=True)), NULL, OK).astype(np.int8)
    if pa.types.is_floating(values.type):
        whole = _mask(pc.less(pc.abs(values), 2.0**53)) & _mask(pc.equal(pc.floor(values), values))
        verdict[(verdict == OK) & ~whole] = UNREADABLE
        values = pc.if_else(pa.array(verdict == OK), values, None).cast(pa.int64())
    elif pa.types.is_uint64(values.type):
        verdict[(verdict == OK) & _mask(pc.greater(values, pa.scalar(2**63 - 1, pa.uint64())))] = UNREADABLE
        values = pc.if_else(pa.array(verdict == OK), values, None)
    if is_text(values.type):
        values = values.cast(pa.string())
        verdict[_mask(pc.equal(values, ""))] = NULL
        values = pc.if_else(pa.array(verdict == OK), values, None)
    return values.cast(_id_type(kind)), verdict


def all_canonical(ids: pa.Array) -> bool:
    """Whether every identifier is text of a whole number in its usual spelling, so that it may become an int64."""
    return bool(pc.all(pc.match_substring_regex(ids, _CANONICAL), min_count=0).as_py())


def time_format(samples: list[pa.Array], label: str, column: str) -> TimeFormat:
    """Recognise how a column writes instants from samples of it.

    Numbers are seconds unless their median shows milliseconds (> 1e11), microseconds (> 1e14) or nanoseconds (> 1e17).

    Raises:
        DataError: the type cannot be an instant, or types are mixed.
    """
    numbers: list[NDArray[np.float64]] = []
    dates = False
    for sample in map(_plain, samples):
        if pa.types.is_temporal(sample.type) and not _is_clock(sample.type):
            dates = True
        elif pa.types.is_integer(sample.type) or pa.types.is_floating(sample.type):
            numbers.append(_floats(sample))
        elif is_text(sample.type):
            parsed = _parse_numbers(sample)
            known = int(np.isfinite(parsed).sum())
            if 2 * known > len(sample) - sample.null_count:
                numbers.append(parsed)
            else:
                dates = dates or sample.null_count < len(sample)
        elif not pa.types.is_null(sample.type):
            raise DataError(f"{label}, column '{column}' is of type {sample.type}: write unix seconds or a datetime")
    finite = np.concatenate([*numbers, np.zeros(0)])
    finite = finite[np.isfinite(finite)]
    if dates and len(finite):
        raise DataError(f"{label}, column '{column}' mixes numbers and dates over its files: write one of the two")
    if dates or not len(finite):
        return TimeFormat(numeric=not dates)
    median = float(np.median(finite))
    ticks, unit = next(((t, name) for above, t, name in _UNITS if median > above), (1, "seconds"))
    return TimeFormat(numeric=True, ticks=ticks, unit=unit)


def to_seconds(column: pa.ChunkedArray, form: TimeFormat) -> tuple[NDArray[np.int64], NDArray[np.int8]]:
    """Unix seconds int64 [N] (fractions cut off, naive dates read as UTC) and the verdict [N]; refused ones are 0."""
    values = _plain(column)
    n = len(values)
    if pa.types.is_null(values.type):
        return np.zeros(n, np.int64), np.full(n, NULL, np.int8)
    null = _mask(pc.is_null(values))
    if pa.types.is_temporal(values.type):
        stamps = values.cast(pa.timestamp("s")) if pa.types.is_date(values.type) else values
        ticks, raw = _TICKS[stamps.type.unit], stamps.cast(pa.int64())
        return raw.fill_null(0).to_numpy() // ticks, np.where(null, NULL, OK).astype(np.int8)
    if pa.types.is_integer(values.type):
        whole = values.cast(pa.int64(), safe=False).fill_null(0).to_numpy()
        return whole // form.ticks, np.where(null, NULL, OK).astype(np.int8)
    if is_text(values.type) and not form.numeric:
        parsed = pd.to_datetime(pd.Series(values.to_pandas()), format="ISO8601", utc=True, errors="coerce")
        readable = parsed.notna().to_numpy()
        seconds = np.where(readable, parsed.dt.as_unit("s").astype("int64").to_numpy(), 0)
    else:
        number = (_parse_numbers(values) if is_text(values.type) else _floats(values)) / form.ticks
        readable = np.isfinite(number) & (np.abs(number) < 2.0**62)
        seconds = np.floor(np.where(readable, number, 0)).astype(np.int64)
    return seconds, np.where(null, NULL, np.where(readable, OK, UNREADABLE)).astype(np.int8)


def to_floats(column: pa.ChunkedArray) -> tuple[NDArray[np.float32], NDArray[np.int8]]:
    """Numbers as float32 [N] and the verdict [N]: NULL is absent, UNREADABLE is NaN, infinite or not a number."""
    values = _plain(column)
    if pa.types.is_null(values.type):
        return np.full(len(values), np.nan, np.float32), np.full(len(values), NULL, np.int8)
    number = _parse_numbers(values) if is_text(values.type) else _floats(values)
    readable = np.isfinite(number) & (np.abs(number) <= np.finfo(np.float32).max)
    null = _mask(pc.is_null(values))
    verdict = np.where(null, NULL, np.where(readable, OK, UNREADABLE)).astype(np.int8)
    return np.where(readable, number, np.nan).astype(np.float32), verdict


def is_number(kind: pa.DataType) -> bool:
    """Whether an Arrow type holds numbers (or truth values)."""
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind) or pa.types.is_boolean(kind))


def to_text(column: pa.ChunkedArray) -> tuple[pa.Array, int, int]:
    """Clean text [N], missing as "", and how many values held control characters and how many were cut."""
    values = _plain(column)
    text = values.cast(pa.string()).fill_null("")
    dirty = pc.match_substring_regex(text, _CONTROL)
    if pc.any(dirty).as_py():
        text = pc.if_else(dirty, pc.utf8_trim_whitespace(pc.replace_substring_regex(text, _CONTROL, " ")), text)
    long = pc.greater(pc.utf8_length(text), TEXT_LIMIT)
    if pc.any(long).as_py():
        text = pc.utf8_slice_codeunits(text, 0, TEXT_LIMIT)
    return text, pc.sum(dirty).as_py() or 0, pc.sum(long).as_py() or 0


def as_text(column: pa.ChunkedArray) -> pa.Array:
    """Values as they were written, for the quarantine."""
    values = _plain(column)
    if pa.types.is_nested(values.type) or pa.types.is_binary(values.type):
        return pa.array([None if v is None else str(v) for v in values.to_pylist()], pa.string())
    return values.cast(pa.string())


def hash_ids(ids: pa.Array) -> NDArray[np.uint64]:
    """A fixed 64-bit hash of each identifier, the same on every machine and in every run."""
    coded = ids.dictionary_encode()
    values = coded.dictionary
    plain = values.to_numpy() if pa.types.is_integer(values.type) else values.to_numpy(zero_copy_only=False).astype(object)
    hashes = np.asarray(pd.util.hash_array(plain, categorize=False), dtype=np.uint64)
    codes: NDArray[np.int64] = coded.indices.to_numpy()
    return hashes[codes]


def _id_type(kind: IdKind) -> pa.DataType:
    return pa.int64() if kind == "integer" else pa.string()


def _is_clock(kind: pa.DataType) -> bool:
    return bool(pa.types.is_time(kind) or pa.types.is_duration(kind) or pa.types.is_interval(kind))


def _plain(column: pa.ChunkedArray | pa.Array) -> pa.Array:
    values = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    if pa.types.is_dictionary(values.type):
        values = values.dictionary_decode()
    return values.cast(pa.string()) if pa.types.is_large_string(values.type) else values


def _mask(condition: pa.Array) -> NDArray[np.bool_]:
    return np.asarray(condition.fill_null(False).to_numpy(zero_copy_only=False), dtype=bool)


def _floats(values: pa.Array) -> NDArray[np.float64]:
    return np.asarray(values.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False), dtype=np.float64)


def _parse_numbers(values: pa.Array) -> NDArray[np.float64]:
    try:
        return _floats(values.cast(pa.float64()))
    except pa.ArrowInvalid:  # some value is no number: read the others
        texts = values.to_numpy(zero_copy_only=False)
        return np.asarray(pd.to_numeric(pd.Series(texts, dtype=object), errors="coerce"), dtype=np.float64)
