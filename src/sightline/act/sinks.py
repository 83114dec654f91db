"""Where alerts go: a webhook, or a file of JSON lines."""

from __future__ import annotations

import http.client
import json
import os
import urllib.parse
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

from sightline.errors import SinkError, UsageError
from sightline.records import Decision

_TAKEN = 409  # the receiver knows this key already: as good as delivered
_TOO_MANY = 429
_MAX_RETRY_AFTER_S = 300.0
_MAX_BODY_BYTES = 4096


class Sink(Protocol):
    """A receiver of alerts. The receiver makes each key take effect once."""

    def send(self, decision: Decision, *, idempotency_key: str) -> None:
        """Hand over one decision.

        Raises:
            DeliveryError: not taken; says whether trying again makes sense.
        """


class DeliveryError(SinkError):
    """An alert was not taken.

    Attributes:
        is_permanent: trying again cannot help.
        retry_after_s: what the receiver asked for; None where it did not.
    """

    is_permanent: bool = False
    retry_after_s: float | None = None


def _refused(
    where: str, got: str, *, is_permanent: bool = False, retry_after_s: float | None = None
) -> DeliveryError:
    error = DeliveryError(
        expected="the alert to be taken",
        got=got,
        where=where,
        action="mend the receiver; the alert stays in the outbox",
    )
    error.is_permanent = is_permanent
    error.retry_after_s = retry_after_s
    return error


class WebhookSink:
    """POSTs each decision as JSON with an ``Idempotency-Key`` header.

    Redirects are not followed: an alert must not end up at an address nobody configured.

    Args:
        url: http or https address of the receiver.
        timeout_s: time for connecting and for each read.
        headers: further headers, for example an authorisation; never printed.
    """

    def __init__(
        self, url: str, *, timeout_s: float, headers: Mapping[str, str] | None = None
    ) -> None:
        parts = urllib.parse.urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise UsageError(
                expected="an http or https address",
                got=parts.scheme or "none",
                where="webhook",
                action="mend the address",
            )
        self._secure = parts.scheme == "https"
        self._host, self._port = parts.hostname, parts.port
        self._target = urllib.parse.urlunsplit(("", "", parts.path or "/", parts.query, ""))
        self._timeout_s = timeout_s
        self._headers = dict(headers or {})
        # Address without user, password and query, which may carry secrets.
        port = f":{parts.port}" if parts.port else ""
        self._shown = f"{parts.scheme}://{parts.hostname}{port}{parts.path}"

    def __repr__(self) -> str:
        return f"WebhookSink({self._shown!r})"

    def send(self, decision: Decision, *, idempotency_key: str) -> None:
        kind = http.client.HTTPSConnection if self._secure else http.client.HTTPConnection
        connection = kind(self._host, self._port, timeout=self._timeout_s)
        try:
            connection.request(
                "POST",
                self._target,
                body=decision.canonical_bytes(),
                headers={
                    **self._headers,
                    "Content-Type": "application/json",
                    "Idempotency-Key": idempotency_key,
                },
            )
            response = connection.getresponse()
            response.read(_MAX_BODY_BYTES)
        except (OSError, http.client.HTTPException) as error:
            raise _refused(self._shown, type(error).__name__) from error
        finally:
            connection.close()
        status = response.status
        if 200 <= status < 300 or status == _TAKEN:
            return
        is_permanent = status < 500 and status not in (_TOO_MANY, 408)
        raise _refused(
            self._shown,
            f"HTTP {status}",
            is_permanent=is_permanent,
            retry_after_s=_retry_after_s(response.getheader("Retry-After")),
        )


def _retry_after_s(header: str | None) -> float | None:
    try:
        return min(max(float(header), 0.0), _MAX_RETRY_AFTER_S) if header else None
    except ValueError:
        return None  # a date: the usual back-off will do


class JsonLinesSink:
    """Appends each decision once to a file, one JSON document a line, forced to the disk.

    Args:
        path: the file; made if absent. A torn last line is cut when it is opened.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        self._keys: set[str] = set()
        if path.exists():
            self._recover()

    def _recover(self) -> None:
        data = self._path.read_bytes()
        end = data.rfind(b"\n") + 1
        if end < len(data):
            with self._path.open("r+b") as file:
                file.truncate(end)
        for line in data[:end].splitlines():
            try:
                plain = json.loads(line)
                self._keys.add(f"{plain['decision_id']}:{plain['revision']}")
            except (ValueError, KeyError, TypeError) as error:
                raise SinkError(
                    expected="a file of decisions, one JSON document a line",
                    got=line[:60].decode(errors="replace"),
                    where=str(self._path),
                    action="give another file",
                ) from error

    def send(self, decision: Decision, *, idempotency_key: str) -> None:
        if idempotency_key in self._keys:
            return
        try:
            with self._path.open("ab") as file:
                file.write(decision.canonical_bytes() + b"\n")
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise _refused(str(self._path), type(error).__name__) from error
        self._keys.add(idempotency_key)
