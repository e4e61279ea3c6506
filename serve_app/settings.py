"""Settings of a served system: one model, validated in one place, whatever starts it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, model_validator

from timerec.online.digest import FOLDER


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Scale(_Section):
    """How many replicas of one part run, and what one of them takes on; each part may have another default."""

    min_replicas: int = Field(1, ge=1, description="kept without traffic")
    max_replicas: int = Field(1, ge=1, description="started under load")
    target_ongoing_requests: float = Field(
        8,
        gt=0,
        description="calls in work a replica at which more are started; one to fusion or encoder brings up to 16 requests",
    )
    max_ongoing_requests: int = Field(64, ge=1, description="calls in work a replica at most; others wait")
    num_cpus: float = Field(0.5, ge=0, description="logical CPUs that Ray reserves for a replica")
    upscale_delay_s: float = Field(5, ge=0, description="seconds of load before replicas are added")
    downscale_delay_s: float = Field(60, ge=0, description="seconds without load before replicas are drained and ended")

    @model_validator(mode="after")
    def _ordered(self) -> Scale:
        if self.max_replicas < self.min_replicas:
            raise ValueError(f"max_replicas {self.max_replicas} is below min_replicas {self.min_replicas}")
        return self


class Limits(_Section):
    """What a request may ask for."""

    body_bytes: int = Field(1 << 20, ge=1024, description="size of a request's body")
    body_seconds: float = Field(10, gt=0, description="until a request's body is there; then 408")
    k: int = Field(200, ge=1, description="items of one answer")
    batch: int = Field(100, ge=1, description="requests of one batch")
    events: int = Field(1000, ge=1, description="events of one call")
    history: int = Field(500, ge=1, description="events of a history that comes with a request")
    items: int = Field(1000, ge=1, description="items of an allow-list or of an exclusion")
    late_days: int = Field(
        90, ge=1, description="age of an event at most; each is placed by its time, and what came after it anew"
    )
    in_flight: int = Field(256, ge=1, description="requests a gateway works on at once; more are answered with 503")
    per_key: float = Field(0, ge=0, description="requests a second of one API key; 0: no limit")


class Patience(_Section):
    """Seconds that one part waits for another."""

    encoder: float = Field(1.0, gt=0, description="then the answer lacks what the encoder says")
    forecaster: float = Field(1.0, gt=0, description="then the forecasts are those of an earlier step")
    store: float = Field(3.0, ge=0, description="for an event store that is away; then events are answered with 503")
    answer: float = Field(10.0, gt=0, description="then 504; a request may ask for less by the header X-Deadline-Ms")


class Settings(_Section):
    """A served system."""

    bundle: Path = Field(description="a run's bundle folder")
    data: Path | None = Field(None, description="data set directory whose log takes the place of the bundle's own")
    store: str = Field("events.db", description="event store: a path, sqlite:///PATH or redis://HOST:PORT/DB")
    folder: Path = Field(FOLDER, description="where bundles are unpacked, once a machine")
    clock: str = Field("wall", description="wall, log (starts at the end of the log) or an ISO time at which it starts")
    keys: Path | None = Field(None, description="file of API keys (`timerec serve-key`); without it nobody is asked for one")
    hosts: list[str] = Field(
        [], description="names by which it may be called without keys, beside those of this machine (localhost, 127.0.0.1, [::1])"
    )
    log_requests: bool = Field(True, description="keep what was answered in the store, for `timerec replay`")
    gateway: Scale = Scale(max_ongoing_requests=320)  # more than in_flight: the gateway itself says that it is full
    encoder: Scale = Scale(target_ongoing_requests=0.6)  # one at a time: busy for more than half of the time
    forecaster: Scale = Scale(num_cpus=0.25)
    fusion: Scale = Scale(target_ongoing_requests=1, num_cpus=1)
    limits: Limits = Limits()
    patience: Patience = Patience()

    @model_validator(mode="before")
    @classmethod
    def _on_top_of_the_defaults(cls, given: Any) -> Any:
        """Of a part that is given, what is not said stays as this part has it, not as all parts have it."""
        if not isinstance(given, dict):
            return given
        defaults = {name: field.default for name, field in cls.model_fields.items() if isinstance(field.default, Scale)}
        parts = {
            name: scale.model_dump(exclude_unset=True) | given[name]
            for name, scale in defaults.items()
            if isinstance(given.get(name), dict)
        }
        return {**given, **parts}
