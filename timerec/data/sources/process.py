"""A choice process whose probabilities are known: what people would take at any second, and what they took.

A request draws a basket without replacement from the softmax of the items' utilities (Plackett 1975; Luce 1959), so the list
that ranks by utility has the highest expected NDCG whatever the basket's size. The utility of item i for user u at t is

    popularity_i + taste_u[category_i] + style_u . style_i           what time does not change
    + wave_i(t) - fade * age / life_i - 2 exp(-age / rise)           trend: fashions, decline since listing, a slow start
    + hour, weekday and yearly season of the category                season
    + promotion * promoted_i(week of t)                              dated attribute
    + due * exp(-log(gap / cycle)^2 / (2 WIDTH^2)) - dip * exp(-gap / (cycle / 4)) + loyal    items taken before

with gap the seconds since the user last took the item and cycle the item's own, times the user's pace. Users are independent of
each other given the items, so each is walked through once; nothing of a system under test enters.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from timerec.clock import DAY, HOUR, WEEK

WIDTH = 0.35  # of a purchase cycle, in logs
YEAR = 365 * DAY
LIST = 20  # length of the stored best lists


class Items(NamedTuple):
    """I items in K categories."""

    popularity: NDArray[np.float64]  # [I]
    category: NDArray[np.int32]  # [I]
    style: NDArray[np.float64]  # [I, D]
    listed: NDArray[np.int64]  # [I] unix seconds
    wave: NDArray[np.float64]  # [I, 3] height, period in seconds, phase
    life: NDArray[np.float64]  # [I] seconds
    cycle: NDArray[np.float64]  # [I] seconds
    promoted: NDArray[np.int8]  # [I, weeks]
    hour: NDArray[np.float64]  # [K, 2] height and peak, of the day
    weekday: NDArray[np.float64]  # [K, 7] Monday first
    year: NDArray[np.float64]  # [K, 2] height and peak, of the year


class Users(NamedTuple):
    """U users and their requests in order of time: those of user u are start[u] to start[u + 1]."""

    taste: NDArray[np.float64]  # [U, K]
    style: NDArray[np.float64]  # [U, D]
    pace: NDArray[np.float64]  # [U] factor of the cycles
    start: NDArray[np.int64]  # [U + 1]
    time: NDArray[np.int64]  # [R] unix seconds
    size: NDArray[np.int64]  # [R] items of the basket


class Strength(NamedTuple):
    """How much each part weighs in the utility."""

    fade: float
    rise: float  # seconds
    promotion: float
    due: float
    dip: float
    loyal: float
    look: float  # share of first contacts that are looks: they leave no trace in the process
    repeats: float  # 0: what was taken is never taken again


class Walk(NamedTuple):
    """What happened, and the best that could be said of it beforehand."""

    item: NDArray[np.int32]  # [R, widest basket], -1 where the basket is smaller
    look: NDArray[np.bool_]  # [R, widest basket]
    best: NDArray[np.int32]  # [R, LIST] items of the highest probability given all that happened before; -1: no more
    probability: NDArray[np.float32]  # [R, LIST] that a single draw takes them
    timeless: NDArray[np.int32]  # [R, LIST] the same without trend, season, promotion and cycles


def walk(rng: np.random.Generator, items: Items, users: Users, strength: Strength, origin: int) -> Walk:
    """Draw every basket.

    Args:
        origin: unix seconds at which the first week of `promoted` begins.
    """
    requests, widest = len(users.time), int(users.size.max(initial=1))
    out = Walk(
        np.full((requests, widest), -1, np.int32),
        np.zeros((requests, widest), np.bool_),
        np.full((requests, LIST), -1, np.int32),
        np.zeros((requests, LIST), np.float32),
        np.full((requests, LIST), -1, np.int32),
    )
    _walk(rng, items, users, strength, origin, out)
    return out


def parts(
    items: Items, users: Users, strength: Strength, origin: int, user: int, t: int, last: NDArray[np.int64]
) -> dict[str, NDArray[np.float64]]:
    """The utility of every item [I] for a user at t, part by part; the parts sum to it.

    Args:
        last: int64 [I], unix seconds at which the user last took each item, -1 for never.
    """
    of_category = np.empty(items.hour.shape[0])
    season(items, t, of_category)
    mine = last >= 0
    habits = np.zeros(len(last))
    cycle = items.cycle * users.pace[user]
    habits[mine] = [habit(t - last[i], cycle[i], strength) for i in np.flatnonzero(mine)]
    return {
        "popularity": items.popularity,
        "taste": users.taste[user][items.category],
        "style": items.style @ users.style[user],
        "trend": np.array([trend(items, i, t, strength) for i in range(len(last))]),
        "season": of_category[items.category],
        "promotion": strength.promotion * items.promoted[:, (t - origin) // WEEK],
        "habit": habits,
    }


@njit(cache=True)
def season(items, t, out):
    """Write hour, weekday and yearly season of every category at t into `out` [K]."""
    day = int((t + 3 * DAY) % WEEK // DAY)
    for k in range(len(out)):
        hour = items.hour[k, 0] * np.cos(2 * np.pi * ((t % DAY) / HOUR - items.hour[k, 1]) / 24)
        year = items.year[k, 0] * np.cos(2 * np.pi * ((t % YEAR) / YEAR - items.year[k, 1]))
        out[k] = hour + items.weekday[k, day] + year


@njit(cache=True)
def trend(items, i, t, strength):
    """Fashion, decline and slow start of an item at t."""
    age = t - items.listed[i]
    value = -strength.fade * age / items.life[i] - 2.0 * np.exp(-age / strength.rise)
    if items.wave[i, 0] != 0.0:
        value += items.wave[i, 0] * np.sin(2 * np.pi * t / items.wave[i, 1] + items.wave[i, 2])
    return value


@njit(cache=True)
def habit(gap, cycle, strength):
    """What having taken an item `gap` seconds ago adds."""
    apart = np.log(max(gap, 1.0) / cycle)
    due = strength.due * np.exp(-apart * apart / (2 * WIDTH * WIDTH))
    return strength.loyal + due - strength.dip * np.exp(-gap / (cycle / 4))


@njit(cache=True)
def _walk(rng, items, users, strength, origin, out):
    n, kinds = len(items.popularity), items.hour.shape[0]
    last = np.full(n, -1, np.int64)
    fixed, utility, weight = np.empty(n), np.empty(n), np.empty(n)
    of_category = np.empty(kinds)
    for u in range(len(users.pace)):
        last[:] = -1
        for i in range(n):
            fixed[i] = items.popularity[i] + users.taste[u, items.category[i]]
            for d in range(items.style.shape[1]):
                fixed[i] += users.style[u, d] * items.style[i, d]
        for r in range(users.start[u], users.start[u + 1]):
            t = users.time[r]
            week = (t - origin) // WEEK
            season(items, t, of_category)
            for i in range(n):
                gone = items.listed[i] > t or (strength.repeats == 0.0 and last[i] >= 0)
                utility[i] = -np.inf
                weight[i] = -np.inf  # without time, until the lists are made
                if gone:
                    continue
                weight[i] = fixed[i]
                utility[i] = fixed[i] + of_category[items.category[i]] + trend(items, i, t, strength)
                utility[i] += strength.promotion * items.promoted[i, week]
                if last[i] >= 0:
                    weight[i] += strength.loyal
                    utility[i] += habit(t - last[i], items.cycle[i] * users.pace[u], strength)
            _highest(weight, out.timeless[r])
            _highest(utility, out.best[r])
            peak, total = utility[out.best[r, 0]], 0.0
            for i in range(n):
                weight[i] = np.exp(utility[i] - peak)
                total += weight[i]
            for k in range(LIST):
                if out.best[r, k] >= 0:
                    out.probability[r, k] = weight[out.best[r, k]] / total
            for b in range(users.size[r]):
                i = _draw(weight, rng.random() * total)
                if i < 0:
                    break
                out.item[r, b] = i
                total -= weight[i]
                weight[i] = 0.0
                out.look[r, b] = last[i] < 0 and rng.random() < strength.look
            for b in range(users.size[r]):
                if out.item[r, b] >= 0 and not out.look[r, b]:
                    last[out.item[r, b]] = t


@njit(cache=True)
def _draw(weight, mark):
    """The item at which the running sum of the weights passes `mark`; -1 where nothing is left."""
    chosen = -1
    for i in range(len(weight)):
        if weight[i] > 0.0:
            chosen = i
            mark -= weight[i]
            if mark < 0.0:
                break
    return chosen


@njit(cache=True)
def _highest(values, out):
    """Places of the highest values in descending order, -1 after the last finite one."""
    count = 0
    for i in range(len(values)):
        if values[i] == -np.inf or (count == len(out) and values[i] <= values[out[count - 1]]):
            continue
        place = count if count < len(out) else count - 1
        count = min(count + 1, len(out))
        while place > 0 and values[out[place - 1]] < values[i]:
            out[place] = out[place - 1]
            place -= 1
        out[place] = i
