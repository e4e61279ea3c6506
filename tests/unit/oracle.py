"""Every feature of a pair once more, from its definition, in plain Python over a list of events."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import pairwise
from math import asinh, cos, exp, expm1, log, log1p, pi, sin, sqrt

import numpy as np

from tests.unit.core_cases import ATTRIBUTES, FORECASTS, KINDS, Events, categories, families
from timerec.clock import DAY, HALF_LIVES, HOUR

WEEK_GAP = 7.0 * DAY
NEVER_SINCE = 3650.0 * DAY


class Oracle:
    """What was known strictly before t."""

    def __init__(self, events: Events, t: int, user: int = -1, items: int = 25) -> None:
        rows = zip(*(column.tolist() for column in events), strict=True)
        self.past = [row for row in rows if row[2] < t]  # user, item, time, value, weight, kind in order of user, time, item
        self.t, self.user, self.category, self.family = t, user, categories(items).tolist(), families(items).tolist()
        self.histories: dict[int, list] = {}
        for row in self.past:
            self.histories.setdefault(row[0], []).append(row)
        self.mine = self.histories.get(user, [])
        self.visits = sorted({row[2] for row in self.mine})

    def counters(self, rows) -> list[float]:
        return [sum(w * 2 ** (-(self.t - time) / h) for _, _, time, _, w, _ in rows) for h in HALF_LIVES]

    def habit(self, item: int) -> dict[str, float]:
        rows, gap = [row for row in self.mine if row[1] == item], self.repeat_gap(item)
        visits = [self.visits.index(time) for time in sorted({row[2] for row in rows})]
        out = {f"item_decay_{h}": log(c + 0.02) for h, c in enumerate(self.counters(rows))}
        newest = len(self.visits) - 1
        for b in (1, 3, 10, 30):
            out[f"item_baskets_{b}"] = log(sum(2 ** (-(newest - v) / b) for v in visits) + 0.02)
        n, since = len(rows), self.t - rows[-1][2] if rows else 3650 * DAY
        own = (rows[-1][2] - rows[0][2] + gap) / len(visits) if rows else gap
        when = [self.clock(row[2]) for row in rows]
        weekday, hour = self.clock(self.t)
        near = sum(min(abs(h - hour), 24 - abs(h - hour)) <= 2 for _, h in when)
        return out | {
            "item_has": float(n > 0),
            "item_count": log1p(n),
            "item_since": log1p(since),
            "item_gap": log1p(own),
            "item_due": log((since + HOUR) / (own + HOUR)) if n else 0.0,
            "item_due_all": log((since + HOUR) / (gap + HOUR)) if n else 0.0,
            "item_baskets_since": log1p(newest - visits[-1] if n else len(self.visits)),
            "item_last_value": log1p(rows[-1][3]) if n else 0.0,
            "item_mean_value": log1p(sum(row[3] for row in rows) / n) if n else 0.0,
            "item_rate": log((len(visits) + 0.1) / (len(self.visits) - (visits[0] if n else 0) + 2)),
            "item_weekday": log((sum(d == weekday for d, _ in when) + 0.3) / (n + 2.1)),
            "item_hour": log((near + 0.4) / (n + 2.0)),
            **self.due(item, rows, since, gap),
        }

    def kinds(self, item: int) -> dict[str, float]:
        rows, out = [row for row in self.mine if row[1] == item], {}
        for kind, name in enumerate(KINDS):
            when = [row[2] for row in rows if row[5] == kind]
            out |= {f"kind_{name}_last": float(bool(rows) and rows[-1][5] == kind), f"kind_{name}_count": log1p(len(when))}
            out[f"kind_{name}_since"] = log1p(self.t - max(when) if when else NEVER_SINCE)
        return out

    def own_gaps(self, rows: list, usual: float) -> dict[str, float]:
        times = sorted({row[2] for row in rows})
        own, now = [log1p(later - sooner) for sooner, later in pairwise(times)], log1p(self.t - times[-1])
        near = sum(max(0.0, 1 - abs(gap - now) / 0.5) for gap in own)
        drawn = [*own, log1p(usual)]
        mean = sum(drawn) / len(drawn)
        spread = sqrt((sum((gap - mean) ** 2 for gap in drawn) + 2) / (len(drawn) + 2))
        return {
            "due_own": (now - mean) / spread,
            "spread": log(spread),
            "own_usual": log((near * 18 + 2) / (len(own) + 2)),
            "own_hazard": log((near + 0.5) / (sum(gap > now - 0.5 for gap in own) + 1.5)),
        }

    def due(self, item: int, rows: list, since: int, usual: float) -> dict[str, float]:
        everybody = ("item_usual", "item_usual_wide", "item_hazard", "item_usual_visits", "item_hazard_visits")
        if not rows:
            own = ("due_own", "spread", "own_usual", "own_hazard")
            return dict.fromkeys([f"item_{name}" for name in own] + [*everybody], 0.0)
        now, visits = log1p(since), log1p(len(self.visits) - self.visits.index(rows[-1][2]))
        gaps = [log1p(gap) for gap in self.gaps(item)]  # far fewer than are looked at
        by_visit = [log1p(gap) for gap in self.gaps(item, visits=True)]
        near = {width: sum(max(0.0, 1 - abs(gap - now) / width) for gap in gaps) for width in (0.5, 1.5)}
        near_visits = sum(max(0.0, 1 - abs(gap - visits) / 0.5) for gap in by_visit)
        found = (
            log((near[0.5] * 18 + 3) / (len(gaps) + 3)),
            log((near[1.5] * 6 + 3) / (len(gaps) + 3)),
            log((near[0.5] + 1) / (sum(gap > now - 0.5 for gap in gaps) + 3)),
            log((near_visits * 10 + 3) / (len(gaps) + 3)),
            log((near_visits + 1) / (sum(gap > visits - 0.5 for gap in by_visit) + 3)),
        )
        own = {f"item_{name}": value for name, value in self.own_gaps(rows, usual).items()}
        return own | dict(zip(everybody, found, strict=True))

    def group_habit(self, item: int) -> dict[str, float]:
        """Features of the item's category and of its family."""
        out = {}
        for group, keys in (("category", self.category), ("family", self.family)):
            found = self._group([row for row in self.mine if keys[row[1]] == keys[item]])
            out |= {f"{group}_{name}": value for name, value in found.items()}
        return out

    def _group(self, rows: list) -> dict[str, float]:
        visits = [self.visits.index(time) for time in sorted({row[2] for row in rows})]
        n, known = len(rows), len(self.mine)
        out = {f"decay_{h}": log(self.counters(rows)[h] + 0.02) for h in (3, 4, 5, 6)}
        out |= {"count": log1p(n), "share": log((n + 0.02) / (known + 1))}
        if not n:
            nothing = dict.fromkeys(("due", "due_own", "spread", "own_usual", "own_hazard"), 0.0)
            return out | nothing | {"since": log1p(3650 * DAY), "baskets_since": log1p(len(self.visits))}
        since, gap = self.t - rows[-1][2], (rows[-1][2] - rows[0][2] + 30 * DAY) / len(visits)
        return out | {
            "since": log1p(since),
            "baskets_since": log1p(len(self.visits) - 1 - visits[-1]),
            "due": log((since + HOUR) / (gap + HOUR)),
            **self.own_gaps(rows, 30 * DAY),
        }

    def momentum(self, item: int, listed: int = 2**62) -> dict[str, float]:
        rows = [row for row in self.past if row[1] == item]
        everything = self.counters(self.past)
        mine, n = self.counters(rows), len(rows)
        out = {f"decay_{h}": log(c + 0.02) for h, c in enumerate(mine)}
        out |= {f"share_{h}": log((c + 0.02) / (everything[h] + 1)) for h, c in enumerate(mine)}
        shelf = self.counters([row for row in self.past if self.category[row[1]] == self.category[item]])
        out |= {f"category_{h}": log((shelf[h] + 0.02) / (everything[h] + 1)) for h in (1, 3, 5, 7)}
        first = min([listed] + [row[2] for row in rows])
        return out | {
            "count": log1p(n),
            "age": log1p(max(self.t - first, 0)),
            "since": log1p(self.t - max(row[2] for row in rows) if n else NEVER_SINCE),
            "mean_value": sum(row[3] for row in rows) / n if n else 0.0,
            "repeat_rate": log((len(self.gaps(item)) + 0.2) / (n + 1)),
            "repeat_gap": log1p(self.repeat_gap(item)),
        }

    def gaps(self, item: int, visits: bool = False) -> list[int]:
        """Between two events of a user with the item: seconds, or the user's visits."""
        found = []
        for history in self.histories.values():
            seconds = sorted({row[2] for row in history})
            times = [row[2] for row in history if row[1] == item]
            found.append([seconds.index(time) for time in times] if visits else times)
        return [later - sooner for one in found for sooner, later in pairwise(one)]

    def repeat_gap(self, item: int) -> float:
        gaps = self.gaps(item)
        return expm1((sum(map(log1p, gaps)) + 3 * log1p(WEEK_GAP)) / (len(gaps) + 3))

    def attributes(self, item: int, rows) -> dict[str, float]:
        out = {}
        known = sorted((time, *value) for i, time, value in zip(*(x.tolist() for x in rows), strict=True) if i == item)
        for p, name in enumerate(ATTRIBUTES, 1):
            values = [row[p] for row in known if row[0] <= self.t and row[p] == row[p]]
            level = asinh(values[-1]) if values else 0.0
            change = level - asinh(sum(values) / len(values)) if values else 0.0
            out |= {f"{name}_level": level, f"{name}_change": change, f"{name}_known": float(bool(values))}
        return out

    def forecast(self, item: int, table) -> dict[str, float]:
        own = table.values[table.offsets[item] : table.offsets[item + 1]]
        # a step is known once it is over; the last row holds on
        over = [row for row in range(len(own)) if table.origin + (table.first_step[item] + row + 1) * table.step <= self.t]
        values = own[over[-1]] if over else np.zeros(len(FORECASTS))
        return {f"forecast_{name}": float(value) for name, value in zip(FORECASTS, values, strict=True)}

    def neighbours(self, item: int) -> dict[str, float]:
        score, sources = dict.fromkeys(("next", "around", "basket", "next_to_last"), 0.0), []
        for row in reversed(self.mine):
            if row[1] not in sources:
                sources.append(row[1])
        for s, source in enumerate(sources[:15]):
            last = any(row[1] == source and row[2] == self.visits[-1] for row in self.mine)
            met = [(r[2], r[0], p) for h in self.histories.values() for p, r in enumerate(h) if r[1] == source]
            met = [(time, other, p) for time, other, p in sorted(met)[-100:] if other != self.user]
            weight = 0.9**s / (len(met) + 3)
            for time, other, p in met:
                for q, near in enumerate(self.histories[other]):
                    if near[1] != item or item == source or abs(q - p) > 10:
                        continue
                    close = weight / (1 + 0.3 * abs(q - p))
                    score["around"] += close
                    score["basket"] += weight * (near[2] == time)
                    score["next"] += close * (near[2] > time)
                    score["next_to_last"] += close * (near[2] > time) * last
        out = {name: log(value + 1e-3) for name, value in score.items()}
        half = 0.5 * log1p(sum(row[1] == item for row in self.past))
        return out | {f"{name}_lift": out[name] - half for name in ("next", "around", "basket")}

    def fellows(self, item: int) -> dict[str, float]:
        """The history is shorter in distinct items, and items have fewer events, than are looked at."""
        mine: dict[int, int] = {}
        for row in self.mine:
            mine[row[1]] = row[2]  # the latest time of each item
        taken = {source: [row for row in self.past if row[1] == source] for source in mine}
        near: dict[int, float] = {}
        ahead: dict[int, float] = {}
        for source, latest in mine.items():
            for other, _, time, *_ in taken[source]:
                if other != self.user:
                    share = 1 / log(3 + len(taken[source])) / sqrt(len(self.histories[other]) + 5)
                    near[other] = near.get(other, 0.0) + share
                    ahead[other] = ahead.get(other, 0.0) + share * (time < latest)
        rows = sorted((row for row in self.past if row[1] == item), key=lambda row: row[2])[-50:]
        rows = [row for row in rows if row[0] != self.user]
        weight = [near.get(row[0], 0.0) for row in rows]
        age = [self.t - row[2] for row in rows]
        total = sum(weight)
        return {
            "fellows": log(total + 1e-3),
            "fellows_ahead": log(sum(ahead.get(row[0], 0.0) for row in rows) + 1e-3),
            "fellows_lately": log(sum(w * exp(-a / (6 * HOUR)) for w, a in zip(weight, age, strict=True)) + 1e-3),
            "fellows_lift": log(total / sqrt(len(rows) + 1) + 1e-3),
        }

    def text(self, item: int, vectors) -> dict[str, float]:
        latest = [vectors[row[1]].astype(float) for row in reversed(self.mine)]
        zero = np.zeros(vectors.shape[1])
        recent = sum(latest[:10], zero)
        centre = sum((0.98**k * v for k, v in enumerate(latest[:200])), zero)
        near = [float(vectors[item] @ v) for v in latest[:10]]
        return {
            "text_recent": float(vectors[item] @ recent) / (sqrt(recent @ recent) + 1e-6),
            "text_profile": float(vectors[item] @ centre) / (sqrt(centre @ centre) + 1e-6),
            "text_nearest": max(near, default=0.0),
            "text_last": near[0] if near else 0.0,
        }

    def context(self) -> dict[str, float]:
        weekday, hour = self.clock(self.t)
        n, distinct = len(self.mine), list(dict.fromkeys(row[1] for row in self.mine))
        circle = {"hour_sin": sin(2 * pi * hour / 24), "hour_cos": cos(2 * pi * hour / 24)}
        week = 2 * pi * (weekday + hour / 24) / 7
        circle |= {"weekday_sin": sin(week), "weekday_cos": cos(week)}
        if not n:
            rest = dict.fromkeys(("history", "span", "basket", "repeats", "popularity", "age", "session", "distinct"), 0.0)
            return circle | rest | {"gap": log1p(3650 * DAY), "cold": 1.0}
        sold = [[row[2] for row in self.past if row[1] == one[1]] for one in self.mine[-20:]]
        return circle | {
            "history": log1p(n),
            "gap": log1p(self.t - self.mine[-1][2]),
            "span": log1p(self.mine[-1][2] - self.mine[0][2]),
            "basket": log(n / len(self.visits)),
            "repeats": 1 - len(distinct) / n,
            "cold": 0.0,
            "popularity": sum(log1p(len(times)) for times in sold) / len(sold),
            "age": sum(log1p(self.t - min(times)) for times in sold) / len(sold),
            "session": log1p(sum(row[2] >= self.t - HOUR for row in self.mine)),
            "distinct": log1p(len(distinct)),
        }

    @staticmethod
    def clock(time: int) -> tuple[int, float]:
        """Weekday from Monday, and hour with its fraction."""
        moment = datetime.fromtimestamp(time, UTC)
        return moment.weekday(), moment.hour + moment.minute / 60 + moment.second / 3600
