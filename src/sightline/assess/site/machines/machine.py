"""Machines among people: their size, their brakes, and when a person is at risk from one."""

from __future__ import annotations

import math
from dataclasses import dataclass

from sightline.assess.site.machines.braking import Braking
from sightline.errors import UsageError


@dataclass(frozen=True, slots=True, kw_only=True)
class MachineRule:
    """One kind of moving machine and the distances to keep from it.

    Attributes:
        machine_class: class name of its tracks.
        length_m: of its footprint along its heading.
        width_m: across.
        braking: guaranteed.
        person_classes: class names of who must be kept safe.
        person_radius_m: of a person's footprint.
        clearance_m: least distance between footprints (TOO_CLOSE, and the limit of conflicts).
        probability: of a risk from which it is said, above 0 and below 1. The rule for it is
            cost of a needless stop / (that + cost of a missed one). At 0.5 the estimate itself
            decides, and ``clearance_m`` is what is in hand against its errors.
        warn_ahead_s: time before the latest moment to stop from which APPROACHING is said.
        restart_speed_m_s: speed that a machine which stands may have before it can be told to
            stand again, > 0: its acceleration times (sensing latency + response time), and some
            more for the time that a tracker takes to see it; not above its top speed. No machine
            is taken to be slower.
        decision_step_s: longest time between two assessments.

    Raises:
        UsageError: a value out of its range.
    """

    machine_class: str
    length_m: float
    width_m: float
    braking: Braking
    person_classes: tuple[str, ...] = ("person",)
    person_radius_m: float = 0.3
    clearance_m: float = 0.5
    probability: float = 0.5
    warn_ahead_s: float = 2.0
    restart_speed_m_s: float = 2.0
    decision_step_s: float = 0.1

    def __post_init__(self) -> None:
        sizes = (self.length_m, self.width_m, self.restart_speed_m_s)
        others = (self.person_radius_m, self.clearance_m, self.warn_ahead_s, self.decision_step_s)
        is_in_range = min(sizes) > 0 and min(others) >= 0 and 0 < self.probability < 1
        is_named = bool(self.machine_class and self.person_classes)
        if not (is_in_range and is_named and all(map(math.isfinite, sizes + others))):
            raise UsageError(
                expected="class names, sizes and restart speed > 0, other values >= 0, all finite, "
                "and 0 < probability < 1",
                got=f"{sizes}, {others}, {self.probability}",
                where=f"machine rule {self.machine_class!r}",
                action="mend the rule",
            )
