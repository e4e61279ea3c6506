"""A process that appends to an event store and prints each acknowledged event: `URL NAME APPENDS EVENTS`."""

from __future__ import annotations

import sys
import time

from timerec.store import Event, open_store


def main(url: str, name: str, appends: str, size: str) -> None:
    """Append, each time with one event that all writers share the id of."""
    with open_store(url) as store:
        for k in range(int(appends)):
            own = [Event(f"{name}-{k}-{j}", f"user-{j}", f"item-{k}", int(time.time())) for j in range(int(size))]
            sent = [*own, Event(f"shared-{k}", "everybody", "item", k)]
            for event, answer in zip(sent, store.append(sent), strict=True):
                print(event.event_id, answer.seq)
            sys.stdout.flush()


if __name__ == "__main__":
    main(*sys.argv[1:])
