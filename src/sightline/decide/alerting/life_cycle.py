"""The life of an alarm after ANSI/ISA-18.2-2016 and IEC 62682:2014 (clause on the alarm state
transition diagram): nine states, and the transitions between them as data.

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

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType


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
