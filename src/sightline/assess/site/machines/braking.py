"""What a machine needs to stop: distance and time, in SI units."""

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
