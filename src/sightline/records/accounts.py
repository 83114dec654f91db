"""Where every received row went: the conservation equation."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from sightline.errors import InvariantViolation
from sightline.records.plain_json import plain_fields


@dataclass(frozen=True, slots=True, kw_only=True)
class Accounts:
    """Counts in source rows (or frames). Immutable; add two with ``+``.

    Attributes:
        received: rows that reached us, unreadable ones included.
        decided: rows whose last window is final, alert or not.
        superseded: duplicates that lost, or frames replaced by newer ones.
        dropped: rows given up before any decision, by cause.
        quarantined: rows refused, by reason code.
        in_flight: rows in windows that may still change.

    >>> a = Accounts(received=3, decided=2, quarantined={"RANGE": 1})
    >>> (a + a).received, a.is_balanced
    (6, True)
    """

    received: int = 0
    decided: int = 0
    superseded: int = 0
    dropped: Mapping[str, int] = field(default_factory=dict)
    quarantined: Mapping[str, int] = field(default_factory=dict)
    in_flight: int = 0

    @classmethod
    def from_mapping(cls, plain: Mapping[str, Any]) -> Accounts:
        """From its fields, as they are logged.

        Raises:
            ValueError, TypeError: they are not.
        """
        found = cls(**plain)
        counts = [found.received, found.decided, found.superseded, found.in_flight,
                  *found.dropped.values(), *found.quarantined.values()]  # fmt: skip
        if any(type(count) is not int for count in counts):
            raise ValueError("counts that are no whole numbers")
        return found

    def as_mapping(self) -> dict[str, Any]:
        """JSON-ready: its fields, and whether they are balanced."""
        return {**plain_fields(self), "balanced": self.is_balanced}

    @property
    def accounted(self) -> int:
        return (
            self.decided
            + self.superseded
            + sum(self.dropped.values())
            + sum(self.quarantined.values())
            + self.in_flight
        )

    @property
    def is_balanced(self) -> bool:
        return self.received == self.accounted

    def check(self, where: str) -> None:
        """Raise :class:`InvariantViolation` unless every received row is accounted for."""
        if not self.is_balanced:
            raise InvariantViolation(
                expected=f"received ({self.received}) = decided + superseded + dropped + "
                "quarantined + in flight",
                got=f"{self.equation()}",
                where=where,
                action="this is a defect of Sightline: keep the run directory and report it",
            )

    def equation(self) -> str:
        """The conservation equation with its numbers, for people."""
        dropped = sum(self.dropped.values())
        quarantined = sum(self.quarantined.values())
        sign = "=" if self.is_balanced else "≠"
        return (
            f"received {self.received} {sign} decided {self.decided} + superseded "
            f"{self.superseded} + dropped {dropped} + quarantined {quarantined} + in flight "
            f"{self.in_flight}"
        )

    def __add__(self, other: Accounts) -> Accounts:
        return Accounts(
            received=self.received + other.received,
            decided=self.decided + other.decided,
            superseded=self.superseded + other.superseded,
            dropped=_add(self.dropped, other.dropped),
            quarantined=_add(self.quarantined, other.quarantined),
            in_flight=self.in_flight + other.in_flight,
        )

    @classmethod
    def total(cls, parts: Iterable[Accounts]) -> Accounts:
        total = cls()
        for part in parts:
            total = total + part
        return total


def _add(a: Mapping[str, int], b: Mapping[str, int]) -> dict[str, int]:
    return {name: a.get(name, 0) + b.get(name, 0) for name in sorted({*a, *b})}
