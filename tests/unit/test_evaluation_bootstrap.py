"""Intervals against a bootstrap written out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from timerec.evaluation import bootstrap


def by_hand(values, users, reps, seed):
    """Means of resamples of whole users, drawn row by row from one block of numbers."""
    names = sorted(set(users.tolist()))
    drawn = np.random.default_rng(seed).integers(0, len(names), (reps, len(names)))
    of = [values[users == name] for name in names]
    return np.array([np.concatenate([of[user] for user in row]).mean() for row in drawn])


def sample(seed=0):
    rng = np.random.default_rng(seed)
    users = rng.integers(0, 17, 90)
    return rng.normal(0.3, 0.2, 90) + 0.2 * (users % 3), users


@pytest.mark.parametrize("cells", [1, 60, 1 << 20])
def test_interval_resamples_users(monkeypatch, cells):
    monkeypatch.setattr(bootstrap, "CELLS", cells)  # drawn in many blocks or in one: the same numbers
    values, users = sample()
    values[:4] = np.nan
    got = bootstrap.interval(values, users, reps=200, seed=3)
    means = by_hand(values[4:], users[4:], 200, 3)
    assert got.mean == pytest.approx(np.nanmean(values), abs=1e-12)
    assert [got.low, got.high] == pytest.approx(np.quantile(means, [0.025, 0.975]), abs=1e-12)


def test_nothing_to_average():
    assert all(np.isnan(x) for x in bootstrap.interval(np.full(3, np.nan), np.arange(3)))
    assert all(np.isnan(x) for x in bootstrap.paired(np.full(3, np.nan), np.ones(3), np.arange(3)))


def test_paired_difference():
    ours, users = sample(1)
    theirs = sample(2)[0]
    got = bootstrap.paired(ours, theirs, users, reps=300, seed=3)
    means = by_hand(ours - theirs, users, 300, 3)
    assert got.difference == pytest.approx((ours - theirs).mean())
    assert [got.low, got.high] == pytest.approx(np.quantile(means, [0.025, 0.975]))
    assert 0 < (means <= 0).mean() < 1
    assert got.p == pytest.approx(2 * min((means <= 0).mean(), (means >= 0).mean()))


def test_sign_probability_at_its_ends():
    ones, users = np.ones(20), np.arange(20)
    assert bootstrap.paired(ones, 0 * ones, users, reps=50).p == 1 / 50
    assert bootstrap.paired(ones, ones, users, reps=50) == (0, 0, 0, 1)
