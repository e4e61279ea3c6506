"""Calls from one deployment to another that outlive a dying replica, and know when to stop waiting."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from ray.exceptions import RayActorError
from ray.serve.exceptions import BackPressureError, DeploymentUnavailableError

GONE = (RayActorError, DeploymentUnavailableError)


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
    until = asyncio.get_running_loop().time() + seconds
    for last in (False, True):
        left = until - asyncio.get_running_loop().time()
        try:
            return await asyncio.wait_for(_await(make()), max(left, 0.001))
        except TimeoutError:
            raise Late from None
        except BackPressureError:
            raise Busy from None
        except GONE:
            if last:
                raise Down from None
    raise Down


async def _await(response: Any) -> Any:
    return await response
