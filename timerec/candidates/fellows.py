"""Who was at an item lately: a user's fellows, the people who took what the user took, strictly before t.

User-based collaborative filtering (Resnick et al., 1994), read from the log at every request: an item of an hour ago, which
has no neighbours yet, has been taken by people whose tastes are known.
"""

from __future__ import annotations

import numpy as np

from timerec.candidates.order import place, stride
from timerec.clock import HOUR
from timerec.counters import before
from timerec.kernel import borrowing

SOURCES = 50  # latest distinct items of the user
TAKERS = 200  # latest events of each that are looked at
LATEST = 50  # latest events of a candidate that are looked at
LATELY = 6.0 * HOUR  # seconds after which a fellow's event counts 1 / e
PAST = 40.0 * LATELY  # seconds after which nothing is left of it
LIGHT = 5.0  # events added to everybody's number of events: who has few is no certain fellow
FLOOR = 1e-3  # added before a logarithm
FEATURES = ["fellows", "fellows_ahead", "fellows_lately", "fellows_lift"]


@borrowing
def scan(log, user, history, t, nearness, ahead, met, step=0):
    """Weigh everybody who took one of the user's items before t.

    Each event counts: who took an item often is near by it. An item counts the more the fewer events it has; a fellow's sum is
    divided by the root of the fellow's number of events.

    Args:
        history: places of the events of the user's items that are looked at (`timerec.candidates.order.sources`).
        nearness, ahead: float32 [U] scratch, zero everywhere; receive the weight of each fellow, and of it what comes from items
            that the fellow took earlier than the user did.
        met: int32 [min(U, SOURCES * TAKERS)] receives the fellows.
        step: as in `timerec.candidates.order`, for the history, too; with one, takers are not the latest.

    Returns:
        number of fellows.
    """
    found = 0
    for j in history:
        source = log.event_item[j]
        start = log.item_start[source]
        n = before(log.occurrence_time, start, log.item_size[source], t)
        jump = stride(n) if step else 0
        weight = np.float32(1.0 / np.log(3.0 + n))
        for c in range(min(n, TAKERS)):
            o = start + place(c, n, jump)
            other = log.occurrence_user[o]
            if other == user:
                continue
            if nearness[other] == 0.0:
                met[found] = other
                found += 1
            nearness[other] += weight
            if log.occurrence_time[o] < log.event_time[j]:
                ahead[other] += weight
    for k in range(found):
        other = met[k]
        size = np.sqrt(before(log.event_time, log.user_start[other], log.user_size[other], t) + LIGHT)
        nearness[other] /= size
        ahead[other] /= size
    return found


@borrowing
def features(log, item, n, user, t, nearness, ahead, out, step=0):
    """Fill the features of one item, `n` of whose events are strictly before t.

    Args:
        nearness, ahead: as `scan` left them.
        out: float32 [4]: logs of the sum over the item's latest events by others of nearness, of what of it is ahead, of nearness
            decayed by age, and of the sum by the root of the number of events.
    """
    start = log.item_start[item]
    jump = stride(n) if step else 0
    total, early, lately, events = 0.0, 0.0, 0.0, 0.0
    for c in range(min(n, LATEST)):
        o = start + place(c, n, jump)
        other = log.occurrence_user[o]
        if other == user:
            continue
        events += 1.0
        near = nearness[other]
        if near == 0.0:
            continue
        total += near
        early += ahead[other]
        age = t - log.occurrence_time[o]
        if age < PAST:
            lately += near * np.exp(-age / LATELY)
    out[0] = np.log(total + FLOOR)
    out[1] = np.log(early + FLOOR)
    out[2] = np.log(lately + FLOOR)
    out[3] = np.log(total / np.sqrt(events + 1.0) + FLOOR)


@borrowing
def forget(nearness, ahead, met, found):
    """Clean the scratch of the `found` fellows met."""
    for k in range(found):
        nearness[met[k]] = 0.0
        ahead[met[k]] = 0.0
