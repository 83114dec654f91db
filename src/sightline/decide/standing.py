"""Standing conditions: those that were raised and are not cleared yet, and their decisions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sightline.limits import DEFAULT_LIMITS
from sightline.records import Decision
from sightline.records.decision import (
    Mode,
    Reason,
    Severity,
    Status,
    Transition,
    decision_id,
    trace_id,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """Something that is so at one time.

    Attributes:
        kind: what is decided; names the decision.
        subject: whom or what it is about.
        group: the wider subject; ``""`` where there is none.
        severity: for the operator.
        reason: the fact.
    """

    kind: str
    subject: str
    group: str
    severity: Severity
    reason: Reason


@dataclass(frozen=True, slots=True)
class _Raised:
    condition: Condition
    seen_ns: int


class StandingConditions:
    """Raises a condition when it begins, and clears it when it has been gone for a while.

    Its absence is counted from the last look at which it was so, and not, as in
    :mod:`sightline.records.holding`, from the first at which it was not: looks at one thing may be
    far apart, and what is not seen in between must not stand for longer because of that.

    Beyond ``most`` a condition is not said until others are cleared; machines heed it all the
    same.

    Args:
        pipeline: digest of the pipeline, part of the decisions.
        clear_ns: how long a condition must be gone.
        most: conditions that stand at a time.

    Attributes:
        unsaid: looks at which a condition found no room, since this object was made.

    >>> standing = StandingConditions("p", clear_ns=10)
    >>> reason = Reason(code="DWELL", measure="dwell", value=9.0, threshold=5.0, unit="s",
    ...                 version="1")
    >>> dwell = Condition(kind="dwell", subject="yard/1", group="", severity=Severity.WARNING,
    ...                   reason=reason)
    >>> [d.transition.value for d in standing.update("yard", 0, [dwell], mode=Mode.PRIMARY)]
    ['raised']
    >>> [len(standing.update("yard", t, [], mode=Mode.PRIMARY)) for t in (5, 10)]
    [0, 1]
    """

    def __init__(
        self, pipeline: str, *, clear_ns: int, most: int = DEFAULT_LIMITS.max_standing
    ) -> None:
        self._pipeline = pipeline
        self._clear_ns = clear_ns
        self._most = most
        self._raised: dict[tuple[str, str, str], _Raised] = {}
        self.unsaid = 0

    def __len__(self) -> int:
        return len(self._raised)

    def update(
        self, scope: str, at_ns: int, conditions: list[Condition], *, mode: Mode
    ) -> list[Decision]:
        """Take all that is so in ``scope`` (a camera, for example) at one time, not going back.

        Returns:
            The decisions, in order of kind and subject.
        """
        said: list[Decision] = []
        for condition in sorted(conditions, key=lambda c: (c.kind, c.subject)):
            key = (scope, condition.kind, condition.subject)
            known = self._raised.get(key)
            if known is None and len(self._raised) >= self._most:
                self.unsaid += 1
                continue
            if known is None:
                said.append(self._decision(condition, at_ns, Transition.RAISED, mode))
            self._raised[key] = _Raised(condition, at_ns)
        for key in sorted(k for k, known in self._raised.items() if k[0] == scope):
            known = self._raised[key]
            if known.seen_ns < at_ns and at_ns - known.seen_ns >= self._clear_ns:
                del self._raised[key]
                said.append(self._decision(known.condition, at_ns, Transition.CLEARED, mode))
        return said

    def _decision(
        self, condition: Condition, at_ns: int, transition: Transition, mode: Mode
    ) -> Decision:
        return condition_decision(condition, self._pipeline, at_ns, transition, mode)

    def snapshot(self) -> list[dict[str, Any]]:
        """JSON-ready state."""
        return [
            {
                "scope": scope,
                "seen_ns": raised.seen_ns,
                # A decision is the JSON form that reasons have.
                "decision": self._decision(
                    raised.condition, raised.seen_ns, Transition.RAISED, Mode.PRIMARY
                ).as_mapping(),
            }
            for (scope, _, _), raised in sorted(self._raised.items())
        ]

    def restore(self, plain: list[Mapping[str, Any]]) -> None:
        """Inverse of :meth:`snapshot`."""
        self._raised = {}
        for one in plain:
            decision = Decision.from_mapping(one["decision"])
            condition = Condition(
                kind=decision.kind,
                subject=decision.subject,
                group=decision.group,
                severity=decision.severity,
                reason=decision.reasons[0],
            )
            key = (one["scope"], condition.kind, condition.subject)
            self._raised[key] = _Raised(condition, one["seen_ns"])


def condition_decision(
    condition: Condition,
    pipeline: str,
    at_ns: int,
    transition: Transition,
    mode: Mode,
    *,
    reasons: tuple[Reason, ...] = (),
) -> Decision:
    """One change of a condition, at the frame or tick of ``at_ns``.

    Args:
        condition: what changed.
        pipeline: digest.
        at_ns: event time, UTC ns; the window is that one nanosecond.
        transition: raised or cleared.
        mode: how the answer came about.
        reasons: all of them, where there is more than one.
    """
    return Decision(
        decision_id=decision_id(
            pipeline=pipeline,
            subject=condition.subject,
            kind=condition.kind,
            window_start_ns=at_ns,
            window_end_ns=at_ns + 1,
        ),
        pipeline=pipeline,
        subject=condition.subject,
        group=condition.group,
        kind=condition.kind,
        transition=transition,
        event_ns=at_ns,
        window_start_ns=at_ns,
        window_end_ns=at_ns + 1,
        severity=condition.severity,
        score=condition.reason.value,
        confidence=1.0 if mode is Mode.PRIMARY else 0.5,
        revision=0,
        status=Status.ISSUED,
        reasons=reasons or (condition.reason,),
        mode=mode,
        trace_id=trace_id(pipeline=pipeline, subject=condition.subject, window_start_ns=at_ns),
    )
