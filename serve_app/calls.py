"""Calls from one deployment to another that outlive a dying replica, and know when to stop waiting."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any

from ray.exceptions import RayActorError
from ray.serve.exceptions import BackPressureError, DeploymentUnavailableError

# of a replica that is killed, or ended because a request takes longer than draining may: ActorUnavailableError over gRPC,
# ActorDiedError through Ray's object store, both RayActorError
GONE = (RayActorError, DeploymentUnavailableError)
log = logging.getLogger("ray.serve")


class Late(Exception):
    """The called part did not answer in time."""


class Down(Exception):
    """The called part is not there."""


class Busy(Exception):
    """The called part has no room for another request."""


async def call(make: Callable[[], Any], seconds: float) -> Any:
    """Await the response that `make` starts; a replica that dies meanwhile is replaced by another one, once.

    Raises:
        Late: it takes longer than `seconds`.
        Down: the second replica died, too, or there is none.
        Busy: the part answers that its queue is full.
    """
    loop, me = asyncio.get_running_loop(), asyncio.current_task()
    until = loop.time() + seconds
    for last in (False, True):
        try:
            # quicker than wait_for, which in Python 3.11 makes a task
            async with asyncio.timeout_at(max(until, loop.time() + 0.001)):
                return await make()
        except TimeoutError:
            raise Late from None
        except BackPressureError:
            raise Busy from None
        except (*GONE, asyncio.CancelledError) as error:  # a replica that ends may break off what it has in work
            if isinstance(error, asyncio.CancelledError) and me is not None and me.cancelling():  # who asked has gone
                raise
            what = "given up" if last else "asked again of another"
            log.warning("a replica ended with a request in work (%s): %s", type(error).__name__, what)
    raise Down
