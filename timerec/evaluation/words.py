"""The findings in sentences. Only what an interval holds apart from zero is said to be so."""

from __future__ import annotations

import math
from typing import Any

from timerec.evaluation.findings import ENOUGH

Entry = dict[str, Any]
MEANING = {
    "taste": "taste (what goes with the history)",
    "momentum": "momentum (where items are heading)",
    "habit": "habit (the person's own rhythm)",
    "context": "context (the moment and the person)",
}


def findings_words(found: Entry, k: int, baseline: str) -> dict[str, list[str]]:
    """Sentences by part: "shares", "against", "calibration", "popularity", "age"; of the parts of `found` that are there.

    Args:
        found: as `timerec.pipeline.study.study` gives it.
        baseline: title of the best baseline.
    """
    said = {
        "shares": lambda part: [_shares(part, k)],
        "against": lambda part: _against(part, baseline),
        "calibration": lambda part: [_calibration(part)],
        "popularity": lambda part: [_popularity(part)],
        "age": _age,
    }
    return {name: words(found[name]) for name, words in said.items() if found.get(name)}


def inside(title: str) -> str:
    """A system's title within a sentence.

    >>> inside("Decayed popularity"), inside("LightGBM LambdaRank"), inside("EASE + personal frequency")
    ('decayed popularity', 'LightGBM LambdaRank', 'EASE + personal frequency')
    """
    first = title.partition(" ")[0]
    return title[:1].lower() + title[1:] if first[1:].islower() else title


def _shares(part: Entry, k: int) -> str:
    ranked = sorted(part["groups"].items(), key=lambda pair: -pair[1])
    first, *rest = [f"{MEANING[name]} {100 * share:.0f}\u00a0%" for name, share in ranked]
    return (
        f"The largest part of the score of a top-{k} item comes from {first}, then {', '.join(rest)}: mean shares of the "
        f"absolute Shapley values over {part['pairs']:,} items of {part['requests']:,} test requests."
    )


def _against(rows: list[Entry], baseline: str) -> list[str]:
    said, name = [], inside(baseline)
    segments = [row for row in rows if row["of"] != "week"]
    for verdict in ("behind", "ahead"):
        chosen = sorted((row for row in segments if row["verdict"] == verdict), key=lambda row: -abs(row["difference"]))
        parts = [f"{row['title'].lower()} ({_signed(row['difference'])}, {_ends(row)})" for row in chosen]
        if parts:
            said.append(f"Against {name} the model is {verdict} for {'; '.join(parts)}.")
        elif verdict == "behind":
            said.append(f"There is no segment in which it is clearly behind {name}.")
    unclear = [row["title"].lower() for row in segments if row["verdict"] == "open" and row["users"] >= ENOUGH]
    if unclear:
        said.append(f"Not to be told from chance: {'; '.join(unclear)}.")
    few = [row["title"].lower() for row in segments if row["users"] < ENOUGH]
    if few:
        said.append(f"Too few users (fewer than {ENOUGH}) to say anything: {'; '.join(few)}.")
    weeks = [row for row in rows if row["of"] == "week" and row["users"] >= ENOUGH]
    if weeks:
        ahead, behind = ([row for row in weeks if row["verdict"] == verdict] for verdict in ("ahead", "behind"))
        low, high = (end(weeks, key=lambda row: row["difference"]) for end in (min, max))
        said.append(
            f"By week it is clearly ahead in {len(ahead)} of {len(weeks)} and clearly behind in {len(behind)}; the difference "
            f"goes from {_signed(low['difference'])} ({low['title']}) to {_signed(high['difference'])} ({high['title']})."
        )
    return said


def _calibration(part: Entry) -> str:
    return (
        f"Read as probabilities (softmax over the candidates), scores say {100 * part['said']:.1f}\u00a0% on average for an item "
        f"of a list, and {100 * part['found']:.1f}\u00a0% of what was taken went to it; the expected calibration error is "
        f"{100 * part['error']:.1f} points, on {part['requests']:,} test requests. Scores are made for order, not as "
        "probabilities."
    )


def _popularity(part: Entry) -> str:
    top, new = part["tenths"][-1], part["tenths"][0]
    lift = part["lift"]
    way = "more popular than" if lift["low"] > 0 else "less popular than" if lift["high"] < 0 else "about as popular as"
    factor, low, high = (math.exp(lift[name]) for name in ("difference", "low", "high"))
    return (
        f"What is recommended is {way} what is taken: {factor:.2f} times the earlier events ({low:.2f} to {high:.2f}, geometric "
        "mean). "
        f"The most popular tenth of the catalogue makes up {100 * top['recommended']:.0f}\u00a0% of the lists and "
        f"{100 * top['taken']:.0f}\u00a0% of what was taken; items without an event before the cut "
        f"{100 * new['recommended']:.1f}\u00a0% and {100 * new['taken']:.1f}\u00a0%."
    )


def _age(part: Entry) -> list[str]:
    older, frozen = part["older"], part["frozen"]
    days = f"{part['older_days']:.0f} days" if part["older_days"] >= 2 else f"{24 * part['older_days']:.0f} hours"
    said = [
        f"Weights fitted {days} earlier, with the same live counters, "
        + _lost(older, f"cost {-_f(older):.4f}", f"are better by {_f(older):.4f}")
        + f" ({_ends(older)}), on {part['requests']:,} sampled test requests.",
        "The same weights with the log frozen at the end of fitting, as a system without live counters would have it, "
        + _lost(frozen, f"lose {-_f(frozen):.4f}", f"gain {_f(frozen):.4f}")
        + f" ({_ends(frozen)}).",
    ]
    weeks = [week for week in part["weeks"] if week["users"] >= ENOUGH]
    if len(weeks) > 1:
        first, last = weeks[0], weeks[-1]
        said.append(
            f"Without live counters the loss is {first['lost']['difference']:.4f} ({_ends(first['lost'])}) in week "
            f"{first['week'] + 1} after the fit and {last['lost']['difference']:.4f} ({_ends(last['lost'])}) in week "
            f"{last['week'] + 1}."
        )
    return said


def _f(row: Entry) -> float:
    """What the other gains over the fresh one."""
    return -float(row["difference"])


def _lost(row: Entry, worse: str, better: str) -> str:
    if row["low"] > 0:
        return worse
    if row["high"] < 0:
        return better
    return f"make no clear difference ({_signed(_f(row))})"


def _ends(row: Entry) -> str:
    return f"{_signed(row['low'])} to {_signed(row['high'])}"


def _signed(value: float) -> str:
    return f"{value:+.4f}".replace("-", "−")
