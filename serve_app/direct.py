"""Routes that validate a body as they parse it."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from inspect import iscoroutinefunction, signature
from typing import Any, get_args, get_type_hints

from fastapi import Request, Response
from fastapi.params import Body
from fastapi.routing import APIRoute
from pydantic import TypeAdapter, ValidationError
from starlette.exceptions import HTTPException

JSON = "application/json"  # as clients send it; with parameters it is FastAPI's to read


class Direct(APIRoute):
    """A route that hands a sound body to its endpoint at once.

    FastAPI parses a body, validates what came of it, and looks for each further parameter: two fifths of what a gateway did for
    a request. Whatever is not plain (another content type, a header that the endpoint reads, a body that is amiss) goes
    FastAPI's way, which says what is wrong; so does what asks for more than a body and headers, or returns no response.
    """

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        usual, parts, endpoint = super().get_route_handler(), self.dependant, self.endpoint
        hints = get_type_hints(endpoint, include_extras=True)
        bodies, headers = [one.name for one in parts.body_params], [one.name for one in parts.header_params]
        plain = iscoroutinefunction(endpoint) and hints.get("return") is Response and not parts.dependencies
        if not plain or len(bodies) != 1 or set(signature(endpoint).parameters) != {*bodies, *headers}:
            return usual
        name, given = bodies[0], signature(endpoint).parameters
        told_how = [*get_args(hints[name]), given[name].default, *(given[header].default for header in headers)]
        if any(isinstance(one, Body) for one in told_how) or any(given[header].default is not None for header in headers):
            return usual
        read = [one.alias.lower() for one in parts.header_params]
        body: TypeAdapter[Any] = TypeAdapter(hints[name])

        async def handle(request: Request) -> Response:
            if request.headers.get("content-type") != JSON or any(header in request.headers for header in read):
                return await usual(request)
            try:
                sent = body.validate_json(await request.body())
            except ValidationError:
                return await usual(request)
            except HTTPException:  # of who lets the body in, and FastAPI lets those pass, too
                raise
            except Exception as error:  # of who reads it: as FastAPI says it
                raise HTTPException(400, "There was an error parsing the body") from error
            response: Response = await endpoint(**{name: sent})
            return response

        return handle
