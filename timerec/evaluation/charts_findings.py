"""Plots of what was found: worth of sources, shares of the score, calibration, popularity, age of the model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from timerec.evaluation.charts import ACCENT, INK, MUTED, OTHER, SECOND, STYLE, svg

Entry = dict[str, Any]


def worth_chart(rows: Sequence[Entry], titles: dict[str, str]) -> str:
    """One row a source, the most valuable on top: what the whole model has over the one without it, with its interval."""
    ordered = sorted(rows, key=lambda row: row["worth"]["difference"])
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(7.2, 0.75 + 0.4 * len(ordered)), layout="constrained")
        axes = figure.subplots()
        axes.grid(axis="y", visible=False)
        axes.grid(axis="x", visible=True)
        axes.axvline(0, color=MUTED, linewidth=1)
        low = min(0.0, *(row["worth"]["low"] for row in ordered))
        high = max(0.0, *(row["worth"]["high"] for row in ordered))
        span = max(high - low, 1e-6)
        for place, row in enumerate(ordered):
            worth = row["worth"]
            clear = worth["low"] > 0 or worth["high"] < 0
            colour = ACCENT if clear else OTHER
            axes.plot([worth["low"], worth["high"]], [place, place], color=colour, linewidth=5, alpha=0.35)
            axes.plot(worth["difference"], place, "o", color=colour, markersize=7)
            axes.text(high + 0.04 * span, place, f"{worth['difference']:+.4f}".replace("-", "−"), va="center", color=INK)
        axes.set_yticks(range(len(ordered)), [titles[row["source"]] for row in ordered], color=INK)
        axes.set_xlim(low - 0.05 * span, high + 0.22 * span)
        axes.set_ylim(-0.6, len(ordered) - 0.4)
        axes.set_xlabel("worth in NDCG: the whole model minus the one without")
        return svg(figure, "what each source is worth, with 95 % intervals")


def shares_chart(shares: dict[str, float]) -> str:
    """Bars of the mean share of |Shapley value| of each group."""
    ordered = sorted(shares.items(), key=lambda pair: pair[1])
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(7.2, 0.5 + 0.36 * len(ordered)), layout="constrained")
        axes = figure.subplots()
        axes.grid(visible=False)
        values = [100 * value for _, value in ordered]
        axes.barh(range(len(ordered)), values, color=ACCENT, height=0.55)
        for place, value in enumerate(values):
            axes.text(value + 1.5, place, f"{value:.0f} %", va="center", color=INK)
        axes.set_yticks(range(len(ordered)), [name for name, _ in ordered], color=INK)
        axes.set_xticks([])
        axes.set_xlim(0, max(values) * 1.12 + 2)
        return svg(figure, "share of the score that each group of inputs carries")


def calibration_chart(bins: Sequence[Entry]) -> str:
    """Said against found, one dot a bin, beside the diagonal on which both are equal."""
    said, found = (np.array([entry[key] for entry in bins], float) for key in ("said", "found"))
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(7.2, 3.0), layout="constrained")
        axes = figure.subplots()
        top = 1.08 * max(said.max(), found.max(), 1e-3)
        axes.plot([0, top], [0, top], color=MUTED, linewidth=1, linestyle=(0, (3, 3)), label="as said")
        axes.plot(said, found, "o-", color=ACCENT, markersize=5, label="as found")
        axes.set_xlabel("probability the model gives an item of its list")
        axes.set_ylabel("share of what was taken")
        axes.xaxis.set_major_locator(MaxNLocator(6, prune="lower"))  # the corner has one zero
        axes.set_xlim(0, top)
        axes.set_ylim(0, top)
        figure.legend(loc="outside upper left", ncols=2, labelcolor=INK)
        return svg(figure, "calibration: what the model says against what was taken")


def popularity_chart(tenths: Sequence[Entry]) -> str:
    """Two bars a tenth of the catalogue: its share of what was recommended, and of what was taken."""
    where = np.arange(len(tenths))
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(7.2, 2.8), layout="constrained")
        axes = figure.subplots()
        for shift, key, colour, label in ((-0.2, "recommended", ACCENT, "recommended"), (0.2, "taken", OTHER, "taken")):
            axes.bar(where + shift, [100 * entry[key] for entry in tenths], width=0.38, color=colour, label=label)
        axes.set_xticks(where, [entry["title"] for entry in tenths])
        axes.set_xlabel("tenths of the catalogue by events before the cut, the most popular last")
        axes.set_ylabel("share, %")
        figure.legend(loc="outside upper left", ncols=2, labelcolor=INK)
        return svg(figure, "popularity of what was recommended against what was taken")


def age_chart(weeks: Sequence[Entry]) -> str:
    """NDCG by week since the fit: as judged, with older weights, and with the log frozen at the cut."""
    where = [entry["week"] + 1 for entry in weeks]
    lines = (
        ("fresh", ACCENT, "weights up to the test, live log"),
        ("older", SECOND, "older weights, live log"),
        ("frozen", OTHER, "log frozen at the cut"),
    )
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(7.2, 3.0), layout="constrained")
        axes = figure.subplots()
        for key, colour, label in lines:
            mean, low, high = (np.array([entry[key][part] for entry in weeks], float) for part in ("mean", "low", "high"))
            axes.plot(where, mean, "o-", color=colour, markersize=5, label=label)
            axes.fill_between(where, low, high, color=colour, alpha=0.12, linewidth=0)
        shown = where[:: -(-len(where) // 9)]
        axes.set_xticks(shown, [f"week {week}" for week in shown])
        axes.set_ylim(bottom=0)
        axes.margins(x=0.04)
        figure.legend(loc="outside upper left", ncols=3, labelcolor=INK)
        return svg(figure, "accuracy against the age of the model")
