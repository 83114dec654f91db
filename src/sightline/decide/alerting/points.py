"""Alarm points and their life: nine states, and the transitions between them as data.

After ANSI/ISA-18.2-2016 and IEC 62682:2014 (clause on the alarm state transition diagram).

A point (subject and code) is in one state. What is not in the table cannot happen in that state;
an operator's action that is not is refused with that reason, an event of the process changes
nothing.

The three hidden states (shelved, suppressed by design, out of service) remember only whether the
process is active. When one ends, the alarm is unacknowledged if it is still active, normal if not.
A latched alarm stays latched through them: hiding it is no reset.

One event is not the standard's: late data may take back that an alarm was ever raised. If nothing
else was raised at the point since it was normal, it is normal again, and nobody owes a look.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from types import MappingProxyType
from typing import Any

from sightline.decide.alerting.alert import Alert, Disposition, Fate
from sightline.decide.alerting.rules import AlertingRules
from sightline.records.plain_json import plain_fields


class AlarmState(StrEnum):
    """States A to I of the diagram."""

    NORMAL = "normal"
    UNACKNOWLEDGED = "unacknowledged"
    ACKNOWLEDGED = "acknowledged"
    RETURNED = "returned_unacknowledged"
    LATCHED = "latched_unacknowledged"
    LATCHED_ACKNOWLEDGED = "latched_acknowledged"
    SHELVED = "shelved"
    SUPPRESSED = "suppressed_by_design"
    OUT_OF_SERVICE = "out_of_service"


class AlarmEvent(StrEnum):
    """What moves a point."""

    RAISED = "raised"
    """The process went into the alarm state, and it is told."""
    REPEATED = "repeated"
    """The same, counted on an alert that was told lately."""
    CLEARED = "cleared"
    """The process is back to normal."""
    CLEARED_LATCHING = "cleared_latching"
    """The same, of an alarm that has to be reset by hand."""
    ACKNOWLEDGE = "acknowledge"
    RESET = "reset"
    """An operator clears a latched alarm."""
    SHELVE = "shelve"
    SUPPRESS = "suppress"
    TAKE_OUT = "take_out"
    RETRACTED = "retracted"
    """Late data says that it was never raised, and nothing else was since it was normal."""
    REVEAL_ACTIVE = "reveal_active"
    """A hidden state ends and the process is in the alarm state."""
    REVEAL_QUIET = "reveal_quiet"
    REVEAL_LATCHED = "reveal_latched"


HIDDEN = frozenset({AlarmState.SHELVED, AlarmState.SUPPRESSED, AlarmState.OUT_OF_SERVICE})


def _table() -> dict[tuple[AlarmState, AlarmEvent], AlarmState]:
    s, e = AlarmState, AlarmEvent
    table = {
        (s.NORMAL, e.RAISED): s.UNACKNOWLEDGED,
        (s.NORMAL, e.REPEATED): s.UNACKNOWLEDGED,
        (s.UNACKNOWLEDGED, e.RAISED): s.UNACKNOWLEDGED,
        (s.UNACKNOWLEDGED, e.REPEATED): s.UNACKNOWLEDGED,
        (s.UNACKNOWLEDGED, e.CLEARED): s.RETURNED,
        (s.UNACKNOWLEDGED, e.CLEARED_LATCHING): s.LATCHED,
        (s.UNACKNOWLEDGED, e.ACKNOWLEDGE): s.ACKNOWLEDGED,
        (s.ACKNOWLEDGED, e.RAISED): s.UNACKNOWLEDGED,  # told again: it needs a look again
        (s.ACKNOWLEDGED, e.REPEATED): s.ACKNOWLEDGED,
        (s.ACKNOWLEDGED, e.CLEARED): s.NORMAL,
        (s.ACKNOWLEDGED, e.CLEARED_LATCHING): s.LATCHED_ACKNOWLEDGED,
        (s.RETURNED, e.RAISED): s.UNACKNOWLEDGED,
        (s.RETURNED, e.REPEATED): s.UNACKNOWLEDGED,
        (s.RETURNED, e.ACKNOWLEDGE): s.NORMAL,
        (s.LATCHED, e.RAISED): s.UNACKNOWLEDGED,
        (s.LATCHED, e.REPEATED): s.UNACKNOWLEDGED,
        (s.LATCHED, e.ACKNOWLEDGE): s.LATCHED_ACKNOWLEDGED,
        (s.LATCHED_ACKNOWLEDGED, e.RAISED): s.UNACKNOWLEDGED,
        (s.LATCHED_ACKNOWLEDGED, e.REPEATED): s.UNACKNOWLEDGED,
        (s.LATCHED_ACKNOWLEDGED, e.RESET): s.NORMAL,
    }
    visible = (s.UNACKNOWLEDGED, s.ACKNOWLEDGED, s.RETURNED, s.LATCHED, s.LATCHED_ACKNOWLEDGED)
    table |= {(state, e.RETRACTED): s.NORMAL for state in visible}
    hides = {e.SHELVE: s.SHELVED, e.SUPPRESS: s.SUPPRESSED, e.TAKE_OUT: s.OUT_OF_SERVICE}
    table |= {(state, event): hidden for state in s for event, hidden in hides.items()}
    for hidden in HIDDEN:
        table |= {
            (hidden, e.RAISED): hidden,
            (hidden, e.REPEATED): hidden,
            (hidden, e.CLEARED): hidden,
            (hidden, e.CLEARED_LATCHING): hidden,
            (hidden, e.RETRACTED): hidden,
            (hidden, e.REVEAL_ACTIVE): s.UNACKNOWLEDGED,
            (hidden, e.REVEAL_QUIET): s.NORMAL,
            (hidden, e.REVEAL_LATCHED): s.LATCHED,
        }
    return table


TRANSITIONS: Mapping[tuple[AlarmState, AlarmEvent], AlarmState] = MappingProxyType(_table())
"""Where an event leads, for each state in which it can happen."""


def next_state(state: AlarmState, event: AlarmEvent) -> AlarmState | None:
    """Where ``event`` leads; None where it cannot happen.

    >>> str(next_state(AlarmState.UNACKNOWLEDGED, AlarmEvent.CLEARED))
    'returned_unacknowledged'
    >>> next_state(AlarmState.NORMAL, AlarmEvent.ACKNOWLEDGE) is None
    True
    """
    return TRANSITIONS.get((state, event))


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """An alarm point: subject and code.

    Attributes:
        state: in its life cycle.
        is_active: whether the process is in the alarm state.
        is_latched: whether it has to be reset by hand.
        alert: the newest alert of it.
        fate: of that alert.
        since_ns: when the point was last normal, UTC ns.
        count: alerts since then, those that were retracted left out.
        answered_by: who acknowledged it, by their own word; ``""`` before that.
        answered_ns: when, UTC ns; None before that.
    """

    state: AlarmState
    is_active: bool
    is_latched: bool
    alert: Alert
    fate: Fate
    since_ns: int
    count: int = 1
    answered_by: str = ""
    answered_ns: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class StateChange:
    """A point went from one state of its life cycle to another; an operator may have done it."""

    subject: str
    code: str
    before: AlarmState
    after: AlarmState
    event: AlarmEvent
    at_ns: int
    operator: str = ""

    def as_mapping(self) -> dict[str, Any]:
        """JSON-ready."""
        return plain_fields(self)


PointKey = tuple[str, str]
"""Subject and code."""


class Points:
    """Working copy of the points that are not normal, and the changes made to them.

    Args:
        rules: ``max_points``, ``latching``.
        before: by (subject, code).
        untracked: alerts that found no room for a point so far.
    """

    def __init__(
        self, rules: AlertingRules, before: Mapping[PointKey, Point], *, untracked: int
    ) -> None:
        self._rules = rules
        self.by_key = dict(before)
        self.untracked = untracked
        self.changes: list[StateChange] = []

    def active(self) -> frozenset[str]:
        """Ids of the newest alerts of the points whose process is in the alarm state."""
        return frozenset(p.alert.alert_id for p in self.by_key.values() if p.is_active)

    def enter(
        self, alert: Alert, fate: Fate, event: AlarmEvent, at_ns: int, *, is_again: bool = False
    ) -> None:
        """The process went into the alarm state; ``is_again``: its end was taken back."""
        key = alert.subject, alert.code
        point = self.by_key.get(key)
        if point is None and len(self.by_key) >= self._rules.max_points:
            self.untracked += 1
            return
        is_seen = event in (AlarmEvent.RAISED, AlarmEvent.REPEATED)
        latches = is_seen and alert.code in self._rules.latching
        self.by_key[key] = Point(
            state=point.state if point else AlarmState.NORMAL,
            is_active=True,
            is_latched=latches or (point is not None and point.is_latched),
            alert=alert,
            fate=fate,
            since_ns=point.since_ns if point else at_ns,
            count=point.count + (not is_again) if point else 1,
            answered_by=point.answered_by if point else "",
            answered_ns=point.answered_ns if point else None,
        )
        self.move(key, event, at_ns)

    def leave(self, key: PointKey, at_ns: int) -> None:
        """The process is back to normal."""
        point = self.by_key[key] = replace(self.by_key[key], is_active=False)
        is_latched = point.is_latched
        self.move(key, AlarmEvent.CLEARED_LATCHING if is_latched else AlarmEvent.CLEARED, at_ns)

    def take_back(self, key: PointKey, alert_id: str, at_ns: int) -> Point | None:
        """An alert of the point was none.

        Returns:
            The point, if its newest alert is another one.
        """
        point = self.by_key.get(key)
        if point is None:
            return None
        point = self.by_key[key] = replace(point, count=max(point.count - 1, 0))
        if point.alert.alert_id != alert_id:
            return point
        if point.count:
            self.leave(key, at_ns)
        else:
            self.by_key[key] = replace(point, is_active=False, is_latched=False)
            self.move(key, AlarmEvent.RETRACTED, at_ns)
        return None

    def reveal(self, key: PointKey, at_ns: int) -> Alert | None:
        """What hid a point has ended; its alert, if that is active and so has to be told."""
        point = self.by_key[key]
        if not point.is_active:
            is_latched = point.is_latched
            event = AlarmEvent.REVEAL_LATCHED if is_latched else AlarmEvent.REVEAL_QUIET
            self.move(key, event, at_ns)
            return None
        if point.alert.code in self._rules.latching:
            self.by_key[key] = replace(point, is_latched=True)
        self.move(key, AlarmEvent.REVEAL_ACTIVE, at_ns)
        return point.alert

    def answer(self, key: PointKey, event: AlarmEvent, at_ns: int, *, operator: str) -> bool:
        """An operator acknowledges or resets a point; whether that can be done."""
        point = self.by_key[key]
        if next_state(point.state, event) is None:
            return False
        if event is AlarmEvent.RESET:
            self.by_key[key] = replace(point, is_latched=False)
        else:
            self.by_key[key] = replace(point, answered_by=operator, answered_ns=at_ns)
        return self.move(key, event, at_ns, operator=operator)

    def move(self, key: PointKey, event: AlarmEvent, at_ns: int, *, operator: str = "") -> bool:
        """Apply an event; whether it can happen. A point that is normal again is let go."""
        point = self.by_key[key]
        after = next_state(point.state, event)
        if after is not None and after is not point.state:
            self.changes.append(
                StateChange(
                    subject=key[0],
                    code=key[1],
                    before=point.state,
                    after=after,
                    event=event,
                    at_ns=at_ns,
                    operator=operator,
                )
            )
            self.by_key[key] = replace(point, state=after)
            if after is AlarmState.UNACKNOWLEDGED:  # it needs a look again
                self.by_key[key] = replace(self.by_key[key], answered_by="", answered_ns=None)
        if self.by_key[key].state is AlarmState.NORMAL and not point.is_active:
            del self.by_key[key]
        return after is not None

    def note_fates(self, dispositions: Iterable[Disposition]) -> None:
        """Tell the points what became of their newest alerts."""
        fates = {disposition.alert_id: disposition.fate for disposition in dispositions}
        if not fates:
            return
        for key, point in self.by_key.items():
            fate = fates.get(point.alert.alert_id)
            if fate is not None and fate is not point.fate:
                self.by_key[key] = replace(point, fate=fate)
