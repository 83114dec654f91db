"""The state of one machine's interlock: a value that can be kept and taken back."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sightline.records.command import ActuatorCommand, CommandLevel
from sightline.records.decision import Reason
from sightline.records.state_format import StateFormat

FORMAT = 1
_FORMAT = StateFormat(
    kind="an actuation state",
    version=FORMAT,
    where="actuation state, from_mapping",
    action="start from a new state: it is stopped",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ActuationState:
    """What is known of one machine after a step. Times are UTC ns of event time.

    Attributes:
        level: of the command in force. A machine begins stopped.
        event_ns: of the last step; None before the first.
        newest_capture_ns: of that step.
        episode_ns: when the episode began: an episode is from leaving level NONE to the return
            to it, or the time between two such.
        reasons: those that asked for ``level`` last.
        calm_since_ns: since when less has been asked for, in sight; None if not.
        calm_level: the most that was asked for since then.
        calm_reasons: those that asked for it.
        is_reset_down: whether the reset button was down at the last step.
        last_command: the newest command; None before the first.
    """

    level: CommandLevel = CommandLevel.STOP
    event_ns: int | None = None
    newest_capture_ns: int | None = None
    episode_ns: int | None = None
    reasons: tuple[Reason, ...] = ()
    calm_since_ns: int | None = None
    calm_level: CommandLevel = CommandLevel.NONE
    calm_reasons: tuple[Reason, ...] = ()
    is_reset_down: bool = False
    last_command: ActuatorCommand | None = None

    def as_mapping(self) -> dict[str, Any]:
        """JSON-ready mapping; NaN becomes null."""
        return {
            "format": FORMAT,
            "level": str(self.level),
            "event_ns": self.event_ns,
            "newest_capture_ns": self.newest_capture_ns,
            "episode_ns": self.episode_ns,
            "reasons": [_reason_mapping(reason) for reason in self.reasons],
            "calm_since_ns": self.calm_since_ns,
            "calm_level": str(self.calm_level),
            "calm_reasons": [_reason_mapping(reason) for reason in self.calm_reasons],
            "is_reset_down": self.is_reset_down,
            "last_command": self.last_command.as_mapping() if self.last_command else None,
        }

    @classmethod
    def from_mapping(cls, plain: Mapping[str, Any]) -> ActuationState:
        """Inverse of :meth:`as_mapping`.

        Raises:
            UsageError: if ``plain`` is no such mapping, or of another format.
        """
        return _FORMAT.read(plain, _state)


def _state(plain: Mapping[str, Any]) -> ActuationState:
    command = plain["last_command"]
    return ActuationState(
        level=CommandLevel(plain["level"]),
        event_ns=_time(plain["event_ns"]),
        newest_capture_ns=_time(plain["newest_capture_ns"]),
        episode_ns=_time(plain["episode_ns"]),
        reasons=tuple(_reason(reason) for reason in plain["reasons"]),
        calm_since_ns=_time(plain["calm_since_ns"]),
        calm_level=CommandLevel(plain["calm_level"]),
        calm_reasons=tuple(_reason(reason) for reason in plain["calm_reasons"]),
        is_reset_down=bool(plain["is_reset_down"]),
        last_command=None if command is None else ActuatorCommand.from_mapping(command),
    )


def _time(value: Any) -> int | None:
    if value is not None and type(value) is not int:
        raise TypeError(f"{value!r} is no time in whole nanoseconds")
    return value


def _reason_mapping(reason: Reason) -> dict[str, Any]:
    return {
        "code": reason.code,
        "measure": reason.measure,
        "value": reason.value if math.isfinite(reason.value) else None,
        "threshold": reason.threshold if math.isfinite(reason.threshold) else None,
        "unit": reason.unit,
        "version": reason.version,
    }


def _reason(plain: Mapping[str, Any]) -> Reason:
    value, threshold = plain["value"], plain["threshold"]
    return Reason(
        code=plain["code"],
        measure=plain["measure"],
        value=math.nan if value is None else float(value),
        threshold=math.nan if threshold is None else float(threshold),
        unit=plain["unit"],
        version=plain["version"],
    )
