"""What every request must keep to, by whatever way it comes: room, size, key and rate."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from serve_app.keys import Keys, Rates
from serve_app.problems import Problem
from serve_app.settings import Limits


class Rules:
    """The rules of one gateway. HTTP and gRPC share them: one rate a key, and one count of the requests in work."""

    def __init__(self, limits: Limits, keys: Keys | None) -> None:
        self._limits, self._keys = limits, keys
        self._rates, self._busy = Rates(limits.per_key), 0

    @property
    def with_keys(self) -> bool:
        """Whether anybody is asked for a key."""
        return self._keys is not None

    def full(self) -> Problem | None:
        """503 where there is no room for another request."""
        if self._busy >= self._limits.in_flight:
            return Problem(503, "too many requests at this moment: ask again", {"Retry-After": "1"})
        return None

    def too_long(self, length: int) -> Problem | None:
        """413 where a body has more bytes than it may have."""
        most = self._limits.body_bytes
        return Problem(413, f"the body is longer than {most} bytes: send less at once") if length > most else None

    @property
    def body_seconds(self) -> float:
        """How long a body may take to come."""
        return self._limits.body_seconds

    def too_slow(self) -> Problem:
        """408 where a body did not come in time."""
        told = f"the body did not come within {self.body_seconds:g} s: send it at once"
        return Problem(408, told, {"Connection": "close"})

    def refuse(self, authorization: str, *, admin: bool = False) -> Problem | None:
        """401, 403 or 429 where the key may not do that now; None where it may, or nobody is asked for one.

        Args:
            authorization: what was sent under that name, `Bearer KEY`.
            admin: only keys whose name begins so may do it.
        """
        if self._keys is None:
            return None
        scheme, _, key = authorization.partition(" ")
        name = self._keys.name(key.strip()) if scheme.lower() == "bearer" else None
        if name is None:
            return Problem(401, "send a valid API key as `Authorization: Bearer KEY`", {"WWW-Authenticate": "Bearer"})
        if admin and not name.startswith("admin"):
            return Problem(403, f"key {name} may not see or change models: use one whose name begins with admin")
        wait = self._rates.wait(name)
        if wait:
            return Problem(429, f"key {name} asks more often than agreed", {"Retry-After": str(max(1, round(wait)))})
        return None

    @contextmanager
    def in_work(self) -> Iterator[None]:
        """Count a request while it is worked on."""
        self._busy += 1
        try:
            yield
        finally:
            self._busy -= 1
