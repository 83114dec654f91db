"""Decisions for tests."""

from sightline.records import Decision
from sightline.records.decision import Mode, Reason, Severity, Status, Transition


def decision(event_ns=100, *, raised=True, score=1.0, subject="sat-1", kind="k", group="g"):
    return Decision(
        decision_id=f"{kind}:{subject}:{event_ns}",
        pipeline="p",
        subject=subject,
        group=group,
        kind=kind,
        transition=Transition.RAISED if raised else Transition.CLEARED,
        event_ns=event_ns,
        window_start_ns=event_ns - 10,
        window_end_ns=event_ns,
        severity=Severity.WARNING,
        score=score,
        confidence=1.0,
        revision=0,
        status=Status.ISSUED,
        reasons=(Reason(code="C", measure="m", value=score, threshold=0.5, unit="1", version="v"),),
        mode=Mode.PRIMARY,
        trace_id="t",
    )
