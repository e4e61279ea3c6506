"""Functions that borrow their arrays: nothing is counted in them, and they make none."""

from __future__ import annotations

import numpy as np
import pytest
from numba import njit
from numba.core.errors import NumbaError

from timerec.candidates import due, fellows, habit, momentum, neighbours, pairs, shared, text
from timerec.kernel import OPTIONS
from timerec.livelog import LiveLog


def counted(compiled) -> int:
    """How often the compiled code says that an array has one holder more."""
    return next(iter(compiled.inspect_asm().values())).count("NRT_incref")


def total(values):
    return np.sum(values * values)


def test_a_function_that_borrows_a_log_counts_none_of_its_arrays():
    log = LiveLog.empty(np.zeros(1, np.int32), n_users=1).log
    borrowing, plain = (njit(**options)(due.everybody.py_func) for options in (OPTIONS | {"cache": False}, {}))
    told = np.zeros((2, due.OWN + 1))
    for compiled, out in zip((borrowing, plain), told, strict=True):
        compiled(log, 0, 0, 1.0, 1.0, out)
    np.testing.assert_array_equal(told[0], told[1])
    assert counted(borrowing) == 0 < counted(plain)


def test_a_function_that_makes_an_array_cannot_borrow_any():
    with pytest.raises(NumbaError, match="NRT required"):
        njit(**OPTIONS | {"cache": False})(total)(np.zeros(3))


@pytest.mark.parametrize(
    "function",
    [
        pairs._fill_rows, shared.row_of, neighbours.scan, fellows.scan, fellows.features, text.features, habit.item_features,
        habit.group_features, momentum.item_features, momentum.forecast_features, due.everybody,
    ],
)  # fmt: skip
def test_what_is_called_for_every_candidate_borrows(function):
    assert function.targetoptions["_nrt"] is False
