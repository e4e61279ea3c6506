"""What others did next to, after and together with the user's latest items, strictly before t."""

from __future__ import annotations

import numpy as np
from numba import njit

from timerec.counters import before

SOURCES = 15  # latest distinct items of the user
OCCURRENCES = 100  # latest events of a source item by others
REACH = 10  # events before and after an occurrence
NEXT, AROUND, BASKET, LAST = range(4)
FEATURES = ["next", "around", "basket", "next_to_last", "next_lift", "around_lift", "basket_lift"]


@njit(cache=True)
def scan(log, user, begin, known, t, score, touched, seen):
    """Add up neighbour scores of every item near an occurrence of a source item.

    Args:
        score: float32 [I, 4] scratch, zero everywhere; touched: int32 [M] receives the items with a score.
        seen: int32 [SOURCES] scratch.

    Returns:
        number of touched items.
    """
    met, sources = 0, 0
    if known == 0:
        return 0
    newest_basket = log.event_basket[begin + known - 1]
    for j in range(begin + known - 1, begin - 1, -1):
        source = log.event_item[j]
        repeated = False
        for k in range(sources):
            if seen[k] == source:
                repeated = True
                break
        if repeated:
            continue
        seen[sources] = source
        in_last_basket = log.event_basket[j] == newest_basket
        start = log.item_start[source]
        n = before(log.occurrence_time, start, log.item_size[source], t)
        count = 0
        for o in range(start + n - 1, max(start, start + n - OCCURRENCES) - 1, -1):
            if log.occurrence_user[o] != user:
                count += 1
        weight = np.float32(0.9**sources / (count + 3.0))
        for o in range(start + n - 1, max(start, start + n - OCCURRENCES) - 1, -1):
            other = log.occurrence_user[o]
            if other == user:
                continue
            head = log.user_start[other]
            place = head + log.occurrence_rank[o]
            moment = log.event_time[place]
            stop = min(head + log.user_size[other], place + REACH + 1)
            for q in range(max(head, place - REACH), stop):
                time = log.event_time[q]
                if time >= t:
                    break
                item = log.event_item[q]
                if item == source:
                    continue
                if score[item, AROUND] == 0.0:  # nothing else has written scores yet
                    if met == len(touched):
                        continue
                    touched[met] = item
                    met += 1
                near = weight / (1.0 + 0.3 * abs(q - place))
                score[item, AROUND] += near
                if time == moment:
                    score[item, BASKET] += weight
                elif time > moment:
                    score[item, NEXT] += near
                    if in_last_basket:
                        score[item, LAST] += near
        sources += 1
        if sources == len(seen):
            break
    return met


@njit(cache=True)
def features(score, log_count, out):
    """Fill the neighbour features of one item; `log_count` is the log of its number of events before t."""
    for k in range(4):
        out[k] = np.log(score[k] + 1e-3)
    for k in range(3):
        out[4 + k] = out[k] - 0.5 * log_count
