"""Routes that validate a body as they parse it."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any, get_type_hints

from fastapi import Request, Response
from fastapi.routing import APIRoute
from pydantic import TypeAdapter, ValidationError
from starlette.requests import ClientDisconnect

JSON = "application/json"


class Direct(APIRoute):
    """A route that hands a sound body to its endpoint at once.

    FastAPI parses a body, validates what came of it, and looks for each further parameter: two fifths of what a gateway did for
    a request. Whatever is not plain (another content type, a header that the endpoint reads, a body that is amiss) goes
    FastAPI's way, which says what is wrong.
    """

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        usual, parts = super().get_route_handler(), self.dependant
        if len(parts.body_params) != 1 or parts.path_params or parts.query_params or parts.cookie_params or parts.dependencies:
            return usual
        name, endpoint = parts.body_params[0].name, self.endpoint
        headers = [one.alias.lower() for one in parts.header_params]
        body: TypeAdapter[Any] = TypeAdapter(get_type_hints(endpoint, include_extras=True)[name])

        async def handle(request: Request) -> Response:
            told = request.headers
            if told.get("content-type") == JSON and not any(header in told for header in headers):
                try:
                    sent = body.validate_json(await request.body())
                except (ValidationError, ClientDisconnect):
                    return await usual(request)
                response: Response = await endpoint(**{name: sent})
                return response
            return await usual(request)

        return handle
