"""Masks: an operator says of a subject, for some time, that nobody is to be told.

Without an alert desk nothing is decided about what a mask hides; what a shelf hides is decided and
told to nobody. With a desk masks and shelves have a reason (:mod:`.alerting.hiding`), and all is
decided. Inhibition is another thing: there a wider decision explains a narrower one, and no
operator has asked for it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sightline.records import Decision
from sightline.records.plain_json import plain_fields

ANY = "*"


@dataclass(frozen=True, slots=True, kw_only=True)
class Mask:
    """What happens to ``subject``, decided by ``kind``, in [from_ns, until_ns) is hidden.

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
        return plain_fields(self)

    def hides(self, *, subject: str, kind: str, at_ns: int) -> bool:
        """Whether what happens to ``subject`` at ``at_ns`` is covered.

        Args:
            subject: what it is about.
            kind: the deciding stage.
            at_ns: event time, UTC ns.
        """
        return (
            self.kind in (ANY, kind)
            and (self.subject in (ANY, subject) or subject.startswith(f"{self.subject}/"))
            and self.from_ns <= at_ns < self.until_ns
        )


def unmasked(decisions: Iterable[Decision], masks: Sequence[Mask]) -> list[Decision]:
    """The decisions that no mask hides."""
    return [
        d
        for d in decisions
        if not any(m.hides(subject=d.subject, kind=d.kind, at_ns=d.event_ns) for m in masks)
    ]
