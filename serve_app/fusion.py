"""The fusion's deployment: candidates, features and scores, with what encoder and forecaster say."""

from __future__ import annotations

import asyncio
import contextvars
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from ray.serve.handle import DeploymentHandle

from serve_app.calls import Busy, Down, Late, call
from serve_app.models import Failed, Missing
from serve_app.relay import Relay
from serve_app.replica import Replica, log
from timerec.online.messages import Answer, Ask, Heard, Waits

if TYPE_CHECKING:
    from serve_app.ranking import Found, Ranking
    from timerec.online.base import Base
    from timerec.online.network import Finish

FETCHING = 5.0  # seconds that a table may take to come
AGAIN = 0.5  # seconds until a table that did not come is asked for again
BETWEEN = 5.0  # seconds between fetches of a table that only late events changed
# turns of the event loop in which Serve sends a call, counted in Ray 2.60 with RAY_SERVE_THROUGHPUT_OPTIMIZED: a kernel that
# starts beside it takes Python's lock, and a processor, from what the encoder waits for; too few turns only cost time
UNTIL_SENT = 6


class Scored(NamedTuple):
    """Requests as far as they could be answered when their scores had begun."""

    part: Ranking
    found: Found
    begun: Finish
    answers: list[Answer] | None  # None where the encoder had not answered, or does not hold the model


class Fusion(Replica["Ranking"]):
    """Ranks candidates from a state that every stored event is part of."""

    def __init__(
        self, configured: dict[str, Any], folder: str, store: str, encoder: DeploymentHandle, forecaster: DeploymentHandle
    ) -> None:
        super().__init__(configured, folder, store)
        self._encoder = encoder
        # a table is as large as the catalogue: through Ray's object store, since a message between replicas has 4 MiB at most
        self._forecaster = forecaster.options(_by_reference=True)
        self._in_work = 0  # calls to `rank`
        # the network reads nothing that changes: it may score one batch while the kernel, without Python's lock, gathers the next
        self._scoring = ThreadPoolExecutor(1, thread_name_prefix="timerec-scoring")

    def make(self, base: Base) -> Ranking:
        from serve_app.ranking import Ranking  # torch and kernels, which only a replica needs

        return Ranking(base)

    async def rank(
        self, model: str, asks: list[Ask], forecasts: list[tuple[int, int]], waits: list[Waits]
    ) -> list[Answer | Missing | Failed]:
        """Answer requests, at most `timerec.online.live.GUESTS` at once.

        Args:
            forecasts: steps that the forecaster's table has, and the place in the store when it was made. A request waits for
                steps that are missing here; a table that only late events changed is fetched beside.
            waits: how long each waits for encoder and forecaster; the shortest counts for all.
        """
        self._keep_up()
        part = self._parts.get(model)
        if part is None:
            return [Missing(model)] * len(asks)
        # side by side: the encoder reads while candidates are gathered
        hearing = asyncio.create_task(self._hear(model, asks, min(one.encoder for one in waits)))
        self._in_work += 1
        try:
            for _ in range(UNTIL_SENT):
                await asyncio.sleep(0)
            await self._foresee(part, max(forecasts), min(one.forecaster for one in waits))
            return await self.together([*range(len(asks))], lambda rows: self._rank(model, asks, rows, hearing))
        finally:
            hearing.cancel()
            self._in_work -= 1

    async def similar(self, item_id: str, k: int, at: int, model: str) -> list[dict[str, Any]] | Missing | None:
        """Items like an item, the likest first; None for an unknown one."""
        return await self.ask(model, lambda part: part.similar(item_id, k, at))

    async def _rank(
        self, model: str, asks: list[Ask], rows: list[int], hearing: asyncio.Task[list[Heard | None] | Missing]
    ) -> list[Answer] | Missing:
        """Answer some of the requests; of all of them `hearing` tells what the encoder says.

        What the encoder has said by the time that the network needs it is looked up: to be told by the event loop would wake
        that, and whoever scores may then have to wait for Python's lock.
        """
        wanted = [asks[row] for row in rows]
        long = any(ask.explain or ask.diversity > 0.0 for ask in wanted)
        scored: Relay[Scored | Missing] = Relay()

        def gather(part: Ranking) -> None:
            found = part.candidates(wanted, self.behind)
            if long or self._in_work > 1:  # another batch can be gathered meanwhile
                self._scoring.submit(scored.run, score, part, found)
            else:  # nobody else is here: no thread need be woken
                scored.run(score, part, found)

        def score(part: Ranking, found: Found) -> Scored:
            begun, heard = part.begin(found), _by_now(hearing)
            if heard is None or scored.cancelled():
                return Scored(part, found, begun, None)
            return Scored(part, found, begun, part.answer(found, begun, [heard[row] for row in rows]))

        self.start(scored.run, self.with_part, model, gather)
        one = await asyncio.wrap_future(scored)
        if isinstance(one, Missing):
            return one
        if one.answers is not None:
            return one.answers
        heard = await hearing
        if isinstance(heard, Missing):
            return heard
        work = partial(one.part.answer, one.found, one.begun, [heard[row] for row in rows])
        return await asyncio.get_running_loop().run_in_executor(self._scoring, work)

    async def _hear(self, model: str, asks: list[Ask], seconds: float) -> list[Heard | None] | Missing:
        """What the encoder says of each request; None where it says nothing in so many seconds, and then an answer lacks it."""
        try:
            found: list[Any] = await call(lambda: self._encoder.read.remote(model, asks), seconds)
        except (Late, Down, Busy):
            return [None] * len(asks)
        except Exception:
            log.exception("the answers go on without the encoder")
            return [None] * len(asks)
        missing = next((one for one in found if isinstance(one, Missing)), None)
        return missing or [None if isinstance(one, Failed) else one for one in found]

    async def _foresee(self, part: Ranking, forecast: tuple[int, int], seconds: float) -> None:
        """Have the forecaster's table fetched where it is newer, and wait so many seconds for it where steps are missing."""
        if forecast <= part.forecast:
            return
        missing = forecast[0] > part.forecast[0]
        if part.fetching is None and time.monotonic() - part.fetched_at > (AGAIN if missing else BETWEEN):
            # in nobody's context: Serve would cancel it with the request that happened to start it
            work = self._fetch(part, forecast)
            part.fetching = asyncio.get_running_loop().create_task(work, context=contextvars.Context())
        if missing and part.fetching is not None:  # shared: a request that has gone takes it from nobody
            await asyncio.wait({part.fetching}, timeout=seconds)

    async def _fetch(self, part: Ranking, forecast: tuple[int, int]) -> None:
        """Take the forecaster's table. Without it answers go on, and say of which steps their forecasts are."""
        part.fetched_at = time.monotonic()
        try:
            found = await call(lambda: self._forecaster.table.remote(forecast[0], part.digest), FETCHING)
            if not isinstance(found, Missing) and found[:2] > part.forecast:
                covered, told, table = found  # read-only, as it comes out of Ray's object store
                await self.compute(part.swap, covered, told, await asyncio.to_thread(table.writable))
        except (Late, Down, Busy) as error:
            log.warning("the newest forecasts did not come: %s", type(error).__name__)
        except Exception:
            log.exception("the newest forecasts could not be fetched")
        finally:
            part.fetching = None


def _by_now(hearing: asyncio.Task[list[Heard | None] | Missing]) -> list[Heard | None] | None:
    """What the encoder has said, where it has answered and holds the model.

    Any thread may look: a task that is done does not change any more.
    """
    if not hearing.done() or hearing.cancelled() or isinstance(heard := hearing.result(), Missing):
        return None
    return heard
