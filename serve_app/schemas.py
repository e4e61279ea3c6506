"""Messages of the interface, over HTTP and gRPC."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, ClassVar

from fastapi import Header
from fastapi import Query as InQuery
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Discriminator, Field, Tag

LONGEST = 256  # characters of an identifier


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
    Field(min_length=1, max_length=LONGEST, description="text, or a whole number"),
]
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


class _Message(BaseModel):
    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)


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
    history: list[SeenItem] | None = Field(None, description="what an anonymous person did; takes the place of the user's own")
    at: Moment | None = Field(None, description="answer as of then; by default as of now, with everything up to this second")
    k: int = Field(10, ge=1, description="length of the list")
    exclude: list[Id] = Field(default_factory=list, description="items that are not wanted")
    items: list[Id] | None = Field(None, description="rank these only")
    category: Kind | None = Field(None, description="rank items of this category only")
    diversity: float = Field(0.0, ge=0, le=1, description="0: by score alone; 1: as unlike each other as can be")
    explain: bool = Field(False, description="say what taste, momentum, habit and context add to each score")


class BatchRequest(_Message):
    """Several requests at once."""

    requests: list[RecommendRequest] = Field(min_length=1)


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

    events: list[NewEvent] = Field(min_length=1)


def _how_many(body: Any) -> str:
    return "several" if isinstance(body, dict) and "events" in body else "one"


# told apart by the field, so that a fault is told of what was meant
Events = Annotated[Annotated[NewEvent, Tag("one")] | Annotated[EventBatch, Tag("several")], Discriminator(_how_many)]


class NewModel(_Message):
    """A bundle that shall answer from now on, or in the shadow."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"bundle": "/shared/runs/shop-2/bundle"}]})
    bundle: str = Field(min_length=1, max_length=4096, description="bundle folder, as the service's machines see it")
    data: str | None = Field(
        None, min_length=1, max_length=4096, description="data set directory in place of the bundle's own log"
    )
    shadow: float = Field(0.0, ge=0, le=1, description="share of the requests that it answers unseen; 0: it takes over")


class Query(_Message):
    """What HTTP has in the URL, and gRPC in a message of its own."""

    in_path: ClassVar[str] = ""  # the field that is part of the path


class HistoryQuery(Query):
    """Whose history."""

    in_path = "user_id"
    user_id: Id
    at: At = None
    limit: Limit = 50


class ForecastQuery(Query):
    """Of which item."""

    in_path = "item_id"
    item_id: Id
    at: At = None


class SimilarQuery(Query):
    """Like which item."""

    in_path = "item_id"
    item_id: Id
    k: Alike = 10
    at: At = None


class UsersQuery(Query):
    """Which users."""

    search: Search = ""
    limit: Limit = 20


class Item(BaseModel):
    """A place of a list."""

    rank: int
    item_id: str
    score: float
    title: str
    category: str
    parts: dict[str, float] | None = Field(None, description="baseline, taste, momentum, habit, context: they sum to the score")


class RecommendAnswer(BaseModel):
    """A list as of a moment."""

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

    answers: list[RecommendAnswer]


class StoredEvent(BaseModel):
    """An event that is on disk."""

    event_id: str
    seq: int = Field(description="place in the store")
    duplicate: bool = Field(description="the id was known: nothing was stored")


class EventAnswer(BaseModel):
    """Events that are on disk, in the order in which they were sent."""

    events: list[StoredEvent]


class ProblemDetails(BaseModel):
    """An error, after RFC 9457."""

    type: str
    title: str
    status: int
    detail: str
