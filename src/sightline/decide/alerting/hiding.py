"""Masks and shelves of an alert desk: hidden alerts are recorded with a reason, and not told.

Extends :class:`sightline.decide.Mask`, by which decisions are not made at all: here they are made,
and the alert gets a state and a reason instead.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

from sightline.decide.alerting.alert import Alert
from sightline.decide.alerting.points import AlarmEvent, AlarmState
from sightline.decide.mask import ANY, Mask
from sightline.records.plain_json import plain_fields


class ActionKind(StrEnum):
    """What an operator can do."""

    ACKNOWLEDGE = "acknowledge"
    RESET = "reset"
    """Clear a latched alarm that was acknowledged."""
    SHELVE = "shelve"
    UNSHELVE = "unshelve"
    SUPPRESS = "suppress"
    """A command is sent whose effect looks like a fault: suppressed by design."""
    TAKE_OUT = "take_out"
    """Maintenance: out of service."""
    PUT_BACK = "put_back"
    """End masks of both sorts early."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OperatorAction:
    """One action.

    Attributes:
        kind: what is done.
        event_ns: when, UTC ns.
        subject: what to; a subject also covers its fields, ``*`` is any (not to acknowledge or
            reset: an operator acknowledges what was looked at).
        code: to acknowledge or reset: which alarm of the subject; ``*`` for all of them.
        decided_by: to hide: the deciding stage; ``*`` for any.
        from_ns, until_ns: to hide: from when (None: now) to when, UTC ns; ``until_ns`` is needed.
        reason: for people; kept with what it hides.
        operator: who did it, by their own word; ``""`` where nobody is named.
    """

    kind: ActionKind
    event_ns: int
    subject: str
    code: str = ANY
    decided_by: str = ANY
    from_ns: int | None = None
    until_ns: int | None = None
    reason: str = ""
    operator: str = ""

    def as_mapping(self) -> dict[str, Any]:
        """JSON-ready form, for the log."""
        return plain_fields(self)


HIDING_STATE: Mapping[ActionKind, AlarmState] = {
    ActionKind.SHELVE: AlarmState.SHELVED,
    ActionKind.SUPPRESS: AlarmState.SUPPRESSED,
    ActionKind.TAKE_OUT: AlarmState.OUT_OF_SERVICE,
}
ENTERING: Mapping[AlarmState, AlarmEvent] = {
    AlarmState.SHELVED: AlarmEvent.SHELVE,
    AlarmState.SUPPRESSED: AlarmEvent.SUPPRESS,
    AlarmState.OUT_OF_SERVICE: AlarmEvent.TAKE_OUT,
}
_PRECEDENCE = (AlarmState.OUT_OF_SERVICE, AlarmState.SUPPRESSED, AlarmState.SHELVED)
"""Of several at once: the one that says most about the source comes first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Hiding:
    """A mask with what it means for the points it covers.

    Attributes:
        mask: what and when.
        state: of the points it covers; one of the hidden states.
        reason: for people.
        operator: who hides it.
    """

    mask: Mask
    state: AlarmState
    reason: str
    operator: str = ""

    @classmethod
    def of(cls, action: OperatorAction, *, max_shelve_ns: int) -> Hiding | None:
        """From an action that hides; None if it has no end, or ends before it begins.

        Only shelving is cut to ``max_shelve_ns``: maintenance lasts as long as it was planned.
        """
        from_ns = action.event_ns if action.from_ns is None else action.from_ns
        until_ns = action.until_ns
        if until_ns is None or until_ns <= from_ns:
            return None
        state = HIDING_STATE[action.kind]
        if state is AlarmState.SHELVED:
            until_ns = min(until_ns, from_ns + max_shelve_ns)
        return cls(
            mask=Mask(
                kind=action.decided_by, subject=action.subject, from_ns=from_ns, until_ns=until_ns
            ),
            state=state,
            reason=action.reason,
            operator=action.operator,
        )

    def ended(self, at_ns: int) -> Hiding:
        """The same, over at ``at_ns`` at the latest."""
        until_ns = min(self.mask.until_ns, max(at_ns, self.mask.from_ns))
        return replace(self, mask=replace(self.mask, until_ns=until_ns))

    def as_mapping(self) -> dict[str, Any]:
        return plain_fields(self)

    @classmethod
    def from_mapping(cls, plain: Mapping[str, Any]) -> Hiding:
        """Inverse of :meth:`as_mapping`.

        Raises:
            KeyError, TypeError, ValueError: if ``plain`` is no such mapping.
        """
        return cls(
            mask=Mask.from_mapping(plain["mask"]),
            state=AlarmState(plain["state"]),
            reason=str(plain["reason"]),
            operator=str(plain["operator"]),
        )


def covering(hidings: Iterable[Hiding], alert: Alert, at_ns: int) -> Hiding | None:
    """The hiding that applies to the point of ``alert`` at ``at_ns``; None: it is to be told."""
    found = [
        hiding
        for hiding in hidings
        if hiding.mask.hides(subject=alert.subject, kind=alert.kind, at_ns=at_ns)
    ]
    return min(found, key=lambda hiding: _PRECEDENCE.index(hiding.state)) if found else None


def next_boundary_ns(hidings: Sequence[Hiding], after_ns: int) -> int | None:
    """When something next begins or ceases to be hidden."""
    times = [t for h in hidings for t in (h.mask.from_ns, h.mask.until_ns) if t > after_ns]
    return min(times, default=None)
