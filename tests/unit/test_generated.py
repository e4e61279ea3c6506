"""The generated logs: the stored truth is what the process really draws from, and the tables are a valid data set."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from timerec.clock import DAY, HOUR, WEEK
from timerec.data.sources import generated
from timerec.data.sources.process import LIST, Items, Strength, Users, parts, walk
from timerec.schema import DataError

N, KINDS, ORIGIN = 30, 3, generated.START


def small_process(repeats: bool) -> tuple[Items, Users, Strength]:
    rng = np.random.default_rng(3)
    start = np.array([0, 8, 20])
    time = np.concatenate([ORIGIN + np.sort(rng.choice(60 * DAY, size, replace=False)) for size in np.diff(start)])
    items = Items(
        rng.normal(size=N), rng.integers(0, KINDS, N).astype(np.int32), rng.normal(size=(N, 2)),
        ORIGIN + rng.integers(-20, 40, N) * DAY, np.column_stack([rng.random(N), rng.uniform(20, 60, N) * DAY, rng.random(N)]),
        rng.uniform(5, 50, N) * DAY, rng.uniform(2, 20, N) * DAY, rng.integers(0, 2, (N, 10)).astype(np.int8),
        rng.random((KINDS, 2)), rng.normal(size=(KINDS, 7)), rng.random((KINDS, 2)),
    )  # fmt: skip
    users = Users(
        rng.normal(size=(2, KINDS)), rng.normal(size=(2, 2)), np.array([0.8, 1.3]), start, time,
        rng.integers(1, 4, len(time)),
    )  # fmt: skip
    return items, users, Strength(0.5, 3.0 * DAY, 0.7, 3.0, 1.5, 1.0, 0.4, float(repeats))


def utilities(items: Items, users: Users, strength: Strength, u: int, t: int, last: dict[int, int]) -> np.ndarray:
    """The formula of the module's docstring, item by item."""
    moment = pd.Timestamp(t, unit="s")
    hour = (moment - moment.normalize()).total_seconds() / HOUR
    out = np.full(N, -np.inf)
    for i in range(N):
        if items.listed[i] > t or (not strength.repeats and i in last):
            continue
        k = items.category[i]
        value = items.popularity[i] + users.taste[u, k] + float(users.style[u] @ items.style[i])
        height, period, phase = items.wave[i]
        age = t - items.listed[i]
        value += height * np.sin(2 * np.pi * t / period + phase) - strength.fade * age / items.life[i]
        value -= 2 * np.exp(-age / strength.rise)
        value += items.hour[k, 0] * np.cos(2 * np.pi * (hour - items.hour[k, 1]) / 24)
        value += items.weekday[k, moment.dayofweek]
        value += items.year[k, 0] * np.cos(2 * np.pi * (t / (365 * DAY) - items.year[k, 1]))
        value += strength.promotion * items.promoted[i, (t - ORIGIN) // WEEK]
        if i in last:
            gap, cycle = t - last[i], items.cycle[i] * users.pace[u]
            value += strength.loyal + strength.due * np.exp(-(np.log(gap / cycle) ** 2) / (2 * 0.35**2))
            value -= strength.dip * np.exp(-gap / (cycle / 4))
        out[i] = value
    return out


@pytest.mark.parametrize("repeats", [True, False])
def test_the_stored_lists_rank_by_the_formula(repeats: bool) -> None:
    items, users, strength = small_process(repeats)
    walked = walk(np.random.default_rng(5), items, users, strength, ORIGIN)
    for u in range(2):
        last: dict[int, int] = {}
        for r in range(users.start[u], users.start[u + 1]):
            value = utilities(items, users, strength, u, int(users.time[r]), last)
            order = np.argsort(-value, kind="stable")[: min(LIST, int(np.isfinite(value).sum()))]
            told = sum(
                parts(
                    items, users, strength, ORIGIN, u, int(users.time[r]), np.array([last.get(i, -1) for i in range(N)])
                ).values()
            )
            np.testing.assert_allclose(told[np.isfinite(value)], value[np.isfinite(value)], rtol=1e-9)
            share = np.exp(value - value.max()) / np.exp(value - value.max()).sum()
            assert walked.best[r, : len(order)].tolist() == order.tolist() and (walked.best[r, len(order) :] == -1).all()
            np.testing.assert_allclose(walked.probability[r, : len(order)], share[order], rtol=1e-5)
            taken = walked.item[r][walked.item[r] >= 0]
            assert len(taken) == users.size[r] and len(set(taken)) == len(taken) and np.isfinite(value[taken]).all()
            assert not any(look and i in last for i, look in zip(walked.item[r], walked.look[r], strict=True))
            last |= {
                int(i): int(users.time[r]) for i, look in zip(walked.item[r], walked.look[r], strict=True) if i >= 0 and not look
            }


@pytest.fixture(scope="module", params=list(generated.KINDS))
def made(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    out = tmp_path_factory.mktemp(request.param)
    generated.write(out, request.param, users=150, items=80, events=6_000, seed=1)
    return request.param, out


def test_draws_follow_the_stored_probabilities(made: tuple[str, Path]) -> None:
    _, out = made
    events, truth = pd.read_parquet(out / "interactions.parquet"), pd.read_parquet(out / "truth.parquet")
    size = events.groupby(["user_id", "timestamp"]).item_id.agg(["size", "first"]).reset_index()
    single = size[size["size"] == 1].merge(truth, on=["user_id", "timestamp"], validate="one_to_one")
    single = single[single.best.str.len() > 0]
    hit = np.array([item == best[0] for item, best in zip(single["first"], single.best, strict=True)])
    promised = np.array([shares[0] for shares in single.probability])
    error = np.sqrt((promised * (1 - promised)).sum()) / len(hit)
    assert len(hit) > 200 and abs(hit.mean() - promised.mean()) < 4 * error
    assert all((np.diff(shares) <= 0).all() for shares in single.probability)
    assert 0.9 < len(events) / 6_000 < 1.1


def test_the_tables_hold_what_the_kind_says(made: tuple[str, Path]) -> None:
    kind, out = made
    what = generated.KINDS[kind]
    events, items = pd.read_parquet(out / "interactions.parquet"), pd.read_parquet(out / "items.parquet")
    assert set(events.event) == {name for name, _ in (*what.takes, *what.looks)}
    assert events.duplicated(["user_id", "item_id"]).any() == what.repeats
    assert not events.duplicated(["user_id", "item_id", "timestamp"]).any()
    listed = items.set_index("item_id").listed_at
    assert (listed[events.item_id].to_numpy() <= events.timestamp.to_numpy()).all()
    assert (listed > events.timestamp.min()).mean() == pytest.approx(what.new, abs=0.2)
    assert (out / "item_attributes.parquet").exists() == bool(what.promotion)


def test_a_seed_is_a_data_set(tmp_path: Path) -> None:
    for name, seed in (("a", 4), ("b", 4), ("c", 5)):
        generated.write(tmp_path / name, "music", users=20, items=30, events=300, seed=seed)
    a, b, c = (pd.read_parquet(tmp_path / name / "interactions.parquet") for name in "abc")
    assert a.equals(b) and not a.equals(c)


def test_what_cannot_be_generated_is_said(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="--kind radio: choose one of shop, news, video, music, travel"):
        generated.write(tmp_path, "radio")
    with pytest.raises(DataError, match="at least 2 users, 20 items, 50 events"):
        generated.write(tmp_path, "shop", items=5)
