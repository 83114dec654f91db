"""Heaters: a cycle whose phase and duty the orbit stretches, as a square wave or a limit cycle.

phase(t) = t / T + φ + a sin θ + b cos θ in cycles; it heats while the phase's fraction is below the
duty d(θ) = d0 + d1 cos θ + d2 sin θ. Rising edges are where the phase is whole: all is linear
in the unknowns once edges are counted. A new setting of the heater moves d0 alone: the rest is
learnt from all days, and d0 from the hours since.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import least_squares

from benchmarks.fleet import kernels
from benchmarks.fleet.clock import OrbitClock
from benchmarks.fleet.fitting import crossings, robust_fit, solved
from benchmarks.fleet.reference import BoolArray
from benchmarks.fleet.series import UNIT, Channel
from sightline.records.windows import FloatArray, IntArray

HEATER_CYCLE_S = 780.0
THERMOSTAT_CYCLE_S = 840.0
"""Of the type, to begin a fit with."""
_BEND = 1.6
_MIDWAY = 0.319
"""Share of a rise after which half of it is done, for that bend."""
_PER_S = 1e5
_FIT_S = 100.0
_LEAST_EDGES = 10


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Cycle:
    """A heater's phase and duty.

    Attributes:
        phase: float64[4]: 1e5 / T, φ, a, b.
        bend: float64[2]: d1, d2.
        since_s: float64[k], ascending: when each setting of the heater began to hold; the first
            holds before, too.
        duty: float64[k], d0 under each; NaN where too little was seen of it.
    """

    phase: FloatArray
    bend: FloatArray
    since_s: FloatArray
    duty: FloatArray

    def fractions(self, time_s: FloatArray, angle_rad: FloatArray) -> tuple[FloatArray, FloatArray]:
        """float64[n] each: fraction of the cycle, and duty (0.1 to 0.9); NaN where not known."""
        sine, cosine = np.sin(angle_rad), np.cos(angle_rad)
        rate, start, a, b = self.phase.tolist()
        phase = time_s * (rate / _PER_S) + (start + a * sine + b * cosine)
        duty = self.duty[_setting(self.since_s, time_s)] + (
            self.bend[0] * cosine + self.bend[1] * sine
        )
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
        cls,
        clock: OrbitClock,
        time_s: FloatArray,
        amps: FloatArray,
        mode: IntArray,
        since_s: FloatArray,
    ) -> LoadModel:
        """From float64[n] at even distances of 5 to 10 s; ``since_s``: see :class:`Cycle`."""
        middle = amps.copy()
        for which in range(3):
            of_mode = (mode == which) & np.isfinite(amps)
            if of_mode.sum() > 50:
                low, high = np.percentile(amps[of_mode], [10, 90])
                middle[mode == which] -= (low + high) / 2
        cycle = _cycle(clock, time_s, middle, since_s, HEATER_CYCLE_S, margin=0.15, share=10)
        columns = _load_columns(cycle, clock, time_s, mode)
        known = np.where(np.isfinite(columns[:, 3]), amps, np.nan)
        found = robust_fit(columns[::2], known[::2])
        return cls(cycle=cycle, coefficients=found)

    def expected(self, clock: OrbitClock, time_s: FloatArray, mode: IntArray) -> FloatArray:
        """float64[n]."""
        found: FloatArray = _load_columns(self.cycle, clock, time_s, mode) @ self.coefficients
        return found

    def near_edge(self, clock: OrbitClock, time_s: FloatArray, reach_s: float) -> BoolArray:
        """bool[n]: within ``reach_s`` of when the heater should switch."""
        fraction, duty = self.cycle.fractions(time_s, clock.angle_rad(time_s))
        reach = reach_s * float(self.cycle.phase[0]) / _PER_S
        from_start = np.minimum(fraction, 1 - fraction)
        found: BoolArray = (from_start < reach) | (np.abs(fraction - duty) < reach)
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
    def learn(
        cls, clock: OrbitClock, time_s: FloatArray, warm: FloatArray, since_s: FloatArray
    ) -> ThermostatModel:
        """From float64[n] at even distances of 5 to 10 s; NaN is left out."""
        low, high = np.nanpercentile(warm, [3, 97])
        middle = warm - (low + high) / 2
        first = _cycle(
            clock,
            time_s,
            middle,
            since_s,
            THERMOSTAT_CYCLE_S,
            margin=0.05,
            share=3,
            midway=_MIDWAY,
        )
        is_known = np.isfinite(first.duty)
        thin = slice(None, None, max(1, int(_FIT_S / (time_s[1] - time_s[0]))))
        known = np.isfinite(warm[thin]) & is_known[_setting(since_s, time_s[thin])]
        at_s, y = time_s[thin][known], warm[thin][known]
        angle = clock.angle_rad(at_s)

        def cycle(guess: FloatArray) -> Cycle:
            level = np.full(len(since_s), np.nan)
            level[is_known] = guess[6:]
            return Cycle(phase=guess[:4], bend=guess[4:6], since_s=since_s, duty=level)

        def fitted(guess: FloatArray) -> tuple[FloatArray, FloatArray]:
            wave = _wave(cycle(guess), at_s, angle)
            return solved(np.column_stack([np.ones(len(wave)), wave]), y)

        fit = least_squares(
            lambda guess: fitted(guess)[1] / float(UNIT[Channel.THERMOSTAT]),
            np.concatenate([first.phase, first.bend, first.duty[is_known]]),
            loss="soft_l1",
            f_scale=2.0,
            max_nfev=4,
            x_scale=[0.02, *[0.01] * (5 + int(is_known.sum()))],
        )
        found = np.asarray(fit.x, np.float64)
        level, rise = fitted(found)[0].tolist()
        return cls(cycle=cycle(found), low=level, rise=rise)

    def expected(self, clock: OrbitClock, time_s: FloatArray) -> FloatArray:
        """float64[n]."""
        return self.low + self.rise * _wave(self.cycle, time_s, clock.angle_rad(time_s))


def _load_columns(
    cycle: Cycle, clock: OrbitClock, time_s: FloatArray, mode: IntArray
) -> FloatArray:
    fraction, duty = cycle.fractions(time_s, clock.angle_rad(time_s))
    heats = np.where(np.isnan(duty), np.nan, fraction < duty)
    rows = [np.ones(len(time_s)), mode == 2, mode == 0, heats]
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
    since_s: FloatArray,
    cycle_s: float,
    *,
    margin: float,
    share: int,
    midway: float = 0.0,
) -> Cycle:
    """From where a series crosses its middle, with a margin in units of its swing.

    ``midway`` is the share of a rise after which it does: phase and duty are those of the heater.
    """
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
    for k in range(4):
        place = columns @ phase
        whole = np.rint(place)
        keep = np.abs(place - whole) < (0.3 if k < 2 else 0.15)
        phase = np.linalg.lstsq(columns[keep], whole[keep], rcond=None)[0]
    # Under another setting the middle is crossed at another phase, if midway is not 0.
    of_up, of_down = (_setting(since_s, at_s) for at_s in (up_s, down_s))
    off = np.zeros(len(since_s))
    for _ in range(4 if midway else 2):
        place = columns @ phase - off[of_up]
        whole = np.rint(place)
        keep = np.abs(place - whole) < 0.1
        phase = np.linalg.lstsq(columns[keep], (whole + off[of_up])[keep], rcond=None)[0]
        for k in range(len(since_s)):
            mine = keep & (of_up == k)
            if midway and mine.any():
                off[k] = float(np.median((columns @ phase - whole)[mine]))
    angle = clock.angle_rad(down_s)
    sine, cosine = np.sin(angle), np.cos(angle)
    place = np.column_stack([down_s / _PER_S, np.ones(len(down_s)), sine, cosine]) @ phase
    fraction = (place - off[of_down]) % 1
    setting = (of_down[:, None] == np.arange(len(since_s))) * 1.0
    shape = np.column_stack([setting, cosine, sine])
    middle = np.array(
        [np.median(fraction[of_down == k]) if setting[:, k].any() else 0.5 for k in range(len(off))]
    )
    keep = np.abs(fraction - middle[of_down]) < 0.25
    found = np.zeros(shape.shape[1])
    for _ in range(3):
        found = np.linalg.lstsq(shape[keep], fraction[keep], rcond=None)[0]
        keep = np.abs(shape @ found - fraction) < 0.06
    duty, bend = (found[:-2] - midway) / (1 - 2 * midway), found[-2:] / (1 - 2 * midway)
    seen = setting[keep].sum(axis=0)
    # What the phase of the crossing owes to the duty goes back to the heater's own phase.
    start = (seen @ (midway * duty - off)) / max(float(seen.sum()), 1.0)
    phase += np.array([0.0, start, midway * bend[1], midway * bend[0]])
    return Cycle(
        phase=phase,
        bend=bend,
        since_s=since_s,
        duty=np.where(seen >= _LEAST_EDGES, duty, np.nan),
    )


def _setting(since_s: FloatArray, time_s: FloatArray) -> IntArray:
    """int64[n]: which setting holds at each time."""
    found: IntArray = np.clip(np.searchsorted(since_s, time_s, "right") - 1, 0, None)
    return found
