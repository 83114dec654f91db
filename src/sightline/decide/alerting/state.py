"""The state of an alert desk, a value that can be kept and taken back, and what a step gives."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any

from sightline.decide.alerting.alert import Alert, Disposition, Fate, Message
from sightline.decide.alerting.hiding import Hiding, OperatorAction
from sightline.decide.alerting.points import AlarmState, Point, StateChange
from sightline.decide.alerting.storm import StormState
from sightline.errors import UsageError
from sightline.records.plain_json import plain_fields


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
        return plain_fields(self) | {"alert": self.alert.as_mapping()}

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


# --- the state ------------------------------------------------------------------------------------

FORMAT = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """An alert or group that was told, or waits, on which others are counted.

    Attributes:
        first_id: the alert, or the message of the group, that others are counted on.
        message_id: what an update refers to; ``""`` while the alert waits.
        rank: of its severity: a worse one is told and not counted.
        since_ns: when it began.
        count: alerts, the first included.
        told: of those, how many the operator knows of.
        updated_ns: when that was last said.
    """

    first_id: str
    message_id: str
    rank: int
    since_ns: int
    count: int
    told: int
    updated_ns: int


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertingState:
    """A desk after a step. Times are UTC ns of event time.

    Attributes:
        through_ns: up to when it has gone; None before the first step.
        points: by (subject, code); normal ones are not kept.
        hidings: masks and shelves, in the order they were given.
        repeats: by (subject, code).
        groups: by ``attribute=value``.
        waiting: (since when, alert), oldest first.
        digest: (group, alert) of the next digest.
        storm: what was offered lately.
        messages: said so far.
        counts: raised alerts by where they are.
        untracked: alerts that found no room for a point.
        placed: by id: where the alerts are that may still be retracted.
        corrections: (message that told it, alert): retracted, and not yet said to be.
        unplaced: retractions of alerts that were not known any more: nothing was done.
    """

    through_ns: int | None = None
    points: Mapping[tuple[str, str], Point] = field(default_factory=lambda: MappingProxyType({}))
    hidings: tuple[Hiding, ...] = ()
    repeats: Mapping[tuple[str, str], Standing] = field(
        default_factory=lambda: MappingProxyType({})
    )
    groups: Mapping[str, Standing] = field(default_factory=lambda: MappingProxyType({}))
    waiting: tuple[tuple[int, Alert], ...] = ()
    digest: tuple[tuple[str, Alert], ...] = ()
    digest_id: str = ""
    storm: StormState = field(default_factory=StormState)
    messages: int = 0
    counts: Mapping[Fate, int] = field(default_factory=lambda: MappingProxyType({}))
    untracked: int = 0
    placed: Mapping[str, Placed] = field(default_factory=lambda: MappingProxyType({}))
    corrections: tuple[tuple[str, Alert], ...] = ()
    unplaced: int = 0

    @property
    def raised(self) -> int:
        """Alerts taken in: each is counted in ``counts`` once."""
        return sum(self.counts.values())

    def as_mapping(self) -> dict[str, Any]:
        """JSON-ready."""
        return {
            "format": FORMAT,
            "through_ns": self.through_ns,
            "points": [
                plain_fields(p) | {"alert": p.alert.as_mapping()}
                for _, p in sorted(self.points.items())
            ],
            "hidings": [hiding.as_mapping() for hiding in self.hidings],
            "repeats": [[*key, _standing(s)] for key, s in sorted(self.repeats.items())],
            "groups": [[key, _standing(s)] for key, s in sorted(self.groups.items())],
            "waiting": [[since, alert.as_mapping()] for since, alert in self.waiting],
            "digest": [[group, alert.as_mapping()] for group, alert in self.digest],
            "digest_id": self.digest_id,
            "storm": {
                "offered_ns": list(self.storm.offered_ns),
                "is_storm": self.storm.is_storm,
                "digest_ns": self.storm.digest_ns,
            },
            "messages": self.messages,
            "counts": {str(fate): count for fate, count in sorted(self.counts.items())},
            "untracked": self.untracked,
            "placed": [placed.as_mapping() for _, placed in sorted(self.placed.items())],
            "corrections": [[message, alert.as_mapping()] for message, alert in self.corrections],
            "unplaced": self.unplaced,
        }

    @classmethod
    def from_mapping(cls, plain: Mapping[str, Any]) -> AlertingState:
        """Inverse of :meth:`as_mapping`.

        Raises:
            UsageError: if ``plain`` is no such mapping, or of another format.
        """
        try:
            if plain["format"] != FORMAT:
                raise ValueError(f"format {plain['format']}")
            points = [_point(p) for p in plain["points"]]
            storm = plain["storm"]
            return cls(
                through_ns=_time(plain["through_ns"]),
                points={(p.alert.subject, p.alert.code): p for p in points},
                hidings=tuple(Hiding.from_mapping(h) for h in plain["hidings"]),
                repeats={(str(s), str(c)): Standing(**v) for s, c, v in plain["repeats"]},
                groups={str(key): Standing(**v) for key, v in plain["groups"]},
                waiting=tuple((int(t), Alert.from_mapping(a)) for t, a in plain["waiting"]),
                digest=tuple((str(g), Alert.from_mapping(a)) for g, a in plain["digest"]),
                digest_id=str(plain["digest_id"]),
                storm=StormState(
                    offered_ns=tuple(int(t) for t in storm["offered_ns"]),
                    is_storm=bool(storm["is_storm"]),
                    digest_ns=_time(storm["digest_ns"]),
                ),
                messages=int(plain["messages"]),
                counts={Fate(fate): int(n) for fate, n in plain["counts"].items()},
                untracked=int(plain["untracked"]),
                placed={p.alert.alert_id: p for p in map(Placed.from_mapping, plain["placed"])},
                corrections=tuple((str(m), Alert.from_mapping(a)) for m, a in plain["corrections"]),
                unplaced=int(plain["unplaced"]),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise UsageError(
                expected=f"an alerting state of format {FORMAT}",
                got=f"{type(error).__name__}: {error}",
                where="alerting state, from_mapping",
                action="rebuild it from the log",
            ) from error


def _time(value: Any) -> int | None:
    return None if value is None else int(value)


def _standing(standing: Standing) -> dict[str, Any]:
    return {name: getattr(standing, name) for name in Standing.__slots__}


def _point(plain: Mapping[str, Any]) -> Point:
    return Point(
        state=AlarmState(plain["state"]),
        is_active=bool(plain["is_active"]),
        is_latched=bool(plain["is_latched"]),
        alert=Alert.from_mapping(plain["alert"]),
        fate=Fate(plain["fate"]),
        since_ns=int(plain["since_ns"]),
        count=int(plain["count"]),
        answered_by=str(plain["answered_by"]),
        answered_ns=_time(plain["answered_ns"]),
    )


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
