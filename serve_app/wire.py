"""From protobuf messages to the requests that HTTP has: the same validation, the same sentences."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

from google.protobuf.message import Message
from pydantic import TypeAdapter, ValidationError

from serve_app import timerec_pb2 as pb
from serve_app.problems import invalid
from serve_app.schemas import Deadline, Query

DEADLINE = "x-deadline-ms"


def request(kind: Any, message: Message) -> Any:
    """The request of type `kind` that a message is.

    Raises:
        Problem: it is none; the sentence names the field as HTTP does.
    """
    told = fields(message)
    query = isinstance(kind, type) and issubclass(kind, Query)
    if query and "at" in told:
        told["at"] = str(told["at"])  # in a URL it is text
    try:
        return _adapter(kind).validate_python(told)
    except ValidationError as error:
        raise invalid([{**fault, "loc": _place(kind, fault["loc"])} for fault in error.errors()]) from None


def deadline(metadata: Mapping[str, str]) -> float | None:
    """Milliseconds after which nobody waits, where the caller says so.

    Raises:
        Problem: it is no number above 0.
    """
    try:
        found: float | None = _adapter(Deadline).validate_python(metadata.get(DEADLINE))
    except ValidationError as error:
        raise invalid([{**fault, "loc": ("header", "X-Deadline-Ms")} for fault in error.errors()]) from None
    return found


def fields(message: Message) -> dict[str, Any]:
    """What a message says, by the names of its fields; what was not given is left out, where that can be told.

    >>> fields(pb.RecommendRequest(at=pb.Moment(iso="2017-11-28"), items=pb.ItemIds()))
    {'at': '2017-11-28', 'exclude': [], 'items': [], 'diversity': 0.0, 'explain': False}
    """
    given = (field for field in message.DESCRIPTOR.fields if not field.has_presence or message.HasField(field.name))
    return {field.name: _plain(getattr(message, field.name)) for field in given}


def _plain(value: Any) -> Any:
    if isinstance(value, (str, bool, int, float)):
        return value
    if isinstance(value, pb.Moment):
        return value.seconds if value.WhichOneof("moment") == "seconds" else value.iso
    if isinstance(value, pb.ItemIds):
        return list(value.item_ids)
    if isinstance(value, pb.SeenItems):
        return _plain(value.events)
    return fields(value) if isinstance(value, Message) else [_plain(one) for one in value]


def _place(kind: Any, field: tuple[Any, ...]) -> tuple[Any, ...]:
    """Where HTTP has a field."""
    if not (isinstance(kind, type) and issubclass(kind, Query)):
        return ("body", *field)
    return ("path" if field[:1] == (kind.in_path,) else "query", *field)


@cache
def _adapter(kind: Any) -> TypeAdapter[Any]:
    return TypeAdapter(kind)
