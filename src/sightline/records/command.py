"""Commands to actuators: what a machine shall do, until when, and why."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from sightline.errors import UsageError
from sightline.records.decision import Mode, Reason
from sightline.records.plain_json import canonical_json, read_json


class CommandLevel(StrEnum):
    """What the machine shall do. Compare by :attr:`rank`; as texts they sort by alphabet.

    >>> max([CommandLevel.STOP, CommandLevel.WARN], key=lambda level: level.rank)
    <CommandLevel.STOP: 'stop'>
    """

    NONE = "none"
    """Work on."""
    WARN = "warn"
    """Work on, and warn whoever is near."""
    SLOW = "slow"
    """Work on at the machine's own safe speed."""
    STOP = "stop"
    """Stand still."""

    @property
    def rank(self) -> int:
        """0 (none) to 3 (stop), growing with the restriction."""
        return list(CommandLevel).index(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class ActuatorCommand:
    """One command to one machine.

    It holds for a limited time: a machine that has no valid command stops by itself, so a sender
    that has died cannot leave it running. The pair (``command_id``, ``revision``) takes effect
    once, however often it arrives.

    Attributes:
        command_id: stable id; the same at every attempt to deliver it.
        machine: who shall do it, for example ``conveyor-3``.
        level: none, warn, slow or stop.
        issued_ns: when it was issued, UTC ns. A machine heeds the newest.
        valid_until_ns: when it ends (exclusive), UTC ns, after ``issued_ns``.
        revision: 0 for the first, then counting up; a higher one replaces the lower ones of its
            id.
        reasons: most important first; may be empty where nothing is wrong (level none).
        mode: how the answer behind it came about.

    Raises:
        UsageError: a name that is empty, a revision below 0 or times in the wrong order.

    >>> command = ActuatorCommand(command_id="c1", machine="saw", level=CommandLevel.STOP,
    ...     issued_ns=0, valid_until_ns=5, revision=0, reasons=(), mode=Mode.PRIMARY)
    >>> ActuatorCommand.from_bytes(command.canonical_bytes()) == command
    True
    """

    command_id: str
    machine: str
    level: CommandLevel
    issued_ns: int
    valid_until_ns: int
    revision: int
    reasons: tuple[Reason, ...]
    mode: Mode

    def __post_init__(self) -> None:
        is_named = bool(self.command_id and self.machine)
        if not (is_named and self.revision >= 0 and self.issued_ns < self.valid_until_ns):
            raise UsageError(
                expected="an id, a machine, revision >= 0 and issued_ns < valid_until_ns",
                got=f"{self.command_id!r}, {self.machine!r}, {self.revision}, "
                f"{self.issued_ns}, {self.valid_until_ns}",
                where="actuator command",
                action="mend the program that issues commands",
            )

    @property
    def idempotency_key(self) -> str:
        """``command_id:revision``, the same at every attempt."""
        return f"{self.command_id}:{self.revision}"

    def as_mapping(self) -> dict[str, Any]:
        """Plain JSON-ready mapping; NaN becomes null because JSON has none."""
        return {
            "command_id": self.command_id,
            "machine": self.machine,
            "level": str(self.level),
            "issued_ns": self.issued_ns,
            "valid_until_ns": self.valid_until_ns,
            "revision": self.revision,
            "reasons": [reason.as_mapping() for reason in self.reasons],
            "mode": str(self.mode),
        }

    def canonical_bytes(self) -> bytes:
        """UTF-8 JSON, sorted keys, shortest floats: equal commands give equal bytes."""
        return canonical_json(self.as_mapping())

    @classmethod
    def from_mapping(cls, plain: Mapping[str, Any]) -> ActuatorCommand:
        """Inverse of :meth:`as_mapping`.

        Raises:
            KeyError, ValueError, TypeError, UsageError: if ``plain`` is not such a mapping.
        """
        values = dict(plain)
        for name in ("command_id", "machine"):
            if not isinstance(values[name], str):
                raise TypeError(f"{name} is no text")
        for name in ("issued_ns", "valid_until_ns", "revision"):
            # bool is an int to Python, and a float would lose nanoseconds.
            if type(values[name]) is not int:
                raise TypeError(f"{name} is no integer")
        values["level"] = CommandLevel(values["level"])
        values["mode"] = Mode(values["mode"])
        values["reasons"] = tuple(Reason.from_mapping(r) for r in values["reasons"])
        return cls(**values)

    @classmethod
    def from_bytes(cls, payload: bytes) -> ActuatorCommand:
        """Inverse of :meth:`canonical_bytes`.

        Raises:
            KeyError, ValueError, TypeError, UsageError: if ``payload`` holds no command.
        """
        plain = read_json(payload)
        if not isinstance(plain, dict):
            raise TypeError("no JSON object")
        return cls.from_mapping(plain)
