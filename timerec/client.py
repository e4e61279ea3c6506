"""A client of the service: one connection pool, retries where repeating is safe, problems as exceptions."""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote, urlencode

import urllib3
from urllib3.util import Retry

# 500 is also what Serve's proxy answers for a gateway that died with the request in work
BUSY = (429, 500, 502, 503, 504)


class ServiceError(Exception):
    """The service answered with a problem, or not at all."""

    def __init__(self, status: int | None, detail: str) -> None:
        """What went wrong; `status` is None where there was no answer."""
        super().__init__(f"{status}: {detail}" if status else detail)
        self.status, self.detail = status, detail


class Client:
    """Talks to one service; threads may share it.

    Every call may be repeated safely: questions change nothing, and events get their id before they are first sent.
    """

    def __init__(self, url: str = "http://127.0.0.1:8000", *, key: str = "", timeout: float = 10.0, retries: int = 4) -> None:
        """A client of the service at `url`.

        Args:
            key: API key, where the service wants one.
            timeout: seconds for one try.
            retries: further tries after no answer, or one that says busy; with growing pauses, or as long as it asks for.
        """
        self._url, self._timeout = url.rstrip("/"), timeout
        self._headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {key}"} if key else {})
        again = Retry(
            retries, status_forcelist=BUSY, allowed_methods=None, backoff_factor=0.1, backoff_jitter=0.1, raise_on_status=False
        )
        self._pool = urllib3.PoolManager(maxsize=32, retries=again)

    def recommend(self, user_id: Any = None, **wanted: Any) -> dict[str, Any]:
        """A list for one person; `wanted` are the fields of POST /v1/recommend: at, k, history, exclude, items, category, …"""
        return self._send("POST", "/v1/recommend", {"user_id": user_id, **wanted})

    def recommend_batch(self, requests: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        """Lists for several requests, in their order."""
        answers: list[dict[str, Any]] = self._send("POST", "/v1/recommend:batch", {"requests": list(requests)})["answers"]
        return answers

    def events(self, events: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        """Tell what happened; on disk when it returns. Events without an `event_id` get one."""
        named = [{**event, "event_id": event.get("event_id") or uuid.uuid4().hex} for event in events]
        stored: list[dict[str, Any]] = self._send("POST", "/v1/events", {"events": named})["events"]
        return stored

    def forecast(self, item_id: Any, at: Any = None) -> dict[str, Any]:
        """Series and forecast of an item."""
        return self._send("GET", _path("/v1/items/{}/forecast", item_id, at=at))

    def history(self, user_id: Any, at: Any = None, limit: int = 50) -> dict[str, Any]:
        """A user's latest events, the newest first."""
        return self._send("GET", _path("/v1/users/{}/history", user_id, at=at, limit=limit))

    def similar(self, item_id: Any, k: int = 10, at: Any = None) -> list[dict[str, Any]]:
        """Items like an item."""
        found: list[dict[str, Any]] = self._send("GET", _path("/v1/similar/{}", item_id, k=k, at=at))["items"]
        return found

    def models(self) -> dict[str, Any]:
        """Which models answer."""
        return self._send("GET", "/v1/models")

    def change_model(self, bundle: str, *, shadow: float = 0.0, seconds: float = 600.0) -> dict[str, Any]:
        """Answer with another bundle, or let it answer a share of the requests unseen; not repeated."""
        return self._send("POST", "/v1/models", {"bundle": bundle, "shadow": shadow}, retries=False, timeout=seconds)

    def _send(self, method: str, path: str, body: Any = None, **options: Any) -> dict[str, Any]:
        data = None if body is None else json.dumps(body).encode()
        options = {"timeout": self._timeout, **options}
        try:
            answer = self._pool.request(method, self._url + path, body=data, headers=self._headers, **options)
        except urllib3.exceptions.HTTPError as error:
            raise ServiceError(None, f"{self._url} does not answer ({type(error).__name__})") from error
        try:
            told = json.loads(answer.data)
        except ValueError:
            raise ServiceError(answer.status, "the answer is no JSON: is this a timerec service?") from None
        if answer.status >= 400:
            raise ServiceError(answer.status, str(told.get("detail", told)))
        found: dict[str, Any] = told
        return found


def _path(form: str, name: Any, **query: Any) -> str:
    given = {key: value for key, value in query.items() if value is not None}
    return form.format(quote(str(name), safe="")) + (f"?{urlencode(given)}" if given else "")
