"""The text of an item from its columns."""

from __future__ import annotations

import pyarrow as pa

from timerec.encoder.item_text import MAX_CHARS, compose


def test_parts_are_joined_in_order_and_absent_ones_left_out() -> None:
    assert compose(["Honey", "", None, ""], ["Spreads", "Tea", None, ""], ["500 g", None, "loose", ""]) == [
        "Honey, Spreads, 500 g", "Tea", "loose", "",
    ]  # fmt: skip


def test_a_part_inside_another_is_left_out_whatever_its_case() -> None:
    assert compose(
        ["ice", "ice", "Tea", "tea", "A"], ["", "x", "tea", "x", "B"], ["Nice", "Dry Ice 2 lb", "TEA", "tea x", "a"]
    ) == [
        "ice, Nice",  # whole words only
        "x, Dry Ice 2 lb",
        "Tea",
        "tea x",
        "A, B",
    ]


def test_control_characters_and_runs_of_blanks_become_one_space() -> None:
    assert compose(["a\x00b\u200b\t c\u00a0\n"], [" \x07 "], [""]) == ["a b c"]


def test_a_megabyte_is_cut() -> None:
    assert compose(["x" * 1_000_000], [""], ["y"]) == ["x" * MAX_CHARS + ", y"]


def test_arrow_columns_of_any_kind_and_no_rows() -> None:
    chunks = pa.chunked_array([["Tea"], ["Jar", None]])
    plain = pa.array(["x", "y", "z"])
    assert compose(chunks, plain, pa.array(["", "", ""], pa.large_string())) == ["Tea, x", "Jar, y", "z"]
    assert compose([], [], []) == []
    assert compose(pa.chunked_array([], pa.string()), [], []) == []
