"""Which models a service holds: what all its processes agree on, kept as a note in the store."""

from __future__ import annotations

import json
import uuid
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

from timerec.online.digest import digest_of
from timerec.store.base import EventStore

NOTE = "models"


@dataclass(frozen=True)
class Model:
    """A bundle, the data beside it, and the digest by which the parts of the service call it."""

    bundle: str
    data: str | None
    digest: str

    @classmethod
    def at(cls, bundle: Path, data: Path | None = None) -> Model:
        """The model of a bundle folder; it is not opened.

        Raises:
            DataError: there is no bundle.
        """
        return cls(str(bundle.absolute()), str(data.absolute()) if data else None, digest_of(bundle, data))


class Missing(NamedTuple):
    """The answer of a replica that does not hold a model (yet)."""

    model: str


class Failed(NamedTuple):
    """The answer of a replica that could not compute one; its log says why."""

    reason: str


@dataclass(frozen=True)
class Models:
    """The models of a service.

    Attributes:
        active: answers.
        previous: answered before, and is kept for the way back and for replicas that are not as far.
        coming: is being loaded and checked.
        shadow: answers beside the active one for a share of the requests, and nobody sees it.
        share: of the requests that the shadow answers, too.
    """

    active: Model
    previous: Model | None = None
    coming: Model | None = None
    shadow: Model | None = None
    share: float = 0.0

    def wanted(self) -> list[Model]:
        """Every model that a replica shall hold, the active one first, each once."""
        found = {model.digest: model for model in (self.active, self.previous, self.coming, self.shadow) if model}
        return list(found.values())

    def note(self, configured: Model) -> str:
        """What tells all processes of the service that was started with the model `configured`; no two notes are alike."""
        return json.dumps({**asdict(self), "configured": configured.digest, "id": uuid.uuid4().hex})


def read_models(store: EventStore, configured: Model) -> Models:
    """What the store says, or the configured model alone where it says nothing.

    What was agreed in a service that was started with another model is over.
    """
    return models_of(store.noted(NOTE), configured)


def models_of(note: str | None, configured: Model) -> Models:
    """The models of a note, see `read_models`."""
    told: dict[str, Any] = json.loads(note or "{}")
    if told.get("configured") != configured.digest:
        return Models(configured)
    previous, coming, shadow = (Model(**told[name]) if told[name] else None for name in ("previous", "coming", "shadow"))
    return Models(Model(**told["active"]), previous, coming, shadow, told["share"])
