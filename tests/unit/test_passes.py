"""The compiled passes of the network against the same in double precision."""

from __future__ import annotations

import numpy as np

from timerec.elementary import LARGEST, SMALLEST, exponentials
from timerec.fusion.passes import activate


def test_exponentials_are_right_to_the_last_places() -> None:
    values = np.concatenate([np.linspace(SMALLEST, LARGEST, 20_001), [0.0, -0.0, 1e-30, -1e-7]]).astype(np.float32)
    found = values.copy()
    exponentials(found, np.empty(len(values), np.int32))
    np.testing.assert_allclose(found, np.exp(values.astype(np.float64)), rtol=4e-7)


def test_what_is_out_of_range_stays_finite() -> None:
    values = np.array([-np.inf, -1e4, 1e4, np.inf], np.float32)
    exponentials(values, np.empty(len(values), np.int32))
    assert np.isfinite(values).all() and (values[:2] < 1e-37).all() and (values[2:] > 1e37).all()


def test_what_is_no_number_stays_none() -> None:
    values = np.array([np.nan, 1.0], np.float32)
    exponentials(values, np.empty(2, np.int32))
    assert np.isnan(values[0]) and values[1] == np.float32(np.e)


def test_activation_may_replace_what_it_is_of() -> None:
    values = np.linspace(-100, 100, 4_001).astype(np.float32)
    wanted = values / (1 + np.exp(-values.astype(np.float64)))
    activate(values, values, np.empty_like(values), np.empty(len(values), np.int32))
    np.testing.assert_allclose(values, wanted, rtol=1e-6, atol=1e-30)
