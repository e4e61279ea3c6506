"""The moment and the person, alike for every candidate of a request."""

from __future__ import annotations

import numpy as np

from timerec.candidates.habit import LONG_AGO
from timerec.candidates.order import place
from timerec.clock import DAY, HOUR, WEEK
from timerec.counters import before
from timerec.kernel import borrowing

FEATURES = ["hour_sin", "hour_cos", "weekday_sin", "weekday_cos", "history", "gap", "span", "basket", "repeats", "cold",
            "popularity", "age", "session", "distinct"]  # fmt: skip
RECENT = 20


@borrowing
def features(log, begin, known, distinct, t, out, step=0):
    """Fill the context of a request; `distinct` is the number of items the user had before t, `step` as in `order`."""
    hour = 2 * np.pi * (t % DAY) / DAY
    weekday = 2 * np.pi * ((t + 3 * DAY) % WEEK) / WEEK
    out[0], out[1], out[2], out[3] = np.sin(hour), np.cos(hour), np.sin(weekday), np.cos(weekday)
    out[4] = np.log1p(known)
    if known == 0:
        out[5] = LONG_AGO
        out[6:] = 0.0
        out[9] = 1.0
        return
    end = begin + known - 1
    out[5] = np.log1p(t - log.event_time[end])
    out[6] = np.log1p(log.event_time[end] - log.event_time[begin])
    out[7] = np.log(known / (log.event_basket[end] + 1.0))
    out[8] = 1.0 - distinct / known
    out[9] = 0.0
    popularity, age, n = 0.0, 0.0, 0
    for k in range(min(known, RECENT)):
        item = log.event_item[begin + place(k, known, step)]
        start = log.item_start[item]
        had = before(log.occurrence_time, start, log.item_size[item], t)
        popularity += np.log1p(had)
        if had > 0:  # nobody may have had it before t: who brings a history of their own says what they like
            age += np.log1p(t - log.occurrence_time[start])
        n += 1
    out[10], out[11] = popularity / n, age / n
    session = 0
    for j in range(end, begin - 1, -1):
        if log.event_time[j] < t - HOUR:
            break
        session += 1
    out[12] = np.log1p(session)
    out[13] = np.log1p(distinct)
