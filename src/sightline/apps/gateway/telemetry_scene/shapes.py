"""What a healthy channel would read without noise: its shape, by nature, over one satellite-day.

Everything is in closed form for any stretch of time. Most of it is one idea: *a first-order lag
towards a target that is constant between switches* (an eclipse begins, a mode changes), which is an
exponential between switches.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from sightline.apps.gateway.telemetry_scene.activity import DAY_S, SCRUB_EVERY_S, Activity, Mode
from sightline.apps.gateway.telemetry_scene.channels import ChannelModel, Nature
from sightline.apps.gateway.telemetry_scene.orbit import SIDEREAL_DAY_S, Orbit
from sightline.apps.gateway.telemetry_scene.traits import ChannelTraits
from sightline.records.windows import FloatArray, IntArray

BoolArray = npt.NDArray[np.bool_]

_DUMP_LAG_S = 90.0
_SETTLED = 12.0
"""Lags after which a transient is gone: exp(-12) is below any converter's step."""


@dataclass(eq=False)  # not frozen and without slots, for the cached properties
class SatelliteDay:
    """The circumstances of one satellite on one day, shared by its channels.

    Attributes:
        elapsed_s: float64[n], sampling times in seconds from the start of the scene, ascending.
        orbit: where it flies.
        activity: what it does.
    """

    elapsed_s: FloatArray
    orbit: Orbit
    activity: Activity

    @cached_property
    def angle_rad(self) -> FloatArray:
        """float64[n]: orbital angle past the middle of the night."""
        return self.orbit.angle_rad(self.elapsed_s)

    @cached_property
    def orbit_sine(self) -> FloatArray:
        """float64[n]: sine of the orbital angle."""
        return np.sin(self.angle_rad)

    @cached_property
    def orbit_cosine(self) -> FloatArray:
        """float64[n]: cosine of the orbital angle."""
        return np.cos(self.angle_rad)

    @cached_property
    def geometry(self) -> tuple[FloatArray, FloatArray]:
        """Slant range in altitudes and sine of the elevation, float64[n] each."""
        return self.orbit.pass_geometry(self.elapsed_s)

    @cached_property
    def switches(self) -> tuple[FloatArray, BoolArray, IntArray]:
        """When light or mode change (float64[k] seconds, from a day before the first sample on).

        With it, from each on: whether it is dark (bool[k]) and the mode (int64[k]).
        """
        first_s, last_s = self.elapsed_s[0] - DAY_S, self.elapsed_s[-1]
        entry_s, exit_s = self.orbit.eclipses_s(first_s - 7200, last_s + 7200)
        modes = self.activity.mode_s
        inner_s = np.concatenate([entry_s, exit_s, modes])
        inner_s = inner_s[(inner_s > first_s) & (inner_s <= last_s)]
        at_s = np.concatenate([[first_s], np.sort(inner_s)])
        entered = np.searchsorted(entry_s, at_s, "right")
        left = np.searchsorted(exit_s, at_s, "right")
        mode = self.activity.mode[np.searchsorted(modes, at_s, "right") - 1]
        return at_s, entered > left, mode.astype(np.int64)

    @cached_property
    def segment(self) -> IntArray:
        """int64[n]: index of the last switch at or before each sample."""
        return held(self.elapsed_s, self.switches[0])

    @cached_property
    def since_s(self) -> FloatArray:
        """float64[n]: seconds since that switch."""
        return self.elapsed_s - self.switches[0][self.segment]

    @cached_property
    def is_safe(self) -> BoolArray:
        """bool[n]: in safe mode."""
        safe: BoolArray = (self.switches[2] == Mode.SAFE)[self.segment]
        return safe

    def relax(self, target: FloatArray, lag_s: FloatArray) -> FloatArray:
        """float64[n]: a first-order lag towards ``target`` with time constant ``lag_s``.

        Both are float64[k], one for each switch.
        """
        at_s = self.switches[0]
        decay = np.exp(-np.diff(at_s) / lag_s[:-1]).tolist()
        goal = target.tolist()
        value = [float(target.mean())]
        for k, left in enumerate(decay):
            value.append(goal[k] + (value[k] - goal[k]) * left)
        distance = np.array(value) - target
        relaxed: FloatArray = distance[self.segment]
        relaxed *= np.exp(self.since_s * (-1.0 / lag_s)[self.segment])
        relaxed += target[self.segment]
        return relaxed


def held(elapsed_s: FloatArray, at_s: FloatArray) -> IntArray:
    """int64[n]: index of the last of ``at_s`` (ascending, the first not after the first sample) at
    or before each sample.

    >>> held(np.array([0.0, 1, 2, 3]), np.array([-5.0, 2])).tolist()
    [0, 0, 1, 1]
    """
    first = np.searchsorted(elapsed_s, at_s, "left")
    return np.repeat(np.arange(len(at_s)), np.diff(np.append(first, len(elapsed_s))))


def shape(
    day: SatelliteDay, model: ChannelModel, traits: ChannelTraits
) -> tuple[FloatArray, FloatArray | float]:
    """The channel's shape, and how its noise compares with quiet conditions; float64[n] each.

    For COUNTER the shape is the expected count since the last scrub and the noise is left to the
    caller.
    """
    noise: FloatArray | float = 1.0
    match model.nature:
        case Nature.BATTERY:
            form = _battery(day, model)
        case Nature.THERMAL:
            form = _thermal(day, model)
        case Nature.WHEEL:
            form = _wheel(day, model, traits)
        case Nature.LOAD:
            form, noise = _load(day, model, traits)
        case Nature.LINK:
            form, noise = _link(day)
        case Nature.THERMOSTAT:
            form, _ = _thermostat(day, model, traits)
        case Nature.COUNTER:
            form = expected_count(day, traits) - _count_at_scrub(day, traits)
        case _:
            form, noise = _pointing(day, model)
    return form, noise


def error_rate_per_s(day: SatelliteDay, traits: ChannelTraits) -> FloatArray:
    """float64[n]: corrected memory errors a second.

    Few, and many where the orbit meets the South Atlantic Anomaly: about ten minutes in some six
    orbits running of each day.
    """
    phase = traits.phase_rad
    along = day.orbit_cosine * np.cos(phase) + day.orbit_sine * np.sin(phase)
    turn = 2 * np.pi * day.elapsed_s / SIDEREAL_DAY_S + traits.slow_phase_rad
    anomaly = np.clip(along - 0.94, 0, None) * np.clip(np.cos(turn) - 0.2, 0, None)
    rate: FloatArray = (0.6 + 900 * anomaly) / 3600 * traits.gain
    return rate


def expected_count(day: SatelliteDay, traits: ChannelTraits) -> FloatArray:
    """float64[n]: errors expected from the day's first sample on."""
    period_s = (day.elapsed_s[-1] - day.elapsed_s[0]) / max(len(day.elapsed_s) - 1, 1)
    count: FloatArray = np.cumsum(error_rate_per_s(day, traits)) * period_s
    return count


def first_since_scrub(elapsed_s: FloatArray) -> IntArray:
    """int64[n]: index of the first sample after the last scrub; 0 where that was before all."""
    first_s = elapsed_s[0] // SCRUB_EVERY_S * SCRUB_EVERY_S
    at_s = np.arange(first_s, elapsed_s[-1] + 1e-9, SCRUB_EVERY_S)
    first: IntArray = np.searchsorted(elapsed_s, at_s)[held(elapsed_s, at_s)]
    return first


def _count_at_scrub(day: SatelliteDay, traits: ChannelTraits) -> FloatArray:
    counted: FloatArray = expected_count(day, traits)[first_since_scrub(day.elapsed_s)]
    return counted


def _battery(day: SatelliteDay, model: ChannelModel) -> FloatArray:
    _, is_dark, mode = day.switches
    # In shadow towards empty, four times as slow as it charges; the load takes its share at once.
    goal = np.where(is_dark, -1.0 - 0.25 * (mode - 1), 0.0)
    lag_s = np.where(is_dark, 4 * model.lag_s, model.lag_s)
    ohmic = 0.06 * (mode - 1) * np.where(is_dark, 1.0, 0.4)
    voltage: FloatArray = day.relax(goal, lag_s) - ohmic[day.segment]
    return voltage


def _thermal(day: SatelliteDay, model: ChannelModel) -> FloatArray:
    at_s, is_dark, mode = day.switches
    season = 0.5 * np.sin(day.orbit.beta_rad(at_s)) ** 2
    goal = np.where(is_dark, -1.6, 0.8) + 0.3 * (mode - 1) + season
    return day.relax(goal, np.full(len(goal), model.lag_s))


def _wheel(day: SatelliteDay, model: ChannelModel, traits: ChannelTraits) -> FloatArray:
    _, _, mode = day.switches
    # In payload operations the bias is the other way round; in safe mode wheels turn slowly.
    goal = np.array([0.1, 0.7, -0.5])[mode]
    speed = day.relax(goal, np.full(len(goal), model.lag_s))
    phase = traits.phase_rad
    speed += 0.35 * (day.orbit_sine * np.cos(phase) + day.orbit_cosine * np.sin(phase))
    dump_s = day.activity.dump_s
    last = held(day.elapsed_s, dump_s)
    since_s = day.elapsed_s - dump_s[last]
    gathered_s = np.diff(dump_s, prepend=dump_s[0])[last]
    rate_per_s = 0.5 / 14_400 * (1 if np.sin(traits.slow_phase_rad) > 0 else -1)
    speed += rate_per_s * (since_s + gathered_s * np.exp(-since_s / _DUMP_LAG_S))
    return speed


def _load(
    day: SatelliteDay, model: ChannelModel, traits: ChannelTraits
) -> tuple[FloatArray, FloatArray]:
    mode = day.switches[2][day.segment]
    level = np.array([-0.15, 0.15, 1.0])[mode]
    heats = _thermostat(day, model, traits)[1]
    return level + 0.12 * heats, 0.7 + 0.7 * np.maximum(level, 0)


def _link(day: SatelliteDay) -> tuple[FloatArray, FloatArray]:
    altitudes, sine = day.geometry
    # Free-space loss, and gas and scintillation over the path through the air.
    return -20 * np.log10(altitudes) - 0.25 / sine, 0.8 + 0.12 / sine


def _thermostat(
    day: SatelliteDay, model: ChannelModel, traits: ChannelTraits
) -> tuple[FloatArray, BoolArray]:
    """Temperature between the two set points (0 and 1), and whether it heats.

    The phase runs on evenly but for the orbit's warmth, which stretches and shortens cycles.
    """
    activity = day.activity
    duty = activity.heater_duty[held(day.elapsed_s, activity.heater_s)]
    duty = duty + 0.12 * day.orbit_cosine  # cold and longer heated around the middle of the night
    cycles = day.elapsed_s / model.cycle_s + traits.phase_rad / (2 * np.pi)
    cycles += 0.35 * day.orbit_sine
    fraction = cycles - np.floor(cycles)
    heats = fraction < duty
    progress = np.where(heats, fraction / duty, (fraction - duty) / (1 - duty))
    bend = 1.6
    rise = (1 - np.exp(-bend * progress)) / (1 - np.exp(-bend))
    return np.where(heats, rise, 1 - rise), heats


def _pointing(day: SatelliteDay, model: ChannelModel) -> tuple[FloatArray, FloatArray]:
    transient = np.zeros(len(day.elapsed_s))
    reach_s = _SETTLED * model.lag_s
    edges_s = np.add.outer(np.array([0.0, reach_s]), day.activity.slew_s)
    lo, hi = np.searchsorted(day.elapsed_s, edges_s)
    slews = zip(lo, hi, day.activity.slew_s, day.activity.slew_size, strict=True)
    for first, last, at_s, size in slews:
        since = (day.elapsed_s[first:last] - at_s) / model.lag_s
        transient[first:last] += size * np.exp(-since) * np.cos(2.5 * since)
    # Without the sun sensor, and while settling, the error is larger.
    is_dark = day.switches[1][day.segment]
    return transient, np.where(is_dark, 1.5, 1.0) + 4 * np.abs(transient)
