"""What an alert desk did in one epoch: one entry of the fan-in's log.

Messages for the operator, what became of alerts, changes of life cycles, actions that could not be
done, and the sums after it, in JSON: the bytes that a replay reproduces.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sightline.decide.alerting import AlertingState, OperatorAction, StateChange
from sightline.decide.alerting.alert import Disposition, Message, MessageKind
from sightline.errors import LogError
from sightline.records.plain_json import canonical_json
from sightline.records.signals import NS_PER_S

_NAMED_IN_TEXT = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertingSaid:
    """What was said in one epoch.

    Attributes:
        epoch: number of the epoch.
        at_ns: time the desk has reached, UTC ns of event time.
        messages: JSON-ready, each with ``notice_id``, 32 hex digits, and ``text`` for people.
        dispositions: JSON-ready.
        changes: of life cycles, JSON-ready.
        refused: actions with ``cause``, JSON-ready.
        fates: alerts raised so far by where they are after it.
        message_counts: messages said so far by kind.
        is_storm: whether messages go into a digest after it.
    """

    epoch: int
    at_ns: int
    messages: tuple[Mapping[str, Any], ...]
    dispositions: tuple[Mapping[str, Any], ...]
    changes: tuple[Mapping[str, Any], ...]
    refused: tuple[Mapping[str, Any], ...]
    fates: Mapping[str, int]
    message_counts: Mapping[str, int]
    is_storm: bool

    def check(self) -> None:
        """Raise TypeError where a member is not of the form that all who read it count on."""
        for many in (self.messages, self.dispositions, self.changes, self.refused):
            if not all(isinstance(one, Mapping) for one in many):
                raise TypeError("a list of something else than mappings")
        for sums in (self.fates, self.message_counts):
            if not isinstance(sums, Mapping) or any(type(n) is not int for n in sums.values()):
                raise TypeError("sums that are no whole numbers by name")

    @property
    def raised(self) -> int:
        """Alerts raised so far: the sum over all fates."""
        return sum(self.fates.values())

    def to_bytes(self) -> bytes:
        """Canonical JSON, UTF-8."""
        return canonical_json(
            {
                "epoch": self.epoch,
                "at_ns": self.at_ns,
                "messages": self.messages,
                "dispositions": self.dispositions,
                "changes": self.changes,
                "refused": self.refused,
                "fates": dict(self.fates),
                "message_counts": dict(self.message_counts),
                "is_storm": self.is_storm,
            }
        )

    @classmethod
    def from_bytes(cls, payload: bytes) -> AlertingSaid:
        """Inverse of :meth:`to_bytes`.

        Raises:
            LogError: the payload cannot be read as such an entry.
        """
        try:
            plain = json.loads(payload)
            found = cls(
                epoch=int(plain["epoch"]),
                at_ns=int(plain["at_ns"]),
                messages=tuple(plain["messages"]),
                dispositions=tuple(plain["dispositions"]),
                changes=tuple(plain["changes"]),
                refused=tuple(plain["refused"]),
                fates=plain["fates"],
                message_counts=plain["message_counts"],
                is_storm=bool(plain["is_storm"]),
            )
            found.check()
            return found
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise LogError(
                expected="what an alert desk said",
                got=f"{len(payload)} bytes that are not ({error})",
                where="log entry of kind alerting",
                action="run `sightline verify` on the run",
            ) from error


def said_of(
    state: AlertingState,
    *,
    epoch: int,
    pipeline: str,
    messages: Iterable[Message],
    dispositions: Iterable[Disposition],
    changes: Iterable[StateChange],
    refused: Iterable[tuple[OperatorAction, str]],
    message_counts: Mapping[str, int],
) -> AlertingSaid:
    """The entry for one step of the desk; ``state`` is the state after it."""
    assert state.through_ns is not None
    return AlertingSaid(
        epoch=epoch,
        at_ns=state.through_ns,
        messages=tuple(_notice(message, pipeline) for message in messages),
        dispositions=tuple(d.as_mapping() for d in dispositions),
        changes=tuple(c.as_mapping() for c in changes),
        refused=tuple({**a.as_mapping(), "cause": cause} for a, cause in refused),
        fates={str(fate): n for fate, n in sorted(state.counts.items()) if n},
        message_counts=dict(sorted(message_counts.items())),
        is_storm=state.storm.is_storm,
    )


def _notice(message: Message, pipeline: str) -> dict[str, Any]:
    """A message as it is stored and sent; equal in equal runs of one pipeline."""
    plain = {**message.as_mapping(), "pipeline": pipeline, "text": message_text(message)}
    digest = hashlib.blake2b(canonical_json(plain), digest_size=16).hexdigest()
    return {"notice_id": digest, **plain}


def message_text(message: Message) -> str:
    """A message in one line, for people.

    >>> from sightline.records.decision import Severity
    >>> message_text(Message(message_id="desk-1", kind=MessageKind.GROUP, at_ns=0,
    ...     subject="gateway=g-7", code="SILENT", severity=Severity.WARNING, count=4,
    ...     subjects=("sat-1", "sat-2", "sat-3", "sat-4")))
    '1970-01-01T00:00:00Z WARNING gateway=g-7: 4 alerts SILENT (sat-1, sat-2, sat-3 and 1 more)'
    """
    code = f" {message.code}" if message.code else ""
    head = f"{str(message.severity).upper()} {message.subject}:"
    match message.kind:
        case MessageKind.ALERT:
            since = "" if message.since_ns is None else f" since {_utc(message.since_ns)}"
            text = f"{head}{code}{_measured(message)}{since}{_why(message)}"
        case MessageKind.GROUP:
            worst = _measured(message)
            worst = f"; the worst{worst}" if worst else ""
            text = f"{head} {message.count} alerts{code}{_some(message)}{worst}{_why(message)}"
        case MessageKind.UPDATE:
            text = f"{head} {message.count} alerts{code} since {message.update_of}"
        case MessageKind.OVER:
            text = f"OVER {message.subject}:{code}{_lasted(message)} ({message.update_of})"
        case MessageKind.DIGEST:
            text = f"{str(message.severity).upper()} {_digest(message)}"
        case MessageKind.CORRECTION:
            text = f"{str(message.severity).upper()} {_correction(message, code)}"
    return f"{_utc(message.at_ns)} {text}"


def _digest(message: Message) -> str:
    rows = "; ".join(f"{r.group} {r.code} {r.count}" for r in message.rows[:_NAMED_IN_TEXT])
    more = len(message.rows) - _NAMED_IN_TEXT
    tail = f" and {more} lines more" if more > 0 else ""
    return f"digest of {message.count} alerts: {rows}{tail}"


def _correction(message: Message, code: str) -> str:
    if message.count == 1:
        of = message.update_of or "an alert"
        return f"correction of {of}: {message.subject}{code} was no alert"
    of = message.update_of or "several messages"
    return f"correction of {of}: {message.count} alerts{code} were none{_some(message)}"


def _utc(time_ns: int) -> str:
    return datetime.fromtimestamp(time_ns // NS_PER_S, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _measured(message: Message) -> str:
    """The deciding value, with its threshold if it has one, and values beside it without one."""
    parts = [
        f"{one.measure} {_number(one.value, one.unit)}"
        + (f" (threshold {_number(one.threshold, one.unit)})" if has_threshold else "")
        for i, one in enumerate(message.measured)
        if math.isfinite(one.value) and not ((has_threshold := math.isfinite(one.threshold)) and i)
    ]
    return f" {', '.join(parts)}" if parts else ""


def _number(value: float, unit: str) -> str:
    return f"{value:.4g}" + ("" if unit == "1" else f" {unit}")


def _why(message: Message) -> str:
    return f"; why: sightline explain RUN {message.named[0][:8]}" if message.named else ""


def _lasted(message: Message) -> str:
    if message.until_ns is None or message.since_ns is None:
        return " was over before it was told"
    return f" after {duration((message.until_ns - message.since_ns) / NS_PER_S)}"


def duration(seconds: float) -> str:
    """How long, for people.

    >>> duration(42.4), duration(5120), duration(200_000)
    ('42 s', '1 h 25 min', '2 d 7 h')
    """
    whole = max(round(seconds), 0)
    if whole < 60:
        return f"{whole} s"
    units = ((86_400, "d"), (3_600, "h"), (60, "min"), (1, "s"))
    at = next(i for i, (size, _) in enumerate(units) if whole >= size)
    (large, name), (small, beside) = units[at], units[at + 1]
    rest = whole % large // small
    return f"{whole // large} {name}" + (f" {rest} {beside}" if rest else "")


def _some(message: Message) -> str:
    shown = list(dict.fromkeys(message.subjects))[:_NAMED_IN_TEXT]
    more = message.count - len(shown)
    return f" ({', '.join(shown)}{f' and {more} more' if more > 0 else ''})" if shown else ""
