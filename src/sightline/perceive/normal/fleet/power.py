"""Shadow, battery and temperature: first-order lags towards what light and load ask for.

When it is dark is learnt from the battery itself: a shadow is centred on one orbital angle, and
the cosine of half its width, u, changes smoothly from day to day (u = limit / cos beta for a
cylindrical shadow, Wertz, Everett & Puschell, *The New SMAD*, 2011); u of 1 and more is full sun.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy.optimize import least_squares

from sightline.perceive.normal.fleet import kernels
from sightline.perceive.normal.fleet.clock import OrbitClock
from sightline.perceive.normal.fleet.commands import PAYLOAD, SAFE, CommandRecord
from sightline.perceive.normal.fleet.fitting import robust_fit, solved
from sightline.perceive.normal.fleet.reference import BoolArray
from sightline.perceive.normal.fleet.series import DAY_S, UNIT, Channel
from sightline.records.windows import FloatArray, IntArray

CHARGE_LAG_S = 1500.0
DISCHARGE_LAG_S = 6000.0
THERMAL_LAG_S = 2400.0
"""Time constants of the type of satellite, known from its tests on the ground."""
_LOAD_SHARE = 0.25
_SUNLIT_OHMIC = 0.4
_RUN_UP_S = 9e4
_SETTLE = 200
_GREATEST_U = 0.93
_GREATEST_RMS = 2.5

Switches = tuple[FloatArray, BoolArray, IntArray]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PowerModel:
    """Shadow and what follows from it.

    Attributes:
        clock: of the orbit.
        centre_rad: orbital angle of the middle of the night.
        u: float64[3]: u and its first two derivatives by day (the second halved) at ``middle_s``.
        middle_s: of the history.
        battery: float64[3], coefficients: level, charge, ohmic drop.
        thermal: float64[4], coefficients: level, shadow, load, season.
        rms: of the battery's residual, in its unit, none counted beyond 5.
    """

    clock: OrbitClock
    centre_rad: float
    u: FloatArray
    middle_s: float
    battery: FloatArray
    thermal: FloatArray
    rms: float

    @classmethod
    def learn(
        cls,
        clock: OrbitClock,
        time_s: FloatArray,
        values: FloatArray,
        commands: CommandRecord,
        before: PowerModel | None,
    ) -> PowerModel:
        """From float64[n] times and float64[8, n] values, thinned to 30 s or so."""
        middle_s = float(time_s[0] + time_s[-1]) / 2
        volt = values[Channel.BATTERY]
        known = np.isfinite(volt)
        known[:_SETTLE] = False

        def residual(guess: FloatArray) -> FloatArray:
            switches = _switches(clock, guess[0], guess[1:], middle_s, commands, time_s)
            left = solved(_battery_columns(time_s, switches)[known], volt[known])[1]
            return left / float(UNIT[Channel.BATTERY])

        if before is None:
            guesses = [
                np.array([centre, u, 0.0, 0.0])
                for u in (0.35, 0.5, 0.7, 0.9)
                for centre in np.arange(0, 2 * np.pi, np.pi / 12)
            ]
            start = min(guesses, key=lambda guess: float(np.abs(residual(guess)).mean()))
        else:
            start = before.seen_from(clock, middle_s)
        fit = least_squares(
            residual,
            start,
            x_scale=[0.01, 0.02, 0.02, 0.02],
            loss="soft_l1",
            f_scale=2.0,
            diff_step=1e-4,
            max_nfev=25 if before is None else 4,
        )
        centre, u = float(fit.x[0]), np.asarray(fit.x[1:], np.float64)
        switches = _switches(clock, centre, u, middle_s, commands, time_s)
        battery, left = solved(_battery_columns(time_s, switches)[known], volt[known])
        warm = values[Channel.THERMAL].copy()
        warm[:_SETTLE] = np.nan
        thermal = robust_fit(_thermal_columns(time_s, switches, u, middle_s), warm, ridge=1e-10)
        left = np.clip(left / float(UNIT[Channel.BATTERY]), -5, 5)
        return cls(
            clock=clock,
            centre_rad=centre,
            u=u,
            middle_s=middle_s,
            battery=battery,
            thermal=thermal,
            rms=float(np.sqrt(np.mean(left**2))),
        )

    def seen_from(self, clock: OrbitClock, middle_s: float) -> FloatArray:
        """float64[4]: the same shadow for a later clock and time, to begin a fit with."""
        days = (middle_s - self.middle_s) / DAY_S
        at = np.array([middle_s])
        shift = float((clock.angle_rad(at) - self.clock.angle_rad(at))[0])
        u, first, second = self.u.tolist()
        return np.array(
            [
                self.centre_rad + shift,
                u + first * days + second * days * days,
                first + 2 * second * days,
                second,
            ]
        )

    def is_sound(self, time_s: FloatArray) -> bool:
        """Whether the shadow is known well enough: far from full sun then, and fitting."""
        days = (time_s[[0, len(time_s) // 2, -1]] - self.middle_s) / DAY_S
        u = self.u[0] + self.u[1] * days + self.u[2] * days * days
        return bool(u.max() < _GREATEST_U and self.rms < _GREATEST_RMS)

    def switches(self, time_s: FloatArray, commands: CommandRecord) -> Switches:
        """When light or mode change, whether it is dark from then on, and the mode."""
        return _switches(self.clock, self.centre_rad, self.u, self.middle_s, commands, time_s)

    def expected(self, time_s: FloatArray, switches: Switches) -> tuple[FloatArray, FloatArray]:
        """float64[n] each: voltage and temperature."""
        warm = _thermal_columns(time_s, switches, self.u, self.middle_s) @ self.thermal
        return _battery_columns(time_s, switches) @ self.battery, warm


def loaded_edges(switches: Switches) -> FloatArray:
    """float64[k]: when light changes while the load differs from the usual one.

    Then the voltage steps, at a moment that is known to some seconds only.
    """
    at_s, is_dark, mode = switches
    changes = np.append(False, is_dark[1:] != is_dark[:-1])
    found: FloatArray = at_s[changes & (mode != 1)]
    return found


def _switches(  # noqa: PLR0917 - called in a loop
    clock: OrbitClock,
    centre_rad: float,
    u: FloatArray,
    middle_s: float,
    commands: CommandRecord,
    time_s: FloatArray,
) -> Switches:
    first_s, last_s = float(time_s[0]) - _RUN_UP_S, float(time_s[-1])
    rate = 2 * math.pi / clock.period_s
    offset = float(clock.angle_rad(np.zeros(1))[0]) - centre_rad
    first = math.ceil((rate * (first_s - 7200) + offset) / (2 * math.pi))
    last = math.floor((rate * (last_s + 7200) + offset) / (2 * math.pi))
    night_s = (2 * np.pi * np.arange(first, last + 1) - offset) / rate
    days = (night_s - middle_s) / DAY_S
    cosine = np.clip(u[0] + u[1] * days + u[2] * days * days, -1, 1)
    half_s = np.arccos(cosine) / rate
    is_night = half_s > 0
    entry_s, exit_s = (night_s - half_s)[is_night], (night_s + half_s)[is_night]
    mode_s, mode = commands.modes()
    inner_s = np.concatenate([entry_s, exit_s, mode_s])
    at_s = np.append(first_s, np.sort(inner_s[(inner_s > first_s) & (inner_s <= last_s)]))
    entered = np.searchsorted(entry_s, at_s, "right")
    left = np.searchsorted(exit_s, at_s, "right")
    return at_s, entered > left, mode[np.searchsorted(mode_s, at_s, "right") - 1]


def _battery_columns(time_s: FloatArray, switches: Switches) -> FloatArray:
    at_s, is_dark, mode = switches
    load = (mode - 1).astype(np.float64)
    goal = np.where(is_dark, -1.0 - _LOAD_SHARE * load, 0.0)
    charge = kernels.relaxed(time_s, at_s, goal, np.where(is_dark, DISCHARGE_LAG_S, CHARGE_LAG_S))
    segment = np.searchsorted(at_s, time_s, "right") - 1
    ohmic = (load * np.where(is_dark, 1.0, _SUNLIT_OHMIC))[segment]
    return np.column_stack([np.ones(len(time_s)), charge, ohmic])


def _thermal_columns(
    time_s: FloatArray, switches: Switches, u: FloatArray, middle_s: float
) -> FloatArray:
    at_s, is_dark, mode = switches
    lag_s = np.full(len(at_s), THERMAL_LAG_S)
    days = (time_s - middle_s) / DAY_S
    # The square of the sine of beta is 1 - (limit / u)²: the season of the sun's angle.
    season = 1 / np.clip(u[0] + u[1] * days + u[2] * days * days, 0.3, 1.6) ** 2
    shadow = kernels.relaxed(time_s, at_s, is_dark.astype(np.float64), lag_s)
    load = kernels.relaxed(time_s, at_s, (mode == PAYLOAD) * 1.0 - (mode == SAFE) * 1.0, lag_s)
    return np.column_stack([np.ones(len(time_s)), shadow, load, season])
