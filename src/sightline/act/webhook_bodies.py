"""Webhooks of other houses: what an alert is in the words of Alertmanager, Slack and PagerDuty.

The address says whose: ``slack+https://…``. All else, from trying again to what is a secret, is
that of :class:`.WebhookOutlet`. A decision that was sent without an alert desk, and each message of
a desk, is first read as one :class:`Said`; an alert and what ends it have the same key there, so
that the receiver can lay one upon the other.
"""

from __future__ import annotations

import hashlib
import json
import urllib.parse
from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, ClassVar, Self

from sightline.act.outlet import Sayable, Taken
from sightline.act.webhook import WebhookOptions, WebhookOutlet
from sightline.errors import UsageError
from sightline.limits import Limits
from sightline.records.signals import NS_PER_S

_ENDS = frozenset({"over", "correction", "cleared"})
_SUMMARY_CHARS = 1024
"""Of a summary that PagerDuty takes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """What there is to say, whoever it is said to.

    Attributes:
        key: 32 hex digits: the same for an alert and what updates or ends it.
        text: one line.
        subject: what it is about; of a digest the pipeline.
        code: reason code; ``""`` where there are several.
        severity: critical, warning or info.
        is_over: whether it ends what was said under this key.
        began_ns, ended_ns: UTC ns; None where that is not known.
        plain: all of it.
    """

    key: str
    text: str
    subject: str
    code: str
    severity: str
    is_over: bool
    began_ns: int | None
    ended_ns: int | None
    plain: Mapping[str, Any]

    @classmethod
    def of(cls, said: Sayable) -> Self:
        """Of a decision, or of a message of an alert desk.

        >>> class Told:
        ...     def canonical_bytes(self):
        ...         return b'{"kind": "over", "text": "OVER a: HIGH", "subject": "a"}'
        >>> Said.of(Told()).is_over
        True
        """
        plain: dict[str, Any] = json.loads(said.canonical_bytes())
        is_decision = "decision_id" in plain
        reasons = plain.get("reasons") or [{}]
        kind = str(plain.get("transition" if is_decision else "kind", ""))
        code = str(reasons[0].get("code", "") if is_decision else plain.get("code", ""))
        subject = str(plain.get("subject") or plain.get("pipeline", ""))
        point = str(plain.get("kind", "")) if is_decision else code
        is_digest = kind == "digest"
        identity = [plain.get("pipeline", ""), subject, point]
        identity += [plain.get("notice_id", "")] if is_digest else []
        is_retracted = plain.get("status") == "retracted"
        is_over = kind in _ENDS or is_retracted
        at_ns = plain.get("event_ns" if is_decision else "at_ns")
        since_ns = plain.get("since_ns")
        return cls(
            key=hashlib.blake2b(json.dumps(identity).encode(), digest_size=16).hexdigest(),
            text=str(plain.get("text") or _decision_text(plain, reasons[0])),
            subject=subject,
            code=code,
            severity=str(plain.get("severity") or "warning"),
            is_over=is_over,
            began_ns=since_ns if since_ns is not None or is_over else at_ns,
            ended_ns=(plain.get("until_ns") or at_ns) if is_over else None,
            plain=plain,
        )


def _decision_text(plain: Mapping[str, Any], reason: Mapping[str, Any]) -> str:
    unit = "" if reason.get("unit") == "1" else f" {reason.get('unit', '')}"
    value, threshold = reason.get("value"), reason.get("threshold")
    measured = "" if value is None else f" {reason.get('measure')} {value:.4g}{unit}"
    beside = "" if threshold is None else f" (threshold {threshold:.4g}{unit})"
    head = f"{plain.get('transition', '')} {plain.get('subject', '')}: {reason.get('code', '')}"
    why = f"; why: sightline explain RUN {str(plain.get('decision_id'))[:8]}"
    return f"{head}{measured}{beside}{why}"


class TranslatedWebhook(WebhookOutlet):
    """A webhook that takes alerts in words of its own."""

    takes: ClassVar[tuple[Taken, ...]] = ("alerts",)
    usual_path: ClassVar[str] = "/"

    @classmethod
    def open(cls, location: str, *, name: str, options: Any, limits: Limits) -> Self:
        """An address with the prefix of whose it is."""
        del name, limits
        return cls(cls._address(location), options)

    @classmethod
    def shown(cls, location: str) -> str:
        """As a webhook, with the prefix."""
        prefix = location.partition("+")[0].lower()
        return f"{prefix}+{super().shown(cls._address(location))}"

    @classmethod
    def _address(cls, location: str) -> str:
        """The address without the prefix, with the usual path where it has none."""
        parts = urllib.parse.urlsplit(location.partition("+")[2])
        path = parts.path if parts.path not in ("", "/") else cls.usual_path
        return urllib.parse.urlunsplit(parts._replace(path=path))

    def body(self, said: Sayable) -> bytes:
        """The same in the receiver's words."""
        return json.dumps(self.translated(Said.of(said)), ensure_ascii=False).encode()

    @abstractmethod
    def translated(self, said: Said) -> Any:
        """JSON-ready."""


class SlackOutlet(TranslatedWebhook):
    """Slack's incoming webhooks, and whatever takes ``{"text": …}`` (Mattermost, Rocket.Chat)."""

    schemes: ClassVar[tuple[str, ...]] = ("slack+https", "slack+http")

    def translated(self, said: Said) -> Any:
        """One line of text, its three control characters escaped."""
        text = said.text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
        return {"text": text}


class AlertmanagerOutlet(TranslatedWebhook):
    """Prometheus Alertmanager, API v2; without a path it is ``/api/v2/alerts``."""

    schemes: ClassVar[tuple[str, ...]] = ("alertmanager+http", "alertmanager+https")
    usual_path: ClassVar[str] = "/api/v2/alerts"

    def translated(self, said: Said) -> Any:
        """A list of one alert; labels name the alarm point, so that the end finds its beginning."""
        times = {"startsAt": said.began_ns, "endsAt": said.ended_ns}
        labels = {
            "alertname": said.code or str(said.plain.get("kind", "alerts")),
            "subject": said.subject,
            "severity": said.severity,
            "pipeline": str(said.plain.get("pipeline", "")),
            "sightline": said.key,
        }
        return [
            {
                "labels": {name: value for name, value in labels.items() if value},
                "annotations": {"summary": said.text},
                **{name: _iso(at_ns) for name, at_ns in times.items() if at_ns is not None},
            }
        ]


class PagerDutyOutlet(TranslatedWebhook):
    """PagerDuty, Events API v2: ``pagerduty+https://ROUTING_KEY@events.pagerduty.com``."""

    schemes: ClassVar[tuple[str, ...]] = ("pagerduty+https", "pagerduty+http")
    usual_path: ClassVar[str] = "/v2/enqueue"

    def __init__(self, url: str, options: WebhookOptions = WebhookOptions()) -> None:
        parts = urllib.parse.urlsplit(url)
        if not parts.username:
            raise UsageError(
                expected="a routing key before the host: pagerduty+https://KEY@events.pagerduty.com",
                got="none",
                where="webhook",
                action="take it from the integration of the service",
            )
        self._routing_key = urllib.parse.unquote(parts.username)
        bare = parts._replace(netloc=parts.netloc.rpartition("@")[2])
        super().__init__(urllib.parse.urlunsplit(bare), options)

    def translated(self, said: Said) -> Any:
        """An event that triggers, or resolves what was triggered under the same key."""
        at_ns = said.ended_ns if said.is_over else said.began_ns
        return {
            "routing_key": self._routing_key,
            "event_action": "resolve" if said.is_over else "trigger",
            "dedup_key": said.key,
            "payload": {
                "summary": said.text[:_SUMMARY_CHARS],
                "source": said.subject or "sightline",
                "severity": said.severity,
                "class": said.code,
                **({} if at_ns is None else {"timestamp": _iso(at_ns)}),
                "custom_details": dict(said.plain),
            },
        }


def _iso(time_ns: int) -> str:
    seconds, rest_ns = divmod(time_ns, NS_PER_S)
    at = datetime.fromtimestamp(seconds, UTC)
    return f"{at:%Y-%m-%dT%H:%M:%S}.{rest_ns // 1_000_000:03d}Z"
