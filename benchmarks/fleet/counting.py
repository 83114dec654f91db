"""A counter of rare events, cleared on command: what it may not do, and how surprising it is.

Between scrubs it never falls. Where counts come is learnt from the last days: a few everywhere, and
many over an anomaly of the radiation belt, which is a place on the Earth, so a function of the
orbital angle times one of the Earth's turn. A count is judged by its tail.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
from scipy.special import betainc

from benchmarks.fleet.clock import OrbitClock
from benchmarks.fleet.commands import UPLINK_S, CommandRecord, spans
from benchmarks.fleet.series import (
    SIDEREAL_RAD_PER_S,
    Channel,
    SatelliteSeries,
)
from sightline.records.windows import FloatArray, IntArray

_ORBIT_BINS, _EARTH_BINS = 90, 48
_SPREAD_BINS = (1.2, 2.0)
_ROUNDS = 30
_PRIOR_PER_S, _PRIOR_COUNTS = 0.6 / 3600, 6.0
_LEARNT_TIMES, _LEARNT_COUNTS = 3.0, 4.0
_MARGIN_COUNTS = 0.05
_AFTER_SCRUB_S = 20.0
BURST_S = 30.0
RISES_S = (3600.0, 7200.0, 14_400.0, 21_600.0)


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
        """From some days, by expectation and maximisation, smoothed in each round.

        B. W. Silverman et al., "A smoothed EM approach to indirect estimation problems", JRSS B
        52, 1990.
        """
        rises, _ = _moves(history, commands)
        place = _place(clock, history.time_s)
        cells = _ORBIT_BINS * _EARTH_BINS
        shape = (_ORBIT_BINS, _EARTH_BINS)
        counts, exposure_s = (
            np.bincount(place, weights=weight, minlength=cells).reshape(shape).astype(np.float64)
            for weight in (rises, np.full(len(rises), history.period_s))
        )
        total_s = float(exposure_s.sum())
        background = max(float(counts.sum()) / total_s / 2, _PRIOR_PER_S / 10)
        along = np.full(_ORBIT_BINS, np.sqrt(background))
        turn = np.full(_EARTH_BINS, np.sqrt(background))
        for _ in range(_ROUNDS):
            anomaly = np.outer(along, turn)
            of_anomaly = counts * anomaly / (background + anomaly)
            background = (float((counts - of_anomaly).sum()) + _PRIOR_COUNTS) / (
                total_s + _PRIOR_COUNTS / _PRIOR_PER_S
            )
            along = of_anomaly.sum(axis=1) / np.maximum(exposure_s @ turn, 1e-9)
            along = _smoothed(along, _SPREAD_BINS[0])
            turn = of_anomaly.sum(axis=0) / np.maximum(exposure_s.T @ along, 1e-9)
            turn = _smoothed(turn, _SPREAD_BINS[1])
        return cls(clock=clock, per_s=background + np.outer(along, turn))

    def at(self, time_s: FloatArray) -> FloatArray:
        """float64[n]: counts per second."""
        found: FloatArray = self.per_s.reshape(-1)[_place(self.clock, time_s)]
        return found

    def evidence(self, series: SatelliteSeries, commands: CommandRecord) -> dict[str, FloatArray]:
        """float64[n] by test.

        ``fall``: by how much it fell where nothing was cleared. ``scrubbed``: what is left just
        after a scrub, ``rise_N``: what came in the last N seconds, as -ln of its chance.
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
    """float64[n]: -ln P(at least so many); 0 at and below what is expected.

    The rate is not known but learnt from some three times as many counts as are expected, so a
    count is negative binomial: Poisson, with a gamma distributed rate.

    >>> surprise(np.array([0.0, 1.0, 8.0]), np.array([0.1, 0.1, 0.1])).round(1).tolist()
    [0.0, 2.0, 21.9]
    """
    mean = expected + _MARGIN_COUNTS
    shape = _LEARNT_TIMES * mean + _LEARNT_COUNTS
    found = np.zeros(len(counted))
    more = counted > mean
    mean, shape = mean[more], shape[more]
    chance = betainc(counted[more], shape, mean / (mean + shape))
    found[more] = -np.log(np.maximum(chance, 1e-300))
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


def _smoothed(values: FloatArray, spread: float) -> FloatArray:
    """float64[n], around the circle, with a Gaussian; none below 0."""
    n = len(values)
    distance = np.minimum(np.arange(n), n - np.arange(n))
    weight = np.exp(-0.5 * (distance / spread) ** 2)
    spectrum = np.fft.rfft(weight / weight.sum())
    return np.maximum(np.fft.irfft(np.fft.rfft(values) * spectrum, n), 0.0)
