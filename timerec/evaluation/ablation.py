"""What each source is worth, on a page: `results`, which is also what ablation.json holds.

name, k     as in the report's results
run         what the whole model was trained from, so that other trainings are not compared with it
requests    judged, of so many "users"
full        {"mean", "low", "high"}: NDCG@k of the whole model
rows        [{"source", "ndcg": the same without it, "worth": {"difference", "low", "high", "p"}: whole model minus that one
            on the same requests, intervals at 95 % over users, "validation": NDCG@10 there, "seconds"}]
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from timerec.evaluation.charts_findings import worth_chart

NAME = "ablation"
TITLES = {
    "time": "time: every signal of when",
    "habit": "habit: the user's own items and categories",
    "momentum": "momentum: counters and trending lists",
    "forecast": "forecast of the item's series",
    "sequence": "sequence: history encoder and user vector",
    "text": "text of the items",
    "category": "category of the items",
    "attributes": "attributes such as price",
}


def write_ablation(results: dict[str, Any], path: Path) -> None:
    """Render `results` (see the module) into one HTML file without external resources."""
    environment = Environment(
        loader=PackageLoader("timerec.evaluation", "."), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True,
    )  # fmt: skip
    plot = Markup(worth_chart(results["rows"], TITLES)) if results["rows"] else None
    page = environment.get_template("ablation.html.j2").render(
        r=results, plot=plot, titles=TITLES, words=ablation_words(results), time=time_words(results), verdict=_verdict
    )
    path.write_text(page, encoding="utf-8")


def time_words(results: dict[str, Any] | None) -> str | None:
    """What knowing the time is worth, in one sentence; None where the time-blind model was not trained.

    >>> worth = {"difference": 0.05, "low": 0.04, "high": 0.06, "p": 0.001}
    >>> row = {"source": "time", "ndcg": {"mean": 0.2}, "worth": worth}
    >>> time_words({"k": 10, "full": {"mean": 0.25}, "rows": [row]})[:60]
    'Knowing the time is worth +0.0500 NDCG@10, or +25.0 % (95 % '
    """
    row = next((row for row in (results or {"rows": []})["rows"] if row["source"] == "time"), None)
    if results is None or row is None:
        return None
    worth, blind, full = row["worth"], row["ndcg"]["mean"], results["full"]["mean"]
    ends = f"95 % interval {_signed(worth['low'])} to {_signed(worth['high'])}"
    said = {
        1: f"is worth {_signed(worth['difference'])} NDCG@{results['k']}",
        0: f"makes no clear difference: {_signed(worth['difference'])} NDCG@{results['k']}",
        -1: f"costs here: {_signed(worth['difference'])} NDCG@{results['k']}",
    }[_verdict(worth)]
    share = f", or {100 * worth['difference'] / blind:+.1f} %".replace("-", "−") if blind > 0 else ""
    return (
        f"Knowing the time {said}{share} ({ends}): {full:.4f} with it, {blind:.4f} for the same model, trained and tuned the "
        "same way, without any signal of when."
    )


def ablation_words(results: dict[str, Any]) -> list[str]:
    """The other sources: which are worth something by their interval, and which are not resolved."""
    rows = [row for row in results["rows"] if row["source"] != "time"]
    ranked = sorted(rows, key=lambda row: -row["worth"]["difference"])
    said = []
    for sign, words in ((1, "Worth something by itself, given all the others"), (-1, "Better left out here")):
        chosen = [f"{row['source']} ({_signed(row['worth']['difference'])})" for row in ranked if _verdict(row["worth"]) == sign]
        if chosen:
            said.append(f"{words}: {', '.join(chosen)}.")
    unclear = [row["source"] for row in ranked if _verdict(row["worth"]) == 0]
    if unclear:
        said.append(f"No difference can be told on these requests for: {', '.join(unclear)}.")
    return said


def _verdict(worth: dict[str, float]) -> int:
    """1, -1 or 0: the interval lies above zero, below, or holds it."""
    return 1 if worth["low"] > 0 else -1 if worth["high"] < 0 else 0


def _signed(value: float) -> str:
    return f"{value:+.4f}".replace("-", "−")
