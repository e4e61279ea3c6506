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
        self._replica = replica  # a label of all: whoever asks through the proxy meets one gateway or another
        own: dict[str, Any] = {"registry": self._registry}
        Gauge("timerec_gateway_info", "Which gateway replica tells this", ["replica"], **own).labels(replica).set(1)
        self._requests = Counter("timerec_http_requests", "HTTP requests", ["replica", "method", "route", "status"], **own)
        self._seconds = Histogram(
            "timerec_http_seconds", "Seconds until an HTTP answer", ["replica", "route"], buckets=BUCKETS, **own
        )
        self._calls = Counter("timerec_grpc_requests", "gRPC requests", ["replica", "method", "code"], **own)
        self._call_seconds = Histogram(
            "timerec_grpc_seconds", "Seconds until a gRPC answer", ["replica", "method"], buckets=BUCKETS, **own
        )
        self._answers = Histogram(
            "timerec_recommend_seconds", "Seconds of one recommendation", ["replica"], buckets=BUCKETS, **own
        )
        self._degraded = Counter("timerec_degraded", "Answers that lack what one part says", ["replica", "part"], **own)
        shares = [place / 10 for place in range(11)]
        self._overlap = Histogram(
            "timerec_shadow_overlap", "Share of a list that the shadow agrees on", ["replica"], buckets=shares, **own
        )
        self._unanswered = Counter("timerec_shadow_failures", "Requests that the shadow did not answer", ["replica"], **own)
        self._events = Counter("timerec_events", "Events received", ["replica", "outcome"], **own)
        self._dropped = Counter("timerec_answers_not_kept", "Answers that cannot be replayed", ["replica"], **own)

    def request(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count an HTTP answer."""
        known = method if method in {"GET", "POST", "PUT", "DELETE", "HEAD", "OPTIONS", "PATCH"} else "other"
        self._requests.labels(self._replica, known, route, str(status)).inc()
        self._seconds.labels(self._replica, route).observe(seconds)

    def call(self, method: str, code: str, seconds: float) -> None:
        """Count a gRPC answer."""
        self._calls.labels(self._replica, method, code).inc()
        self._call_seconds.labels(self._replica, method).observe(seconds)

    def answered(self, seconds: float, degraded: Iterable[str]) -> None:
        """Count a recommendation."""
        self._answers.labels(self._replica).observe(seconds)
        for part in degraded:
            self._degraded.labels(self._replica, part).inc()

    def events(self, received: int, duplicates: int) -> None:
        """Count events that are on disk."""
        self._events.labels(self._replica, "stored").inc(received - duplicates)
        self._events.labels(self._replica, "duplicate").inc(duplicates)

    def dropped(self, count: int) -> None:
        """Count answers that were not kept for replay, since the store was away for too long."""
        self._dropped.labels(self._replica).inc(count)

    def shadow(self, agreed: float | None) -> None:
        """Count an answer of the shadow, by the share of its list that the active model has, too; None where it failed."""
        if agreed is None:
            self._unanswered.labels(self._replica).inc()
        else:
            self._overlap.labels(self._replica).observe(agreed)

    def text(self) -> bytes:
        """Everything in Prometheus' text format."""
        return generate_latest(self._registry)
