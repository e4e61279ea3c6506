"""Reaching a Redis server, and seeing that what it acknowledges is on its disk."""

from __future__ import annotations

import math
import re
import time
from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from timerec.schema import DataError
from timerec.store.base import StoreUnavailable

PAUSES = (0.05, 0.2, 0.5)  # seconds before each further try
_ANSWER_SECONDS, _CONNECT_SECONDS = 10.0, 2.0  # of one try
_PREFIX = re.compile(r"[\w.-]{1,64}", re.ASCII)
_REFUSED = (redis.AuthenticationError, redis.exceptions.AuthorizationError, redis.exceptions.NoPermissionError)
_TLS = ("ssl_ca_certs", "ssl_cert_reqs", "ssl_certfile", "ssl_keyfile", "ssl_check_hostname")  # what rediss:// may need
_Found = TypeVar("_Found")


class Address(NamedTuple):
    """Where a store is in Redis."""

    url: str  # for the client, with password
    label: str  # for messages, without
    prefix: str  # of all keys


def parse(url: str) -> Address:
    """Take a store's URL apart: `redis://[user:password@]host:port/db?prefix=shop`.

    Raises:
        DataError: it is no such URL.
    """
    try:
        parts = urlsplit(url)
        label = f"{parts.scheme}://{parts.hostname or 'localhost'}:{parts.port or 6379}{parts.path}"
    except ValueError:
        raise DataError("store redis://…: the host or port cannot be read: give redis://HOST:PORT/DB?prefix=NAME") from None
    if not re.fullmatch(r"(/\d*)?", parts.path):
        raise DataError(f"store {label}: the database is a number: give redis://HOST:PORT/DB?prefix=NAME")
    options = dict(parse_qsl(parts.query, keep_blank_values=True))
    prefix = options.pop("prefix", "timerec")
    if not _PREFIX.fullmatch(prefix):
        raise DataError(f"store {label}: prefix {prefix[:80]!r} is not 1 to 64 of letters, digits, _ . -: choose another")
    unknown = [name for name in options if name not in _TLS]
    if unknown:
        raise DataError(f"store {label}: option {unknown[0]!r} is unknown: give prefix, or for rediss:// {', '.join(_TLS)}")
    return Address(urlunsplit(parts._replace(query=urlencode(options))), label, prefix)


class Server:
    """A Redis server behind a pool of connections, each of which has shown that the server's acknowledgements are durable."""

    def __init__(self, address: Address, seconds: float = math.inf) -> None:
        """Reach the server at `address`; after so many seconds no call is tried again."""
        self.label = address.label
        self._seconds, self._closed = seconds, False
        self.client: Any = redis.Redis.from_url(  # Any: its hints cover all protocols and response callbacks at once
            address.url, protocol=2, socket_timeout=min(seconds, _ANSWER_SECONDS),
            socket_connect_timeout=min(seconds, _CONNECT_SECONDS), retry=Retry(NoBackoff(), 0), redis_connect_func=self._greet,
        )  # fmt: skip

    def call(self, command: Callable[[], _Found]) -> _Found:
        """What the command answers, asked again where the server cannot be reached; it must bear being repeated.

        Raises:
            DataError: the server refuses the password, or is not set up to keep what it acknowledges.
            StoreUnavailable: it cannot be reached, or cannot do it now.
        """
        until = time.monotonic() + self._seconds
        for pause in (*PAUSES, None):
            if self._closed:
                raise StoreUnavailable(f"{self.label}: the event store is closed: open it again")
            try:
                return command()
            except _REFUSED as error:
                raise DataError(f"store {self.label}: refused ({error}): give user and password in the URL") from None
            except (redis.ConnectionError, redis.TimeoutError) as error:
                if pause is None or time.monotonic() + pause > until:
                    raise StoreUnavailable(f"{self.label}: cannot be reached ({error})") from error
                time.sleep(pause)
            except redis.exceptions.OutOfMemoryError as error:
                raise StoreUnavailable(
                    f"{self.label}: the server is full: raise maxmemory or run `timerec store compact`"
                ) from error
            except redis.ResponseError as error:
                if "WRONGTYPE" in str(error):
                    raise DataError(
                        f"store {self.label}: keys of this prefix are of something else: choose another prefix"
                    ) from None
                raise StoreUnavailable(f"{self.label}: {error}") from error
        raise AssertionError  # the last try returns or raises

    def close(self) -> None:
        """Let go of all connections."""
        self._closed = True
        self.client.close()

    def _greet(self, connection: Any) -> None:
        """Begin a connection. The settings are read anew each time: a restarted server may have others."""
        connection.on_connect()
        try:
            settings = _settings(connection, "*append*") | _settings(connection, "maxmemory*")
        except redis.ResponseError as error:
            if str(error).startswith("LOADING"):
                raise
            connection.disconnect()
            raise DataError(
                f"store {self.label}: the server does not tell its settings ({error}): allow the command CONFIG GET to this user"
            ) from None
        fault = _not_durable(settings)
        if fault:
            connection.disconnect()
            raise DataError(f"store {self.label}: {fault}")


def _settings(connection: Any, pattern: str) -> dict[str, str]:
    connection.send_command("CONFIG", "GET", pattern)
    flat = [word.decode() for word in connection.read_response()]
    return dict(zip(flat[::2], flat[1::2], strict=True))


def _not_durable(settings: dict[str, str]) -> str | None:
    """Why an acknowledged event could be lost."""
    for name, wanted in (("appendonly", "yes"), ("appendfsync", "always"), ("no-appendfsync-on-rewrite", "no")):
        if settings.get(name) != wanted:
            return (
                f"{name} is {settings.get(name)}, so an acknowledged event could be lost: "
                f"set `{name} {wanted}` in redis.conf, or `CONFIG SET {name} {wanted}` and `CONFIG REWRITE`"
            )
    if settings.get("maxmemory", "0") != "0" and settings.get("maxmemory-policy", "").startswith("allkeys"):
        return (
            f"maxmemory-policy is {settings['maxmemory-policy']}, so events could be evicted: "
            "set `maxmemory-policy noeviction` in redis.conf"
        )
    return None
