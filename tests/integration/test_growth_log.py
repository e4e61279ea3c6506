"""The data set that the serving benchmark makes of a bundle's log."""

from __future__ import annotations

import pandas as pd

from bench import serve_growth
from tests.conftest import SmallRun
from tests.small_data import small_items, small_log


def test_the_log_of_a_bundle_is_told_as_it_was_given(small_run: SmallRun) -> None:
    told = serve_growth.told_log(small_run.bundle)
    order = ["user_id", "item_id", "timestamp"]
    expected = small_log().sort_values(order, ignore_index=True)
    found = told["interactions"].sort_values(order, ignore_index=True)
    pd.testing.assert_frame_equal(found[expected.columns], expected, check_dtype=False)
    assert set(told["item_attributes"].columns) == {"item_id", "timestamp", "price"}
    assert set(small_items()["title"]) == set(told["items"]["title"])
