"""A source left out: which columns of the features go with it, and how the candidates are chosen then.

The columns stay where they are and are read as their average in training, so that one kernel and one layout serve every model;
what was left out travels with the model's shape.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import NamedTuple

from timerec.candidates import context, fellows, habit, momentum, neighbours, similar, text

H = 8  # half-lives
HABITS = len(habit.ITEM_FEATURES) + len(habit.CATEGORY_FEATURES) + len(habit.FAMILY_FEATURES)  # before those of kinds of events
NEAR, NEAR_TIMELESS = 30, 50  # by each neighbour score: five of them, or the three that know no order

# what is left of each block when nothing may say when; attributes and forecasts are seen to in `dropped`
TIMELESS = {
    "taste": {
        "around",
        "basket",
        "around_lift",
        "basket_lift",
        "similar_slow",
        "fellows",
        "fellows_lift",
        "text_recent",
        "text_profile",
        "text_nearest",
    },
    "habit": {"item_has", "item_count", "item_mean_value", "category_count", "category_share", "family_count", "family_share"},
    "momentum": {"count", "mean_value", "repeat_rate"},
    "context": {"history", "basket", "repeats", "cold", "popularity", "distinct"},
}
_KNOWN = {
    "taste": {*neighbours.FEATURES, *similar.FEATURES, *fellows.FEATURES, *text.FEATURES},
    "habit": {*habit.ITEM_FEATURES, *habit.CATEGORY_FEATURES, *habit.FAMILY_FEATURES},
    "momentum": {*momentum.ITEM_FEATURES, *momentum.CATEGORY_FEATURES},
    "context": {*context.FEATURES},
}


class Offer(NamedTuple):
    """How candidates are chosen; a NamedTuple, so that compiled kernels take it as it is."""

    own: bool = True  # the user's own items
    timeless: bool = False  # histories are read as sets: no order, no decay, own items by count
    trend_from: int = 0  # first half-life whose trending list counts
    arrivals: bool = True  # what was listed lately
    text: bool = True  # of it the nearest by text
    near: int = NEAR  # by each neighbour score


def offer(without: Collection[str]) -> Offer:
    """The choice of candidates where the sources `without` are left out.

    Without time there is one trending list, that of the longest half-life, which is nearly popularity of all time, and the
    neighbour scores that are left propose as many as all of them do otherwise.
    """
    timeless = "time" in without
    first = H if "momentum" in without else H - 1 if timeless else 0
    return Offer(
        own="habit" not in without,
        timeless=timeless,
        trend_from=first,
        arrivals=not timeless and "momentum" not in without,
        text="text" not in without,
        near=NEAR_TIMELESS if timeless else NEAR,
    )


def dropped(names: list[str], groups: dict[str, slice], without: Collection[str]) -> list[int]:
    """Places of the feature columns that go with the sources `without`.

    Args:
        names, groups: as in `timerec.candidates.pairs.Layout`.
    """
    gone: set[int] = set()
    moment = groups["momentum"]
    core = moment.start + len(momentum.ITEM_FEATURES) + len(momentum.CATEGORY_FEATURES)
    end = core
    while [name.rpartition("_")[2] for name in names[end : end + 3]] == ["level", "change", "known"]:
        end += 3
    blocks = {"taste": groups["taste"], "habit": groups["habit"], "momentum": slice(moment.start, core)}
    if "time" in without:
        for group, span in blocks.items():
            timed = _KNOWN[group] - TIMELESS[group]
            gone.update(j for j in range(span.start, span.stop) if names[j] in timed)
        for part in ("last", "since"):  # of the events of each kind; how many there were knows no time
            first = groups["habit"].start + HABITS + habit.KIND_FEATURES.index(part)
            gone.update(range(first, groups["habit"].stop, len(habit.KIND_FEATURES)))
        gone.update(range(core + 1, end, 3))  # an attribute against its own past
        gone.update(range(end, moment.stop))
    if "habit" in without:
        gone.update(range(*groups["habit"].indices(len(names))))
    if "momentum" in without:
        gone.update(range(moment.start, core))
    if "attributes" in without:
        gone.update(range(core, end))
    if "forecast" in without:
        gone.update(range(end, moment.stop))
    if "text" in without:
        taste = groups["taste"]
        gone.update(j for j in range(taste.start, taste.stop) if names[j] in text.FEATURES)
        gone.update(j for j in range(groups["habit"].start, groups["habit"].stop) if names[j] in habit.FAMILY_FEATURES)
    if "category" in without:
        gone.update(j for j in range(groups["habit"].start, groups["habit"].stop) if names[j] in habit.CATEGORY_FEATURES)
        gone.update(range(core - len(momentum.CATEGORY_FEATURES), core))
    return sorted(gone)


def dropped_context(names: list[str], without: Collection[str]) -> list[int]:
    """Places of the context's columns that go with the sources `without`: those that know the hour, gaps and ages."""
    timed = _KNOWN["context"] - TIMELESS["context"] if "time" in without else set()
    return [j for j, name in enumerate(names) if name in timed]
