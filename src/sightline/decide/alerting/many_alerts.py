"""What is said of many alerts at once: the lines of a digest, and corrections."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from sightline.decide.alerting.alert import (
    SEVERITY_RANK,
    Alert,
    DigestRow,
    Message,
    MessageKind,
)


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
