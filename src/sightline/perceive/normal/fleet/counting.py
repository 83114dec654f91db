"""A counter of rare events, cleared on command: what it may not do, and how surprising it is.

Between scrubs it never falls. Where along the orbit and the day counts come (an anomaly of the
radiation belt) is learnt from the last days; a count is judged by its Poisson tail.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
from scipy.special import pdtrc

from sightline.perceive.normal.fleet.clock import OrbitClock
from sightline.perceive.normal.fleet.commands import UPLINK_S, CommandRecord, spans
from sightline.perceive.normal.fleet.series import (
    SIDEREAL_RAD_PER_S,
    Channel,
    SatelliteSeries,
)
from sightline.records.windows import FloatArray, IntArray

_ORBIT_BINS, _EARTH_BINS = 90, 48
_SPREAD_BINS = (1.5, 2.5)
_BACKGROUND_PER_S = 0.3 / 3600
_MARGIN = 1.5
_MARGIN_COUNTS = 0.05
_AFTER_SCRUB_S = 20.0
BURST_S = 30.0
RISES_S = (3600.0, 7200.0, 14_400.0)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class CountRate:
    """Counts per second by orbital angle and the Earth's turn.

    Attributes:
        clock: of the orbit.
        per_s: float64[90, 48].
    """

    clock: OrbitClock
    per_s: FloatArray

    @classmethod
    def learn(cls, clock: OrbitClock, history: SatelliteSeries, commands: CommandRecord) -> Self:
        """From some days: counts over exposure, both smoothed over some degrees."""
        rises, _ = _moves(history, commands)
        place = _place(clock, history.time_s)
        cells = _ORBIT_BINS * _EARTH_BINS
        shape = (_ORBIT_BINS, _EARTH_BINS)
        counts, exposure_s = (
            np.bincount(place, weights=weight, minlength=cells).reshape(shape).astype(np.float64)
            for weight in (rises, np.full(len(rises), history.period_s))
        )
        for axis, spread in enumerate(_SPREAD_BINS):
            counts = _smoothed(counts, spread, axis)
            exposure_s = _smoothed(exposure_s, spread, axis)
        rate = np.maximum(counts, 0) / np.maximum(exposure_s, 1.0)
        return cls(clock=clock, per_s=rate + _BACKGROUND_PER_S)

    def at(self, time_s: FloatArray) -> FloatArray:
        """float64[n]: counts per second."""
        found: FloatArray = self.per_s.reshape(-1)[_place(self.clock, time_s)]
        return found

    def evidence(self, series: SatelliteSeries, commands: CommandRecord) -> dict[str, FloatArray]:
        """float64[n] by test.

        ``fall``: by how much it fell where nothing was cleared. ``scrubbed``: what is left just
        after a scrub, ``rise_N``: what came in the last N seconds, as -ln of the Poisson tail.
        """
        rises, falls = _moves(series, commands)
        total = np.cumsum(rises)
        rate = self.at(series.time_s)
        mean = np.cumsum(rate) * series.period_s
        start_s = commands.sent("scrub_memory") + UPLINK_S[1] + 1.0 + series.period_s
        after = spans(series.time_s, start_s, start_s + _AFTER_SCRUB_S)
        left = np.where(after, np.nan_to_num(series.values[Channel.COUNTER]), 0.0)
        found = {"fall": falls, "scrubbed": surprise(left, rate * BURST_S)}
        for width_s in (BURST_S, *RISES_S):
            k = min(series.samples(width_s), len(total) - 1)
            counted, expected = np.zeros(len(total)), mean.copy()
            counted[k:] = total[k:] - total[:-k]
            expected[k:] = mean[k:] - mean[:-k]
            found[f"rise_{width_s:g}"] = surprise(counted, expected)
        return found


def surprise(counted: FloatArray, expected: FloatArray) -> FloatArray:
    """float64[n]: -ln P(at least so many), for half as many again as expected; 0 below the mean.

    >>> surprise(np.array([0.0, 1.0, 8.0]), np.array([0.1, 0.1, 0.1])).round(1).tolist()
    [0.0, 1.7, 23.7]
    """
    mean = _MARGIN * expected + _MARGIN_COUNTS
    found = np.zeros(len(counted))
    more = counted > mean
    found[more] = -np.log(np.maximum(pdtrc(counted[more] - 1, mean[more]), 1e-300))
    return found


def _moves(series: SatelliteSeries, commands: CommandRecord) -> tuple[FloatArray, FloatArray]:
    """By how much the counter rose and fell at each sample, scrubs left out."""
    scrub_s = commands.sent("scrub_memory")
    period_s = series.period_s
    near = spans(series.time_s, scrub_s - 0.5 * period_s, scrub_s + UPLINK_S[1] + 1.01 * period_s)
    count = series.values[Channel.COUNTER]
    change = np.diff(count, prepend=count[0])
    change = np.where(near | ~np.isfinite(change), 0.0, change)
    return np.maximum(change, 0.0), np.maximum(-change, 0.0)


def _place(clock: OrbitClock, time_s: FloatArray) -> IntArray:
    turn = (clock.angle_rad(time_s) / (2 * np.pi)) % 1
    earth = (SIDEREAL_RAD_PER_S * time_s / (2 * np.pi)) % 1
    orbit_bin = (turn * _ORBIT_BINS).astype(np.int64) % _ORBIT_BINS
    earth_bin = (earth * _EARTH_BINS).astype(np.int64) % _EARTH_BINS
    place: IntArray = orbit_bin * _EARTH_BINS + earth_bin
    return place


def _smoothed(grid: FloatArray, spread: float, axis: int) -> FloatArray:
    """Around the circle, with a Gaussian."""
    n = grid.shape[axis]
    distance = np.minimum(np.arange(n), n - np.arange(n))
    weight = np.exp(-0.5 * (distance / spread) ** 2)
    spectrum = np.expand_dims(np.fft.rfft(weight / weight.sum()), 1 - axis)
    found: FloatArray = np.fft.irfft(np.fft.rfft(grid, axis=axis) * spectrum, n, axis=axis)
    return found
