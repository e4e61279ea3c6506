"""The gRPC interface: what Serve's proxy calls on a gateway by name, and nothing that decides anything.

The messages and their conversion are imported by the first call: a service without gRPC does not pay for them.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable, Callable
from functools import wraps
from typing import TYPE_CHECKING, Any

import grpc
from google.protobuf.empty_pb2 import Empty
from google.protobuf.message import Message
from ray.serve.grpc_util import RayServegRPCContext

from serve_app.problems import UNEXPECTED, Problem
from serve_app.schemas import BatchRequest, Events, ForecastQuery, HistoryQuery, RecommendRequest, SimilarQuery, UsersQuery

if TYPE_CHECKING:
    from serve_app import timerec_pb2 as pb
    from serve_app.gateway import Gateway

OPEN = ("Health",)  # for whoever watches the service, as over HTTP
CODES = {
    400: grpc.StatusCode.INVALID_ARGUMENT, 401: grpc.StatusCode.UNAUTHENTICATED, 403: grpc.StatusCode.PERMISSION_DENIED,
    404: grpc.StatusCode.NOT_FOUND, 409: grpc.StatusCode.ABORTED, 413: grpc.StatusCode.INVALID_ARGUMENT,
    422: grpc.StatusCode.INVALID_ARGUMENT, 429: grpc.StatusCode.RESOURCE_EXHAUSTED, 503: grpc.StatusCode.UNAVAILABLE,
    504: grpc.StatusCode.DEADLINE_EXCEEDED,
}  # fmt: skip
log = logging.getLogger("ray.serve")
Answer = Callable[[Any, Any, RayServegRPCContext], Awaitable[Message]]


def _call(answer: Answer) -> Answer:
    """A method behind the rules that HTTP has, too, whose problems become statuses."""
    name = answer.__name__

    @wraps(answer)
    async def passed(gateway: Gateway, message: Message, grpc_context: RayServegRPCContext) -> Message:
        began, code = time.perf_counter(), grpc.StatusCode.CANCELLED
        try:
            found = await _behind_rules(gateway, message, grpc_context)
            code = grpc.StatusCode.OK
        except Problem as problem:
            code = CODES.get(problem.status_code, grpc.StatusCode.INTERNAL)
            return _told(problem, code, grpc_context)
        except Exception as error:
            code = grpc.StatusCode.INTERNAL
            log.error("gRPC %s failed", name, exc_info=error)
            return _told(Problem(500, UNEXPECTED), code, grpc_context)
        finally:
            gateway.metrics.call(name, code.name, time.perf_counter() - began)
        return found

    async def _behind_rules(gateway: Gateway, message: Message, context: RayServegRPCContext) -> Message:
        if name in OPEN:
            return await answer(gateway, message, context)
        rules = gateway.rules
        if not rules.with_keys:
            raise Problem(403, "gRPC is answered with API keys only, since Serve listens for it on every interface: set `keys`")
        problem = rules.full() or rules.too_long(message.ByteSize()) or rules.refuse(_metadata(context).get("authorization", ""))
        if problem:
            raise problem
        with rules.in_work():
            return await answer(gateway, message, context)

    return passed


class Calls:
    """The calls of the service `Timerec` in timerec.proto, for a gateway."""

    @_call
    async def Recommend(self: Gateway, message: pb.RecommendRequest, grpc_context: RayServegRPCContext) -> pb.RecommendAnswer:
        """One list."""
        from serve_app.wire import deadline, pb, request

        body = request(RecommendRequest, message)
        return pb.RecommendAnswer(**await self.recommend(body, self.until(deadline(_metadata(grpc_context)))))

    @_call
    async def RecommendBatch(self: Gateway, message: pb.BatchRequest, grpc_context: RayServegRPCContext) -> pb.BatchAnswer:
        """Several lists."""
        from serve_app.wire import deadline, pb, request

        body = request(BatchRequest, message)
        return pb.BatchAnswer(answers=await self.recommend_all(body.requests, self.until(deadline(_metadata(grpc_context)))))

    @_call
    async def Events(self: Gateway, message: pb.EventBatch, grpc_context: RayServegRPCContext) -> pb.EventAnswer:
        """Store events."""
        from serve_app.wire import pb, request

        return pb.EventAnswer(events=await self.append(request(Events, message).events))

    @_call
    async def History(self: Gateway, message: pb.HistoryQuery, grpc_context: RayServegRPCContext) -> pb.HistoryAnswer:
        """What a user did."""
        from serve_app.wire import pb, request

        query = request(HistoryQuery, message)
        return pb.HistoryAnswer(**await self.history(query.user_id, self.moment(query.at), query.limit))

    @_call
    async def Forecast(self: Gateway, message: pb.ForecastQuery, grpc_context: RayServegRPCContext) -> pb.ForecastAnswer:
        """Where an item is heading."""
        from serve_app.wire import pb, request

        query = request(ForecastQuery, message)
        return pb.ForecastAnswer(**await self.forecast(query.item_id, self.moment(query.at)))

    @_call
    async def Similar(self: Gateway, message: pb.SimilarQuery, grpc_context: RayServegRPCContext) -> pb.SimilarAnswer:
        """Items like an item."""
        from serve_app.wire import pb, request

        query = request(SimilarQuery, message)
        items = await self.similar(query.item_id, query.k, self.moment(query.at))
        return pb.SimilarAnswer(item_id=query.item_id, items=items)

    @_call
    async def Users(self: Gateway, message: pb.UsersQuery, grpc_context: RayServegRPCContext) -> pb.UsersAnswer:
        """Users whose identifier begins so."""
        from serve_app.wire import pb, request

        query = request(UsersQuery, message)
        return pb.UsersAnswer(users=await self.users(query.search, query.limit))

    @_call
    async def Health(self: Gateway, message: pb.HealthQuery, grpc_context: RayServegRPCContext) -> pb.HealthAnswer:
        """State of every part."""
        from serve_app.wire import pb

        return pb.HealthAnswer(**await self.state())


def _metadata(context: RayServegRPCContext) -> dict[str, str]:
    """Metadata of a call by name, of which gRPC has only small letters; binary ones are none of ours."""
    return {name: value for name, value in context.invocation_metadata() if isinstance(value, str)}


def _told(problem: Problem, code: grpc.StatusCode, context: RayServegRPCContext) -> Message:
    """Say what is wrong. Not raised: Serve would log a stack trace for every mistake of a client."""
    context.set_code(code)
    context.set_details(problem.detail)
    if problem.headers:
        context.set_trailing_metadata([(name.lower(), value) for name, value in problem.headers.items()])
    return Empty()
