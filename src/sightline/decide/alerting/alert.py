"""An alert, what became of it, and what is told: messages, the rows of a digest, corrections."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from sightline.records import Decision
from sightline.records.decision import Severity
from sightline.records.plain_json import number_or_null, plain_fields

SEVERITY_RANK: Mapping[Severity, int] = {
    Severity.INFO: 0,
    Severity.WARNING: 1,
    Severity.CRITICAL: 2,
}

_MOST_MEASURED = 3
"""Of the reasons of a decision, those that an alert repeats."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """One measured fact behind an alert.

    Attributes:
        measure: what was measured.
        value: in ``unit``; NaN when nothing could be.
        threshold: what it was compared with; NaN where it was with nothing.
        unit: "1" of a ratio or score.
    """

    measure: str
    value: float
    threshold: float
    unit: str

    def as_list(self) -> list[Any]:
        """JSON-ready; NaN becomes null."""
        return [
            self.measure, number_or_null(self.value), number_or_null(self.threshold), self.unit
        ]  # fmt: skip

    @classmethod
    def from_list(cls, plain: Sequence[Any]) -> Measured:
        """Inverse of :meth:`as_list`."""
        measure, value, threshold, unit = plain
        return cls(
            measure=str(measure),
            value=math.nan if value is None else float(value),
            threshold=math.nan if threshold is None else float(threshold),
            unit=str(unit),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Alert:
    """A state that was raised and may have to be told.

    Attributes:
        alert_id: unique: the id of the decision that raised it.
        subject: what it is about; with ``code`` it names the alarm point.
        code: reason code.
        kind: the deciding stage.
        event_ns: when it was raised, UTC ns of event time.
        severity: for the operator.
        score: the deciding measure; the higher of equally severe ones is told first.
        attributes: (name, value) pairs that it may share with others: gateway, firmware, region,
            satellite; sorted, each name once.
        measured: what it rests on, the deciding measure first.
    """

    alert_id: str
    subject: str
    code: str
    kind: str
    event_ns: int
    severity: Severity
    score: float = math.nan
    attributes: tuple[tuple[str, str], ...] = ()
    measured: tuple[Measured, ...] = ()

    @classmethod
    def from_decision(cls, decision: Decision, attributes: Mapping[str, str]) -> Alert:
        """Of a raised decision; attributes come from the fleet's description."""
        return cls(
            alert_id=decision.decision_id,
            subject=decision.subject,
            code=decision.reasons[0].code,
            kind=decision.kind,
            event_ns=decision.event_ns,
            severity=decision.severity,
            score=decision.score,
            attributes=tuple(sorted(attributes.items())),
            measured=tuple(
                Measured(measure=r.measure, value=r.value, threshold=r.threshold, unit=r.unit)
                for r in decision.reasons[:_MOST_MEASURED]
            ),
        )

    @property
    def rank(self) -> int:
        """0 for the least severe."""
        return SEVERITY_RANK[self.severity]

    @property
    def worst_first(self) -> tuple[int, float, int, str, str]:
        """Sort key."""
        score = -self.score if math.isfinite(self.score) else 0.0
        return -self.rank, score, self.event_ns, self.subject, self.alert_id

    def as_mapping(self) -> dict[str, Any]:
        """JSON-ready; NaN becomes null."""
        return plain_fields(self) | {"measured": [one.as_list() for one in self.measured]}

    @classmethod
    def from_mapping(cls, plain: Mapping[str, Any]) -> Alert:
        """Inverse of :meth:`as_mapping`.

        Raises:
            KeyError, TypeError, ValueError: if ``plain`` is no such mapping.
        """
        score = plain["score"]
        return cls(
            alert_id=str(plain["alert_id"]),
            subject=str(plain["subject"]),
            code=str(plain["code"]),
            kind=str(plain["kind"]),
            event_ns=int(plain["event_ns"]),
            severity=Severity(plain["severity"]),
            score=math.nan if score is None else float(score),
            attributes=tuple((str(name), str(value)) for name, value in plain["attributes"]),
            measured=tuple(Measured.from_list(one) for one in plain.get("measured", ())),
        )


class Fate(StrEnum):
    """Where an alert is. Each raised alert has exactly one at any time."""

    WAITING = "waiting"
    """Held for others of the same cause, for ``hold_ns`` at most."""
    TOLD = "told"
    """In a message of its own, or named in that of its group."""
    IN_DIGEST = "in_digest"
    """Named or counted in a digest: there was a storm."""
    SUPPRESSED = "suppressed"
    """Counted on an alert or group that was told before."""
    MASKED = "masked"
    """An operator's command or maintenance covers it."""
    SHELVED = "shelved"
    """An operator has shelved it."""
    RETRACTED = "retracted"
    """Late data has shown that it was no alert; what had been told of it was corrected."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Disposition:
    """What became of an alert, and why. The last one of an alert stands.

    Attributes:
        alert_id: which.
        fate: where it is now.
        before: where it was; None for a new one.
        cause: upper snake case, for example ``REPEAT``.
        reason: what the operator gave for a mask or shelf; ``""`` for all else.
        held_by: id of the message that tells it, or of the alert it is counted on; ``""``: none.
        at_ns: UTC ns of event time.
    """

    alert_id: str
    fate: Fate
    before: Fate | None
    cause: str
    reason: str
    held_by: str
    at_ns: int

    def as_mapping(self) -> dict[str, Any]:
        """JSON-ready."""
        return plain_fields(self)


class MessageKind(StrEnum):
    """What a message is."""

    ALERT = "alert"
    GROUP = "group"
    UPDATE = "update"
    DIGEST = "digest"
    OVER = "over"
    """What an alert or a group told of is back to normal."""
    CORRECTION = "correction"
    """What was told before was no alert: late data has taken it back."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DigestRow:
    """One line of a digest.

    Attributes:
        group: common cause (``gateway=g-7``), or the subject's own group.
        code: reason code.
        severity: the worst of them.
        count: alerts.
        first_ns, last_ns: event times of the first and the last.
        named: ids of some, worst first.
    """

    group: str
    code: str
    severity: Severity
    count: int
    first_ns: int
    last_ns: int
    named: tuple[str, ...]

    def as_mapping(self) -> dict[str, Any]:
        """JSON-ready."""
        return plain_fields(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """What is said to the operator.

    Attributes:
        message_id: unique within the desk.
        kind: alert, group, update, digest, over or correction.
        at_ns: when, UTC ns of event time.
        subject: of the alert; ``attribute=value`` of a group; ``""`` of a digest, and of a
            correction of several.
        code: of the alert; of a group where all members share one, else ``""``.
        severity: the worst of what it holds.
        count: alerts it stands for. Of an update: since the first message.
        named: alert ids, worst first, up to the bound of the rules.
        subjects: of the named ones, in their order.
        update_of: id of the message that it updates, ends or corrects; ``""`` for all others, and
            for a correction of several messages.
        tail: of a group: probability of so many members by chance; NaN for others.
        rows: of a digest, worst first.
        since_ns: when the alert was raised, UTC ns; None of several.
        until_ns: of what is over: since when; None where that was before it was told.
        measured: what the worst alert rests on.
    """

    message_id: str
    kind: MessageKind
    at_ns: int
    subject: str
    code: str
    severity: Severity
    count: int
    named: tuple[str, ...] = ()
    subjects: tuple[str, ...] = ()
    update_of: str = ""
    tail: float = math.nan
    rows: tuple[DigestRow, ...] = ()
    since_ns: int | None = None
    until_ns: int | None = None
    measured: tuple[Measured, ...] = ()

    def as_mapping(self) -> dict[str, Any]:
        """JSON-ready; NaN becomes null."""
        return plain_fields(self)


def digest_rows(held: Iterable[tuple[str, Alert]], max_named: int) -> tuple[DigestRow, ...]:
    """One row per group and code of (group, alert): the most severe first, then the most numerous.

    Args:
        held: group and alert.
        max_named: alert ids in a row.
    """
    found: dict[tuple[str, str], list[Alert]] = {}
    for group, alert in held:
        found.setdefault((group, alert.code), []).append(alert)
    rows = []
    for (group, code), alerts in found.items():
        alerts.sort(key=lambda alert: alert.worst_first)
        times = [alert.event_ns for alert in alerts]
        rows.append(
            DigestRow(
                group=group,
                code=code,
                severity=alerts[0].severity,
                count=len(alerts),
                first_ns=min(times),
                last_ns=max(times),
                named=tuple(alert.alert_id for alert in alerts[:max_named]),
            )
        )
    return tuple(
        sorted(rows, key=lambda r: (-SEVERITY_RANK[r.severity], -r.count, r.group, r.code))
    )


def correction_message(
    held: Sequence[tuple[str, Alert]], *, message_id: str, at_ns: int, max_named: int
) -> Message:
    """One message that takes back what was told.

    Args:
        held: (message that told it, alert), one or more.
        message_id: of the correction.
        at_ns: when it is said, UTC ns of event time.
        max_named: alerts that are named.
    """
    alerts = sorted((alert for _, alert in held), key=lambda alert: alert.worst_first)
    told_in = {message for message, _ in held}
    codes = {alert.code for alert in alerts}
    subjects = {alert.subject for alert in alerts}
    named = alerts[:max_named]
    return Message(
        message_id=message_id,
        kind=MessageKind.CORRECTION,
        at_ns=at_ns,
        subject=alerts[0].subject if len(subjects) == 1 else "",
        code=alerts[0].code if len(codes) == 1 else "",
        severity=alerts[0].severity,
        count=len(alerts),
        named=tuple(alert.alert_id for alert in named),
        subjects=tuple(alert.subject for alert in named),
        update_of=told_in.pop() if len(told_in) == 1 else "",
    )
