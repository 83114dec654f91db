"""The clock of an orbit, read off a channel that repeats twelve times in each."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Self

import numpy as np

from benchmarks.fleet.series import DAY_S
from sightline.records.windows import FloatArray

PASSES = 12
"""Stations along the track, as the ground segment has them: one arc of the link each."""
_PERIODS_S = np.arange(5635.0, 5805.0)
_CHUNK_S = 10_800.0
_EARTH_RADIUS_M = 6_371_000.0
_EARTH_MU_M3_S2 = 3.986004418e14


@dataclass(frozen=True, slots=True, kw_only=True)
class OrbitClock:
    """Orbital angle as a function of time.

    Attributes:
        period_s: of one revolution.
        phase_rad: of the twelvefold angle at time 0: that angle is 0 where the arc is highest.
    """

    period_s: float
    phase_rad: float

    def angle_rad(self, time_s: FloatArray) -> FloatArray:
        """float64[n]: orbital angle, up to a fixed number of twelfths of a turn."""
        angle: FloatArray = 2 * np.pi * time_s / self.period_s + self.phase_rad / PASSES
        return angle

    @property
    def shadow_limit(self) -> float:
        """Cosine of half the arc in shadow where the sun stands in the plane of the orbit.

        From the height of a circular orbit by Kepler's third law.

        >>> round(OrbitClock(period_s=5730.0, phase_rad=0.0).shadow_limit, 3)
        0.391
        """
        radius_m = (_EARTH_MU_M3_S2 * (self.period_s / (2 * math.pi)) ** 2) ** (1 / 3)
        return math.sqrt(1 - (_EARTH_RADIUS_M / radius_m) ** 2)

    @classmethod
    def read(cls, time_s: FloatArray, link: FloatArray, before: OrbitClock | None = None) -> Self:
        """From float64[n] of signal strength over a day or more; NaN is left out.

        A scan of the twelfth and twenty-fourth harmonic over the periods of low orbits (94 to 97
        minutes), then the drift of the phase over three hours at a time, by least squares.
        """
        known = np.isfinite(link)
        at_s, y = time_s[known], link[known] - link[known].mean()
        if before is not None:
            period_s = before.period_s
        else:
            early = at_s < at_s[0] + DAY_S
            turn = np.exp(-2j * np.pi * PASSES * at_s[early][None, :] / _PERIODS_S[:, None])
            power = np.abs(turn @ y[early]) + np.abs((turn * turn) @ y[early])
            period_s = float(_PERIODS_S[power.argmax()])
        phase = 0.0
        chunks = max(4, int((at_s[-1] - at_s[0]) / _CHUNK_S))
        edge = np.linspace(0, len(at_s), chunks + 1).astype(np.int64)[:-1]
        size = np.diff(np.append(edge, len(at_s)))
        middle_s = np.add.reduceat(at_s, edge) / size
        for _ in range(3):
            turned = np.add.reduceat(y * np.exp(-2j * np.pi * PASSES * at_s / period_s), edge)
            slope, phase = np.polyfit(
                middle_s, np.unwrap(np.angle(turned)), 1, w=np.abs(turned) + 1e-12
            )
            period_s = PASSES / (PASSES / period_s + slope / (2 * np.pi))
        return cls(period_s=float(period_s), phase_rad=float(phase))
