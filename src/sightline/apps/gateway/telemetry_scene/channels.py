"""Telemetry channels: the eight of a usual bus, and as many more of the same natures as asked for.

A channel is ``centre + swing * shape(nature, time) + noise``, given by its converter in steps of
``quantum`` between ``low`` and ``high``. The noise is at least half a step, so a healthy channel
flickers and one that does not is stuck.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum

from sightline.apps.gateway.telemetry_scene.draws import Purpose, generator
from sightline.errors import UsageError


class Nature(StrEnum):
    """How a channel behaves; shapes are defined in :mod:`.shapes`."""

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


@dataclass(frozen=True, slots=True, kw_only=True)
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
    ChannelModel(
        name="bus_voltage_v",
        unit="V",
        nature=Nature.BATTERY,
        centre=32.6,
        swing=5.0,
        noise_sd=0.03,
        quantum=0.02,
        low=0.0,
        high=40.0,
        lag_s=1500.0,
    ),
    ChannelModel(
        name="battery_temperature_c",
        unit="degC",
        nature=Nature.THERMAL,
        centre=14.0,
        swing=9.0,
        noise_sd=0.15,
        quantum=0.25,
        low=-40.0,
        high=80.0,
        lag_s=2400.0,
    ),
    ChannelModel(
        name="wheel_speed_rpm",
        unit="rpm",
        nature=Nature.WHEEL,
        centre=0.0,
        swing=1200.0,
        noise_sd=4.0,
        quantum=2.0,
        low=-6000.0,
        high=6000.0,
        lag_s=45.0,
        outlier_share=0.002,
    ),
    ChannelModel(
        name="current_a",
        unit="A",
        nature=Nature.LOAD,
        centre=0.9,
        swing=2.2,
        noise_sd=0.03,
        quantum=0.01,
        low=0.0,
        high=10.0,
        cycle_s=780.0,
        outlier_share=0.01,
    ),
    ChannelModel(
        name="snr_db",
        unit="dB",
        nature=Nature.LINK,
        centre=21.0,
        swing=1.0,
        noise_sd=0.3,
        quantum=0.1,
        low=-20.0,
        high=60.0,
    ),
    ChannelModel(
        name="payload_temperature_c",
        unit="degC",
        nature=Nature.THERMOSTAT,
        centre=18.0,
        swing=4.0,
        noise_sd=0.08,
        quantum=0.1,
        low=-40.0,
        high=80.0,
        cycle_s=840.0,
        is_payload=True,
    ),
    ChannelModel(
        name="memory_errors",
        unit="1",
        nature=Nature.COUNTER,
        centre=0.0,
        swing=1.0,
        noise_sd=2.0,
        quantum=1.0,
        low=0.0,
        high=255.0,
    ),
    ChannelModel(
        name="attitude_error_mdeg",
        unit="mdeg",
        nature=Nature.POINTING,
        centre=0.0,
        swing=180.0,
        noise_sd=4.0,
        quantum=1.0,
        low=-2000.0,
        high=2000.0,
        lag_s=35.0,
        outlier_share=0.02,
        outlier_factor=6.0,
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
