"""What an alert desk said, as the ledger keeps it and sinks send it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """One message for the operator.

    Attributes:
        notice_id: 32 hex digits, a hash of what it says: its idempotency key.
        message_id: name within the desk, ``desk-7``; updates and corrections refer to it.
        kind: alert, group, update, digest or correction.
        at_ns: when it was said, UTC ns of event time.
        subject: what it is about; ``""`` of a digest.
        code: reason code; ``""`` where there are several.
        severity: the worst of what it holds.
        count: alerts it stands for.
        update_of: ``message_id`` of what it updates or corrects; ``""`` where it does not.
        canonical: the JSON that is sent.
    """

    notice_id: str
    message_id: str
    kind: str
    at_ns: int
    subject: str
    code: str
    severity: str
    count: int
    update_of: str
    canonical: str

    @classmethod
    def from_mapping(cls, plain: Mapping[str, Any]) -> Self:
        """From a message with its ``notice_id``.

        Raises:
            KeyError, TypeError, ValueError: if ``plain`` is none.
        """
        names = ("notice_id", "message_id", "kind", "subject", "code", "severity", "update_of")
        text = json.dumps(plain, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        return cls(
            **{name: str(plain[name]) for name in names},
            at_ns=int(plain["at_ns"]),
            count=int(plain["count"]),
            canonical=text,
        )

    def canonical_bytes(self) -> bytes:
        """What is sent: UTF-8 JSON with sorted keys."""
        return self.canonical.encode()

    def as_mapping(self) -> dict[str, Any]:
        """Everything it says."""
        plain: dict[str, Any] = json.loads(self.canonical)
        return plain


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What an alert desk said in one log entry.

    Attributes:
        notices: messages, in order.
        dispositions: what became of alerts, in order: ``alert_id``, ``fate``, ``before``,
            ``cause``, ``reason``, ``held_by``, ``at_ns``.
    """

    notices: tuple[Notice, ...]
    dispositions: tuple[Mapping[str, Any], ...]
