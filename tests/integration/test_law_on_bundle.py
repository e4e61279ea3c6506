"""The law on a trained bundle and the whole public path: the future of a data set does not change an answer."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.conftest import SmallRun
from tests.small_data import DAYS, ITEMS, START, USERS, small_attributes, small_log, write_small
from timerec.clock import DAY
from timerec.pipeline.recommend import recommend, score

REQUESTS, K = 50, 10
# an hour in which people came, behind the training cut: events of this very second exist and do not count
CUT = int(small_log()["timestamp"].loc[lambda time: time >= START + 110 * DAY].min())


def requests() -> pd.DataFrame:
    """Requests of the last days before the cut, a fifth of them at the cut itself; one user is a stranger."""
    rng = np.random.default_rng(1)
    time = np.where(np.arange(REQUESTS) % 5 == 0, CUT, CUT - rng.integers(0, 6 * DAY, REQUESTS))
    user = 1000 + rng.permutation(USERS)[:REQUESTS]
    user[7] = 5
    return pd.DataFrame({"request_id": np.arange(REQUESTS) + 70, "user_id": user, "timestamp": time})


def deleted() -> tuple[pd.DataFrame, pd.DataFrame]:
    log, attributes = small_log(), small_attributes()
    return log[log["timestamp"] < CUT], attributes[attributes["timestamp"] <= CUT]


def altered() -> tuple[pd.DataFrame, pd.DataFrame]:
    log, attributes, rng = small_log(), small_attributes(), np.random.default_rng(2)
    late = log["timestamp"] >= CUT
    log.loc[late, "item_id"] = rng.integers(0, ITEMS, late.sum()) * 3 + 100
    log.loc[late, "user_id"] = rng.permutation(log.loc[late, "user_id"])
    log.loc[late, "value"], log.loc[late, "event"] = 50.0, "another kind"
    attributes.loc[attributes["timestamp"] > CUT, "price"] *= 10
    return log, attributes


def added() -> tuple[pd.DataFrame, pd.DataFrame]:
    """Twice the future, with users and items that sort before, between and behind the known ones."""
    log, rng = small_log(), np.random.default_rng(3)
    n = 2000
    more = pd.DataFrame(
        {
            "user_id": rng.choice([1, 1001, 1002, 5_000, 9_999], n),
            "item_id": rng.choice([1, 2, 101, 100, 103, 99_999], n),
            "timestamp": CUT + rng.integers(0, DAYS * DAY // 4, n) // 3600 * 3600,
            "value": 7.0,
            "event": "another kind",
        }
    )
    return pd.concat([log, more], ignore_index=True), small_attributes()


def answers(bundle: Path, data: Path, folder: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    folder.mkdir()
    asked, pairs = folder / "requests.parquet", folder / "pairs.csv"
    requests().to_parquet(asked)
    rng = np.random.default_rng(4)
    ids = pd.DataFrame({"request_id": rng.integers(70, 70 + REQUESTS, 90), "item_id": rng.integers(0, ITEMS + 1, 90) * 3 + 100})
    ids.to_csv(pairs, index=False)
    recommend(bundle, data, asked, folder / "out.parquet", K)
    score(bundle, data, asked, pairs, folder / "scores.parquet")
    return pd.read_parquet(folder / "out.parquet"), pd.read_parquet(folder / "scores.parquet")


@pytest.fixture(scope="module")
def before(small_run: SmallRun, tmp_path_factory: pytest.TempPathFactory) -> tuple[pd.DataFrame, pd.DataFrame]:
    return answers(small_run.bundle, small_run.data, tmp_path_factory.mktemp("before") / "answers")


@pytest.mark.parametrize("future", [deleted, altered, added])
def test_the_future_of_a_data_set_changes_nothing(small_run: SmallRun, before, tmp_path: Path, future) -> None:
    log, attributes = future()
    assert not log.equals(small_log())
    lists, scores = answers(small_run.bundle, write_small(tmp_path / "data", log, attributes), tmp_path / "answers")
    pd.testing.assert_frame_equal(lists, before[0], check_exact=True)
    pd.testing.assert_frame_equal(scores, before[1], check_exact=True)


def test_lists_are_full_and_differ_with_the_user(before) -> None:
    lists, scores = before
    assert lists["request_id"].nunique() == REQUESTS
    assert (lists.groupby("request_id").size() == K).all()
    assert (lists.groupby("request_id")["rank"].apply(list).map(lambda ranks: ranks == list(range(1, K + 1)))).all()
    assert lists.groupby("request_id")["item_id"].apply(tuple).nunique() > REQUESTS // 2
    assert len(scores) == 90
    assert np.isfinite(scores["score"]).all()
    both = scores.merge(lists, on=["request_id", "item_id"], suffixes=("", "_of_list"))
    assert len(both) > 3
    np.testing.assert_allclose(both["score"], both["score_of_list"], atol=1e-5)


def test_what_happened_an_hour_earlier_does_count(small_run: SmallRun, before, tmp_path: Path) -> None:
    log = small_log()
    log = log[log["timestamp"] < CUT - 2 * DAY]
    lists, _ = answers(small_run.bundle, write_small(tmp_path / "data", log), tmp_path / "answers")
    changed = lists["score"].to_numpy() != before[0]["score"].to_numpy()
    assert changed.mean() > 0.3
