"""A result that several threads work for, one after the other."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")


class Relay(Future[R]):
    """The future of work in legs, each of which runs in a thread of its own and starts the next; the last returns the result."""

    def run(self, leg: Callable[P, R | None], *args: P.args, **kwargs: P.kwargs) -> None:
        """Run a leg, unless nobody waits any more; what it returns is the result, but for None, and where it fails, all has."""
        if self.cancelled():
            return
        with suppress(InvalidStateError):  # who waited has gone meanwhile
            try:
                found = leg(*args, **kwargs)
            except Exception as error:
                self.set_exception(error)
            else:
                if found is not None:
                    self.set_result(found)
