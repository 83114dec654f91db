"""What healthy satellites do: circular low orbits, and the telemetry that follows from them.

The model is small on purpose; every closed form is periodic in the orbit, so any stretch of time
can be computed at once without integrating:

- *Geometry*: circular orbit, spherical Earth. Each region runs a chain of evenly spaced ground
  stations along the track, so a satellite is always above the horizon of one of them and hands
  over half-way between two.
- *Eclipse*: cylindrical shadow (Wertz, *Space Mission Analysis and Design*, eclipse of a circular
  orbit): shadowed while ``cos(beta) cos(angle from midnight) > sqrt(1 - (R/a)^2)``.
- *Temperature and battery*: a first-order lag towards a warm or a cold target, in its periodic
  steady state.
- *Signal to noise*: free-space loss over the slant range, and gas attenuation over the sine of
  the elevation.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

EARTH_RADIUS_M = 6_371_000.0
EARTH_MU_M3_S2 = 3.986004418e14
SPEED_OF_LIGHT_M_S = 299_792_458.0

ALTITUDE_M = 550_000.0
STATIONS_PER_REGION = 12
"""At 550 km, 12 stations on a great circle keep the elevation above about 8 degrees."""

FIELD_QUANTA = {
    "snr_db": 0.01,
    "bus_voltage_v": 0.001,
    "temperature_c": 0.01,
    "wheel_speed_rpm": 0.1,
}
"""Measured fields of a telemetry row and the step of their converter, in the field's unit."""

_ORBIT_RADIUS_M = EARTH_RADIUS_M + ALTITUDE_M
_STATION_SPACING_RAD = 2 * math.pi / STATIONS_PER_REGION

_SNR_ZENITH_DB = 22.0
_GAS_ZENITH_DB = 0.2
_SCINTILLATION_DB = 0.5


def orbital_period_s(altitude_m: float = ALTITUDE_M) -> float:
    """Period of a circular orbit (Kepler's third law).

    >>> round(orbital_period_s() / 60, 1)
    95.5
    """
    return 2 * math.pi * math.sqrt((EARTH_RADIUS_M + altitude_m) ** 3 / EARTH_MU_M3_S2)


def eclipse_half_angle_rad(beta_rad: FloatArray) -> FloatArray:
    """float[n]: half of the orbit arc in shadow, 0 where the sun never sets; ``beta_rad`` is the
    angle between the sun and the orbital plane.

    >>> (eclipse_half_angle_rad(np.radians([0.0, 80.0])) / np.pi).round(3).tolist()
    [0.372, 0.0]
    """
    limit = math.sqrt(1 - (EARTH_RADIUS_M / _ORBIT_RADIUS_M) ** 2) / np.cos(beta_rad)
    half: FloatArray = np.arccos(np.minimum(limit, 1.0))
    return half


def slant_range_m(cos_central_angle: FloatArray) -> FloatArray:
    """Distance from a station to a satellite seen at this angle from the Earth's centre.

    >>> float(slant_range_m(np.array(1.0))) == ALTITUDE_M
    True
    """
    squared = (
        EARTH_RADIUS_M**2
        + _ORBIT_RADIUS_M**2
        - 2 * EARTH_RADIUS_M * _ORBIT_RADIUS_M * cos_central_angle
    )
    distance: FloatArray = np.sqrt(squared)
    return distance


def sin_elevation(cos_central_angle: FloatArray, range_m: FloatArray) -> FloatArray:
    """Sine of the elevation above the station's horizon; negative below it."""
    sine: FloatArray = (_ORBIT_RADIUS_M * cos_central_angle - EARTH_RADIUS_M) / range_m
    return sine


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Fleet:
    """Who flies where. Satellite ids are 0..n-1, station ids 0..s-1, regions by index.

    Attributes:
        satellites: names[n].
        regions: names of the regions.
        stations: names[s], ``STATIONS_PER_REGION`` of each region in turn.
        satellite_region: int64[n], index of the region in charge of each satellite.
        along_track_rad: float64[n], angle past the region's first station at the start.
        cross_track_rad: float64[n], angle between the track and the chain of stations.
        since_eclipse_entry_s: float64[n], at the start.
        beta_rad: float64[n], sun angle of the orbital plane.
        sample_offset_s: float64[n], phase of each satellite's sampling clock.
        bias: float64[4, n], offset of each field of ``FIELD_QUANTA`` in its own unit.
    """

    satellites: tuple[str, ...]
    regions: tuple[str, ...]
    stations: tuple[str, ...]
    satellite_region: IntArray
    along_track_rad: FloatArray
    cross_track_rad: FloatArray
    since_eclipse_entry_s: FloatArray
    beta_rad: FloatArray
    sample_offset_s: FloatArray
    bias: FloatArray

    @property
    def station_region(self) -> IntArray:
        """int64[s], index of the region of each station."""
        return np.repeat(np.arange(len(self.regions)), STATIONS_PER_REGION)

    def serving_station(self, satellite: IntArray, elapsed_s: FloatArray) -> IntArray:
        """int64[...]: the nearest station, which is the one in charge."""
        angle = self.along_track_rad[satellite] + _mean_motion_rad_s() * elapsed_s
        link = np.floor(angle / _STATION_SPACING_RAD + 0.5).astype(np.int64) % STATIONS_PER_REGION
        station: IntArray = self.satellite_region[satellite] * STATIONS_PER_REGION + link
        return station

    def handovers(self, duration_s: float) -> tuple[IntArray, FloatArray]:
        """Station taking over (int64[h]) and when (float64[h], seconds from the start)."""
        spacing_s = orbital_period_s() / STATIONS_PER_REGION
        first_s = (-(self.along_track_rad / _STATION_SPACING_RAD + 0.5) % 1.0) * spacing_s
        count = int(duration_s // spacing_s) + 1
        at_s = first_s + spacing_s * np.arange(count)[:, None]
        satellite = np.broadcast_to(np.arange(len(self.satellites)), at_s.shape)
        inside = at_s < duration_s
        # Half a step later the new station is the nearest beyond any rounding.
        station = self.serving_station(satellite[inside], at_s[inside] + spacing_s / 2)
        return station, at_s[inside]

    @classmethod
    def draw(
        cls,
        *,
        n_satellites: int,
        regions: tuple[str, ...],
        period_s: float,
        rng: np.random.Generator,
    ) -> Fleet:
        """Scatter satellites over their orbits; regions take them in turn."""
        digits = max(3, len(str(n_satellites)))
        spread = np.array([0.5, 0.1, 2.0, 150.0])[:, None]
        return cls(
            satellites=tuple(f"sat-{i + 1:0{digits}d}" for i in range(n_satellites)),
            regions=regions,
            stations=tuple(
                f"gs-{region}-{i + 1}" for region in regions for i in range(STATIONS_PER_REGION)
            ),
            satellite_region=np.arange(n_satellites) % len(regions),
            along_track_rad=rng.uniform(0, 2 * math.pi, n_satellites),
            cross_track_rad=np.radians(rng.uniform(-6, 6, n_satellites)),
            since_eclipse_entry_s=rng.uniform(0, orbital_period_s(), n_satellites),
            beta_rad=np.radians(rng.uniform(-30, 30, n_satellites)),
            sample_offset_s=rng.uniform(0, period_s, n_satellites),
            bias=rng.standard_normal((len(FIELD_QUANTA), n_satellites)) * spread,
        )


def slant_ranges_m(fleet: Fleet, elapsed_s: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Slant range (m) and sine of elevation to the serving station, both float64[t, n].

    ``elapsed_s`` is float64[t, n], seconds from the start.
    """
    angle = fleet.along_track_rad + _mean_motion_rad_s() * elapsed_s
    half = _STATION_SPACING_RAD / 2
    from_station = (angle + half) % _STATION_SPACING_RAD - half
    cos_central_angle = np.cos(from_station) * np.cos(fleet.cross_track_rad)
    range_m = slant_range_m(cos_central_angle)
    return range_m, sin_elevation(cos_central_angle, range_m)


def healthy_fields(
    fleet: Fleet,
    *,
    elapsed_s: FloatArray,
    range_m: FloatArray,
    sine: FloatArray,
    rng: np.random.Generator,
) -> dict[str, FloatArray]:
    """Telemetry of satellites without faults: float64[t, n] by field of ``FIELD_QUANTA``.

    Args:
        fleet: n satellites.
        elapsed_s: float64[t, n], seconds from the start.
        range_m: float64[t, n], slant range to the serving station.
        sine: float64[t, n], sine of the elevation there.
        rng: for the noise alone.
    """
    shape = elapsed_s.shape
    snr_bias, voltage_bias, temperature_bias, wheel_bias = fleet.bias
    scintillation_s = rng.uniform(120, 400, shape[1])

    snr = _SNR_ZENITH_DB - 20 * np.log10(range_m / ALTITUDE_M) - _GAS_ZENITH_DB / sine
    snr += _SCINTILLATION_DB * np.sin(2 * math.pi * elapsed_s / scintillation_s)
    snr += snr_bias + 0.3 * rng.standard_normal(shape)

    voltage = first_order_cycle(
        fleet, elapsed_s, lit=32.8, dark=27.0, lit_lag_s=1200.0, dark_lag_s=6000.0
    )
    voltage += voltage_bias + 0.02 * rng.standard_normal(shape)

    temperature = first_order_cycle(
        fleet, elapsed_s, lit=32.0, dark=-6.0, lit_lag_s=1800.0, dark_lag_s=1500.0
    )
    temperature += temperature_bias + 0.15 * rng.standard_normal(shape)

    # The wheel takes up the disturbance torque of one orbit around its bias momentum.
    wheel = 300.0 * np.sin(fleet.along_track_rad + _mean_motion_rad_s() * elapsed_s)
    wheel += 2400.0 + wheel_bias + 2.0 * rng.standard_normal(shape)
    return {
        "snr_db": snr,
        "bus_voltage_v": voltage,
        "temperature_c": temperature,
        "wheel_speed_rpm": wheel,
    }


def first_order_cycle(
    fleet: Fleet,
    elapsed_s: FloatArray,
    *,
    lit: float,
    dark: float,
    lit_lag_s: float,
    dark_lag_s: float,
) -> FloatArray:
    """float64[t, n]: a first-order lag driven by sun and shadow, in its periodic steady state.

    Args:
        fleet: n satellites.
        elapsed_s: float64[t, n], seconds from the start.
        lit: where the value tends to in sunlight, in its own unit.
        dark: where it tends to in shadow.
        lit_lag_s: time constant in sunlight.
        dark_lag_s: time constant in shadow.
    """
    period_s = orbital_period_s()
    dark_s = eclipse_half_angle_rad(fleet.beta_rad) / math.pi * period_s
    dark_decay = np.exp(-dark_s / dark_lag_s)
    lit_decay = np.exp(-(period_s - dark_s) / lit_lag_s)
    # Going once around the orbit must lead back to the same value.
    at_entry = (lit * (1 - lit_decay) + dark * lit_decay * (1 - dark_decay)) / (
        1 - lit_decay * dark_decay
    )
    at_exit = dark + (at_entry - dark) * dark_decay
    since_entry_s = (fleet.since_eclipse_entry_s + elapsed_s) % period_s
    is_dark = since_entry_s < dark_s
    target = np.where(is_dark, dark, lit)
    origin = np.where(is_dark, at_entry, at_exit)
    exponent = np.where(is_dark, since_entry_s / dark_lag_s, (since_entry_s - dark_s) / lit_lag_s)
    value: FloatArray = target + (origin - target) * np.exp(-exponent)
    return value


def _mean_motion_rad_s() -> float:
    return 2 * math.pi / orbital_period_s()
