"""Where a satellite is, when it is in shadow, and which station hears it: circular orbits.

Everything is in closed form for any time.

Eclipses follow the cylindrical shadow (Wertz, Everett & Puschell, "Space Mission Engineering: The
New SMAD", 2011): at 480 to 600 km an orbit takes 94 to 97 minutes, of which at most 36 are dark.
The beta angle (between sun and orbital plane) swings as the plane precesses, for an inclination
of 53 degrees about once in 64 days; where it passes about 66 degrees the satellite is in full sun
for days, and the first eclipse after that is a rare event and none to worry about.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from sightline.apps.gateway.telemetry_scene.draws import Purpose, generator
from sightline.records.windows import FloatArray, IntArray

EARTH_RADIUS_M = 6_371_000.0
EARTH_MU_M3_S2 = 3.986004418e14
SIDEREAL_DAY_S = 86_164.1
STATIONS_PER_GATEWAY = 12
"""Ground stations, evenly along the track: a satellite is always above the horizon of one."""
_PASS_RAD = 2 * math.pi / STATIONS_PER_GATEWAY


def satellite_name(number: int) -> str:
    """Name of a satellite by index, from ``sat-00001``."""
    return f"sat-{number + 1:05d}"


def station_names(gateway: str) -> tuple[str, ...]:
    """Names of the ground stations of a gateway, in their order along the track.

    >>> station_names("north")[0]
    'gs-north-1'
    """
    return tuple(f"gs-{gateway}-{number + 1}" for number in range(STATIONS_PER_GATEWAY))


@dataclass(frozen=True, slots=True, kw_only=True)
class Orbit:
    """One circular orbit.

    Attributes:
        altitude_m: above the sphere.
        phase: orbits past the middle of the night at the start, 0 to 1.
        beta_max_rad: greatest sun angle of the plane.
        beta_period_s: of its swing.
        beta_phase_rad: of its swing at the start.
        cross_track_rad: greatest angle between the track and a station.
        node_phase_rad: of the Earth's turning below it at the start.
    """

    altitude_m: float
    phase: float
    beta_max_rad: float
    beta_period_s: float
    beta_phase_rad: float
    cross_track_rad: float
    node_phase_rad: float

    @classmethod
    def draw(cls, seed: int, satellite: int) -> Orbit:
        """The orbit of a satellite by index."""
        rng = generator(seed, Purpose.ORBIT, satellite)
        return cls(
            altitude_m=float(rng.uniform(480e3, 600e3)),
            phase=float(rng.random()),
            beta_max_rad=math.radians(float(rng.uniform(20, 75))),
            beta_period_s=86_400 * float(rng.uniform(58, 70)),
            beta_phase_rad=2 * math.pi * float(rng.random()),
            cross_track_rad=math.radians(float(rng.uniform(3, 7))),
            node_phase_rad=2 * math.pi * float(rng.random()),
        )

    @property
    def period_s(self) -> float:
        """Of one revolution (Kepler's third law)."""
        return 2 * math.pi * math.sqrt((EARTH_RADIUS_M + self.altitude_m) ** 3 / EARTH_MU_M3_S2)

    def angle_rad(self, elapsed_s: FloatArray) -> FloatArray:
        """float64[n]: past the middle of the night, at float64[n] seconds from the start."""
        angle: FloatArray = (2 * math.pi) * (elapsed_s / self.period_s + self.phase)
        return angle

    def beta_rad(self, elapsed_s: FloatArray) -> FloatArray:
        """float64[n]: sun angle of the orbital plane."""
        turn = 2 * math.pi * elapsed_s / self.beta_period_s + self.beta_phase_rad
        beta: FloatArray = self.beta_max_rad * np.sin(turn)
        return beta

    def eclipses_s(self, start_s: float, end_s: float) -> tuple[FloatArray, FloatArray]:
        """Entry and exit of each eclipse (float64[k] each) whose middle lies in the interval.

        >>> orbit = Orbit.draw(0, 0)
        >>> entry_s, exit_s = orbit.eclipses_s(0, 86_400)
        >>> bool((exit_s - entry_s < 36 * 60).all())
        True
        """
        first = math.ceil(start_s / self.period_s + self.phase)
        last = math.floor(end_s / self.period_s + self.phase)
        middle_s = (np.arange(first, last + 1, dtype=np.float64) - self.phase) * self.period_s
        ratio = EARTH_RADIUS_M / (EARTH_RADIUS_M + self.altitude_m)
        limit = math.sqrt(1 - ratio**2) / np.cos(self.beta_rad(middle_s))
        half_s = np.arccos(np.minimum(limit, 1.0)) / (2 * math.pi) * self.period_s
        is_dark = half_s > 0
        return (middle_s - half_s)[is_dark], (middle_s + half_s)[is_dark]

    def pass_geometry(self, elapsed_s: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Slant range in altitudes, and sine of the elevation, both float64[n], > 0.

        Stations stand evenly along the track, so a satellite is always above the horizon of one;
        how far to the side they pass changes as the Earth turns.
        """
        angle = self.angle_rad(elapsed_s)
        along = (angle + _PASS_RAD / 2) % _PASS_RAD - _PASS_RAD / 2
        turn = 2 * math.pi * elapsed_s / SIDEREAL_DAY_S + self.node_phase_rad
        across = self.cross_track_rad * np.sin(turn)
        # cos a cos b to second order, good to 0.2 % of the range up to the pass's edge.
        squared_rad = along * along + across * across
        cosine = 1 - squared_rad / 2 + squared_rad * squared_rad / 24
        radius_m = EARTH_RADIUS_M + self.altitude_m
        range_m = np.sqrt(EARTH_RADIUS_M**2 + radius_m**2 - 2 * EARTH_RADIUS_M * radius_m * cosine)
        sine = (radius_m * cosine - EARTH_RADIUS_M) / range_m
        return range_m / self.altitude_m, np.maximum(sine, 0.05)

    def station(self, elapsed_s: FloatArray) -> IntArray:
        """int64[n]: number of the nearest station of the gateway, which is the one in charge."""
        passes = np.floor(self.angle_rad(elapsed_s) / _PASS_RAD + 0.5)
        return passes.astype(np.int64) % STATIONS_PER_GATEWAY

    def handovers(self, duration_s: float) -> tuple[FloatArray, IntArray]:
        """When the next station takes over (float64[h], seconds from the start), and which it is.

        >>> at_s, station = Orbit.draw(0, 0).handovers(1800)
        >>> len(at_s), (station[1:] - station[:-1]).tolist()
        (4, [1, 1, 1])
        """
        spacing_s = self.period_s / STATIONS_PER_GATEWAY
        first_s = (-(self.phase * STATIONS_PER_GATEWAY + 0.5) % 1.0) * spacing_s
        at_s = np.arange(first_s, duration_s, spacing_s)
        # Half a pass later the new station is the nearest beyond any rounding.
        return at_s, self.station(at_s + spacing_s / 2)
