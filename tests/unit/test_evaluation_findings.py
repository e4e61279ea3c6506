"""Findings against sums done by hand, and sentences that say no more than their intervals."""

from __future__ import annotations

import numpy as np
import pytest

from tests.unit.evaluation_cases import TEST, random_log, requests_of
from timerec.clock import WEEK
from timerec.evaluation.ablation import ablation_words, time_words, write_ablation
from timerec.evaluation.findings import against, by_age, calibration, popularity_bias, score_shares, taken_share
from timerec.evaluation.metrics import ranking_metrics
from timerec.evaluation.words import findings_words


@pytest.fixture(scope="module")
def requests():
    return requests_of(random_log(1))


def lists_of(requests, seed):
    rng = np.random.default_rng(seed)
    return np.stack([rng.permutation(24)[:10] for _ in range(len(requests))]).astype(np.int32)


def test_shares_are_of_each_pairs_own_sum():
    shares = score_shares(np.array([[3.0, -1.0, 0.0], [0.0, 0.0, 0.5], [0.0, 0.0, 0.0]]), ("a", "b", "c"))
    assert shares == pytest.approx({"a": 0.375, "b": 0.125, "c": 0.5})


def test_calibration_error_by_hand():
    said = np.array([0.9, 0.1, 0.2, 0.8])
    found = calibration(said, np.array([0.0, 0.0, 1.0, 1.0]), bins=2)
    assert [(row["said"], row["found"]) for row in found["bins"]] == [pytest.approx((0.15, 0.5)), pytest.approx((0.85, 0.5))]
    assert found["error"] == pytest.approx(0.35)
    rng = np.random.default_rng(0)
    said = rng.random(200_000)
    assert calibration(said, rng.random(200_000) < said)["error"] < 0.01


def test_what_was_taken_is_shared_among_the_items_of_a_request(requests):
    lists = lists_of(requests, 0)
    share = taken_share(requests, lists)
    for r in (0, 5, 17):
        truth = set(requests.truth_item[requests.truth_start[r] : requests.truth_start[r + 1]].tolist())
        assert share[r].tolist() == pytest.approx([(item in truth) / len(truth) for item in lists[r].tolist()])


def test_popularity_in_tenths_of_the_catalogue(requests):
    popularity = np.arange(-3, 21).clip(0).astype(float)  # items 0 to 3 have no event
    lists = np.full((len(requests), 10), -1, np.int32)
    lists[:, 0], lists[:, 1] = 23, 2
    found = popularity_bias(requests, lists, popularity)
    shown = [row["recommended"] for row in found["tenths"]]
    assert shown[0] == pytest.approx(0.5)
    assert shown[10] == pytest.approx(0.5)
    taken = requests.truth_item
    assert found["tenths"][0]["taken"] == pytest.approx((taken < 4).mean())
    assert sum(row["taken"] for row in found["tenths"]) == pytest.approx(1.0)
    assert found["tenths"][10]["taken"] == pytest.approx((taken >= 22).mean())
    of_request = [np.log1p(popularity[part]).mean() for part in np.split(taken, requests.truth_start[1:-1])]
    assert found["lift"]["difference"] == pytest.approx(np.log(21) / 2 - np.mean(of_request))


def test_segments_and_weeks_are_compared_on_the_same_requests(requests):
    ours, theirs = lists_of(requests, 0), lists_of(requests, 1)
    half = requests.truth_item % 2 == 0
    some = np.arange(len(requests)) % 3 == 0
    rows = {r["name"]: r for r in against(requests, ours, theirs, {"some": some}, {"even": half}, TEST, reps=200)}
    value = [
        ranking_metrics(x[some], *_part(requests, some), 10)["ndcg@10"] for x in (ours, theirs)
    ]  # fmt: skip
    assert rows["some"]["difference"] == pytest.approx((value[0] - value[1]).mean())
    assert rows["some"]["requests"] == some.sum()
    part, which = requests.keep_truth(half)
    value = [ranking_metrics(x[which], part.truth_start, part.truth_item, 10)["ndcg@10"] for x in (ours, theirs)]
    assert rows["even"]["difference"] == pytest.approx((value[0] - value[1]).mean())
    assert rows["week 1"]["requests"] == len(requests)


def _part(requests, mask):
    part, _ = requests.keep_truth(mask[requests.truth_row])
    return part.truth_start, part.truth_item


def test_perfect_lists_are_ahead_and_few_users_say_nothing(requests):
    perfect = np.full((len(requests), 10), -1, np.int32)
    for r in range(len(requests)):
        truth = requests.truth_item[requests.truth_start[r] : requests.truth_start[r + 1]][:10]
        perfect[r, : len(truth)] = truth
    few = requests.user < 3
    wrong = np.full((len(requests), 10), -1, np.int32)
    rows = {r["name"]: r for r in against(requests, wrong, perfect, {"few": few, "rest": ~few}, {}, TEST, reps=100)}
    assert rows["rest"]["verdict"] == "behind"
    assert rows["rest"]["difference"] == -1
    assert rows["few"]["verdict"] == "open"


def test_age_is_paired_and_by_week():
    requests = requests_of(random_log(2, scale=1000), scale=1000)
    rng = np.random.default_rng(0)
    fresh = rng.random(len(requests))
    week = (requests.time - TEST * 1000) // WEEK
    values = {"fresh": fresh, "older": fresh - 0.1, "frozen": fresh - 0.01 * (week + 1)}
    found = by_age(requests, values, TEST * 1000, 3 * 86_400, reps=100)
    assert found["older"]["difference"] == pytest.approx(0.1)
    assert found["older_days"] == 3
    assert [row["week"] for row in found["weeks"]] == sorted(set(week.tolist()))
    for row in found["weeks"]:
        assert row["lost"]["difference"] == pytest.approx(0.01 * (row["week"] + 1))
        assert row["fresh"]["mean"] == pytest.approx(fresh[week == row["week"]].mean())


def gap(difference, half=0.01):
    return {"difference": difference, "low": difference - half, "high": difference + half, "p": 0.5}


def findings():
    segment = {"of": "users", "requests": 50, "users": 40}
    return {
        "shares": {"groups": {"taste": 0.2, "momentum": 0.1, "habit": 0.65, "context": 0.05}, "pairs": 900, "requests": 90},
        "against": [
            segment | {"name": "a", "title": "Heavy users", "verdict": "behind"} | gap(-0.05),
            segment | {"name": "b", "title": "Cold items", "verdict": "ahead"} | gap(0.02),
            segment | {"name": "c", "title": "New users", "verdict": "open"} | gap(0.002),
            segment | {"name": "w1", "title": "week 1", "verdict": "ahead", "of": "week"} | gap(0.07),
            segment | {"name": "w2", "title": "week 2", "verdict": "open", "of": "week"} | gap(0.001),
            segment | {"name": "d", "title": "Rare items", "verdict": "open", "users": 4} | gap(0.3),
        ],
        "calibration": {"error": 0.031, "said": 0.12, "found": 0.09, "pairs": 9, "requests": 90,
                        "bins": [{"said": 0.1, "found": 0.05, "pairs": 5}, {"said": 0.2, "found": 0.15, "pairs": 4}]},
        "popularity": {
            "tenths": [{"title": str(n), "recommended": 0.5 if n == 10 else 0.05, "taken": 0.1} for n in range(11)],
            "lift": gap(float(np.log(1.5))),
        },
        "age": {
            "older_days": 20.0, "requests": 90, "older": gap(0.004), "frozen": gap(0.05),
            "weeks": [
                {"week": w, "requests": 45, "users": 30, "lost": gap(0.03 * (w + 1)),
                 **{name: {"mean": 0.2, "low": 0.1, "high": 0.3} for name in ("fresh", "older", "frozen")}} for w in (0, 1)
            ],
        },
    }  # fmt: skip


def test_sentences_claim_only_what_the_interval_holds():
    said = findings_words(findings(), 10, "Personal")
    assert "comes from habit (the person's own rhythm) 65\u00a0%, then taste" in said["shares"][0]
    assert said["against"] == [
        "Against personal the model is behind for heavy users (−0.0500, −0.0600 to −0.0400).",
        "Against personal the model is ahead for cold items (+0.0200, +0.0100 to +0.0300).",
        "Not to be told from chance: new users.",
        "Too few users (fewer than 10) to say anything: rare items.",
        "By week it is clearly ahead in 1 of 2 and clearly behind in 0; the difference goes "
        "from +0.0010 (week 2) to +0.0700 (week 1).",
    ]
    assert "say 12.0\u00a0% on average" in said["calibration"][0]
    assert "and 9.0\u00a0% of what was taken" in said["calibration"][0]
    assert "error is 3.1 points" in said["calibration"][0]
    assert "more popular than what is taken: 1.50 times the earlier events (1.49 to 1.52" in said["popularity"][0]
    assert "50\u00a0% of the lists and 10\u00a0%" in said["popularity"][0]
    assert "20 days earlier" in said["age"][0]
    assert "make no clear difference (−0.0040)" in said["age"][0]
    assert "lose 0.0500 (+0.0400 to +0.0600)" in said["age"][1]
    assert "is 0.0300 (+0.0200 to +0.0400) in week 1" in said["age"][2]
    assert findings_words({}, 10, "Personal") == {}
    nothing_lost = findings_words({"against": findings()["against"][1:]}, 10, "Personal")["against"]
    assert nothing_lost[0] == "There is no segment in which it is clearly behind personal."


def ablation():
    def row(source, mean, difference):
        ndcg = {"mean": mean, "low": mean - 0.01, "high": mean + 0.01}
        return {"source": source, "ndcg": ndcg, "worth": gap(difference), "validation": mean, "seconds": 9.0}

    return {
        "name": "Corner <shop>", "k": 10, "run": "x", "requests": 90, "users": 30,
        "full": {"mean": 0.25, "low": 0.24, "high": 0.26},
        "rows": [row("time", 0.2, 0.05), row("habit", 0.23, 0.02), row("text", 0.249, 0.001), row("forecast", 0.27, -0.02)],
    }  # fmt: skip


def test_worth_of_sources_in_words_and_on_a_page(tmp_path):
    words = time_words(ablation())
    assert words.startswith("Knowing the time is worth +0.0500 NDCG@10, or +25.0 % (95 % interval +0.0400 to +0.0600): 0.2500")
    level = ablation()
    level["rows"][0]["worth"] = gap(0.005)
    assert "makes no clear difference: +0.0050" in time_words(level)
    level["rows"][0]["worth"] = gap(-0.05)
    assert "costs here: −0.0500" in time_words(level)
    assert time_words(ablation() | {"rows": []}) is None
    assert ablation_words(ablation()) == [
        "Worth something by itself, given all the others: habit (+0.0200).",
        "Better left out here: forecast (−0.0200).",
        "No difference can be told on these requests for: text.",
    ]
    write_ablation(ablation(), tmp_path / "a.html")
    text = (tmp_path / "a.html").read_text()
    for part in ("Corner &lt;shop&gt;", "Knowing the time is worth +0.0500", "0.2400 to 0.2600", "−0.0300 to −0.0100", "<svg"):
        assert part in text, part
    assert not any(mark in text for mark in ("<script", "<link", "src="))
