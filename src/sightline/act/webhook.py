"""The outlet that is a web server: one POST each, and no secret in any message."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import http.client
import re
import socket
import ssl
import threading
import time
import urllib.parse
from collections.abc import Iterator, Mapping
from email.message import Message
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Any, ClassVar, Self

from pydantic import Field, SecretStr

from sightline.act.outlet import DeliveryError, Outlet, OutletOptions, Sayable, Taken
from sightline.errors import UsageError
from sightline.limits import Limits

_RETRIED = frozenset(
    {HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_EARLY, HTTPStatus.TOO_MANY_REQUESTS}
)
_TARGET = re.compile(r"[!-~]*")  # printable ASCII without the space, as RFC 9112 demands
_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # a token of RFC 9110
_HEADER_VALUE = re.compile(r"[\t -~]*")
_LEAST_S = 0.001  # a socket's time-out of 0 would mean "do not wait", and fail at once


class WebhookOptions(OutletOptions):
    """Headers, and what a receiver may ask of us."""

    headers: dict[str, SecretStr] = Field(default_factory=dict)
    """Further headers, for example an authorization."""
    retry_after_cap_s: float = Field(default=300.0, ge=0, json_schema_extra={"unit": "s"})
    """Longest pause that a receiver may ask for; a longer ``Retry-After`` is cut to this."""
    response_bytes: int = Field(default=4096, ge=0, json_schema_extra={"unit": "bytes"})
    """Bytes of an answer that are read; the rest is not."""


class WebhookOutlet(Outlet):
    """POSTs JSON to a web server, with an ``Idempotency-Key`` header.

    2xx is taken. 409 says that the key took effect before, so it is taken too. 408, 425, 429, 5xx,
    an answer before the answer (103) and none in time are tried again. Everything else is
    permanent, redirects included: an alert goes to the address that was configured and to no
    other. The environment's proxy settings are not used. The deadline of a delivery holds for all
    of it: connecting (per network address of the host), encryption, and the whole exchange;
    looking up a name is the system's affair.

    Args:
        url: http or https address. User and password in it become basic authorization.
        options: headers, and what the receiver may ask of us.

    Raises:
        UsageError: an address or a header that cannot work. What was given is not repeated,
            because addresses and headers carry secrets.
    """

    schemes: ClassVar[tuple[str, ...]] = ("http", "https")
    takes: ClassVar[tuple[Taken, ...]] = ("alerts", "commands")
    options: ClassVar[type[OutletOptions]] = WebhookOptions
    attempts_at_once = 4

    def __init__(self, url: str, options: WebhookOptions = WebhookOptions()) -> None:
        parts = _parse(url)
        given = {name: value.get_secret_value() for name, value in options.headers.items()}
        _check_headers(given)
        self._tls = ssl.create_default_context() if parts.scheme == "https" else None
        self._host, self._port = parts.hostname or "", parts.port
        self._target = urllib.parse.urlunsplit(("", "", parts.path or "/", parts.query, ""))
        self._bounds = options
        self._headers = {**_basic_authorization(parts), **given}
        self._shown = _without_path(parts)

    @classmethod
    def open(cls, location: str, *, name: str, options: Any, limits: Limits) -> Self:
        """``http://…`` or ``https://…``."""
        return cls(location, options)

    @classmethod
    def shown(cls, location: str) -> str:
        """Scheme and host, and a digest of the rest: a chat service's path is its secret."""
        parts = _parse(location)
        rest = hashlib.blake2b(f"{parts.path}?{parts.query}".encode(), digest_size=4).hexdigest()
        bare = _without_path(parts)
        return bare if parts.path in ("", "/") and not parts.query else f"{bare}#{rest}"

    def __repr__(self) -> str:
        return f"WebhookOutlet({self._shown!r})"

    def send(self, said: Sayable, /, *, idempotency_key: str, deadline_s: float) -> None:
        """POST one thing.

        Raises:
            DeliveryError: the receiver did not take it.
        """
        status, answer = self._exchange(self.body(said), idempotency_key, max(deadline_s, _LEAST_S))
        is_taken = HTTPStatus.OK <= status < HTTPStatus.MULTIPLE_CHOICES
        if is_taken or status == HTTPStatus.CONFLICT:
            return
        is_refused = HTTPStatus.OK <= status < HTTPStatus.INTERNAL_SERVER_ERROR
        is_retried = status in _RETRIED or not is_refused
        raise DeliveryError(
            got=f"HTTP {status}",
            where=self._shown,
            is_permanent=not is_retried,
            retry_after_s=self._retry_after_s(answer) if is_retried else None,
        )

    def body(self, said: Sayable) -> bytes:
        """What is posted: canonical JSON."""
        return said.canonical_bytes()

    def _exchange(self, body: bytes, key: str, timeout_s: float) -> tuple[int, Message]:
        connection: http.client.HTTPConnection = (
            http.client.HTTPConnection(self._host, self._port, timeout=timeout_s)
            if self._tls is None
            else http.client.HTTPSConnection(
                self._host, self._port, timeout=timeout_s, context=self._tls
            )
        )
        headers = {**self._headers, "Content-Type": "application/json", "Idempotency-Key": key}
        until_s = time.monotonic() + timeout_s
        try:
            sock = socket.create_connection((connection.host, connection.port), timeout_s)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self._tls is not None:
                sock = self._tls.wrap_socket(
                    sock, server_hostname=self._host, do_handshake_on_connect=False
                )
            connection.sock = sock
            with _cut_after(sock, max(until_s - time.monotonic(), _LEAST_S)) as was_cut:
                if isinstance(sock, ssl.SSLSocket):
                    sock.do_handshake()
                connection.request("POST", self._target, body=body, headers=headers)
                response = connection.getresponse()
                if was_cut.is_set():  # http.client takes the end of the stream for the last header
                    raise TimeoutError
                # The status decides; the body is read only to end the exchange politely.
                with contextlib.suppress(OSError, http.client.HTTPException):
                    response.read(self._bounds.response_bytes)
            return response.status, response.headers
        except (OSError, http.client.HTTPException) as error:
            # Without the cause: it may repeat what the receiver sent, which may repeat our token.
            raise DeliveryError(got=_cause(error), where=self._shown, is_unreachable=True) from None
        finally:
            connection.close()

    def _retry_after_s(self, answer: Message) -> float | None:
        """Seconds, or a date counted from the receiver's own ``Date``, so that no clock is read."""
        text = (answer.get("Retry-After") or "").strip()
        try:
            if text.isascii() and text.isdigit():
                asked_s = float(int(text))
            else:
                until = parsedate_to_datetime(text)
                asked_s = (until - parsedate_to_datetime(answer.get("Date", ""))).total_seconds()
        except (ValueError, TypeError, OverflowError):
            return None
        return min(max(asked_s, 0.0), self._bounds.retry_after_cap_s)


@contextlib.contextmanager
def _cut_after(sock: socket.socket, timeout_s: float) -> Iterator[threading.Event]:
    """Bound the whole exchange: a socket's own time-out begins anew with each byte."""
    was_cut = threading.Event()

    def cut() -> None:
        was_cut.set()
        with contextlib.suppress(OSError):
            # Past SSLSocket.shutdown, which must not run beside a read in another thread.
            socket.socket.shutdown(sock, socket.SHUT_RDWR)

    timer = threading.Timer(timeout_s, cut)
    timer.daemon = True
    timer.start()
    try:
        yield was_cut
    finally:
        timer.cancel()
        timer.join()


def _parse(url: str) -> urllib.parse.SplitResult:
    try:
        parts = urllib.parse.urlsplit(url)
        is_usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        raise _unusable("an http or https address", "an unreadable one") from None
    if not is_usable:
        raise _unusable("an http or https address", "something else")
    if not _TARGET.fullmatch(url):
        raise _unusable("an address in ASCII, other characters as %XX", "other characters")
    if parts.fragment:
        raise _unusable("an address without #…, which is never sent", "one with")
    return parts


def _without_path(parts: urllib.parse.SplitResult) -> str:
    """Scheme, host and port. No path either: for many chat services the path is the secret."""
    name = parts.hostname or ""
    host = f"[{name}]" if ":" in name else name
    return f"{parts.scheme}://{host}" + (f":{parts.port}" if parts.port else "")


def _check_headers(headers: Mapping[str, str]) -> None:
    for name, value in headers.items():
        if not _HEADER_NAME.fullmatch(name) or not _HEADER_VALUE.fullmatch(value):
            raise _unusable("headers of one line in ASCII", "a header with other characters")


def _basic_authorization(parts: urllib.parse.SplitResult) -> dict[str, str]:
    if parts.username is None:
        return {}
    pair = f"{parts.username}:{parts.password or ''}"
    token = base64.b64encode(urllib.parse.unquote_to_bytes(pair)).decode()
    return {"Authorization": f"Basic {token}"}


def _unusable(expected: str, got: str) -> UsageError:
    return UsageError(expected=expected, got=got, where="webhook", action="mend the address")


def _cause(error: Exception) -> str:
    if isinstance(error, TimeoutError | http.client.RemoteDisconnected):
        return "no answer in time" if isinstance(error, TimeoutError) else "no answer"
    detail = getattr(error, "strerror", None)
    return f"{type(error).__name__}: {detail}" if detail else type(error).__name__
