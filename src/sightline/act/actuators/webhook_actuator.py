"""Commands to a web server: one POST per command."""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

from sightline.act.webhook import WebhookSink
from sightline.records import Decision
from sightline.records.command import ActuatorCommand


class WebhookActuator:
    """POSTs the canonical bytes of each command with an ``Idempotency-Key`` header.

    Answers mean what they mean to :class:`.WebhookSink`.

    Args:
        url: http or https address. User and password in it become basic authorization.
        timeout_s: for connecting, and again for the whole exchange after that.
        headers: further headers, for example an authorization.

    Raises:
        UsageError: an address, a header or a time-out that cannot work; not repeated.
    """

    def __init__(
        self, url: str, *, timeout_s: float, headers: Mapping[str, str] | None = None
    ) -> None:
        self._sink = WebhookSink(url, timeout_s=timeout_s, headers=headers)

    def __repr__(self) -> str:
        return repr(self._sink).replace("WebhookSink", "WebhookActuator")

    def send(self, command: ActuatorCommand) -> None:
        """POST one command.

        Raises:
            DeliveryError: the receiver did not take it.
        """
        # Of what it sends, the sink reads nothing but the canonical bytes.
        self._sink.send(cast(Decision, command), idempotency_key=command.idempotency_key)

    def close(self) -> None:
        """Nothing is held open."""
