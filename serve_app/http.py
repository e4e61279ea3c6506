"""The HTTP interface: routes, their documentation, and nothing that decides anything."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fastapi import FastAPI, Response
from fastapi.responses import FileResponse, PlainTextResponse
from starlette.convertors import Convertor, register_url_convertor

from serve_app import problems
from serve_app.answers import (
    Alive,
    BatchAnswer,
    ChangeAnswer,
    EventAnswer,
    ForecastAnswer,
    HistoryAnswer,
    ModelsAnswer,
    ProblemDetails,
    ReadyAnswer,
    RecommendAnswer,
    SimilarAnswer,
    UsersAnswer,
)
from serve_app.direct import Direct
from serve_app.problems import Problem
from serve_app.schemas import (
    Alike,
    At,
    BatchRequest,
    Deadline,
    EventBatch,
    Events,
    Limit,
    NewModel,
    PathId,
    RecommendRequest,
    Search,
)
from timerec import __version__

if TYPE_CHECKING:
    from serve_app.gateway import Gateway

PAGE = Path(__file__).parent / "page"
# said here, not guessed: what a machine knows of file names differs, and with nosniff a wrong type is a dead page
PAGE_TYPES = {".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
PAGE_HEADERS = {
    "Content-Security-Policy": "default-src 'self'; style-src 'self'; script-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; frame-ancestors 'none'; base-uri 'none'",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",  # its files belong together: none may be older than the others
}
ERRORS: dict[int | str, dict[str, Any]] = {
    status: {
        "description": problems.TITLES[status],
        "content": {"application/problem+json": {"schema": ProblemDetails.model_json_schema()}},
    }
    for status in (400, 401, 403, 404, 408, 409, 413, 415, 422, 429, 503, 504)
}


class _Identifier(Convertor[str]):
    """Any text in a path: slashes, which nobody can tell from the path's own once it is decoded, and ends of lines."""

    regex = r"[\s\S]*"

    def convert(self, value: str) -> str:
        return value

    def to_string(self, value: str) -> str:
        return value


register_url_convertor("identifier", _Identifier())


def make_api(gateway: Gateway) -> FastAPI:
    """The routes of a gateway."""
    api = FastAPI(
        title="timerec",
        version=__version__,
        description="Recommendations that know what time it is, down to the last second.",
        docs_url=None,  # its page loads scripts from elsewhere
        redoc_url=None,
        redirect_slashes=False,  # to wherever the request says that it was sent: a path that is not there is not found
        responses=ERRORS,
    )
    api.router.route_class = Direct
    problems.install(api)

    @api.post("/v1/recommend", response_model=RecommendAnswer, summary="Recommend items to one person as of a moment")
    async def recommend(body: RecommendRequest, deadline: Deadline = None) -> Response:
        """The k best items, from everything that happened strictly before `at`; the person's last event counts."""
        return _json(await gateway.recommend(body, gateway.until(deadline)))

    @api.post("/v1/recommend:batch", response_model=BatchAnswer, summary="Several requests at once")
    async def recommend_batch(body: BatchRequest, deadline: Deadline = None) -> Response:
        """Answers in the order of the requests; one that cannot be answered fails them all."""
        return _json({"answers": await gateway.recommend_all(body.requests, gateway.until(deadline))})

    @api.post("/v1/events", response_model=EventAnswer, summary="Tell what happened")
    async def events(body: Events) -> Response:
        """Events that are on disk when this answers, and part of the very next recommendation."""
        sent = body.events if isinstance(body, EventBatch) else [body]
        return _json({"events": await gateway.append(sent)})

    @api.get("/v1/items/{item_id:identifier}/forecast", response_model=ForecastAnswer, summary="Where an item is heading")
    async def forecast(item_id: PathId, at: At = None) -> Response:
        """The item's series up to `at`, and its forecast from there with quantiles."""
        return _json(await gateway.forecast(item_id, gateway.moment(at)))

    @api.get("/v1/users/{user_id:identifier}/history", response_model=HistoryAnswer, summary="What a user did")
    async def history(user_id: PathId, at: At = None, limit: Limit = 50) -> Response:
        """The user's latest events strictly before `at`, the newest first."""
        return _json(await gateway.history(user_id, gateway.moment(at), limit))

    @api.get("/v1/users", response_model=UsersAnswer, summary="Find users")
    async def users(search: Search = "", limit: Limit = 20) -> Response:
        """Users whose identifier begins with `search`, those with the longest histories first."""
        return _json({"users": await gateway.users(search, limit)})

    @api.get("/v1/similar/{item_id:identifier}", response_model=SimilarAnswer, summary="Items like an item")
    async def similar(item_id: PathId, k: Alike = 10, at: At = None) -> Response:
        """What people take together with it, then what reads alike."""
        return _json({"item_id": item_id, "items": await gateway.similar(item_id, k, gateway.moment(at))})

    @api.get("/v1/models", response_model=ModelsAnswer, summary="Which models answer")
    async def models() -> Response:
        """The active model, the previous one, and the one in the shadow."""
        return _json(await gateway.desk.told())

    @api.post("/v1/models", response_model=ChangeAnswer, summary="Answer with another bundle")
    async def change_model(body: NewModel) -> Response:
        """Loads the bundle beside the old one, compares answers, and swaps; a broken one changes nothing. With `shadow` it
        answers a share of the requests unseen, and /metrics tells how far it agrees. Wants a key whose name begins with
        `admin` where keys are used.
        """
        return _json(await gateway.desk.change(body))

    @api.post("/v1/models:back", response_model=ModelsAnswer, summary="Answer with the previous model again")
    async def model_back() -> Response:
        """The way back after a change; also ends any shadow."""
        return _json(await gateway.desk.back())

    @api.get("/healthz", response_model=Alive, summary="Is this gateway alive")
    async def healthz() -> Response:
        """200 while the gateway runs."""
        return _json({"status": "ok"})

    not_ready: dict[int | str, dict[str, Any]] = {503: {"model": ReadyAnswer, "description": "An answer would lack something"}}

    @api.get("/readyz", response_model=ReadyAnswer, responses=not_ready, summary="Can everything be answered")
    async def readyz() -> Response:
        """State of every part and of the store; 503 where an answer would lack something."""
        told = await gateway.state()
        return _json(told, 200 if told["ready"] else 503)

    @api.get("/metrics", response_class=PlainTextResponse, summary="Prometheus metrics of this gateway")
    async def metrics() -> Response:
        """Counts and latencies in Prometheus' text format."""
        return Response(gateway.metrics.text(), media_type="text/plain; version=0.0.4")

    @api.get("/", include_in_schema=False)
    async def page() -> Response:
        """The page for people."""
        return _page_file(PAGE / "index.html")

    @api.get("/page/{name}", include_in_schema=False)
    async def page_file(name: str) -> Response:
        """Its script and style."""
        if name not in {path.name for path in PAGE.iterdir() if path.suffix in PAGE_TYPES}:
            raise Problem(404, "there is no such file")
        return _page_file(PAGE / name)

    return api


def _page_file(path: Path) -> Response:
    return FileResponse(path, media_type=PAGE_TYPES[path.suffix], headers=PAGE_HEADERS)


def _json(content: Any, status: int = 200) -> Response:
    return Response(json.dumps(content, ensure_ascii=False, allow_nan=False), status, media_type="application/json")
