"""Compiled parts that the baselines share: marking what is not on offer, and an exact top k over the catalogue."""

from __future__ import annotations

from numba import njit


@njit(cache=True)
def refuse_seen(r, who, when, user_start, item, time, refused):
    """Mark with `r` in `refused` [n_items] all items that the user had strictly before `when`."""
    if who >= 0:
        j = user_start[who]
        while j < user_start[who + 1] and time[j] < when:
            refused[item[j]] = r
            j += 1


@njit(cache=True)
def top_k(r, when, score, tie, available, refused, out):
    """Write into `out` [k] the items with the largest (score, tie), lower numbers first where both are equal.

    Items that are not yet available, or marked with `r` in `refused`, are left out; empty places stay -1.
    """
    k = len(out)
    found = 0
    out[:] = -1
    for one in range(len(score)):
        if available[one] > when or refused[one] == r:
            continue
        if found == k:
            last = out[k - 1]
            if score[one] < score[last] or (score[one] == score[last] and tie[one] <= tie[last]):
                continue
        place = min(found, k - 1)
        while place > 0:
            above = out[place - 1]
            if score[above] > score[one] or (score[above] == score[one] and tie[above] >= tie[one]):
                break
            out[place] = above
            place -= 1
        out[place] = one
        found = min(found + 1, k)
