"""Telemetry of one satellite as columns, and the channels that the detector knows."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

import numpy as np

from sightline.errors import UsageError
from sightline.records.windows import FloatArray

DAY_S = 86_400.0
SIDEREAL_RAD_PER_S = 2 * np.pi / 86_164.1
"""How fast the Earth turns below an orbit."""


class Channel(IntEnum):
    """Rows of the values."""

    BATTERY = 0
    THERMAL = 1
    WHEEL = 2
    LOAD = 3
    LINK = 4
    THERMOSTAT = 5
    COUNTER = 6
    POINTING = 7


UNIT: FloatArray = np.array([0.03, 0.15, 4.0, 0.03, 0.3, 0.08, 2.0, 4.0])
"""Nominal noise of each channel, as its data sheet gives it: the unit of residuals."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SatelliteSeries:
    """Samples of one satellite at even distances.

    Attributes:
        time_s: float64[n], ascending, from a fixed instant.
        values: float64[8, n], rows as in :class:`Channel`; NaN is "no value".
        period_s: distance of the samples, above 0.

    Raises:
        UsageError: shapes that do not fit.
    """

    time_s: FloatArray
    values: FloatArray
    period_s: float

    def __post_init__(self) -> None:
        if self.values.shape != (len(Channel), len(self.time_s)) or self.period_s <= 0:
            raise UsageError(
                expected=f"values of shape ({len(Channel)}, samples), a period above 0",
                got=f"{self.values.shape} for {len(self.time_s)} times, {self.period_s} s",
                where="SatelliteSeries",
                action="give the eight channels of the fleet in their order",
            )

    def samples(self, duration_s: float) -> int:
        """How many samples a duration has, one or more."""
        return max(1, round(duration_s / self.period_s))

    def last(self, duration_s: float) -> SatelliteSeries:
        """The end of the series."""
        keep = min(self.samples(duration_s), len(self.time_s))
        return SatelliteSeries(
            time_s=self.time_s[-keep:],
            values=np.ascontiguousarray(self.values[:, -keep:]),
            period_s=self.period_s,
        )

    @classmethod
    def joined(cls, *parts: SatelliteSeries) -> SatelliteSeries:
        """Parts in order of time, one or more."""
        return cls(
            time_s=np.concatenate([part.time_s for part in parts]),
            values=np.concatenate([part.values for part in parts], axis=1),
            period_s=parts[0].period_s,
        )
