"""The event store of online serving: what happened, in order of arrival, durable before it is acknowledged."""

from timerec.store.base import REQUESTS_KEPT, EventStore, StoreUnavailable
from timerec.store.events import Accepted, Event, Stored
from timerec.store.open import open_store

__all__ = ["REQUESTS_KEPT", "Accepted", "Event", "EventStore", "StoreUnavailable", "Stored", "open_store"]
