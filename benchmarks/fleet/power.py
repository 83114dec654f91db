"""Shadow, battery and temperature: first-order lags towards what light and load ask for.

When it is dark is learnt from the battery itself: a shadow is centred on one orbital angle, and
half its width follows from beta, the angle between the sun and the plane of the orbit, which
changes smoothly from day to day; the cosine of that half is u = limit / cos beta for a cylindrical
shadow (Wertz, Everett & Puschell, *The New SMAD*, 2011), where the limit follows from the period.
u of 1 and more is full sun. u itself is no smooth function to extrapolate: a parabola in u was up
to half a minute off by the end of a day where the season was quick.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy.optimize import least_squares

from benchmarks.fleet import kernels
from benchmarks.fleet.clock import OrbitClock
from benchmarks.fleet.commands import PAYLOAD, SAFE, CommandRecord
from benchmarks.fleet.fitting import robust_fit, solved
from benchmarks.fleet.reference import BoolArray
from benchmarks.fleet.series import DAY_S, UNIT, Channel
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
_FULL_SUN_U = 1.05
_DOUBT = 4.0
_GREATEST_SPREAD = 0.1
_GREATEST_SPREAD_S = 20.0
"""How surely half a night is known at the end of a day, for its edges to be expected."""
_LEAST_SWING_V = 2.0
_GREATEST_RMS = 2.5
_LEAST_NEW = 500
_COARSE = 4
_CUT = 2.0
_ALIKE = 6.0
"""Samples 30 s apart wander together: each says so much less, in standard deviations."""
_WALK_A_DAY = (1e-3, 2e-3, 2e-3)
_FIRST_SPREAD, _LEAST_SPREAD = (5e-3, 1e-2, 1e-2), (1e-3, 2e-3, 2e-3)
_LEAST_INFORMATION = (1e-2, 1e-2, 1e-2)
_MOST_BETA_RAD = 1.4
_FASTEST_BETA_RAD = 0.16
"""A day; the plane of a low orbit takes some two months and more for its turn to the sun."""
_BEND = 0.0048
"""Half of beta's second derivative by beta, by day², with the sign changed, for such a turn: three
days of wander say less about it than the mechanics of orbits."""

Switches = tuple[FloatArray, BoolArray, IntArray]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PowerModel:
    """Shadow and what follows from it.

    Attributes:
        clock: of the orbit.
        centre_rad: orbital angle of the middle of the night.
        beta: float64[2]: beta in rad, and its change by day, at ``epoch_s``; their common sign
            is of no account.
        epoch_s: the end of the days learnt from.
        information: float64[3, 3], inverse covariance of centre, beta and its change: what all days
            so far say, as in a Kalman filter; each day is fitted once.
        battery: float64[3], coefficients: level, charge, ohmic drop.
        thermal: float64[4], coefficients: level, shadow, load, trend by day (the season).
        rms: of the battery's residual, in its unit, none counted beyond 5.
    """

    clock: OrbitClock
    centre_rad: float
    beta: FloatArray
    epoch_s: float
    information: FloatArray
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
        epoch_s = float(time_s[-1])
        if before is not None and not before.is_known():
            before = None  # begin anew: from a wrong shadow no day leads back to the right one
        volt, warm = values[Channel.BATTERY], values[Channel.THERMAL]
        known = np.isfinite(volt) & np.isfinite(warm)
        known[:_SETTLE] = False
        is_new = known if before is None else known & (time_s > before.epoch_s)
        new_s, new_volt, new_warm = time_s[is_new], volt[is_new], warm[is_new]

        def residual(guess: FloatArray, every: int = 1) -> FloatArray:
            at_s = np.ascontiguousarray(new_s[::every])
            switches = _switches(clock, guess[0], guess[1:], epoch_s, modes, at_s)
            volts = solved(_battery_columns(at_s, switches), new_volt[::every])[1]
            thermal = _thermal_columns(at_s, switches, epoch_s)
            # Any smooth season will do here: what beta makes of it would drown the shadows.
            bend = np.square(at_s - epoch_s) / DAY_S**2
            warmth = solved(np.column_stack([thermal, bend]), new_warm[::every])[1]
            unit = UNIT[[Channel.BATTERY, Channel.THERMAL]]
            left = np.concatenate([volts / unit[0], warmth / unit[1]])
            # Huber's idea, smooth: outliers count by their size, not by its square.
            size = _CUT * np.sqrt(2 * np.sqrt(1 + (left / _CUT) ** 2) - 2)
            return np.asarray(np.sign(left) * size, np.float64)

        modes = commands.modes()
        is_enough = len(new_s) > _LEAST_NEW
        if before is None:
            prior, root = np.zeros(3), np.diag([0.0, 1 / 0.6, 1 / 0.06])
            guesses = [
                np.array([centre, beta, 0.0])
                for beta in (0.2, 0.7, 0.95, 1.1)
                for centre in np.arange(0, 2 * np.pi, np.pi / 12)
            ]
            start = guesses[0]
            if is_enough:
                start = min(
                    guesses, key=lambda guess: float(np.abs(residual(guess, _COARSE)).mean())
                )
        else:
            prior, information = before.seen_from(clock, epoch_s)
            start, root = prior, np.linalg.cholesky(information).T
        found, information = start, root.T @ root + np.diag(_LEAST_INFORMATION)
        if is_enough:
            fit = least_squares(
                lambda guess: np.append(residual(guess) / _ALIKE, root @ (guess - prior)),
                start,
                x_scale=[0.01, 0.02, 0.02],
                diff_step=1e-4,
                max_nfev=25 if before is None else 4,
            )
            found = np.asarray(fit.x, np.float64)
            information = fit.jac.T @ fit.jac + np.diag(_LEAST_INFORMATION)
        # Near full sun shadows come and go with a hair of beta: no fit is as sure as it thinks.
        floor = _FIRST_SPREAD if before is None else _LEAST_SPREAD
        information = np.linalg.inv(np.linalg.inv(information) + np.diag(np.square(floor)))
        centre, beta = float(found[0]), found[1:]
        switches = _switches(clock, centre, beta, epoch_s, modes, time_s)
        battery, left = solved(_battery_columns(time_s, switches)[known], volt[known])
        warm = np.where(np.arange(len(warm)) < _SETTLE, np.nan, warm)
        thermal = robust_fit(_thermal_columns(time_s, switches, epoch_s), warm, ridge=1e-10)
        left = np.clip(left / float(UNIT[Channel.BATTERY]), -5, 5)
        return cls(
            clock=clock,
            centre_rad=centre,
            beta=beta,
            epoch_s=epoch_s,
            information=information,
            battery=battery,
            thermal=thermal,
            rms=float(np.sqrt(np.mean(left**2))) if len(left) else math.inf,
        )

    def seen_from(self, clock: OrbitClock, epoch_s: float) -> tuple[FloatArray, FloatArray]:
        """The same shadow for a later clock and time: its parameters and their information."""
        days = (epoch_s - self.epoch_s) / DAY_S
        at = np.array([epoch_s])
        shift = float((clock.angle_rad(at) - self.clock.angle_rad(at))[0])
        step = np.eye(3)
        step[1:, 1:] = [[1 - _BEND * days * days, days], [-2 * _BEND * days, 1.0]]
        spread = step @ np.linalg.inv(self.information) @ step.T
        spread[np.diag_indices(3)] += np.square(_WALK_A_DAY) * days
        found = step @ np.array([self.centre_rad, *self.beta])
        information = np.asarray(np.linalg.inv(spread), np.float64)
        return found + np.array([shift, 0.0, 0.0]), information

    def is_known(self) -> bool:
        """Whether the fit is good and the shadow sure enough to go on from."""
        spread_u = self._spread_u(np.zeros(1))
        return bool(self.rms < _GREATEST_RMS and spread_u.max() < _GREATEST_SPREAD)

    def _spread_u(self, days: FloatArray) -> FloatArray:
        """float64[n]: standard deviation of u so many days after the days learnt from."""
        covariance = np.linalg.inv(self.information)[1:, 1:]
        step = np.stack([np.ones(len(days)), days])
        variance = np.einsum("in,ij,jn->n", step, covariance, step)
        beta = np.minimum(np.abs(_beta_rad(self.beta, days)), _MOST_BETA_RAD)
        by_beta = self.clock.shadow_limit * np.tan(beta) / np.cos(beta)
        spread: FloatArray = by_beta * np.sqrt(variance)
        return spread

    def is_sound(self, time_s: FloatArray) -> bool:
        """Whether the shadow is known well enough then.

        Either it has been seen and fits, far from full sun, or there was none all the days learnt
        from and will be none. Near full sun nothing can be told.
        """
        days = (time_s[[0, len(time_s) // 2, -1]] - self.epoch_s) / DAY_S
        if not self.is_known():
            return False
        beta = np.abs(_beta_rad(self.beta, np.append(days, [-3.0, -1.5])))
        speed = np.abs(self.beta[1] - 2 * _BEND * self.beta[0] * days)
        if beta.max() > _MOST_BETA_RAD or speed.max() > _FASTEST_BETA_RAD:
            return False
        u = self.clock.shadow_limit / np.cos(beta)
        # A filter that sees no night cannot notice that it is wrong: full sun must be beyond doubt.
        if u.min() > _FULL_SUN_U and (u[:3] - _DOUBT * self._spread_u(days)).min() > 1:
            return True
        if u[:3].max() > _GREATEST_U or abs(self.battery[1]) < _LEAST_SWING_V:
            return False
        by_u_s = self.clock.period_s / (2 * math.pi) / np.sqrt(1 - u[:3] ** 2)
        return bool((by_u_s * self._spread_u(days)).max() < _GREATEST_SPREAD_S)

    def unsure(self) -> tuple[float, float]:
        """By how much voltage and temperature may step where a night begins or ends otherwise.

        For one standard deviation of half a night at the end of the next day, in the unit of
        residuals; 0 where there is no night.
        """
        day = np.ones(1)
        u = self.clock.shadow_limit / np.cos(
            np.minimum(np.abs(_beta_rad(self.beta, day)), _MOST_BETA_RAD)
        )
        if u[0] > _GREATEST_U:
            return 0.0, 0.0
        by_u_s = self.clock.period_s / (2 * math.pi) / math.sqrt(1 - u[0] ** 2)
        off_s = float(self._spread_u(day)[0]) * by_u_s
        # At the end of a night some three tenths are discharged.
        kink = 0.7 / DISCHARGE_LAG_S + 0.3 / CHARGE_LAG_S
        volts = abs(float(self.battery[1])) * kink / float(UNIT[Channel.BATTERY])
        warmth = abs(float(self.thermal[1])) / THERMAL_LAG_S / float(UNIT[Channel.THERMAL])
        return off_s * volts, off_s * warmth

    def switches(self, time_s: FloatArray, commands: CommandRecord) -> Switches:
        """When light or mode change, whether it is dark from then on, and the mode."""
        modes = commands.modes()
        return _switches(self.clock, self.centre_rad, self.beta, self.epoch_s, modes, time_s)

    def expected(self, time_s: FloatArray, switches: Switches) -> tuple[FloatArray, FloatArray]:
        """float64[n] each: voltage and temperature."""
        warm = _thermal_columns(time_s, switches, self.epoch_s) @ self.thermal
        return _battery_columns(time_s, switches) @ self.battery, warm


def loaded_edges(switches: Switches) -> FloatArray:
    """float64[k]: when light changes while the load differs from the usual one.

    Then the voltage steps, at a moment that is known to some seconds only.
    """
    at_s, is_dark, mode = switches
    changes = np.append(False, is_dark[1:] != is_dark[:-1])
    found: FloatArray = at_s[changes & (mode != 1)]
    return found


def _beta_rad(beta: FloatArray, days: FloatArray) -> FloatArray:
    found: FloatArray = beta[0] * (1 - _BEND * days * days) + beta[1] * days
    return found


def _switches(  # noqa: PLR0917 - called in a loop
    clock: OrbitClock,
    centre_rad: float,
    beta: FloatArray,
    epoch_s: float,
    modes: tuple[FloatArray, IntArray],
    time_s: FloatArray,
) -> Switches:
    first_s, last_s = float(time_s[0]) - _RUN_UP_S, float(time_s[-1])
    rate = 2 * math.pi / clock.period_s
    offset = float(clock.angle_rad(np.zeros(1))[0]) - centre_rad
    first = math.ceil((rate * (first_s - 7200) + offset) / (2 * math.pi))
    last = math.floor((rate * (last_s + 7200) + offset) / (2 * math.pi))
    night_s = (2 * np.pi * np.arange(first, last + 1) - offset) / rate
    days = np.asarray((night_s - epoch_s) / DAY_S, np.float64)
    angle = np.clip(_beta_rad(beta, days), -_MOST_BETA_RAD, _MOST_BETA_RAD)
    cosine = np.minimum(clock.shadow_limit / np.cos(angle), 1.0)
    half_s = np.arccos(cosine) / rate
    is_night = half_s > 0
    entry_s, exit_s = (night_s - half_s)[is_night], (night_s + half_s)[is_night]
    mode_s, mode = modes
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


def _thermal_columns(time_s: FloatArray, switches: Switches, epoch_s: float) -> FloatArray:
    at_s, is_dark, mode = switches
    lag_s = np.full(len(at_s), THERMAL_LAG_S)
    days = (time_s - epoch_s) / DAY_S
    shadow = kernels.relaxed(time_s, at_s, is_dark.astype(np.float64), lag_s)
    load = kernels.relaxed(time_s, at_s, (mode == PAYLOAD) * 1.0 - (mode == SAFE) * 1.0, lag_s)
    return np.column_stack([np.ones(len(time_s)), shadow, load, days])
