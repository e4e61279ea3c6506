"""The text of an item, put together from its columns."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

MAX_CHARS = 4096  # of a part: far beyond the tokens that any model here reads
_SEPARATOR = ", "

Strings = Any  # Sequence[str | None] or an Arrow array of strings, of one chunk or many


def compose(title: Strings, category: Strings, text: Strings) -> list[str]:
    """Title, category and text of each item in one line, without repetition.

    Control characters and runs of blanks become one space. A part whose words stand in another part is left out; of
    equal parts the first stays. Case does not count.

    Args:
        title, category, text: n strings each; empty or null where there is none.

    Returns:
        n strings, each at most 3 * MAX_CHARS and two separators long; empty for an item without any text.

    >>> compose(["Honey", "", "Tea"], ["Spreads", "", "TEA"], ["honey 500 g,\\tjar", None, ""])
    ['Spreads, honey 500 g, jar', '', 'Tea']
    """
    parts = [_clean(part) for part in (title, category, text)]
    folded = [_words(part) for part in parts]
    kept = []
    for place, part in enumerate(parts):
        repeated = np.zeros(len(part), dtype=bool)
        for other in range(len(parts)):
            if other != place:
                inside = np.strings.find(folded[other], folded[place]) >= 0
                repeated |= inside & ((folded[other] != folded[place]) | (other < place))
        gone = pa.array(repeated | (folded[place] == "  "))
        followed = pc.binary_join_element_wise(part, _text(_SEPARATOR), _text(""))
        kept.append(pc.if_else(gone, _text(""), followed))
    joined = pc.binary_join_element_wise(*kept, _text(""))
    lines: list[str] = pc.utf8_slice_codeunits(joined, 0, -len(_SEPARATOR)).to_pylist()
    return lines


def _text(value: str) -> Any:
    return pa.scalar(value, pa.large_string())


def _clean(part: Strings) -> Any:
    """Large-string array without nulls, control characters and doubled blanks."""
    whole = part.combine_chunks() if isinstance(part, pa.ChunkedArray) else part
    array = whole.cast(pa.large_string()) if isinstance(whole, pa.Array) else pa.array(whole, type=pa.large_string())
    array = pc.utf8_slice_codeunits(pc.fill_null(array, ""), 0, MAX_CHARS)  # before the costly steps
    return pc.utf8_trim(pc.replace_substring_regex(array, r"[\s\pZ\pC]+", " "), " ")


def _words(part: Any) -> NDArray[Any]:
    """Lower-case strings between blanks, so that a search finds whole words only."""
    lower = np.array(pc.utf8_lower(part).to_pylist(), dtype=np.dtypes.StringDType())
    return np.strings.add(np.strings.add(" ", lower), " ")
