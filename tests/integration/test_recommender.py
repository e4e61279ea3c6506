"""The in-process recommender on a trained bundle."""

from __future__ import annotations

import json
import shutil
from datetime import UTC, datetime, timedelta, timezone

import numpy as np
import pandas as pd
import pytest

from tests.conftest import SmallRun
from tests.small_data import DAYS, START, small_items
from timerec import Recommender
from timerec.bundle import Bundle
from timerec.clock import DAY
from timerec.fusion.fuse import GROUPS
from timerec.schema import DataError

AT = START + (DAYS - 5) * DAY
USERS = [1003, 1077, 1003]


@pytest.fixture(scope="module")
def recommender(small_run: SmallRun) -> Recommender:
    return Recommender.load(small_run.bundle)


def test_lists(recommender: Recommender) -> None:
    found = recommender.recommend(USERS, at=AT, k=4)
    assert list(found.columns) == ["request_id", "user_id", "rank", "item_id", "score"]
    assert found["request_id"].tolist() == np.repeat([0, 1, 2], 4).tolist()
    assert found["user_id"].tolist() == np.repeat(USERS, 4).tolist()
    assert found["rank"].tolist() == [1, 2, 3, 4] * 3
    assert set(found["item_id"]) <= set(small_items()["item_id"])
    again = found[found["request_id"] == 2].drop(columns="request_id").reset_index(drop=True)
    pd.testing.assert_frame_equal(found[found["request_id"] == 0].drop(columns="request_id"), again, atol=1e-5)


def test_recommend_score_and_explain_agree(recommender: Recommender) -> None:
    best = recommender.recommend([1003], at=AT, k=6)
    scores = recommender.score([1003] * 6, best["item_id"], at=AT)
    np.testing.assert_allclose(scores, best["score"], atol=1e-5)
    why = recommender.explain(1003, at=AT, k=6)
    assert why["item_id"].tolist() == best["item_id"].tolist()
    np.testing.assert_allclose(why["score"], best["score"], atol=1e-5)
    np.testing.assert_allclose(why[list(GROUPS)].sum(axis=1), why["score"] - why["baseline"], atol=1e-5)
    titles = small_items().set_index("item_id")["title"]
    assert why["title"].tolist() == titles[why["item_id"]].tolist()


def test_any_item_of_the_catalogue_can_be_explained(recommender: Recommender) -> None:
    nobody_took_it = int(small_items()["item_id"].iloc[-1])
    why = recommender.explain(1003, at=AT, items=[nobody_took_it, 100])
    assert why["item_id"].tolist() == [nobody_took_it, 100]
    np.testing.assert_allclose(why[list(GROUPS)].sum(axis=1), why["score"] - why["baseline"], atol=1e-5)


def test_a_stranger_is_answered_from_context_and_momentum(recommender: Recommender) -> None:
    found = recommender.recommend(["nobody", 1003], at=AT, k=5)
    assert len(found) == 10
    alone = recommender.recommend([-1], at=AT, k=5)
    assert found["item_id"][:5].tolist() == alone["item_id"].tolist()
    np.testing.assert_allclose(found["score"][:5], alone["score"], atol=1e-5)


def test_moments_in_every_form(recommender: Recommender) -> None:
    moment = datetime.fromtimestamp(AT, UTC)
    expected = recommender.recommend([1003], at=AT, k=3)
    forms = (
        float(AT),
        moment.isoformat(),
        moment.replace(tzinfo=None).isoformat(),  # UTC where it says nothing else
        moment,
        moment.astimezone(timezone(timedelta(hours=5))),
        pd.Timestamp(moment),
        np.int64(AT),
        [AT],
    )
    for form in forms:
        pd.testing.assert_frame_equal(recommender.recommend([1003], at=form, k=3), expected)
    both = recommender.recommend([1003, 1003], at=[AT, moment - timedelta(days=40)], k=3)
    np.testing.assert_allclose(both["score"][:3], expected["score"], atol=1e-5)
    assert np.abs(both["score"][3:].to_numpy() - expected["score"].to_numpy()).max() > 1e-3


def test_faults_are_one_sentence(recommender: Recommender) -> None:
    cases = (
        (lambda: recommender.score([1003], [4], at=AT), "item_id 4 is in no table"),
        (lambda: recommender.explain(1003, at=AT, items=["tea"]), "item_id 'tea' is in no table"),
        (lambda: recommender.recommend([1003], at="soon"), "at is 'soon': give unix seconds"),
        (lambda: recommender.recommend([1003], at=float("nan")), "at is nan"),
        (lambda: recommender.recommend([1003], at=None), "at is None"),
        (lambda: recommender.recommend([1003, 1004], at=[AT]), "at holds 1 moments for 2 users"),
        (lambda: recommender.recommend([1003], at=AT, k=0), "k is 0: ask for at least one item"),
    )
    for fault, sentence in cases:
        with pytest.raises(DataError, match=sentence) as caught:
            fault()
        assert "\n" not in str(caught.value)


def test_no_users_no_rows(recommender: Recommender) -> None:
    assert len(recommender.recommend([], at=AT)) == 0


def test_a_bundle_comes_back_as_it_was(small_run: SmallRun, recommender: Recommender, tmp_path) -> None:
    moved = shutil.copytree(small_run.bundle, tmp_path / "elsewhere")
    expected = recommender.recommend(USERS, at=AT)
    pd.testing.assert_frame_equal(Recommender.load(moved).recommend(USERS, at=AT), expected)
    opened = Bundle.open(moved)
    assert opened.config["fusion"]["width"] == 16
    assert opened.manifest["repeats"]
    assert opened.items()["title"].to_pylist() == small_items()["title"].tolist()
    kinds = {path.suffix for path in moved.rglob("*") if path.is_file()}
    assert kinds <= {".json", ".safetensors", ".parquet"}


@pytest.mark.parametrize("name", ["model.safetensors", "tables.safetensors", "log/items.parquet", "log/manifest.json"])
def test_a_flipped_byte_is_found(small_run: SmallRun, tmp_path, name: str) -> None:
    broken = shutil.copytree(small_run.bundle, tmp_path / "broken")
    data = bytearray((broken / name).read_bytes())
    data[len(data) // 2] ^= 1
    (broken / name).write_bytes(data)
    with pytest.raises(DataError, match="is missing or damaged"):
        Recommender.load(broken)


def test_every_file_of_a_bundle_has_its_checksum(small_run: SmallRun) -> None:
    head = json.loads((small_run.bundle / "bundle.json").read_text())
    there = {p.relative_to(small_run.bundle).as_posix() for p in small_run.bundle.rglob("*") if p.is_file()}
    assert there - set(head["files"]) == {"bundle.json"}
