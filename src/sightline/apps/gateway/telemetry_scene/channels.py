"""Telemetry channels, and what a healthy one would read without noise: its shape.

There are the eight channels of a usual bus, and as many more of the same natures as asked for. A
channel is ``centre + swing * shape(nature, time) + noise``, given by its converter in steps of
``quantum`` between ``low`` and ``high``. The noise is at least half a step, so a healthy channel
flickers and one that does not is stuck.

Shapes are in closed form for any stretch of time. Most of it is one idea: *a first-order lag
towards a target that is constant between switches* (an eclipse begins, a mode changes), which is an
exponential between switches.
"""

from __future__ import annotations

import math
from dataclasses import KW_ONLY, dataclass, replace
from enum import StrEnum
from functools import cached_property

import numpy as np
import numpy.typing as npt

from sightline.apps.gateway.telemetry_scene.activity import DAY_S, SCRUB_EVERY_S, Activity, Mode
from sightline.apps.gateway.telemetry_scene.draws import Purpose, generator
from sightline.apps.gateway.telemetry_scene.orbit import SIDEREAL_DAY_S, Orbit
from sightline.errors import UsageError
from sightline.records.windows import FloatArray, IntArray

BoolArray = npt.NDArray[np.bool_]

_DUMP_LAG_S = 90.0
_SETTLED = 12.0
"""Lags after which a transient is gone: exp(-12) is below any converter's step."""


class Nature(StrEnum):
    """How a channel behaves; see :func:`shape`."""

    BATTERY = "battery"
    """Voltage: charged in sunlight, sags in eclipse and under load."""
    THERMAL = "thermal"
    """Temperature that lags behind sun, shadow and dissipation; a season with the beta angle."""
    WHEEL = "wheel"
    """Speed of a wheel, of either sign: one orbit's disturbance, mode, momentum that gathers and
    is dumped."""
    LOAD = "load"
    """Current: a level for each mode, a heater that switches, noise that grows with the level."""
    LINK = "link"
    """Signal to noise: one arc for each pass, noisier near the horizon."""
    THERMOSTAT = "thermostat"
    """A heated unit: a limit cycle between two temperatures. An oscillation that is normal."""
    COUNTER = "counter"
    """Corrected memory errors since the last scrub: constant for long, in bursts over the South
    Atlantic Anomaly, whole numbers."""
    POINTING = "pointing"
    """Attitude error of one axis: heavy tails, and a transient after each slew."""


@dataclass(frozen=True, slots=True)
class ChannelModel:
    """One channel, in its own unit.

    Attributes:
        name: column name, with the unit.
        unit: as a contract writes it.
        nature: how it behaves.
        centre: value where the shape is 0.
        swing: value of one unit of the shape. For LINK 1 (the shape is in dB), for COUNTER 1.
        noise_sd: standard deviation of the noise in quiet conditions, the unit of fault
            magnitudes. For COUNTER a scale, as its noise is that of counting.
        quantum: step of the converter.
        low: least value that the converter can give.
        high: greatest value that it can give.
        lag_s: time constant (BATTERY, THERMAL), or settling time (WHEEL, POINTING).
        cycle_s: period of the limit cycle (THERMOSTAT) or of the heater (LOAD).
        outlier_share: share of samples with ``outlier_factor`` times the noise (Tukey's
            contaminated normal: heavy tails with finite variance).
        outlier_factor: see there.
        is_payload: the payload measures it, so there is no value while the satellite is in safe
            mode. That is no fault.
    """

    name: str
    unit: str
    nature: Nature
    centre: float
    swing: float
    noise_sd: float
    quantum: float
    low: float
    high: float
    _: KW_ONLY
    lag_s: float = 60.0
    cycle_s: float = 900.0
    outlier_share: float = 0.004
    outlier_factor: float = 5.0
    is_payload: bool = False

    def __post_init__(self) -> None:
        is_fit = self.noise_sd >= self.quantum / 2 > 0 and self.low < self.high
        if not (is_fit and self.lag_s > 0 and self.cycle_s > 0 and 0 <= self.outlier_share < 1):
            raise UsageError(
                expected="noise_sd >= quantum / 2 > 0, low < high, lag_s and cycle_s > 0, "
                "0 <= outlier_share < 1",
                got=repr(self),
                where=f"channel {self.name!r}",
                action="mend the channel",
            )


# Levels as of small satellites with an unregulated 28 V class bus (Wertz, Everett & Puschell,
# "Space Mission Engineering: The New SMAD", 2011, chapters 18 to 22); converters of 12 bits and
# less, as in most housekeeping.
USUAL_CHANNELS = (
    # name, unit, nature, centre, swing, noise_sd, quantum, low, high
    ChannelModel("bus_voltage_v", "V", Nature.BATTERY, 32.6, 5, 0.03, 0.02, 0, 40, lag_s=1500),
    ChannelModel("temperature_c", "degC", Nature.THERMAL, 14, 9, 0.15, 0.25, -40, 80, lag_s=2400),
    ChannelModel(
        *("wheel_speed_rpm", "rpm", Nature.WHEEL, 0, 1200, 4, 2, -6000, 6000),
        lag_s=45,
        outlier_share=0.002,
    ),
    ChannelModel(
        *("current_a", "A", Nature.LOAD, 0.9, 2.2, 0.03, 0.01, 0, 10),
        cycle_s=780,
        outlier_share=0.01,
    ),
    ChannelModel("snr_db", "dB", Nature.LINK, 21, 1, 0.3, 0.1, -20, 60),
    ChannelModel(
        *("payload_temperature_c", "degC", Nature.THERMOSTAT, 18, 4, 0.08, 0.1, -40, 80),
        cycle_s=840,
        is_payload=True,
    ),
    ChannelModel("memory_errors", "1", Nature.COUNTER, 0, 1, 2, 1, 0, 255),
    ChannelModel(
        *("attitude_error_mdeg", "mdeg", Nature.POINTING, 0, 180, 4, 1, -2000, 2000),
        lag_s=35,
        outlier_share=0.02,
        outlier_factor=6,
    ),
)


def channel_models(n_channels: int, *, seed: int) -> tuple[ChannelModel, ...]:
    """The first ``n_channels``: the usual eight, then variations of them drawn from ``seed``.

    A variation has another level, swing, noise, quantum, lag and cycle; the k-th channel is the
    same however many are asked for.

    >>> [c.name for c in channel_models(10, seed=0)[7:]]
    ['attitude_error_mdeg', 'battery_008', 'thermal_009']
    """
    usual = len(USUAL_CHANNELS)
    more = [_variation(USUAL_CHANNELS[k % usual], k, seed) for k in range(usual, n_channels)]
    return (*USUAL_CHANNELS[:n_channels], *more)


def _variation(model: ChannelModel, number: int, seed: int) -> ChannelModel:
    rng = generator(seed, Purpose.CHANNELS, number)
    name = f"{model.nature}_{number:03d}"
    if model.nature is Nature.COUNTER:
        return replace(model, name=name)
    # Twofold either way, so that a swing is still 20 times the noise or more.
    swing, noise, lag, cycle = 2.0 ** rng.uniform(-1, 1, 4)
    noise = min(noise, 1.4 * swing)
    is_link = model.nature is Nature.LINK
    return replace(
        model,
        name=name,
        centre=model.centre + (0 if is_link else 0.2 * model.swing) * rng.standard_normal(),
        swing=model.swing * (1 if is_link else swing),
        noise_sd=model.noise_sd * noise,
        quantum=model.quantum * min(2.0 ** float(rng.integers(-2, 1)), noise),
        lag_s=model.lag_s * lag,
        cycle_s=model.cycle_s * cycle,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class ChannelTraits:
    """How a channel of one satellite differs from its model.

    Attributes:
        offset: of the level, in swings (for LINK in its unit).
        gain: of the swing.
        noise: of the noise.
        wander: standard deviation of the slow wander, in ``noise_sd``.
        ageing_per_day: in ``noise_sd``; the sign is the same for nearly all satellites.
        phase_rad: of whatever has a phase of its own.
        slow_phase_rad: another one.
    """

    offset: float
    gain: float
    noise: float
    wander: float
    ageing_per_day: float
    phase_rad: float
    slow_phase_rad: float

    @classmethod
    def draw(cls, seed: int, satellite: int, channel: int) -> ChannelTraits:
        """The traits of a satellite's channel, both by index."""
        rng = generator(seed, Purpose.TRAITS, satellite, channel)
        offset, gain, noise, ageing = rng.standard_normal(4)
        wander, phase, slow_phase = rng.random(3)
        return cls(
            offset=0.08 * float(offset),
            gain=1 + 0.06 * float(np.clip(gain, -3, 3)),
            noise=math.exp(0.15 * float(noise)),
            wander=0.5 + 1.0 * float(wander),
            ageing_per_day=0.03 + 0.02 * float(ageing),
            phase_rad=2 * math.pi * float(phase),
            slow_phase_rad=2 * math.pi * float(slow_phase),
        )


@dataclass(eq=False)  # not frozen and without slots, for the cached properties
class SatelliteDay:
    """The circumstances of one satellite on one day, shared by its channels.

    Attributes:
        elapsed_s: float64[n], sampling times in seconds from the start of the scene, ascending.
        orbit: where it flies.
        activity: what it does.
        last_s: time of the day's last sample. Where ``elapsed_s`` is cut short, what is left of it
            is the same to the bit.
    """

    elapsed_s: FloatArray
    orbit: Orbit
    activity: Activity
    last_s: float

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
        first_s, last_s = self.elapsed_s[0] - DAY_S, self.last_s
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
    if not len(dump_s):
        return speed
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
