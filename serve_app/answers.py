"""What the interface answers: the description of every answer, with examples. Nothing is validated by it as it runs."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field


def _shown(*examples: dict[str, Any]) -> ConfigDict:
    """The configuration of an answer that is described by examples."""
    return ConfigDict(json_schema_extra={"examples": list(examples)})


class Item(BaseModel):
    """A place of a list."""

    rank: int
    item_id: str
    score: float
    title: str
    category: str
    parts: dict[str, float] | None = Field(None, description="baseline, taste, momentum, habit, context: they sum to the score")


_LISTED = {
    "request_id": "4ec343373caa4d99b0e2f9e7a3f4d127", "user_id": "1228", "at": 1511892000, "known": True,
    "items": [{"rank": 1, "item_id": "1082185", "score": 4.31, "title": "BANANAS", "category": "TROPICAL FRUIT"}],
    "degraded": [], "model": "5f0c9a1be2d47a63", "seq": 1204,
}  # fmt: skip


class RecommendAnswer(BaseModel):
    """A list as of a moment."""

    model_config = _shown(_LISTED)
    request_id: str = Field(description="for `timerec replay`")
    user_id: str | None
    at: int = Field(description="unix seconds: everything strictly before it counts")
    known: bool = Field(description="whether the user has any history before it")
    items: list[Item]
    degraded: list[str] = Field(description="parts that could not add their say: encoder, forecaster or store")
    model: str = Field(description="digest of bundle and base log")
    seq: int = Field(description="every event up to this place in the store is in the answer")


class BatchAnswer(BaseModel):
    """Answers in the order of the requests."""

    model_config = _shown({"answers": [_LISTED]})
    answers: list[RecommendAnswer]


class StoredEvent(BaseModel):
    """An event that is on disk."""

    event_id: str
    seq: int = Field(description="place in the store")
    duplicate: bool = Field(description="the id was known: nothing was stored")


class EventAnswer(BaseModel):
    """Events that are on disk, in the order in which they were sent."""

    model_config = _shown({"events": [{"event_id": "b7c1", "seq": 1205, "duplicate": False}]})
    events: list[StoredEvent]


class Count(BaseModel):
    """What was counted of an item in one step."""

    begin: int = Field(alias="from", description="unix seconds at which the step begins")
    count: float = Field(description="events in it, each with the weight of its kind")


class Foretold(BaseModel):
    """What is expected of an item in one step."""

    begin: int = Field(alias="from", description="unix seconds at which the step begins")
    mean: float
    q10: float | None = Field(None, description="of a network only, as the other quantiles")
    q50: float | None = None
    q90: float | None = None


class ForecastAnswer(BaseModel):
    """Where an item is heading."""

    model_config = _shown(
        {
            "item_id": "1082185", "at": 1511892000, "step_seconds": 604800, "series": [{"from": 1511222400, "count": 3.0}],
            "forecast": [{"from": 1511827200, "mean": 2.4, "q10": 0.8, "q50": 2.2, "q90": 4.5}],
        }
    )  # fmt: skip
    item_id: str
    at: int = Field(description="unix seconds: everything strictly before it counts")
    step_seconds: int = Field(description="length of a step")
    series: list[Count] = Field(description="steps that were over, from the item's first one")
    forecast: list[Foretold] = Field(description="the steps after them; empty for an item that has no step yet")


class PastEvent(BaseModel):
    """Something that a user did."""

    item_id: str
    title: str = Field(description="empty for an item that is in no table")
    timestamp: int = Field(description="unix seconds")
    event: str = Field(description="its kind; empty for one that the model does not tell apart")
    value: float


class HistoryAnswer(BaseModel):
    """What a user did, the newest first."""

    model_config = _shown(
        {
            "user_id": "1228", "at": 1511892000, "count": 512,
            "events": [
                {"item_id": "1082185", "title": "BANANAS", "timestamp": 1511805600, "event": "purchase", "value": 2.0},
            ],
        }
    )  # fmt: skip
    user_id: str
    at: int = Field(description="unix seconds: everything strictly before it counts")
    count: int = Field(description="all events before it, also those that are not told here")
    events: list[PastEvent]


class FoundUser(BaseModel):
    """A user, and how much is known of them."""

    user_id: str
    events: int


class UsersAnswer(BaseModel):
    """Users, those with the longest histories first."""

    model_config = _shown({"users": [{"user_id": "1228", "events": 512}]})
    users: list[FoundUser]


class SimilarItem(BaseModel):
    """An item like another one."""

    item_id: str
    title: str
    category: str
    reason: Literal["together", "text"] = Field(description="taken together with it, or reads alike")
    score: float = Field(description="together: share of the strongest; text: cosine")


class SimilarAnswer(BaseModel):
    """Items like an item, the likest first."""

    model_config = _shown(
        {
            "item_id": "1082185",
            "items": [{"item_id": "1029743", "title": "MILK", "category": "FLUID MILK", "reason": "together", "score": 1.0}],
        }
    )
    item_id: str
    items: list[SimilarItem]


class ServedModel(BaseModel):
    """A model that the service holds."""

    bundle: str
    data: str | None
    digest: str = Field(description="of bundle and data: `model` of an answer")


_HELD = {
    "active": {"bundle": "/shared/runs/shop-2/bundle", "data": None, "digest": "5f0c9a1be2d47a63"},
    "previous": {"bundle": "/shared/runs/shop/bundle", "data": None, "digest": "91d4b7c0aa63e8f2"},
    "coming": None, "shadow": None, "share": 0.0,
}  # fmt: skip


class ModelsAnswer(BaseModel):
    """Which models the service holds."""

    model_config = _shown(_HELD)
    active: ServedModel = Field(description="it answers")
    previous: ServedModel | None = Field(description="answered before; the way back")
    coming: ServedModel | None = Field(description="is being loaded and checked")
    shadow: ServedModel | None = Field(description="answers unseen beside the active one")
    share: float = Field(description="of the requests that the shadow answers, too")


class Checked(BaseModel):
    """What was compared before a change."""

    users: int = Field(description="whose lists were computed with both models")
    overlap: float | None = Field(description="mean share of items that are in both lists; null where there was no user")


class ChangeAnswer(ModelsAnswer):
    """The models after a change."""

    model_config = _shown({**_HELD, "checked": {"users": 20, "overlap": 0.85}})
    checked: Checked


class Alive(BaseModel):
    """The gateway runs."""

    model_config = _shown({"status": "ok"})
    status: Literal["ok"]


class PartState(BaseModel):
    """State of one part; where it does not answer, `ok` is all there is."""

    ok: bool
    seq: int | None = Field(None, description="place in the store up to which it has read")
    behind: bool = Field(False, description="the store cannot be reached from it")
    models: dict[str, int] = Field(default_factory=dict, description="the same of each model that it holds, by digest")


class StoreState(BaseModel):
    """State of the event store."""

    ok: bool
    seq: int | None = Field(None, description="place of its newest event; not told where it cannot be reached")


_WELL = {"ok": True, "seq": 1204, "behind": False, "models": {"5f0c9a1be2d47a63": 1204}}


class ReadyAnswer(BaseModel):
    """State of the service."""

    model_config = _shown(
        {
            "encoder": _WELL, "forecaster": _WELL, "fusion": _WELL,
            "store": {"ok": True, "seq": 1204}, "ready": True, "model": "5f0c9a1be2d47a63", "now": 1511892000, "version": "0.1.0",
        }
    )  # fmt: skip
    encoder: PartState
    forecaster: PartState
    fusion: PartState
    store: StoreState
    ready: bool = Field(description="everything can be answered")
    model: str = Field(description="digest of the active model")
    now: int = Field(description="unix seconds of the service's clock")
    version: str


class ProblemDetails(BaseModel):
    """An error, after RFC 9457."""

    model_config = _shown(
        {
            "type": "about:blank",
            "title": "Not found",
            "status": 404,
            "detail": "item_id 'x' is not known as of then",
            "errors": [],
        }
    )
    type: str
    title: str
    status: int
    detail: str
    errors: list[dict[str, str]] = Field(
        default_factory=list, description="of a request that is not as described: `field` and `message` of each fault"
    )
