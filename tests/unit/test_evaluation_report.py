"""The report says what the results say, in a page that stands alone."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from tests.unit.test_evaluation_findings import ablation, findings
from timerec.config import load_config
from timerec.evaluation import charts
from timerec.evaluation.report import headline, metric_title, write_report

METRICS = ("ndcg@10", "recall@10", "auc_uniform")


def interval(mean: float) -> dict[str, float | None]:
    return {"mean": mean, "low": mean - 0.01, "high": mean + 0.01}


def system(name: str, kind: str, mean: float) -> dict[str, Any]:
    return {
        "name": name,
        "title": name.title(),
        "kind": kind,
        "metrics": {metric: interval(mean) for metric in METRICS},
        "lists": {"coverage@10": 0.25, "novelty@10": 9.5, "popularity_percentile@10": 80.0},
        "params": {"half_life": 86_400.0} if kind == "baseline" else {},
    }


def results(difference: float = 0.05) -> dict[str, Any]:
    count = {"read": 110, "kept": 100, "merged": 3, "quarantined": 7, "reasons": {"item_id is null": 7}}
    systems = [
        system("weak", "baseline", 0.1), system("model", "model", 0.3), system("strong", "baseline", 0.3 - difference)
    ]  # fmt: skip
    names = [entry["name"] for entry in systems]
    segment = {"title": "All", "of": "users", "requests": 90, "users": 30, "truth_items": 200}
    return {
        "name": "Corner <shop>",
        "k": 10,
        "split": {"val_from": 1_000_000, "test_from": 2_000_000, "end": 3_500_000},
        "fit": {"tuned_before": 1_000_000, "fitted_before": 2_000_000, "how": "It was refitted."},
        "validation": {"ndcg@10": 0.1717},
        "protocol": {
            "requests": 90, "requests_total": 4321, "requests_without_truth": 12, "users": 30, "truth_items": 200,
            "truth_lost_share": 0.0125, "requests_without_history": 1, "requests_of_unknown_users": 2,
            "catalogue": "live", "catalogue_size": 1234,
        },
        "systems": systems,
        "paired": [
            {"baseline": name, "metric": metric, "difference": gap, "low": gap - 0.02, "high": gap + 0.02, "p": 0.2}
            for name, gap in (("weak", 0.2), ("strong", difference))
            for metric in METRICS
        ],
        "weeks": [
            {"start": 2_000_000 + week * 604_800, "requests": 45, "systems": {name: interval(0.2) for name in names}}
            for week in range(2)
        ],
        "segments": [
            segment | {"name": "all", "systems": {n: {m: interval(0.2) for m in METRICS} for n in names}},
            segment | {"name": "cold_items", "title": "Cold", "of": "items", "requests": 0, "users": 0, "systems": {}},
        ],
        "learning": [{"epoch": 1, "train_loss": 2.0, "val_ndcg": 0.1}, {"epoch": 2, "train_loss": 1.0, "val_ndcg": 0.2}],
        "forecast": {
            "metrics": {
                "judged_on": "steps after the cut", "items": 5, "origins": [7, 8],
                "accuracy": {"naive": {h: {"wape": 0.777, "rmsse": 0.8, "mase": 0.9, "bias": -0.1} for h in ("all", "1")}},
                "interval": {"model": {"levels": [0.1, 0.9], "coverage": {"all": 0.8123, "1": 0.8}}},
                "classes": {"lumpy": {"items": 3, "share": 0.6, "accuracy": {"naive": {"wape": 0.912, "rmsse": 1.0}}}},
                "auto": {
                    "chosen": "tsb", "metric": "wape", "judged_on": "steps before validation", "origins": [3], "items": 4,
                    "candidates": {"tsb": {"wape": 0.654, "rmsse": 0.7, "seconds": 1.5}, "naive": {"wape": 0.8, "rmsse": 0.9}},
                },
            },
            "examples": {
                "cut": 6, "origin": 0, "step": 604_800, "levels": [0.1, 0.9],
                "items": [
                    {"item": 3, "first_step": 1, "y": [1, 2, 3, 4, 5, 6.0],
                     "forecasts": [{"origin": 4, "forecast": [5, 5.5], "low": [3, 3], "high": [8, 9]}]},
                    {"item": 4, "title": "Tea <green>", "first_step": 4, "y": [1.0, 2.0, 9.0], "forecasts": []},
                ],
            },
        },
        "data": {
            "n_users": 40, "n_items": 1300, "n_events": 98_765, "n_categories": 7, "first": 0, "last": 3_400_000,
            "step": "week", "n_steps": 6, "repeats": True, "repeat_share": 0.4, "attribute_names": ["price"],
            "counts": {"interactions": count}, "notes": ["timestamp is in milliseconds"],
        },
        "config": load_config().model_dump(),
        "timings": {"prepare": 12.5, "finetune": 100.0},
        "machine": "2 CPU cores",
    }  # fmt: skip


def page(of: dict[str, Any], tmp_path: Path) -> str:
    write_report(of, tmp_path / "report.html")
    return (tmp_path / "report.html").read_text()


def test_the_headline_speaks_of_the_best_baseline_and_of_chance():
    ahead = headline(results(0.05))
    assert ahead["verdict"] == "ahead"
    assert ahead["best"]["name"] == "strong"
    assert "NDCG@10 0.3000 (95 % interval 0.2900 to 0.3100) on 90 test requests" in ahead["sentence"]
    assert "strong, reaches 0.2500" in ahead["sentence"]
    assert "ahead by 0.0500, or 20.0 %" in ahead["sentence"]
    assert "+0.0300 to +0.0700" in ahead["sentence"]
    level = headline(results(0.01))
    assert level["verdict"] == "level"
    assert "no clear difference: 0.0100 (" in level["sentence"]
    behind = headline(results(-0.05))
    assert behind["verdict"] == "behind"
    assert "behind by 0.0500" in behind["sentence"]
    assert "−0.0700 to −0.0300" in behind["sentence"]


def test_the_page_holds_all_that_was_measured(tmp_path):
    text = page(results(), tmp_path)
    for words in (
        "Corner &lt;shop&gt;", "1970-01-12 13:46 UTC", "1970-01-24 03:33 UTC", "It was refitted.",
        "NDCG@10 0.1717", "no parameter has seen a test event",
        "90 judged, sampled from 4,321", "12 sampled ones", "1,234 items", "1.25 %", ".2400 to .2600", "25.0 %",
        "half life 1 day", "98,765", "7 rows refused", "item_id is null, 7 rows", "timestamp is in milliseconds", "0.777",
        "Tea &lt;green&gt;", "item 3", "train", "epochs=0", "112.5", "2 CPU cores",
    ):  # fmt: skip
        assert words in text, words
    assert text.count("<svg") == 5
    assert "Not measured" not in text


def test_findings_and_the_worth_of_time_come_first(tmp_path):
    text = page(results() | {"findings": findings(), "ablation": ablation()}, tmp_path)
    assert text.index("Knowing the time is worth +0.0500") < text.index("Model reaches NDCG@10")
    for words in (
        "What was found", "Better left out here: forecast", "comes from habit", "behind for heavy users", "error is 3.1 points",
        "1.50 times the earlier events", "20 days earlier",
    ):  # fmt: skip
        assert words in text, words
    assert text.count("<svg") == 5 + 5
    assert "What was found" not in page(results(), tmp_path)


def test_the_page_needs_nothing_from_elsewhere(tmp_path):
    text = page(results(), tmp_path)
    assert not re.search(r"<script|<link|<img|<iframe|@import|src=|url\((?!#)", text)
    outside = set(re.findall(r"https?://[^\s\"<]+", text))
    assert outside <= {"http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"}  # names, not addresses
    assert "prefers-color-scheme: dark" in text
    assert 'name="viewport"' in text


def test_fitting_on_test_events_is_said(tmp_path):
    leaking = results()
    leaking["fit"]["fitted_before"] = 2_000_001
    text = page(leaking, tmp_path)
    assert "these figures are no test" in text
    assert "no parameter has seen" not in text


def test_what_was_not_measured_is_said(tmp_path):
    little = results()
    for key in ("validation", "weeks", "segments", "learning", "forecast", "timings", "machine"):
        del little[key]
    text = page(little, tmp_path)
    assert text.count("Not measured in this run.") == 4
    assert text.count("<svg") == 1


def test_unfinished_results_are_refused(tmp_path):
    broken = results()
    del broken["fit"], broken["paired"]
    with pytest.raises(ValueError, match="lack fit, paired"):
        write_report(broken, tmp_path / "r.html")
    alone = results()
    alone["systems"] = alone["systems"][1:2]
    with pytest.raises(ValueError, match="at least one baseline"):
        write_report(alone, tmp_path / "r.html")


def test_few_users_have_no_interval(tmp_path):
    few = results()
    few["segments"][0]["users"] = 9
    assert "too few users" in page(few, tmp_path)
    assert "too few users" not in page(results(), tmp_path)


def test_forecasts_are_dated_and_steps_without_events_have_no_picture_of_errors(tmp_path):
    of = results()
    assert "2 origins, 1970-02-26 00:00 UTC to 1970-03-05 00:00 UTC. Lower" in page(of, tmp_path)  # ends of steps 7 and 8
    quiet = {h: {"wape": None, "rmsse": 0.0, "mase": 0.0, "bias": None} for h in ("all", "1")}
    of["forecast"]["metrics"] |= {"accuracy": {"naive": quiet}, "origins": [7]}
    text = page(of, tmp_path)
    assert "1 origin, 1970-02-26 00:00 UTC. Lower" in text
    assert "None of these items has an event in the judged steps" in text and text.count("<svg") == 4
    assert not charts.happened({"accuracy": {"naive": {"all": {"wape": float("nan")}}}})  # as the stage itself tells it


def test_the_weeks_are_named_as_far_apart_as_their_names_are_long():
    of = results()
    for n in (8, 11, 17):
        weeks = [of["weeks"][0] | {"start": 2_000_000 + week * 604_800} for week in range(n)]
        named = re.findall(r">\d\d [A-Z][a-z]{2} 70<", charts.weeks_chart(weeks, of["systems"], "ndcg@10"))
        assert n / 3 <= len(named) <= 8


def test_charts_take_every_colour_from_the_page():
    of = results()
    svgs = [
        charts.accuracy_chart(of["systems"], "ndcg@10"),
        charts.weeks_chart(of["weeks"], of["systems"], "ndcg@10"),
        charts.learning_chart(of["learning"], "NDCG@10"),
        charts.forecasts_chart(of["forecast"]["examples"]),
        charts.horizons_chart(of["forecast"]["metrics"]),
    ]
    for svg in svgs:
        ElementTree.fromstring(svg)
        assert set(re.findall(r"(?:fill|stroke): ?([^;\"]+)", svg)) <= {
            "none", *(f"var({name})" for name in charts.VARIABLES.values())
        }  # fmt: skip
    order = re.findall(r">(Model|Strong|Weak|0\.\d{4})<", svgs[0])
    assert order.index("Weak") < order.index("Strong") < order.index("Model")  # drawn from the bottom up
    assert {"0.3000", "0.2500", "0.1000"} <= set(order)
    assert "0.2000" in svgs[2]
    assert "Weak" not in svgs[1]


def test_the_forecast_section_tells_intervals_classes_and_the_choice(tmp_path):
    text = page(results(), tmp_path)
    assert "held 81.2 % of what happened" in text
    assert "0.912" in text and "0.654" in text and "Chosen: tsb" in text
    assert "80 % interval" in charts.forecasts_chart(results()["forecast"]["examples"])


def test_names_of_metrics():
    assert [metric_title(name) for name in ("map@5", "auc_uniform", "coverage@10")] == [
        "MAP@5",
        "AUC, uniform",
        "Coverage",
    ]
