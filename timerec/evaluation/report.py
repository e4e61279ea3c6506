"""The evidence on one page: `results`, which is also what metrics.json holds, as a self-contained HTML file.

`results` in JSON types; times are unix seconds, UTC; an interval is {"mean", "low", "high"} at 95 % over users, null where
there was nothing to average. What is optional and absent is shown as not measured, or left out.

    name        what the data set is called
    k           length of the judged lists
    split       {"val_from", "test_from", "end"}: validation is [val_from, test_from), test [test_from, end)
    fit         {"tuned_before", "fitted_before", "how"}: no event from these times on entered any parameter, while choosing
                and in the judged systems; `how` says in whole sentences how the second came from the first
    protocol    `Requests.counts()` of the test, with "catalogue" ("live" or "static") and "catalogue_size"
    systems     [{"name", "title", "kind": "model" | "baseline", "metrics": {"ndcg@10": interval, ...}, "lists":
                {"coverage@10", "novelty@10", "popularity_percentile@10"}, optional "params" and "seconds" {part: spent}}],
                exactly one of them the model (`results.describe_system`)
    validation  {metric: mean} of the model on validation, as fitted while choosing; optional
    paired      [{"baseline", "metric", "difference", "low", "high", "p"}]: model minus baseline (`results.compare`)
    weeks       of NDCG@k (`segments.by_week`); optional
    segments    `segments.segment_table`; optional
    findings    `timerec.pipeline.study.study`; optional
    ablation    `timerec.evaluation.ablation`; optional
    learning    [{"epoch", "train_loss", "val_ndcg"}], one entry each time that training was judged; optional
    forecast    {"metrics": the forecast stage's metrics.json, "examples": its examples.json, its items with an optional
                "title"}; optional
    data        the manifest of the prepared data
    config      all settings of the run, by section
    timings     {stage: seconds}; optional
    machine     what it ran on, in words; optional
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from timerec.clock import DAY, HOUR
from timerec.evaluation import charts, charts_findings
from timerec.evaluation.ablation import TITLES, ablation_words, time_words
from timerec.evaluation.words import findings_words, inside

REQUIRED = ("name", "k", "split", "fit", "protocol", "systems", "paired", "data", "config")
NAMES = {
    "ndcg": "NDCG", "recall": "Recall", "hr": "HR", "mrr": "MRR", "map": "MAP", "auc_uniform": "AUC, uniform",
    "auc_popularity": "AUC, popularity", "coverage": "Coverage", "novelty": "Novelty, bits",
    "popularity_percentile": "Popularity percentile",
}  # fmt: skip


def write_report(results: dict[str, Any], path: Path) -> None:
    """Render `results` (see the module) into one HTML file without external resources.

    Raises:
        ValueError: a required key is missing, or there is not exactly one model and at least one baseline.
    """
    missing = [key for key in REQUIRED if key not in results]
    if missing:
        raise ValueError(f"results lack {', '.join(missing)}")
    kinds = [entry["kind"] for entry in results["systems"]]
    if kinds.count("model") != 1 or "baseline" not in kinds:
        raise ValueError("a report needs exactly one model and at least one baseline")
    environment = Environment(
        loader=PackageLoader("timerec.evaluation", "."), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True,
    )  # fmt: skip
    environment.filters |= {"day": _day, "number": _number, "span": _span, "signed": _signed}
    environment.filters |= {"title_of": metric_title, "setting": _setting, "short": _short}
    page = environment.get_template("report.html.j2").render(
        r=results, forecasters=charts.FORECASTERS, **headline(results), **_plots(results), **_words(results)
    )
    path.write_text(page, encoding="utf-8")


def headline(results: dict[str, Any]) -> dict[str, Any]:
    """The outcome in words, and what it rests on.

    Returns:
        "verdict": "ahead", "level" or "behind" by the paired interval of NDCG@k against the best baseline;
        "sentence"; and the entries "model", "best" and "difference" with the "metric" they speak of.
    """
    metric = f"ndcg@{results['k']}"
    model = next(entry for entry in results["systems"] if entry["kind"] == "model")
    best = charts.best_baseline(results["systems"], metric)
    difference = next(row for row in results["paired"] if row["baseline"] == best["name"] and row["metric"] == metric)
    verdict = "ahead" if difference["low"] > 0 else "behind" if difference["high"] < 0 else "level"
    ours, theirs = model["metrics"][metric], best["metrics"][metric]
    words = {
        "ahead": "On the same requests it is ahead by",
        "level": "On the same requests there is no clear difference:",
        "behind": "On the same requests it is behind by",
    }[verdict]
    size = abs(difference["difference"]) if verdict == "behind" else difference["difference"]
    ends = (difference["low"], difference["high"])
    sentence = (
        f"{model['title']} reaches {metric_title(metric)} {ours['mean']:.4f} (95 % interval {_span(ours)}) on "
        f"{results['protocol']['requests']:,} test requests; the best tuned baseline, {inside(best['title'])}, reaches "
        f"{theirs['mean']:.4f} ({_span(theirs)}). {words} {size:.4f}"
        f"{_relative(difference['difference'], theirs['mean'], verdict)} "
        f"(interval of the difference {_signed(ends[0])} to {_signed(ends[1])})."
    )
    return {
        "verdict": verdict, "sentence": sentence, "model": model, "best": best, "difference": difference, "metric":
        metric,
    }  # fmt: skip


def metric_title(metric: str) -> str:
    """How a metric is written on the page.

    >>> metric_title("ndcg@10")
    'NDCG@10'
    """
    name, at, k = metric.partition("@")
    return NAMES.get(name, name) + (at + k if name in ("ndcg", "recall", "hr", "mrr", "map") else "")


def _plots(results: dict[str, Any]) -> dict[str, Markup | None]:
    metric = f"ndcg@{results['k']}"
    title = metric_title(metric)
    plots: dict[str, str | None] = {"accuracy_plot": charts.accuracy_chart(results["systems"], metric)}
    weeks = results.get("weeks")
    plots["weeks_plot"] = charts.weeks_chart(weeks, results["systems"], metric) if weeks else None
    learning = results.get("learning")
    plots["learning_plot"] = charts.learning_chart(learning, title) if learning else None
    examples = (results.get("forecast") or {}).get("examples")
    judged = (results.get("forecast") or {}).get("metrics") or {}
    plots["horizons_plot"] = charts.horizons_chart(judged) if judged.get("accuracy") else None
    plots["forecasts_plot"] = charts.forecasts_chart(examples) if examples and examples["items"] else None
    findings, ablation = results.get("findings") or {}, results.get("ablation") or {"rows": []}
    for name, draw in (
        ("shares", lambda part: charts_findings.shares_chart(part["groups"])),
        ("calibration", lambda part: charts_findings.calibration_chart(part["bins"])),
        ("popularity", lambda part: charts_findings.popularity_chart(part["tenths"])),
        ("age", lambda part: charts_findings.age_chart(part["weeks"])),
    ):
        plots[f"{name}_plot"] = draw(findings[name]) if findings.get(name) else None
    plots["worth_plot"] = charts_findings.worth_chart(ablation["rows"], TITLES) if ablation["rows"] else None
    return {name: None if svg is None else Markup(svg) for name, svg in plots.items()}


def _words(results: dict[str, Any]) -> dict[str, Any]:
    best = charts.best_baseline(results["systems"], f"ndcg@{results['k']}")
    ablation = results.get("ablation")
    return {
        "found": findings_words(results.get("findings") or {}, results["k"], best["title"]),
        "time_words": time_words(ablation),
        "ablation_words": ablation_words(ablation) if ablation else [],
        "origins": _origins(results.get("forecast") or {}),
    }


def _origins(forecast: dict[str, Any]) -> str:
    """The ends of the steps after which the judged forecasts were made."""
    steps, series = (forecast.get("metrics") or {}).get("origins") or [], forecast.get("examples") or {}
    count = f"{len(steps)} origin{'' if len(steps) == 1 else 's'}" if steps else "no origin"
    if not steps or not {"origin", "step"} <= series.keys():
        return count
    ends = [_day(series["origin"] + (step + 1) * series["step"]) for step in (steps[0], steps[-1])]
    return f"{count}, {' to '.join(dict.fromkeys(ends))}"


def _relative(difference: float, base: float, verdict: str) -> str:
    return "" if verdict == "level" or base <= 0 else f", or {100 * abs(difference) / base:.1f} %"


def _day(time: int) -> str:
    return datetime.fromtimestamp(time, UTC).strftime("%Y-%m-%d %H:%M UTC")


def _number(value: float | None, digits: int = 4) -> str:
    return "–" if value is None or value != value else f"{value:,.{digits}f}"


def _signed(value: float | None, digits: int = 4) -> str:
    return "–" if value is None or value != value else f"{value:+.{digits}f}".replace("-", "−")


def _short(interval: dict[str, float | None]) -> str:
    """The interval without leading zeros, to fit below its mean in a table.

    >>> _short({"low": -0.01, "high": 0.25})
    '−.0100 to .2500'
    """
    return re.sub(r"\b0\.", ".", _span(interval).replace("-", "−"))


def _setting(value: float, key: str) -> str:
    """A tuned parameter in words; windows and half-lives are seconds, all others have no unit."""
    if "half_life" not in key and "window" not in key:
        return f"{value:g}"
    unit, size = next((unit, size) for unit, size in (("days", DAY), ("hours", HOUR), ("seconds", 1)) if value >= size)
    number = f"{value / size:g}"
    return f"{number} {unit[:-1] if number == '1' else unit}"


def _span(interval: dict[str, float | None]) -> str:
    return f"{_number(interval['low'])} to {_number(interval['high'])}"
