"""What others did next to, after and together with the user's latest items, strictly before t."""

from __future__ import annotations

import numpy as np

from timerec.candidates.order import place, stride
from timerec.counters import before
from timerec.kernel import borrowing

SOURCES = 15  # latest distinct items of the user
OCCURRENCES = 100  # latest events of a source item by others
REACH = 10  # events before and after an occurrence
NEXT, AROUND, BASKET, LAST = range(4)
FEATURES = ["next", "around", "basket", "next_to_last", "next_lift", "around_lift", "basket_lift"]


@borrowing
def scan(log, user, history, newest_basket, t, score, touched, step=0):
    """Add up neighbour scores of every item near an occurrence of a source item.

    Args:
        history: places of the events of the user's items that are looked at (`timerec.candidates.order.sources`).
        newest_basket: number of the user's latest request.
        score: float32 [I, 4] scratch, zero everywhere; touched: int32 [M] receives the items with a score.
        step: as in `timerec.candidates.order`, for the history, too; with one, occurrences are not the latest, and weigh alike.

    Returns:
        number of touched items.
    """
    met = 0
    for number, j in enumerate(history):
        source = log.event_item[j]
        in_last_basket = log.event_basket[j] == newest_basket
        start = log.item_start[source]
        n = before(log.occurrence_time, start, log.item_size[source], t)
        count = 0
        jump = stride(n) if step else 0
        for c in range(min(n, OCCURRENCES)):
            if log.occurrence_user[start + place(c, n, jump)] != user:
                count += 1
        weight = np.float32((1.0 if step else 0.9**number) / (count + 3.0))
        for c in range(min(n, OCCURRENCES)):
            o = start + place(c, n, jump)
            other = log.occurrence_user[o]
            if other == user:
                continue
            head = log.user_start[other]
            there = head + log.occurrence_rank[o]
            moment = log.event_time[there]
            stop = min(head + log.user_size[other], there + REACH + 1)
            for q in range(max(head, there - REACH), stop):
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
                near = weight / (1.0 + 0.3 * abs(q - there))
                score[item, AROUND] += near
                if time == moment:
                    score[item, BASKET] += weight
                elif time > moment:
                    score[item, NEXT] += near
                    if in_last_basket:
                        score[item, LAST] += near
    return met


@borrowing
def features(score, log_count, out):
    """Fill the neighbour features of one item; `log_count` is the log of its number of events before t."""
    for k in range(4):
        out[k] = np.log(score[k] + 1e-3)
    for k in range(3):
        out[4 + k] = out[k] - 0.5 * log_count
