"""Errors as problem details (RFC 9457): what is wrong and what to do, and never a stack trace."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from timerec.store.base import StoreUnavailable

log = logging.getLogger("ray.serve")
LONGEST = 300  # characters of what is said of one field: its name may be anything that somebody sent
TITLES = {
    400: "Bad request", 401: "An API key is needed", 403: "This key may not do that", 404: "Not found",
    405: "Method not allowed", 408: "The body did not come", 409: "Conflict", 413: "The body is too large",
    415: "The body cannot be read in this form", 422: "The request cannot be answered as it is",
    429: "Too many requests", 500: "Something went wrong here", 503: "Busy", 504: "Too late",
}  # fmt: skip
UNEXPECTED = "the request could not be answered; the server's log says why"


class Problem(HTTPException):
    """An answer that is an error. FastAPI lets an HTTPException pass while it reads a body, and calls others its own fault."""

    def __init__(self, status: int, detail: str, headers: Mapping[str, str] | None = None, **more: Any) -> None:
        super().__init__(status, detail, dict(headers or {}))
        self.more = more

    def response(self) -> JSONResponse:
        """The problem as it is sent."""
        status, title = self.status_code, TITLES.get(self.status_code, "Error")
        told = {"type": "about:blank", "title": title, "status": status, "detail": self.detail, **self.more}
        return JSONResponse(told, status, self.headers, media_type="application/problem+json")


def invalid(errors: Sequence[Mapping[str, Any]]) -> Problem:
    """The problem of a request that is not as described, from what pydantic says of it."""
    faults = [
        {"field": ".".join(map(str, fault["loc"]))[:LONGEST], "message": str(fault["msg"])[:LONGEST]} for fault in errors[:20]
    ]
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

    @api.exception_handler(StoreUnavailable)
    async def away(_: Request, error: StoreUnavailable) -> JSONResponse:
        return Problem(503, "the event store cannot be reached: ask again", {"Retry-After": "1"}).response()

    @api.exception_handler(Exception)
    async def unexpected(request: Request, error: Exception) -> JSONResponse:
        log.error("%s %s failed", request.method, request.url.path, exc_info=error)
        return Problem(500, UNEXPECTED).response()
