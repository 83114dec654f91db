"""Machines among people: their brakes, their size, and when a person is at risk from one."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sightline.errors import UsageError
from sightline.records.windows import FloatArray


@dataclass(frozen=True, slots=True, kw_only=True)
class Braking:
    """The braking of one kind of machine, as its maker guarantees it in the worst case.

    Attributes:
        response_s: from the command to the first effect of the brake, >= 0.
        least_deceleration_m_s2: on the worst ground with the heaviest load, > 0.
        margin_m: of measurement: what the distance measured may be too long, >= 0.
        acceleration_m_s2: with which it may speed up until the brake has its effect, >= 0.
        top_speed_m_s: beyond which it does not speed up, > 0; inf where that is not known.

    Raises:
        UsageError: a value out of its range.

    >>> yard_truck = Braking(response_s=0.3, least_deceleration_m_s2=2.0)
    >>> yard_truck.stopping_distance_m(np.array([4.0]), sensing_latency_s=0.2).tolist()
    [6.0]
    >>> yard_truck.stopping_time_s(np.array([4.0]), sensing_latency_s=0.2).tolist()
    [2.5]
    """

    response_s: float
    least_deceleration_m_s2: float
    margin_m: float = 0.0
    acceleration_m_s2: float = 0.0
    top_speed_m_s: float = math.inf

    def __post_init__(self) -> None:
        least_0 = (self.response_s, self.margin_m, self.acceleration_m_s2)
        brakes = self.least_deceleration_m_s2
        is_in_range = min(least_0) >= 0 < brakes and self.top_speed_m_s > 0
        if not (is_in_range and all(map(math.isfinite, (*least_0, brakes)))):
            raise UsageError(
                expected="response_s, margin_m, acceleration_m_s2 >= 0, least_deceleration_m_s2 "
                "and top_speed_m_s > 0, all but the last finite",
                got=f"{least_0}, {brakes}, {self.top_speed_m_s}",
                where="braking",
                action="take the guaranteed values from the machine's documentation",
            )

    def stopping_distance_m(
        self, speed_m_s: FloatArray, *, sensing_latency_s: npt.ArrayLike
    ) -> FloatArray:
        """float64[n]: (v + v') / 2 (sensing latency + response) + v'² / (2 a) + margin.

        v' is the speed when the brake takes hold: v, unless the machine may speed up until then.

        Args:
            speed_m_s: float64[n], >= 0.
            sensing_latency_s: from what the picture shows to the command, a number or float64[n].

        The terms are those of ISO/TS 15066:2016, 5.5.4 (speed and separation monitoring) for the
        machine: its way during the reaction, its way while it stops, and the uncertainty of its
        position.
        """
        reaction_s = np.asarray(sensing_latency_s, np.float64) + self.response_s
        braked_m_s = self.sped_up_m_s(speed_m_s, reaction_s)
        found: FloatArray = (
            (speed_m_s + braked_m_s) / 2 * reaction_s
            + braked_m_s**2 / (2 * self.least_deceleration_m_s2)
            + self.margin_m
        )
        return found

    def stopping_time_s(
        self, speed_m_s: FloatArray, *, sensing_latency_s: npt.ArrayLike
    ) -> FloatArray:
        """float64[n]: from what the picture shows to standstill."""
        reaction_s = np.asarray(sensing_latency_s, np.float64) + self.response_s
        braked_m_s = self.sped_up_m_s(speed_m_s, reaction_s)
        found: FloatArray = reaction_s + braked_m_s / self.least_deceleration_m_s2
        return found

    def sped_up_m_s(self, speed_m_s: FloatArray, time_s: npt.ArrayLike) -> FloatArray:
        """float64[n]: the fastest that machines of these speeds can be after some time.

        >>> Braking(response_s=0.3, least_deceleration_m_s2=2.0, acceleration_m_s2=1.0,
        ...         top_speed_m_s=3.0).sped_up_m_s(np.array([1.0, 2.8, 4.0]), 0.5).tolist()
        [1.5, 3.0, 4.0]
        """
        gained = speed_m_s + self.acceleration_m_s2 * np.asarray(time_s, np.float64)
        found: FloatArray = np.maximum(np.minimum(gained, self.top_speed_m_s), speed_m_s)
        return found


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
