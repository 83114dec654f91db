"""Parts on a belt: born at a trigger, followed by the encoder, joined with what is seen of them.

A part is where the belt has carried it: its place is the belt's travel since its trigger. So a
belt that slows, stops or reverses changes nothing about which picture shows which part. All is in
event time, and only what the caller says has come is known here.

What is done with what does not fit:

======================  ===========================================================================
doubled trigger         a trigger within ``min_gap_m`` of a known part is that part again; counted
belt stops              parts wait where they are; a second picture of one is left aside; counted
belt reverses           the same: places go back with it, a part passes no station twice
two parts in a picture  both have it, and both are marked ``TWO_PARTS_IN_PICTURE``
picture without a part  left aside once no late trigger can come any more; counted and listed
part without a picture  decided at the gate, or at its deadline, marked ``MISSING_PICTURE``
encoder silent          the belt is taken to go on at ``nominal_m_s``; marked ``ENCODER_SILENT``
late row                taken as long as the part waits; one that comes after that is counted
======================  ===========================================================================
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from sightline.limits import DEFAULT_LIMITS, Limits
from sightline.records.part import PartPicture
from sightline.records.windows import FloatArray, IntArray

NS_PER_S = 1_000_000_000

TWO_PARTS_IN_PICTURE = "TWO_PARTS_IN_PICTURE"
MISSING_PICTURE = "MISSING_PICTURE"
ENCODER_SILENT = "ENCODER_SILENT"
SERIAL_CONFLICT = "SERIAL_CONFLICT"
DUPLICATE_SERIAL = "DUPLICATE_SERIAL"
NO_SERIAL = "NO_SERIAL"
TOO_MANY_PARTS = "TOO_MANY_PARTS"

DOUBLED_TRIGGER = "DOUBLED_TRIGGER"
REPEATED_PICTURE = "REPEATED_PICTURE"
PICTURE_WITHOUT_PART = "PICTURE_WITHOUT_PART"
PICTURE_AFTER_DECISION = "PICTURE_AFTER_DECISION"
SERIAL_WITHOUT_PART = "SERIAL_WITHOUT_PART"


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where something is seen of a part.

    Attributes:
        at_m: travel of the belt from the trigger to there, in metres.
        tolerance_m: how far from there a part may be when it is seen.
    """

    at_m: float
    tolerance_m: float


@dataclass(frozen=True, slots=True, kw_only=True)
class LineLayout:
    """A line from its trigger to its gate.

    Attributes:
        stations: by name, in their order.
        serial: where serial numbers are read; None: there is no reader.
        gate_m: travel at which a part must have been decided.
        deadline_ns: longest time from trigger to decision, whatever the belt does.
        min_gap_m: parts closer to each other than this are one.
        nominal_m_s: speed of the belt while nothing is heard of it.
        silent_ns: after so long without a reading of the encoder nothing is heard of it.
        late_ns: how long rows may come late, and so how long everything waits for them.
    """

    stations: Mapping[str, Place]
    serial: Place | None
    gate_m: float
    deadline_ns: int
    min_gap_m: float
    nominal_m_s: float
    silent_ns: int
    late_ns: int


@dataclass(slots=True, kw_only=True)
class OpenPart:
    """A part between its trigger and its decision.

    Attributes:
        number: from 1, in the order in which they were told of.
        born_ns: when its trigger came, UTC ns.
        born_m: where the belt was then.
        serial, part_number, recipe: as far as they are known; ``""`` else.
        pictures: by station.
        seen_ns: when the newest of them was received, UTC ns; -1 without one.
        marks: what was wrong so far: codes, each with a measured value.
    """

    number: int
    born_ns: int
    born_m: float
    serial: str = ""
    part_number: str = ""
    recipe: str = ""
    pictures: dict[str, PartPicture] = field(default_factory=dict)
    seen_ns: int = -1
    marks: dict[str, float] = field(default_factory=dict)

    def as_mapping(self) -> dict[str, Any]:
        """JSON-ready."""
        plain = {name: getattr(self, name) for name in _PLAIN} | {"marks": dict(self.marks)}
        plain["pictures"] = {name: one.as_mapping() for name, one in self.pictures.items()}
        return plain

    @classmethod
    def from_mapping(cls, plain: Mapping[str, Any]) -> OpenPart:
        """Inverse of :meth:`as_mapping`."""
        pictures = {n: PartPicture.from_mapping(p) for n, p in plain["pictures"].items()}
        return cls(**{**plain, "pictures": pictures, "marks": dict(plain["marks"])})


_PLAIN = ("number", "born_ns", "born_m", "serial", "part_number", "recipe", "seen_ns")


@dataclass(frozen=True, slots=True, kw_only=True)
class Trigger:
    """A part has come to the beginning of the line.

    Attributes:
        at_ns: when, UTC ns.
        serial, part_number, recipe: of the same row; ``""`` where it does not say.
    """

    at_ns: int
    serial: str = ""
    part_number: str = ""
    recipe: str = ""


class Belt:
    """How far the belt has gone, by time; readings may come in any order.

    >>> belt = Belt(most=8)
    >>> belt.read(np.array([20, 10]), np.array([0.2, 0.1]))
    >>> belt.at(np.array([15])).tolist()
    [0.15000000000000002]
    """

    def __init__(self, *, most: int) -> None:
        self._most = most
        self.time_ns: IntArray = np.empty(0, np.int64)
        self.travel_m: FloatArray = np.empty(0, np.float64)
        self.guessed_from_ns = -1
        """From here on nothing was heard of it; -1: all is as it was read."""

    def __len__(self) -> int:
        return len(self.time_ns)

    @property
    def newest_ns(self) -> int:
        """Time of the newest reading, UTC ns; -1 before the first."""
        return int(self.time_ns[-1]) if len(self.time_ns) else -1

    def read(self, time_ns: IntArray, travel_m: FloatArray) -> None:
        """Take readings: int64[n] UTC ns and float64[n] metres; guesses give way to them."""
        if not len(time_ns):
            return
        if self.guessed_from_ns >= 0 and int(time_ns.max()) > self.guessed_from_ns:
            keep = self.time_ns <= self.guessed_from_ns
            self.time_ns, self.travel_m = self.time_ns[keep], self.travel_m[keep]
            self.guessed_from_ns = -1
        times = np.concatenate([self.time_ns, time_ns])
        travel = np.concatenate([self.travel_m, travel_m])
        order = np.argsort(times, kind="stable")[-self._most :]
        self.time_ns, self.travel_m = times[order], travel[order]

    def guess(self, until_ns: int, speed_m_s: float) -> None:
        """Nothing is heard of it: it is taken to have gone on at ``speed_m_s``."""
        if not len(self):
            self.time_ns, self.travel_m = np.array([until_ns]), np.zeros(1)
            self.guessed_from_ns = until_ns
            return
        at_ns, travel_m = self.newest_ns, float(self.travel_m[-1])
        if until_ns <= at_ns:
            return
        if self.guessed_from_ns < 0:
            self.guessed_from_ns = at_ns
        gone_m = (until_ns - at_ns) / NS_PER_S * speed_m_s
        self.time_ns = np.append(self.time_ns, until_ns)[-self._most :]
        self.travel_m = np.append(self.travel_m, travel_m + gone_m)[-self._most :]

    def is_guess(self, at_ns: int) -> bool:
        """Whether its place at that time was guessed."""
        return 0 <= self.guessed_from_ns < at_ns

    def at(self, time_ns: IntArray) -> FloatArray:
        """float64[n], metres at those times; outside of the readings as at the nearest."""
        if not len(self):
            return np.zeros(len(time_ns))
        # Nanoseconds since 1970 do not fit a double: counted from the first reading they do.
        base = self.time_ns[0]
        found: FloatArray = np.interp(
            (time_ns - base).astype(np.float64),
            (self.time_ns - base).astype(np.float64),
            self.travel_m,
        )
        return found

    def forget(self, before_ns: int) -> None:
        """Let go of readings before that time; the last one before it stays, to lie between."""
        first = int(np.searchsorted(self.time_ns, before_ns, side="right")) - 1
        if first > 0:
            self.time_ns, self.travel_m = self.time_ns[first:], self.travel_m[first:]


class Line:
    """The parts of one line, from their triggers to when they must be decided.

    Args:
        layout: of the line.
        limits: ``open_parts``, ``gone_parts``, ``waiting_pictures``, ``belt_readings``,
            ``known_serials``.

    Attributes:
        open: parts that are not decided, the oldest first.
        left_aside: what was given and belongs to no part, by cause.

    >>> layout = LineLayout(
    ...     stations={"top": Place(at_m=1.0, tolerance_m=0.1)}, serial=None, gate_m=2.0,
    ...     deadline_ns=60 * NS_PER_S, min_gap_m=0.2, nominal_m_s=0.5, silent_ns=NS_PER_S,
    ...     late_ns=0)
    >>> line = Line(layout)
    >>> line.belt.read(np.arange(0, 6) * NS_PER_S, np.arange(0, 6) * 0.5)
    >>> line.trigger([Trigger(at_ns=0), Trigger(at_ns=NS_PER_S // 10)])
    >>> line.advance(4 * NS_PER_S)
    >>> [part.number for part in line.due(4 * NS_PER_S)], dict(line.left_aside)
    ([1], {'DOUBLED_TRIGGER': 1})
    """

    def __init__(self, layout: LineLayout, *, limits: Limits = DEFAULT_LIMITS) -> None:
        self.layout = layout
        self._limits = limits
        self.belt = Belt(most=limits.belt_readings)
        self.open: list[OpenPart] = []
        self.left_aside: Counter[str] = Counter()
        self.orphans: list[PartPicture] = []
        """Pictures that turned out to be of no part since they were last taken from here."""
        self._born = 0
        self._gone: list[tuple[float, list[str]]] = []  # where it was born, and its stations
        self._serials: dict[str, None] = {}
        self._triggers: list[Trigger] = []
        self._reads: list[tuple[int, str]] = []
        self._pictures: list[tuple[PartPicture, int]] = []  # and when each was received
        self._horizon_ns = -1

    # --- what comes -------------------------------------------------------------------------------

    def trigger(self, triggers: Sequence[Trigger]) -> None:
        """Parts have come; in any order."""
        self._triggers += triggers

    def read_serials(self, reads: Sequence[tuple[int, str]]) -> None:
        """Serial numbers were read: (UTC ns, text)."""
        self._reads += [(at_ns, text) for at_ns, text in reads if text]

    def see(self, picture: PartPicture, received_ns: int) -> None:
        """A station has a picture. At the bound the oldest that waits is left aside."""
        self._pictures.append((picture, received_ns))
        while len(self._pictures) > self._limits.waiting_pictures:
            self._orphan(self._pictures.pop(0)[0])

    # --- time -------------------------------------------------------------------------------------

    def advance(self, at_ns: int, *, is_final: bool = False) -> None:
        """Join what is known up to ``at_ns``, less the time that rows may be late."""
        layout = self.layout
        until_ns = at_ns if is_final else at_ns - layout.late_ns
        quiet_ns = at_ns - self.belt.newest_ns if len(self.belt) else layout.silent_ns + 1
        if quiet_ns > layout.silent_ns and not is_final:
            self.belt.guess(until_ns, layout.nominal_m_s)
        elif not is_final:
            until_ns = min(until_ns, self.belt.newest_ns)  # its next reading is on its way
        self._horizon_ns = max(self._horizon_ns, until_ns)
        self._bear(until_ns)
        self._join_serials(until_ns)
        self._join_pictures(until_ns)
        oldest_ns = min((p.born_ns for p in self.open), default=until_ns)
        waiting = [p.capture_ns for p, _ in self._pictures] + [t.at_ns for t in self._triggers]
        self.belt.forget(min([oldest_ns, *waiting, until_ns]) - layout.late_ns - NS_PER_S)

    def travel_m(self, part: OpenPart) -> float:
        """How far the part is from its trigger, as far as everything is known."""
        return float(self.belt.at(np.array([self._horizon_ns]))[0]) - part.born_m

    def when_at(self, part: OpenPart, at_m: float) -> int:
        """When the part was first at least ``at_m`` from its trigger, UTC ns; -1: not yet."""
        belt = self.belt
        there = (belt.travel_m >= part.born_m + at_m) & (belt.time_ns >= part.born_ns)
        there &= belt.time_ns <= self._horizon_ns
        return int(belt.time_ns[there.argmax()]) if there.any() else -1

    def is_complete(self, part: OpenPart) -> bool:
        """Whether every station has a picture that was looked at, and its serial was read."""
        return all(
            n in part.pictures and not part.pictures[n].code for n in self.layout.stations
        ) and (self.layout.serial is None or bool(part.serial))

    def due(self, at_ns: int, *, is_final: bool = False) -> list[OpenPart]:
        """Parts that must be decided now, whatever is missing: at the gate, late, or too many."""
        overdue = len(self.open) - self._limits.open_parts
        found = []
        for place, part in enumerate(self.open):
            if place < overdue:
                part.marks[TOO_MANY_PARTS] = float(len(self.open))
            elif not (
                is_final
                or self.travel_m(part) >= self.layout.gate_m
                or at_ns - part.born_ns >= self.layout.deadline_ns
            ):
                continue
            found.append(part)
        return found

    def decided(self, part: OpenPart) -> None:
        """A decision was made: whatever is seen of the part from now on is too late."""
        for name in self.layout.stations:
            if name not in part.pictures:
                part.marks[MISSING_PICTURE] = part.marks.get(MISSING_PICTURE, 0.0) + 1
        if self.layout.serial is not None and not part.serial:
            part.marks[NO_SERIAL] = 0.0
        if self.belt.is_guess(self._horizon_ns):
            part.marks[ENCODER_SILENT] = (self._horizon_ns - self.belt.guessed_from_ns) / NS_PER_S
        self.open.remove(part)
        self._gone.append((part.born_m, list(part.pictures)))
        del self._gone[: -self._limits.gone_parts]

    # --- joining ----------------------------------------------------------------------------------

    def _bear(self, until_ns: int) -> None:
        ready = sorted((t for t in self._triggers if t.at_ns <= until_ns), key=lambda t: t.at_ns)
        self._triggers = [t for t in self._triggers if t.at_ns > until_ns]
        places_m = self.belt.at(np.array([t.at_ns for t in ready], np.int64))
        for trigger, born_m in zip(ready, places_m.tolist(), strict=True):
            known_m = [p.born_m for p in self.open] + [m for m, _ in self._gone]
            if any(abs(born_m - m) < self.layout.min_gap_m for m in known_m):
                self.left_aside[DOUBLED_TRIGGER] += 1
                continue
            self._born += 1
            part = OpenPart(
                number=self._born, born_ns=trigger.at_ns, born_m=born_m,
                part_number=trigger.part_number, recipe=trigger.recipe,
            )  # fmt: skip
            if self.belt.is_guess(trigger.at_ns):
                part.marks[ENCODER_SILENT] = 0.0
            if trigger.serial:
                self._name(part, trigger.serial)
            self.open.append(part)

    def _name(self, part: OpenPart, serial: str) -> None:
        if part.serial == serial:
            return
        if part.serial:
            part.marks[SERIAL_CONFLICT] = part.marks.get(SERIAL_CONFLICT, 1.0) + 1
            return
        part.serial = serial
        if serial in self._serials:
            part.marks[DUPLICATE_SERIAL] = 2.0
        self._serials[serial] = None
        while len(self._serials) > self._limits.known_serials:
            del self._serials[next(iter(self._serials))]

    def _join_serials(self, until_ns: int) -> None:
        place = self.layout.serial
        ready = [read for read in sorted(self._reads) if read[0] <= until_ns]
        self._reads = [read for read in self._reads if read[0] > until_ns]
        if place is None or not ready:
            return
        at = self._parts_at(np.array([at_ns for at_ns, _ in ready], np.int64), place)
        for (_, serial), here in zip(ready, at, strict=True):
            near = [part for part, is_here in zip(self.open, here.tolist(), strict=True) if is_here]
            if len(near) != 1:
                self.left_aside[SERIAL_WITHOUT_PART] += 1
                continue
            self._name(near[0], serial)

    def _join_pictures(self, until_ns: int) -> None:
        ready = [one for one in self._pictures if one[0].capture_ns <= until_ns]
        self._pictures = [one for one in self._pictures if one[0].capture_ns > until_ns]
        for station, place in self.layout.stations.items():
            seen = [one for one in ready if one[0].station == station]
            seen.sort(key=lambda one: one[0].capture_ns)
            at = self._parts_at(np.array([p.capture_ns for p, _ in seen], np.int64), place)
            for (picture, received_ns), here in zip(seen, at, strict=True):
                near = [p for p, is_here in zip(self.open, here.tolist(), strict=True) if is_here]
                self._join(picture, received_ns, place, near)

    def _join(
        self, picture: PartPicture, received_ns: int, place: Place, near: list[OpenPart]
    ) -> None:
        if not near:
            at_m = float(self.belt.at(np.array([picture.capture_ns]))[0])
            shown = [had for m, had in self._gone
                     if abs(at_m - m - place.at_m) <= place.tolerance_m]  # fmt: skip
            if any(picture.station in had for had in shown):
                self.left_aside[REPEATED_PICTURE] += 1
            elif shown:
                self.left_aside[PICTURE_AFTER_DECISION] += 1
            else:
                self._orphan(picture)
            return
        for part in near:
            known = part.pictures.get(picture.station)
            if known is not None and not known.code:
                self.left_aside[REPEATED_PICTURE] += 1
                continue
            part.pictures[picture.station] = picture
            part.seen_ns = max(part.seen_ns, received_ns)
            if len(near) > 1:
                part.marks[TWO_PARTS_IN_PICTURE] = float(len(near))
            if self.belt.is_guess(picture.capture_ns):
                part.marks[ENCODER_SILENT] = 0.0

    def _parts_at(self, time_ns: IntArray, place: Place) -> Any:
        """bool[n, open parts]: whether each part was at ``place`` at each of ``time_ns``."""
        born_m = np.array([part.born_m for part in self.open])
        travel_m = self.belt.at(time_ns)[:, None] - born_m[None, :]
        return np.abs(travel_m - place.at_m) <= place.tolerance_m

    def _orphan(self, picture: PartPicture) -> None:
        self.left_aside[PICTURE_WITHOUT_PART] += 1
        self.orphans.append(picture)
        del self.orphans[: -self._limits.waiting_pictures]

    # --- checkpoint -------------------------------------------------------------------------------

    def snapshot(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """The state as plain values, and as arrays."""
        plain = {
            "open": [part.as_mapping() for part in self.open],
            "left_aside": dict(self.left_aside),
            "born": self._born,
            "gone": [[m, had] for m, had in self._gone],
            "serials": list(self._serials),
            "triggers": [asdict(one) for one in self._triggers],
            "reads": [list(one) for one in self._reads],
            "pictures": [[one.as_mapping(), at_ns] for one, at_ns in self._pictures],
            "horizon_ns": self._horizon_ns,
            "guessed_from_ns": self.belt.guessed_from_ns,
        }
        return plain, {"belt_ns": self.belt.time_ns, "belt_m": self.belt.travel_m}

    def restore(self, plain: Mapping[str, Any], arrays: Mapping[str, Any]) -> None:
        """Inverse of :meth:`snapshot`."""
        self.open = [OpenPart.from_mapping(one) for one in plain["open"]]
        self.left_aside = Counter(plain["left_aside"])
        self._born = int(plain["born"])
        self._gone = [(float(m), list(had)) for m, had in plain["gone"]]
        self._serials = dict.fromkeys(plain["serials"])
        self._triggers = [Trigger(**one) for one in plain["triggers"]]
        self._reads = [(int(at_ns), str(text)) for at_ns, text in plain["reads"]]
        self._pictures = [(PartPicture.from_mapping(p), int(at)) for p, at in plain["pictures"]]
        self._horizon_ns = int(plain["horizon_ns"])
        self.belt.time_ns, self.belt.travel_m = arrays["belt_ns"], arrays["belt_m"]
        self.belt.guessed_from_ns = int(plain["guessed_from_ns"])
