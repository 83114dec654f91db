"""What comes of a step of the alert desk."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sightline.decide.alerting.alert import Disposition, Message
from sightline.decide.alerting.life_cycle import AlarmEvent, AlarmState
from sightline.decide.alerting.rules import OperatorAction
from sightline.decide.alerting.state import AlertingState


@dataclass(frozen=True, slots=True, kw_only=True)
class StateChange:
    """A point went from one state of its life cycle to another."""

    subject: str
    code: str
    before: AlarmState
    after: AlarmState
    event: AlarmEvent
    at_ns: int

    def as_mapping(self) -> dict[str, Any]:
        """JSON-ready."""
        return {
            "subject": self.subject,
            "code": self.code,
            "before": str(self.before),
            "after": str(self.after),
            "event": str(self.event),
            "at_ns": self.at_ns,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertingStep:
    """What came of a step.

    Attributes:
        state: for the next one.
        messages: to be sent, in order.
        dispositions: what became of alerts, in order; to be logged.
        changes: of life cycles, in order; to be logged.
        refused: actions that could not be done, with the cause.
    """

    state: AlertingState
    messages: tuple[Message, ...]
    dispositions: tuple[Disposition, ...]
    changes: tuple[StateChange, ...]
    refused: tuple[tuple[OperatorAction, str], ...]
