"""Errors as problem details (RFC 9457): what is wrong and what to do, and never a stack trace."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

log = logging.getLogger("ray.serve")
TITLES = {
    400: "Bad request", 401: "An API key is needed", 403: "This key may not do that", 404: "Not found",
    405: "Method not allowed", 409: "Conflict", 413: "The body is too large", 422: "The request cannot be answered as it is",
    429: "Too many requests", 500: "Something went wrong here", 503: "Busy", 504: "Too late",
}  # fmt: skip
UNEXPECTED = "the request could not be answered; the server's log says why"


class Problem(Exception):
    """An answer that is an error."""

    def __init__(self, status: int, detail: str, headers: Mapping[str, str] | None = None, **more: Any) -> None:
        super().__init__(detail)
        self.status, self.detail, self.headers, self.more = status, detail, dict(headers or {}), more

    def response(self) -> JSONResponse:
        """The problem as it is sent."""
        told = {"type": "about:blank", "title": TITLES.get(self.status, "Error"), "status": self.status, "detail": self.detail}
        return JSONResponse({**told, **self.more}, self.status, self.headers, media_type="application/problem+json")


def invalid(errors: Sequence[Mapping[str, Any]]) -> Problem:
    """The problem of a request that is not as described, from what pydantic says of it."""
    faults = [{"field": ".".join(map(str, fault["loc"])), "message": str(fault["msg"])[:300]} for fault in errors[:20]]
    first = f"{faults[0]['field']}: {faults[0]['message']}" if faults else "the request is not as described"
    return Problem(422, first, errors=faults)


def install(api: FastAPI) -> None:
    """Answer every error of `api` with problem details."""

    @api.exception_handler(Problem)
    async def problem(_: Request, error: Problem) -> JSONResponse:
        return error.response()

    @api.exception_handler(HTTPException)
    async def plain(_: Request, error: HTTPException) -> JSONResponse:
        return Problem(error.status_code, str(error.detail), error.headers).response()

    @api.exception_handler(RequestValidationError)
    async def not_as_described(_: Request, error: RequestValidationError) -> JSONResponse:
        return invalid(error.errors()).response()

    @api.exception_handler(Exception)
    async def unexpected(request: Request, error: Exception) -> JSONResponse:
        log.error("%s %s failed", request.method, request.url.path, exc_info=error)
        return Problem(500, UNEXPECTED).response()
