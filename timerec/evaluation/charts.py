"""The report's plots, as SVG text that takes colours and fonts from the page: one picture suits light and dark."""

from __future__ import annotations

import io
import math
import re
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

# drawn with these stand-ins, which become variables of the page's style sheet
INK, MUTED, GRID, ACCENT, SECOND, OTHER, PAPER = (
    "#010101",
    "#020202",
    "#030303",
    "#040404",
    "#050505",
    "#060606",
    "#070707",
)
FORECASTERS = {"model": "forecaster", "naive": "the last value", "moving_average": "moving average"}
VARIABLES = {
    INK: "--ink", MUTED: "--muted", GRID: "--line", ACCENT: "--accent", SECOND: "--second", OTHER: "--other",
}  # fmt: skip
STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "timerec",
    "font.family": "sans-serif",
    "font.size": 10,
    "axes.edgecolor": GRID,
    "axes.labelcolor": MUTED,
    "axes.titlecolor": INK,
    "axes.titlesize": 10.5,
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.spines.left": False,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "axes.axisbelow": True,
    "grid.color": GRID,
    "grid.linewidth": 0.8,
    "text.color": INK,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.major.size": 0,
    "ytick.major.size": 0,
    "xtick.minor.size": 0,
    "ytick.minor.size": 0,
    "legend.frameon": False,
    "lines.linewidth": 2,
}
Entry = dict[str, Any]


def accuracy_chart(systems: Sequence[Entry], metric: str) -> str:
    """One row a system, best on top: the mean as a dot, its 95 % interval as a bar."""
    ordered = sorted(systems, key=lambda entry: entry["metrics"][metric]["mean"])
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(7.2, 0.62 + 0.4 * len(ordered)), layout="constrained")
        axes = figure.subplots()
        axes.grid(axis="y", visible=False)
        axes.grid(axis="x", visible=True)
        highest = max(entry["metrics"][metric]["high"] for entry in ordered)
        for row, entry in enumerate(ordered):
            value = entry["metrics"][metric]
            colour = ACCENT if entry["kind"] == "model" else OTHER
            axes.plot([value["low"], value["high"]], [row, row], color=colour, linewidth=5, alpha=0.35)
            axes.plot(value["mean"], row, "o", color=colour, markersize=7)
            weight = "bold" if entry["kind"] == "model" else "normal"
            axes.text(highest * 1.03, row, f"{value['mean']:.4f}", va="center", ha="left", color=INK, fontweight=weight)
        axes.set_yticks(range(len(ordered)), [entry["title"] for entry in ordered], color=INK)
        axes.set_xlim(0, highest * 1.17)
        axes.set_ylim(-0.6, len(ordered) - 0.4)
        return svg(figure, f"{metric} of all systems with 95 % intervals")


def weeks_chart(weeks: Sequence[Entry], systems: Sequence[Entry], metric: str) -> str:
    """Mean of the metric in each week: the model and the best baseline in colour with intervals, the others faint."""
    where = np.arange(len(weeks))
    best = best_baseline(systems, metric)
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(7.2, 3.1), layout="constrained")
        axes = figure.subplots()
        for entry in sorted(systems, key=lambda one: _rank(one, best)):
            rows = [week["systems"][entry["name"]] for week in weeks]
            mean, low, high = (np.array([row[key] for row in rows], np.float64) for key in ("mean", "low", "high"))
            colour = ACCENT if entry["kind"] == "model" else SECOND if entry is best else OTHER
            strong = colour != OTHER
            axes.plot(
                where, mean, "o-", color=colour, markersize=5 if strong else 0, linewidth=2 if strong else 1,
                alpha=1 if strong else 0.6, label=entry["title"] if strong else None,
            )  # fmt: skip
            if strong:
                axes.fill_between(where, low, high, color=colour, alpha=0.14, linewidth=0)
        labels = [f"{_day(week['start'])}\n{week['requests']:,}" for week in weeks]
        shown = where[:: max(1, -(-len(weeks) // 8))]  # more labels would run into each other
        axes.set_xticks(shown, [labels[i] for i in shown])
        axes.set_xlabel("week from, and its requests")
        axes.set_ylim(bottom=0)
        axes.margins(x=0.04)
        figure.legend(loc="outside upper left", ncols=2, labelcolor=INK)
        return svg(figure, f"{metric} by week of the test")


def learning_chart(learning: Sequence[Entry], metric: str) -> str:
    """Training loss and validation accuracy as training went on, side by side because their scales differ."""
    epochs = [entry["epoch"] for entry in learning]
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(7.2, 2.6), layout="constrained")
        left, right = figure.subplots(1, 2)
        for axes, key, title, colour in (
            (left, "train_loss", "Training loss", OTHER),
            (right, "val_ndcg", f"Validation {metric}", ACCENT),
        ):
            values = np.array([entry[key] for entry in learning], np.float64)
            axes.plot(epochs, values, "o-", color=colour, markersize=5)
            axes.set_title(title)
            axes.set_xlabel("part of the training")
            axes.set_xticks(epochs[:: max(1, len(epochs) // 8)])
            axes.margins(x=0.08, y=0.18)
        best = int(np.nanargmax(np.array([entry["val_ndcg"] for entry in learning], np.float64)))
        value = learning[best]["val_ndcg"]
        right.annotate(f"{value:.4f}", (epochs[best], value), xytext=(0, 7), textcoords="offset points", ha="center", color=INK)
        return svg(figure, "training loss and validation accuracy as training went on")


def forecasts_chart(examples: Entry) -> str:
    """Items as small multiples: what happened, what was forecast from several origins, and where fitting ended."""
    items = examples["items"]
    columns = min(2, len(items))
    rows = -(-len(items) // columns)
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(7.2, 1.75 * rows + 0.35), layout="constrained")
        panels = figure.subplots(rows, columns, squeeze=False).ravel()
        for axes, entry in zip(panels, items, strict=False):
            _forecast_panel(axes, entry, examples)
        for axes in panels[len(items) :]:
            axes.set_visible(False)
        handles, names = panels[0].get_legend_handles_labels()
        figure.legend(handles, names, loc="outside upper left", ncols=4, labelcolor=INK)
        return svg(figure, "forecasts against what happened for a few items")


def horizons_chart(metrics: Entry) -> str:
    """Accuracy by steps ahead, of each forecaster in turn: WAPE, RMSSE, and how often the truth lay in the interval.

    Empty where the judged steps have no event, of which errors could be a share (`happened`).
    """
    if not happened(metrics):
        return ""
    accuracy, interval = metrics["accuracy"], metrics.get("interval") or {}
    horizons = [name for name in next(iter(accuracy.values())) if name != "all"]
    where = [int(name) for name in horizons]
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(7.2, 2.7), layout="constrained")
        panels = figure.subplots(1, 3 if interval else 2)
        for axes, metric in zip(panels, ("wape", "rmsse"), strict=False):
            for name, parts in accuracy.items():
                colour = {"model": ACCENT, "moving_average": SECOND}.get(name, OTHER)
                values = np.array([parts[h][metric] for h in horizons], np.float64)
                axes.plot(where, values, "o-", color=colour, markersize=4, label=FORECASTERS.get(name, name))
            axes.set_title(metric.upper())
        for one in interval.values():
            low, high = one["levels"]
            axes = panels[2]
            axes.plot(where, [one["coverage"][h] for h in horizons], "o-", color=ACCENT, markersize=4)
            axes.axhline(high - low, color=MUTED, linewidth=1, linestyle=(0, (3, 3)))
            axes.set_title(f"Within the {100 * (high - low):.0f} % interval")
            axes.set_ylim(0, 1)
        for axes in panels:
            axes.set_xlabel("steps ahead")
            axes.set_xticks(where[:: max(1, len(where) // 8)])
            axes.margins(x=0.1, y=0.15)
        handles, names = panels[0].get_legend_handles_labels()
        figure.legend(handles, names, loc="outside upper left", ncols=3, labelcolor=INK)
        return svg(figure, "accuracy of forecasts by steps ahead")


def happened(metrics: Entry) -> bool:
    """Whether the steps on which forecasts are judged have any event."""
    shares = [parts["all"]["wape"] for parts in metrics["accuracy"].values()]
    return any(share is not None and not math.isnan(share) for share in shares)


def best_baseline(systems: Sequence[Entry], metric: str) -> Entry:
    """The baseline with the highest mean."""
    return max((entry for entry in systems if entry["kind"] == "baseline"), key=lambda entry: entry["metrics"][metric]["mean"])


def _forecast_panel(axes: Axes, entry: Entry, examples: Entry) -> None:
    steps = entry["first_step"] + np.arange(len(entry["y"]))
    axes.plot(steps, entry["y"], color=OTHER, linewidth=1.3, label="what happened")
    for number, one in enumerate(entry["forecasts"]):
        ahead = one["origin"] + np.arange(1, len(one["forecast"]) + 1)
        if "low" in one:
            low, high = examples["levels"]
            band = f"{100 * (high - low):.0f} % interval" if number == 0 else None
            axes.fill_between(ahead, one["low"], one["high"], color=ACCENT, alpha=0.18, linewidth=0, label=band)
        label = "forecast, as made before" if number == 0 else None
        axes.plot(ahead, one["forecast"], "o-", color=ACCENT, linewidth=2, markersize=2.5, label=label)
    if steps[0] < examples["cut"] <= steps[-1]:
        axes.axvline(examples["cut"] - 0.5, color=MUTED, linewidth=1, linestyle=(0, (3, 3)), label="end of fitting")
    shown = np.unique(np.linspace(steps[0], steps[-1], 4).astype(int))
    axes.set_xticks(shown, [_day(examples["origin"] + int(step) * examples["step"]) for step in shown])
    axes.set_ylim(bottom=0)
    axes.margins(x=0.02)
    title = str(entry.get("title") or f"item {entry['item']}")
    axes.set_title(title if len(title) <= 38 else title[:37] + "…", fontsize=9.5)
    axes.tick_params(labelsize=8.5)


def _rank(entry: Entry, best: Entry) -> int:
    return 2 if entry["kind"] == "model" else 1 if entry is best else 0


def _day(time: int) -> str:
    return datetime.fromtimestamp(time, UTC).strftime("%d %b %y")


def svg(figure: Figure, title: str) -> str:
    """The figure as SVG text for a page that defines the colours of VARIABLES."""
    buffer = io.StringIO()
    with np.errstate(all="ignore"):
        figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None})
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    used = set(re.findall(r"#([\w.-]+)[\")]", text))
    text = re.sub(r' id="([\w.-]+)"', lambda found: found[0] if found[1] in used else "", text)
    text = re.sub(r'(<svg[^>]*?) width="([\d.]+)pt" height="[\d.]+pt"', r'\1 class="plot" role="img"', text, count=1)
    text = re.sub(r"font: ([^;\"]*?)'[^;\"]*", r"font: \1var(--font)", text)
    text = text.replace("\n", " ").replace("<defs>", f"<title>{title}</title><defs>", 1)
    for colour, variable in VARIABLES.items():
        text = text.replace(colour, f"var({variable})")
    return text
