"""Segments, weeks and the entries of the results against plain loops."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from tests.unit.evaluation_cases import N_ITEMS, TEST, random_log, requests_of
from timerec.evaluation import metrics, results, segments
from timerec.evaluation.bootstrap import interval, paired
from timerec.evaluation.protocol import Pairs, Requests


def small() -> Requests:
    """Three users: known, new with history, cold; and an unknown one."""
    return Requests(
        np.array([0, 1, 2, -1], np.int32), np.array([100, 110, 120, 604_900]), np.array([0, 2, 3, 5, 6]),
        np.array([0, 1, 2, 0, 3, 1], np.int32), np.array([9, 2, 0, 0]), np.array([True, False, False, False]),
    )  # fmt: skip


def test_who_asked():
    masks = segments.user_segments(small())
    assert {name: mask.tolist() for name, mask in masks.items()} == {
        "known_users": [True, False, False, False],
        "new_users": [False, True, False, False],
        "cold_users": [False, False, True, True],
        "heavy_users": [True, False, False, False],
    }
    log = random_log(1)
    masks = segments.user_segments(requests_of(log, 100))
    total = sum(masks[name].astype(int) for name in ("known_users", "new_users", "cold_users"))
    assert (total == 1).all()
    assert all(mask.any() for mask in masks.values())


def test_what_was_taken():
    popularity = np.array([50.0, 9.0, 10.0, 0.0])
    taken = np.array([True, False, True, False, False, False])
    masks = segments.item_segments(small(), popularity, taken)
    assert masks["taken_before"].tolist() == taken.tolist()
    assert masks["new_to_user"].tolist() == (~taken).tolist()
    assert masks["rare_items"].tolist() == [False, True, False, False, False, True]
    assert masks["cold_items"].tolist() == [False, False, False, False, True, False]


def test_taken_before_counts_strictly_earlier_events():
    log = random_log(2)
    requests = requests_of(log, 120)
    got = segments.taken_before(requests, *log)
    expected = [
        bool(np.any((log.user == requests.user[r]) & (log.item == item) & (log.time < requests.time[r])))
        for r, item in zip(requests.truth_row, requests.truth_item, strict=True)
    ]
    assert got.tolist() == expected
    assert 0 < sum(expected) < len(expected)


def test_table_of_segments():
    log = random_log(3)
    requests = requests_of(log, 100)
    ranked = np.random.default_rng(0).integers(0, N_ITEMS, (len(requests), 5)).astype(np.int32)
    cold = requests.n_history == 0
    odd = requests.truth_item % 2 == 1
    nobody = np.zeros(len(requests), bool)
    table = segments.segment_table(requests, {"s": ranked}, {"cold_users": cold, "nobody": nobody}, {"odd": odd}, k=5, reps=20)
    assert [row["name"] for row in table] == ["all", "cold_users", "nobody", "odd"]
    values = metrics.ranking_metrics(ranked, requests.truth_start, requests.truth_item, 5)
    for row, mask in zip(table[:2], [np.ones(len(requests), bool), cold], strict=True):
        assert row["requests"] == mask.sum()
        assert row["users"] == len(np.unique(requests.user[mask]))
        for name, x in values.items():
            assert row["systems"]["s"][name] == pytest.approx(interval(x[mask], requests.user[mask], 20)._asdict())
    assert table[2]["requests"] == 0
    assert table[2]["systems"] == {}
    recalls = []
    for r in range(len(requests)):
        truth = [i for i in requests.truth_item[requests.truth_start[r] : requests.truth_start[r + 1]] if i % 2]
        if truth:
            recalls.append(len(set(truth) & set(ranked[r].tolist())) / len(truth))
    assert table[3]["requests"] == len(recalls)
    assert table[3]["truth_items"] == odd.sum()
    assert table[3]["systems"]["s"]["recall@5"]["mean"] == pytest.approx(np.mean(recalls))


def test_by_week():
    values = np.array([0.1, 0.3, 0.5, 0.9])
    weeks = segments.by_week(small(), {"s": values}, start=100, reps=10)
    assert [(week["start"], week["requests"]) for week in weeks] == [(100, 3), (604_900, 1)]
    assert [week["systems"]["s"]["mean"] for week in weeks] == pytest.approx([0.3, 0.9])


def test_entries_of_the_results():
    log = random_log(5)
    requests = requests_of(log, 80)
    popularity = np.bincount(log.item[log.time < TEST], minlength=N_ITEMS).astype(float)
    rng = np.random.default_rng(1)
    truth = requests.truth_row
    row = np.concatenate([truth, np.repeat(np.arange(len(requests)), 6)])
    kind = np.concatenate([np.zeros(len(truth)), np.tile([1, 1, 1, 2, 2, 2], len(requests))]).astype(np.int8)
    task = results.Task(requests, Pairs(row, np.zeros(len(row), np.int32), kind), popularity, N_ITEMS, k=5, reps=30)
    scores = rng.random(len(row)) + (kind == 1)  # above the uniform negatives never, above the others half the time
    one, two = (rng.integers(0, N_ITEMS, (len(requests), 5)).astype(np.int32) for _ in range(2))
    ours, theirs = results.per_request(task, one, scores), results.per_request(task, two, -scores)
    assert set(ours) == {"ndcg@5", "recall@5", "hr@5", "mrr@5", "map@5", "auc_uniform", "auc_popularity"}
    assert np.allclose(ours["auc_uniform"], 0)
    assert np.allclose(theirs["auc_uniform"], 1)
    assert 0.3 < ours["auc_popularity"].mean() < 0.7
    entry = results.describe_system(task, "m", "Model", "model", one, ours, seconds=np.float32(2))
    assert entry["metrics"]["ndcg@5"] == pytest.approx(interval(ours["ndcg@5"], requests.user, 30)._asdict())
    assert entry["lists"]["coverage@5"] == metrics.coverage(one, 5, N_ITEMS)
    rows = results.compare(task, ours, {"b": theirs})
    assert len(rows) == 7
    assert rows[0]["baseline"] == "b"
    expected = paired(ours["mrr@5"], theirs["mrr@5"], requests.user, 30)._asdict()
    row = next(row for row in rows if row["metric"] == "mrr@5")
    assert {name: row[name] for name in expected} == pytest.approx(expected)
    text = json.dumps(results.plain({"entry": entry, 1: [np.int64(3), math.nan, np.array([1.5, np.inf])]}))
    assert json.loads(text)["1"] == [3, None, [1.5, None]]
