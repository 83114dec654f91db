"""Where lately raised alerts are: what is needed when one is retracted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from sightline.decide.alerting.alert import Alert, Disposition, Fate


@dataclass(frozen=True, slots=True, kw_only=True)
class Placed:
    """An alert that may still be retracted.

    Attributes:
        alert: as raised.
        fate: where it is; never ``retracted``.
        held_by: as in its last disposition.
        touched_ns: when it was last raised, disposed of or cleared, UTC ns of event time.
    """

    alert: Alert
    fate: Fate
    held_by: str
    touched_ns: int

    def as_mapping(self) -> dict[str, Any]:
        """JSON-ready."""
        return {
            "alert": self.alert.as_mapping(),
            "fate": str(self.fate),
            "held_by": self.held_by,
            "touched_ns": self.touched_ns,
        }

    @classmethod
    def from_mapping(cls, plain: Mapping[str, Any]) -> Placed:
        """Inverse of :meth:`as_mapping`.

        Raises:
            KeyError, TypeError, ValueError: if ``plain`` is no such mapping.
        """
        return cls(
            alert=Alert.from_mapping(plain["alert"]),
            fate=Fate(plain["fate"]),
            held_by=str(plain["held_by"]),
            touched_ns=int(plain["touched_ns"]),
        )


class PlacedAlerts:
    """Working copy of the placed alerts, for the length of one step."""

    def __init__(self, before: Mapping[str, Placed]) -> None:
        self.by_id = dict(before)

    def note(self, alert: Alert, disposition: Disposition) -> None:
        """An alert was disposed of."""
        if disposition.fate is Fate.RETRACTED:
            self.by_id.pop(alert.alert_id, None)
            return
        self.by_id[alert.alert_id] = Placed(
            alert=alert,
            fate=disposition.fate,
            held_by=disposition.held_by,
            touched_ns=disposition.at_ns,
        )

    def touch(self, alert_id: str, at_ns: int) -> None:
        """Its process has gone back to normal, which may be taken back too."""
        placed = self.by_id.get(alert_id)
        if placed is not None:
            self.by_id[alert_id] = replace(placed, touched_ns=at_ns)

    def counted_on(self, alert_id: str) -> list[Placed]:
        """Suppressed alerts that are counted on an alert, the first ones first."""
        found = [
            placed
            for placed in self.by_id.values()
            if placed.held_by == alert_id and placed.fate is Fate.SUPPRESSED
        ]
        return sorted(found, key=lambda placed: (placed.alert.event_ns, placed.alert.alert_id))

    def rename_holder(self, before: str, after: str) -> None:
        """What is counted on one alert is counted on another."""
        for placed in self.counted_on(before):
            self.by_id[placed.alert.alert_id] = replace(placed, held_by=after)

    def kept(self, *, after_ns: int, active: frozenset[str], most: int) -> dict[str, Placed]:
        """Those touched after ``after_ns``, and active or waiting ones; the newest ``most``."""
        kept = {
            i: placed
            for i, placed in self.by_id.items()
            if placed.touched_ns > after_ns or i in active or placed.fate is Fate.WAITING
        }
        if len(kept) <= most:
            return kept
        newest = sorted(kept, key=lambda i: (i in active, kept[i].touched_ns, i))[-most:]
        chosen = frozenset(newest)
        return {i: placed for i, placed in kept.items() if i in chosen}
