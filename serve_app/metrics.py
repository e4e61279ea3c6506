"""Counts and latencies of one gateway, for Prometheus."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

BUCKETS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10)


class Metrics:
    """The metrics of a gateway replica; each replica tells its own."""

    def __init__(self, replica: str) -> None:
        self._registry = CollectorRegistry()
        own: dict[str, Any] = {"registry": self._registry}
        Gauge("timerec_gateway_info", "Which gateway replica tells this", ["replica"], **own).labels(replica).set(1)
        self._requests = Counter("timerec_http_requests", "HTTP requests", ["method", "route", "status"], **own)
        self._seconds = Histogram("timerec_http_seconds", "Seconds until an HTTP answer", ["route"], buckets=BUCKETS, **own)
        self._calls = Counter("timerec_grpc_requests", "gRPC requests", ["method", "code"], **own)
        self._call_seconds = Histogram("timerec_grpc_seconds", "Seconds until a gRPC answer", ["method"], buckets=BUCKETS, **own)
        self._answers = Histogram("timerec_recommend_seconds", "Seconds of one recommendation", buckets=BUCKETS, **own)
        self._degraded = Counter("timerec_degraded", "Answers that lack what one part says", ["part"], **own)
        shares = [place / 10 for place in range(11)]
        self._overlap = Histogram("timerec_shadow_overlap", "Share of a list that the shadow agrees on", buckets=shares, **own)
        self._unanswered = Counter("timerec_shadow_failures", "Requests that the shadow did not answer", **own)
        self._events = Counter("timerec_events", "Events received", ["outcome"], **own)

    def request(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count an HTTP answer."""
        known = method if method in {"GET", "POST", "PUT", "DELETE", "HEAD", "OPTIONS", "PATCH"} else "other"
        self._requests.labels(known, route, str(status)).inc()
        self._seconds.labels(route).observe(seconds)

    def call(self, method: str, code: str, seconds: float) -> None:
        """Count a gRPC answer."""
        self._calls.labels(method, code).inc()
        self._call_seconds.labels(method).observe(seconds)

    def answered(self, seconds: float, degraded: Iterable[str]) -> None:
        """Count a recommendation."""
        self._answers.observe(seconds)
        for part in degraded:
            self._degraded.labels(part).inc()

    def events(self, received: int, duplicates: int) -> None:
        """Count events that are on disk."""
        self._events.labels("stored").inc(received - duplicates)
        self._events.labels("duplicate").inc(duplicates)

    def shadow(self, agreed: float | None) -> None:
        """Count an answer of the shadow, by the share of its list that the active model has, too; None where it failed."""
        if agreed is None:
            self._unanswered.inc()
        else:
            self._overlap.observe(agreed)

    def text(self) -> bytes:
        """Everything in Prometheus' text format."""
        return generate_latest(self._registry)
