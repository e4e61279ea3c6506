"""What may be sent to the interface, over HTTP and gRPC."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, ClassVar, TypeVar

from fastapi import Header
from fastapi import Query as InQuery
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    Tag,
    WithJsonSchema,
    model_validator,
)

LONGEST = 256  # characters of an identifier
FIELDS = 50  # of a message at most: each that is unknown would be a fault of its own


def _as_text(value: Any) -> Any:
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


def _sound(text: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ValueError("holds half of a surrogate pair") from None
    return text


Id = Annotated[
    str,
    BeforeValidator(_as_text),
    AfterValidator(_sound),
    Field(min_length=1, max_length=LONGEST),
    WithJsonSchema(
        {
            "anyOf": [{"type": "string", "minLength": 1, "maxLength": LONGEST}, {"type": "integer"}],
            "description": "text, or a whole number",
        }
    ),
]
PathId = Annotated[str, Field(min_length=1, max_length=LONGEST, description="as it was sent with the events")]
Kind = Annotated[str, AfterValidator(_sound), Field(max_length=LONGEST)]
# numbers first: pydantic would read a number of seconds as a datetime
Moment = Annotated[
    float | datetime, Field(union_mode="left_to_right", description="unix seconds or ISO 8601, UTC where it says nothing else")
]
At = Annotated[str | None, InQuery(description="unix seconds or ISO 8601; by default now", max_length=64)]
Limit = Annotated[int, InQuery(ge=1, le=1000)]
Alike = Annotated[int, InQuery(ge=1, le=200)]
Search = Annotated[str, InQuery(max_length=256)]
Deadline = Annotated[float | None, Header(alias="X-Deadline-Ms", gt=0, description="milliseconds after which nobody waits")]


T = TypeVar("T")
# the first fault is told, not each of the hundred thousand that a body has room for
Listed = Annotated[list[T], Field(fail_fast=True)]


class _Message(BaseModel):
    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _few(cls, told: Any) -> Any:
        if isinstance(told, dict) and len(told) > FIELDS:
            raise ValueError(f"has {len(told)} fields, of which most are unknown")
        return told


class SeenItem(_Message):
    """One event of a history."""

    item_id: Id
    timestamp: Moment
    event: Kind = ""
    value: Annotated[float, Field(ge=-1e9, le=1e9)] = 1.0


class RecommendRequest(_Message):
    """Who asks, when, and for what."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"user_id": "1228", "k": 5},
                {"history": [{"item_id": "1082185", "timestamp": "2017-12-30T10:00:00Z"}], "k": 5, "explain": True},
                {"user_id": 1228, "at": "2017-11-28T18:00:00Z", "category": "SOFT DRINKS", "diversity": 0.3},
            ]
        }
    )
    user_id: Id | None = Field(None, description="an unknown user is answered from momentum and context")
    history: Listed[SeenItem] | None = Field(None, description="what an anonymous person did; takes the place of the user's own")
    at: Moment | None = Field(None, description="answer as of then; by default as of now, with everything up to this second")
    k: int = Field(10, ge=1, description="length of the list")
    exclude: Listed[Id] = Field(default_factory=list, description="items that are not wanted")
    items: Listed[Id] | None = Field(None, description="rank these only")
    category: Kind | None = Field(None, description="rank items of this category only")
    diversity: float = Field(0.0, ge=0, le=1, description="0: by score alone; 1: as unlike each other as can be")
    explain: bool = Field(False, description="say what taste, momentum, habit and context add to each score")


class BatchRequest(_Message):
    """Several requests at once."""

    requests: Listed[RecommendRequest] = Field(min_length=1)


class NewEvent(_Message):
    """Something that a user did with an item."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"event_id": "b7c1", "user_id": "1228", "item_id": "1082185", "event": "purchase", "value": 2}]
        }
    )
    event_id: Id | None = Field(None, description="chosen by the sender: an event that is sent twice counts once; else made here")
    user_id: Id
    item_id: Id
    timestamp: Moment | None = Field(None, description="by default now")
    event: Kind = Field("", description="kind of event, as in training")
    value: Annotated[float, Field(ge=-1e9, le=1e9)] = 1.0


class EventBatch(_Message):
    """Several events at once."""

    events: Listed[NewEvent] = Field(min_length=1)


def _how_many(body: Any) -> str:
    return "several" if isinstance(body, dict) and "events" in body else "one"


# told apart by the field, so that a fault is told of what was meant
Events = Annotated[Annotated[NewEvent, Tag("one")] | Annotated[EventBatch, Tag("several")], Discriminator(_how_many)]


def _a_path(text: str) -> str:
    if "\0" in text:
        raise ValueError("holds a NUL, which no path has")
    return _sound(text)


PathText = Annotated[str, AfterValidator(_a_path), Field(min_length=1, max_length=4096)]


class NewModel(_Message):
    """A bundle that shall answer from now on, or in the shadow."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"bundle": "/shared/runs/shop-2/bundle"}]})
    bundle: PathText = Field(description="bundle folder, as the service's machines see it")
    data: PathText | None = Field(None, description="data set directory in place of the bundle's own log")
    shadow: float = Field(0.0, ge=0, le=1, description="share of the requests that it answers unseen; 0: it takes over")


class Query(_Message):
    """What HTTP has in the URL, and gRPC in a message of its own."""

    in_path: ClassVar[str] = ""  # the field that is part of the path


class HistoryQuery(Query):
    """Whose history."""

    in_path = "user_id"
    user_id: PathId
    at: At = None
    limit: Limit = 50


class ForecastQuery(Query):
    """Of which item."""

    in_path = "item_id"
    item_id: PathId
    at: At = None


class SimilarQuery(Query):
    """Like which item."""

    in_path = "item_id"
    item_id: PathId
    k: Alike = 10
    at: At = None


class UsersQuery(Query):
    """Which users."""

    search: Search = ""
    limit: Limit = 20
