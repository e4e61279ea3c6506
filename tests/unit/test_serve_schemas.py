"""What requests take, and how much they say of what they do not."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from serve_app.schemas import BatchRequest, Events, NewModel, RecommendRequest

MANY = 20_000
UNKNOWN = {f"field {number}": 1 for number in range(MANY)}


@pytest.mark.parametrize(
    ("message", "body"),
    [
        (RecommendRequest, UNKNOWN),
        (RecommendRequest, {"items": [[]] * MANY}),
        (RecommendRequest, {"history": [{}] * MANY}),
        (BatchRequest, {"requests": [{"k": 0}] * MANY}),
        (BatchRequest, {"requests": [UNKNOWN]}),
        (Events, {"events": [{}] * MANY}),
        (Events, {"events": [UNKNOWN]}),
        (Events, UNKNOWN),
    ],
)
def test_of_many_faults_few_are_told(message: Any, body: Any) -> None:
    with pytest.raises(ValidationError) as caught:
        TypeAdapter(message).validate_python(body)
    assert len(caught.value.errors()) < 10


@pytest.mark.parametrize("path", ["a\0b", "\ud800", "", "x" * 5000])
def test_a_bundle_is_named_by_a_path(path: str) -> None:
    for body in ({"bundle": path}, {"bundle": "b", "data": path}):
        with pytest.raises(ValidationError):
            NewModel.model_validate(body)
