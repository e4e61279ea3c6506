"""In which order the events of a history, or of an item, are read: the latest first, or in one that knows nothing of time."""

from __future__ import annotations

from timerec.kernel import borrowing


@borrowing
def stride(known):
    """A step through `known` events that visits each once, far from the event before: prime to `known`, near its golden section.

    Read with this step, the first n of a slab are spread over all of it, so that they say nothing of what was late.
    """
    step = max(1, int(known * 0.6180339887498949))
    while True:
        a, b = known, step
        while b:
            a, b = b, a % b
        if a <= 1 or known <= 1:
            return step
        step += 1


@borrowing
def place(k, known, step):
    """Place of the k-th event to be read of `known` events in order of time; step 0 reads the latest first."""
    return (k * step) % known if step else known - 1 - k


@borrowing
def sources(log, begin, known, own, step, out):
    """Find the first event to be read of each of a user's items.

    Args:
        begin, known: the user's slab and its number of events strictly before t, `own` of whose items are distinct.
        out: int64 [S] receives the places of the events, as many as there are items and no more than S.

    Returns:
        number of places.
    """
    count = 0
    for e in range(known):
        if count in (len(out), own):
            break
        j = begin + place(e, known, step)
        met = False
        for k in range(count):
            if log.event_item[out[k]] == log.event_item[j]:
                met = True
                break
        if not met:
            out[count] = j
            count += 1
    return count
