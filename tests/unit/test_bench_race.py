"""What the race between timerec and LightGBM makes of a learning curve."""

from __future__ import annotations

from bench.race import walk

CURVE = [{"ndcg": 0.2, "seconds": 10.0}, {"ndcg": 0.4, "seconds": 5.0}, {"ndcg": 0.3, "seconds": 5.0}, {"seconds": 20.0}]


def test_seconds_run_from_the_start_with_what_the_segments_do_not_tell():
    found = walk(CURVE, 47.0, 0.3)
    assert found == {"ndcg": [0.2, 0.4, 0.3], "seconds": [17.0, 22.0, 27.0], "whole": 47.0, "reached": 22.0}


def test_a_bar_that_is_never_reached_has_no_seconds():
    assert walk(CURVE, 47.0, 0.41)["reached"] is None
