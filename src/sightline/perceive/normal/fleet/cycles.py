"""Heaters: a cycle whose phase and duty the orbit stretches, as a square wave or a limit cycle.

phase(t) = t / T + φ + a sin θ + b cos θ in cycles; it heats while the phase's fraction is below the
duty d(θ) = d0 + d1 cos θ + d2 sin θ. Rising edges are where the phase is whole: all is linear
in the unknowns once edges are counted.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import least_squares

from sightline.perceive.normal.fleet import kernels
from sightline.perceive.normal.fleet.clock import OrbitClock
from sightline.perceive.normal.fleet.fitting import crossings, robust_fit, solved
from sightline.perceive.normal.fleet.series import UNIT, Channel
from sightline.records.windows import FloatArray, IntArray

HEATER_CYCLE_S = 780.0
THERMOSTAT_CYCLE_S = 840.0
"""Of the type, to begin a fit with."""
_BEND = 1.6
_MIDWAY = 0.319
"""Share of a rise after which half of it is done, for that bend."""
_PER_S = 1e5
_FIT_S = 50.0


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Cycle:
    """A heater's phase and duty.

    Attributes:
        phase: float64[4]: 1e5 / T, φ, a, b.
        duty: float64[3]: d0, d1, d2.
    """

    phase: FloatArray
    duty: FloatArray

    def fractions(self, time_s: FloatArray, angle_rad: FloatArray) -> tuple[FloatArray, FloatArray]:
        """float64[n] each: fraction of the cycle, and duty (0.1 to 0.9)."""
        sine, cosine = np.sin(angle_rad), np.cos(angle_rad)
        rate, start, a, b = self.phase.tolist()
        phase = time_s * (rate / _PER_S) + (start + a * sine + b * cosine)
        duty = self.duty[0] + self.duty[1] * cosine + self.duty[2] * sine
        return phase - np.floor(phase), np.clip(duty, 0.1, 0.9)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LoadModel:
    """Current: a level for each mode and a heater's share.

    Attributes:
        cycle: of the heater.
        coefficients: float64[4]: level, payload mode, safe mode, heater.
    """

    cycle: Cycle
    coefficients: FloatArray

    @classmethod
    def learn(
        cls, clock: OrbitClock, time_s: FloatArray, amps: FloatArray, mode: IntArray
    ) -> LoadModel:
        """From float64[n] at even distances of 5 to 10 s."""
        middle = amps.copy()
        for which in range(3):
            of_mode = (mode == which) & np.isfinite(amps)
            if of_mode.sum() > 50:
                low, high = np.percentile(amps[of_mode], [10, 90])
                middle[mode == which] -= (low + high) / 2
        cycle = _cycle(clock, time_s, middle, HEATER_CYCLE_S, margin=0.15, share=10)
        columns = _load_columns(cycle, clock, time_s, mode)
        found = robust_fit(columns[::2], amps[::2])
        return cls(cycle=cycle, coefficients=found)

    def expected(self, clock: OrbitClock, time_s: FloatArray, mode: IntArray) -> FloatArray:
        """float64[n]."""
        found: FloatArray = _load_columns(self.cycle, clock, time_s, mode) @ self.coefficients
        return found


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ThermostatModel:
    """A heated unit's temperature between two set points.

    Attributes:
        cycle: of its heater.
        low, rise: the lower set point, and from it to the upper one.
    """

    cycle: Cycle
    low: float
    rise: float

    @classmethod
    def learn(cls, clock: OrbitClock, time_s: FloatArray, warm: FloatArray) -> ThermostatModel:
        """From float64[n] at even distances of 5 to 10 s; NaN is left out."""
        low, high = np.nanpercentile(warm, [3, 97])
        first = _cycle(
            clock, time_s, warm - (low + high) / 2, THERMOSTAT_CYCLE_S, margin=0.05, share=3
        )
        # The middle is crossed some way into heating and some way into cooling.
        duty = (first.duty - np.array([_MIDWAY, 0, 0])) / (1 - 2 * _MIDWAY)
        shift = _MIDWAY * np.array([0, duty[0], duty[2], duty[1]])
        thin = slice(None, None, max(1, int(_FIT_S / (time_s[1] - time_s[0]))))
        known = np.isfinite(warm[thin])
        at_s, y = time_s[thin][known], warm[thin][known]
        angle = clock.angle_rad(at_s)

        def fitted(guess: FloatArray) -> tuple[FloatArray, FloatArray]:
            wave = _wave(Cycle(phase=guess[:4], duty=guess[4:]), at_s, angle)
            return solved(np.column_stack([np.ones(len(wave)), wave]), y)

        fit = least_squares(
            lambda guess: fitted(guess)[1] / float(UNIT[Channel.THERMOSTAT]),
            np.concatenate([first.phase + shift, duty]),
            loss="soft_l1",
            f_scale=2.0,
            max_nfev=6,
            x_scale=[0.02, 0.01, 0.01, 0.01, 0.01, 0.01, 0.01],
        )
        found = np.asarray(fit.x, np.float64)
        level, rise = fitted(found)[0].tolist()
        return cls(cycle=Cycle(phase=found[:4], duty=found[4:]), low=level, rise=rise)

    def expected(self, clock: OrbitClock, time_s: FloatArray) -> FloatArray:
        """float64[n]."""
        return self.low + self.rise * _wave(self.cycle, time_s, clock.angle_rad(time_s))


def _load_columns(
    cycle: Cycle, clock: OrbitClock, time_s: FloatArray, mode: IntArray
) -> FloatArray:
    fraction, duty = cycle.fractions(time_s, clock.angle_rad(time_s))
    rows = [np.ones(len(time_s)), mode == 2, mode == 0, fraction < duty]
    return np.column_stack(rows).astype(np.float64)


def _wave(cycle: Cycle, time_s: FloatArray, angle_rad: FloatArray) -> FloatArray:
    fraction, duty = cycle.fractions(time_s, angle_rad)
    heats = fraction < duty
    progress = np.where(heats, fraction / duty, (fraction - duty) / (1 - duty))
    rise = (1 - np.exp(-_BEND * progress)) / (1 - np.exp(-_BEND))
    wave: FloatArray = np.where(heats, rise, 1 - rise)
    return wave


def _cycle(
    clock: OrbitClock,
    time_s: FloatArray,
    centred: FloatArray,
    cycle_s: float,
    *,
    margin: float,
    share: int,
) -> Cycle:
    """From where a series crosses its middle, with a margin in units of its swing."""
    smooth = kernels.median_of_5(np.ascontiguousarray(centred))
    known = np.isfinite(smooth)
    low, high = np.percentile(smooth[known], [share, 100 - share])
    late_s = 2 * (time_s[1] - time_s[0])
    up_s, down_s = crossings(time_s[known] - late_s, smooth[known], margin * (high - low))
    angle = clock.angle_rad(up_s)
    best = (-1.0, 0.0, 0.0, 0.0)
    for size in (0.2, 0.35, 0.5):
        for turn in np.arange(0, 2 * np.pi, np.pi / 8):
            mean = np.exp(2j * np.pi * (up_s / cycle_s + size * np.sin(angle + turn))).mean()
            start = -float(np.angle(mean)) / (2 * np.pi)
            best = max(
                best,
                (
                    float(np.abs(mean)),
                    size * float(np.cos(turn)),
                    size * float(np.sin(turn)),
                    start,
                ),
            )
    phase = np.array([_PER_S / cycle_s, best[3], best[1], best[2]])
    columns = np.column_stack([up_s / _PER_S, np.ones(len(up_s)), np.sin(angle), np.cos(angle)])
    for k in range(6):
        place = columns @ phase
        whole = np.rint(place)
        keep = np.abs(place - whole) < (0.3 if k < 2 else 0.1)
        phase = np.linalg.lstsq(columns[keep], whole[keep], rcond=None)[0]
    angle = clock.angle_rad(down_s)
    sine, cosine = np.sin(angle), np.cos(angle)
    place = np.column_stack([down_s / _PER_S, np.ones(len(down_s)), sine, cosine]) @ phase
    fraction = place - np.floor(place)
    keep = np.abs(fraction - np.median(fraction)) < 0.25
    shape = np.column_stack([np.ones(len(down_s)), cosine, sine])
    duty = np.zeros(3)
    for _ in range(3):
        duty = np.linalg.lstsq(shape[keep], fraction[keep], rcond=None)[0]
        keep = np.abs(shape @ duty - fraction) < 0.06
    return Cycle(phase=phase, duty=duty)
