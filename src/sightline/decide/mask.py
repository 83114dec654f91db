"""Masks: an operator says that a subject is not to be decided on for some time (maintenance)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from sightline.records import Decision

ANY = "*"


class Maskable(Protocol):
    """What a mask can hide: a decision, or an alert made of one."""

    @property
    def kind(self) -> str: ...
    @property
    def subject(self) -> str: ...
    @property
    def event_ns(self) -> int: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Mask:
    """Decisions of ``kind`` on ``subject`` with events in [from_ns, until_ns) are not made.

    ``*`` stands for any kind or subject; a subject also covers its fields (``sat-1/snr_db``).

    >>> mask = Mask.from_mapping({"kind": "*", "subject": "sat-1", "from_ns": 0, "until_ns": 9})
    >>> mask.subject
    'sat-1'
    """

    kind: str
    subject: str
    from_ns: int
    until_ns: int

    @classmethod
    def from_mapping(cls, plain: Mapping[str, Any]) -> Mask:
        """From an operator input; ``kind`` defaults to any.

        Raises:
            KeyError, ValueError: if it is no mask.
        """
        return cls(
            kind=str(plain.get("kind", ANY)),
            subject=str(plain["subject"]),
            from_ns=int(plain["from_ns"]),
            until_ns=int(plain["until_ns"]),
        )

    def as_mapping(self) -> dict[str, Any]:
        return {
            "kind": self.kind,
            "subject": self.subject,
            "from_ns": self.from_ns,
            "until_ns": self.until_ns,
        }

    def hides(self, decision: Maskable) -> bool:
        """Whether ``decision`` is covered."""
        subject = decision.subject
        return (
            self.kind in (ANY, decision.kind)
            and (self.subject in (ANY, subject) or subject.startswith(f"{self.subject}/"))
            and self.from_ns <= decision.event_ns < self.until_ns
        )


def unmasked(decisions: Iterable[Decision], masks: Sequence[Mask]) -> list[Decision]:
    """The decisions that no mask hides."""
    return [d for d in decisions if not any(mask.hides(d) for mask in masks)]
