"""A result that several threads work for, one after the other."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")


class Relay(Future[R]):
    """The future of work in legs, in whichever threads; each but the last starts the next one, and the last returns the result.

    It is never marked as running, so that whoever waits may cancel it until the result is there.
    """

    def run(self, leg: Callable[P, R | None], *args: P.args, **kwargs: P.kwargs) -> None:
        """Run a leg, unless nobody waits any more: what it returns, but for None, is the result; if it fails, all has failed."""
        if self.cancelled():
            return
        with suppress(InvalidStateError):  # who waited has gone meanwhile
            try:
                found = leg(*args, **kwargs)
            except BaseException as error:  # as an executor does: whoever waits must be told
                self.set_exception(error)
            else:
                if found is not None:
                    self.set_result(found)
