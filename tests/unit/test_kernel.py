"""Functions that are lent their arrays: nothing is counted in them, and they make none."""

from __future__ import annotations

import numpy as np
import pytest
from numba import njit
from numba.core.errors import NumbaError

from timerec.candidates import due
from timerec.kernel import LENT
from timerec.livelog import LiveLog


def counted(compiled) -> int:
    """How often the compiled code says that an array has one holder more."""
    return next(iter(compiled.inspect_asm().values())).count("NRT_incref")


def total(values):
    return np.sum(values * values)


def test_a_function_that_is_lent_a_log_counts_none_of_its_arrays():
    log = LiveLog.empty(np.zeros(1, np.int32), n_users=1).log
    lent, plain = (njit(**options)(due.everybody.py_func) for options in (LENT | {"cache": False}, {}))
    told = np.zeros((2, due.OWN + 1))
    for compiled, out in zip((lent, plain), told, strict=True):
        compiled(log, 0, 0, 1.0, 1.0, out)
    np.testing.assert_array_equal(told[0], told[1])
    assert counted(lent) == 0 < counted(plain)


def test_a_function_that_makes_an_array_cannot_be_lent_any():
    with pytest.raises(NumbaError, match="NRT required"):
        njit(**LENT | {"cache": False})(total)(np.zeros(3))
