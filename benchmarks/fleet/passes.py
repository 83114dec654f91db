"""The link's arc over each pass, and how it changes as the Earth turns below the track."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np

from benchmarks.fleet.clock import PASSES, OrbitClock
from benchmarks.fleet.fitting import robust_fit, scattered
from benchmarks.fleet.reference import BoolArray
from benchmarks.fleet.series import (
    SIDEREAL_RAD_PER_S,
    Channel,
    SatelliteSeries,
)
from sightline.records.windows import FloatArray, IntArray

HARMONICS = 14
NOISE_BINS = 24
_SAMPLE_S = 80.0
_EDGE_S = 12.0


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PassShape:
    """Harmonics of a pass, each times a slow function of the Earth's turn.

    Attributes:
        coefficients: float64[5, 2 * HARMONICS + 1]: slow functions (1, cosine and sine of one and
            two turns a day) by constant, cosines and sines.
    """

    coefficients: FloatArray

    @classmethod
    def learn(cls, clock: OrbitClock, history: SatelliteSeries) -> Self:
        """From some days."""
        chosen = scattered(len(history.time_s), history.samples(_SAMPLE_S))
        time_s = history.time_s[chosen]
        turn = np.exp(1j * PASSES * clock.angle_rad(time_s))
        powers = np.cumprod(np.repeat(turn[None], HARMONICS, axis=0), axis=0)
        base = np.vstack([np.ones(len(time_s)), powers.real, powers.imag])
        columns = (_slow(time_s)[:, None, :] * base[None]).reshape(-1, len(time_s)).T
        found = robust_fit(columns, history.values[Channel.LINK][chosen], rounds=2, ridge=1e-7)
        return cls(coefficients=found.reshape(5, -1))

    def expected(self, clock: OrbitClock, time_s: FloatArray) -> FloatArray:
        """float64[n], by Horner's rule."""
        turn = np.exp(1j * PASSES * clock.angle_rad(time_s))
        found = np.zeros(len(time_s))
        for slow, row in zip(_slow(time_s), self.coefficients, strict=True):
            total = np.zeros(len(time_s), np.complex128)
            for k in range(HARMONICS, 0, -1):
                total = (total + (row[k] - 1j * row[HARMONICS + k])) * turn
            found += slow * (row[0] + total.real)
        return found


def pass_bin(clock: OrbitClock, time_s: FloatArray) -> IntArray:
    """int64[n]: which part of its pass a sample is in: noise depends on the elevation."""
    share = PASSES * clock.angle_rad(time_s) / (2 * np.pi) % 1
    found: IntArray = np.minimum((share * NOISE_BINS).astype(np.int64), NOISE_BINS - 1)
    return found


def near_handover(clock: OrbitClock, time_s: FloatArray, period_s: float) -> BoolArray:
    """bool[n]: within seconds of the change of stations, where the arc has a corner."""
    share = (PASSES * clock.angle_rad(time_s) / (2 * np.pi) + 0.5) % 1
    width = (_EDGE_S + 0.5 * period_s) * PASSES / clock.period_s
    found: BoolArray = (share < width) | (share > 1 - width)
    return found


def _slow(time_s: FloatArray) -> FloatArray:
    turn = SIDEREAL_RAD_PER_S * time_s
    rows = [np.ones(len(time_s)), np.cos(turn), np.sin(turn), np.cos(2 * turn), np.sin(2 * turn)]
    return np.vstack(rows)
