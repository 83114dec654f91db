"""Recorded fleets from Basilisk, an astrodynamics simulator that Sightline did not make.

``python -m benchmarks basilisk-fleet OUT --satellites N --days D --seed S --design K`` writes the
form that ``sightline lab evaluate fleet`` reads. Nothing here knows how a fleet is watched.

Basilisk (https://avslab.github.io/basilisk, ISC licence) computes what is flown: orbits about an
Earth that goes round the Sun, attitudes by its guidance modules, the torque of the gradient of
gravity, eclipses, solar panels, the battery's energy, temperatures that radiate, access of ground
stations, the data buffer. Ours are: the plan of operations and its commands, thermostats, the
drive of the panels, momentum and friction of the wheels (from Basilisk's torque and attitude),
voltage and currents (from its powers), the strength of a received signal (from its ranges), noise,
rounding, lost rows, and the faults. Attitudes are told to the spacecraft rather than controlled:
that allows steps of 20 to 60 s. Gravity is that of a point.

Orbits in turn: sun-synchronous, inclined LEO, Molniya, 12 h circular, geostationary, 2 days highly
elliptic. ``design`` draws how satellites are built and operated (sizes, attitudes, timetables,
thermostats, noise, channels); ``seed`` draws everything else.

Faults: a sensor's is 5 to 25 times what its reading scatters by (noise or rounding). Of the
satellite: a string of a panel is lost (a third to two thirds of that array) or the battery keeps
half to three quarters of its capacity, both until the end; a wheel rubs (friction 1.6 to 3 times)
or a heater's relay sticks, for 6 to 36 h. The channel that is named is the one at the broken part.
No two faults of a satellite are closer than three hours. A battery that is hardly ever discharged
fades unseen, and a spike has one to four rows: not every fault can be found.
"""

from __future__ import annotations

import importlib
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from sightline.errors import UsageError

BASILISK_VERSION = "2.12.1"
DAY_S = 86_400.0
START_NS = 1_830_000_000 * 1_000_000_000
EARTH_RADIUS_M = 6_378_136.6
AU_M = 149_597_870_700.0
MOST_ROWS = 20_000_000
"""Of one fleet, all satellites together: what is simulated lies in memory."""

Array = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Orbit:
    """Kepler elements; heights of perigee and apogee above the equator's radius."""

    name: str
    perigee_m: float
    apogee_m: float
    inclination_rad: float
    is_low: bool


ORBITS = (
    Orbit(name="sso", perigee_m=550e3, apogee_m=560e3, inclination_rad=1.704, is_low=True),
    Orbit(name="leo", perigee_m=480e3, apogee_m=720e3, inclination_rad=0.9, is_low=True),
    Orbit(name="molniya", perigee_m=1000e3, apogee_m=39_360e3, inclination_rad=1.107, is_low=False),
    Orbit(name="meo", perigee_m=20_150e3, apogee_m=20_250e3, inclination_rad=0.96, is_low=False),
    Orbit(name="geo", perigee_m=35_780e3, apogee_m=35_792e3, inclination_rad=0.002, is_low=False),
    Orbit(name="heo", perigee_m=7000e3, apogee_m=114_000e3, inclination_rad=1.2, is_low=False),
)

# Latitude, longitude in degrees; the lowest elevation is the same at all.
LOW_STATIONS = ((67.9, 21.1), (-25.9, 27.7), (64.8, -147.5))
HIGH_STATIONS = ((-25.9, 27.7), (35.3, -116.9), (1.3, 103.8))
DRIVE_TILT = 0.6
"""How far panels that turn follow the Sun out of their plane; 1 would be wholly."""
STATION_ELEVATION_RAD = 0.12

# What a channel's reading scatters by, and what it is rounded to.
NOISE = {
    "array_a_i": (0.02, 0.01),
    "array_b_i": (0.02, 0.01),
    "bus_v": (0.02, 0.02),
    "bat_i": (0.04, 0.02),
    "load_i": (0.03, 0.01),
    "soc_pct": (0.05, 0.1),
    "bat_temp": (0.08, 0.1),
    "panel_temp": (0.3, 0.25),
    "tx_temp": (0.15, 0.1),
    "pay_temp": (0.12, 0.1),
    "wheel1_rpm": (1.5, 1.0),
    "wheel2_rpm": (1.5, 1.0),
    "wheel1_i": (0.004, 0.002),
    "rate_mdps": (1.0, 0.5),
    "rssi_dbm": (0.6, 0.5),
    "buffer_mb": (0.0, 1.0),
    "frames": (0.0, 1.0),
    "mode": (0.0, 1.0),
    "heater": (0.0, 1.0),
    "tx": (0.0, 1.0),
}
MEASURED = tuple(name for name, (noise, _) in NOISE.items() if noise > 0)
MAY_BE_ABSENT = ("array_b_i", "soc_pct", "pay_temp", "wheel2_rpm", "buffer_mb", "heater")
SENSOR_KINDS = ("step", "level", "stuck", "dropout", "drift", "noise", "spike", "oscillation")
PHYSICAL_CHANNELS = {
    "panel_loss": "array_a_i",
    "battery_fade": "bus_v",
    "wheel_friction": "wheel1_i",
    "heater_stuck": "bat_temp",
}
LASTING = ("panel_loss", "battery_fade")
FAULT_GAP_S = 3 * 3600.0
WARM_UP_S = 12 * 3600.0
"""Flown before the first row, so that no temperature begins where it was set."""


@dataclass(frozen=True, kw_only=True)
class BasiliskFleet:
    """What is simulated. Rows are ``period_s`` apart (0: as the design draws)."""

    satellites: int = 6
    days: float = 10.0
    seed: int = 0
    design: int = 0
    period_s: float = 0.0
    faults_from_day: float = 4.0
    sensor_faults_per_day: float = 0.3
    physical_faults_per_day: float = 0.15
    missing_share: float = 0.003


@dataclass(frozen=True, kw_only=True)
class Build:
    """How one satellite is made and operated."""

    orbit: Orbit
    is_driven: bool
    """The panels turn about the orbit's normal to the Sun; otherwise they are fixed."""
    rests_to_sun: bool
    """Between sessions it turns to the Sun; otherwise it looks down always."""
    load_w: float
    payload_w: float
    transmitter_w: float
    heater_w: float
    array_w: float
    capacity_ws: float
    heater_on_deg: float
    heater_band_deg: float
    battery_heat_ws: float
    """Heat that warms the battery by a degree, in joules."""
    session_every_s: float
    is_regular: bool
    session_s: float
    desaturation_every_s: float
    cells: int


@dataclass(frozen=True, kw_only=True)
class Fault:
    """One satellite's; ``size`` means what its kind says."""

    channel: str
    kind: str
    begin_s: float
    end_s: float
    size: float


Command = tuple[float, str, float]


def write_basilisk_fleet(fleet: BasiliskFleet, folder: Path) -> dict[str, Any]:
    """Simulate and write telemetry.parquet, commands.parquet and faults.csv; what was written.

    Raises:
        UsageError: Basilisk is not installed, or the fleet is too large for memory.
    """
    drawn = np.random.default_rng([71, fleet.design])
    period_s = fleet.period_s or float(drawn.choice([20.0, 30.0, 60.0]))
    rows = int(fleet.days * DAY_S / period_s)
    if rows * fleet.satellites > MOST_ROWS:
        raise UsageError(
            expected=f"at most {MOST_ROWS:,} rows, which lie in memory",
            got=f"{rows * fleet.satellites:,}",
            where="basilisk-fleet",
            action="simulate fewer satellites or days, or give a longer --period-s",
        )
    absent = {str(name) for name in drawn.choice(MAY_BE_ABSENT, int(drawn.integers(0, 4)), False)}
    channels = tuple(name for name in NOISE if name not in absent)
    scatter = {name: float(np.exp(drawn.uniform(-0.7, 0.7))) for name in NOISE}
    first = int(drawn.integers(len(ORBITS)))

    frames, told, truth = [], [], []
    for number in range(fleet.satellites):
        rng = np.random.default_rng([fleet.seed, fleet.design, number])
        orbit = ORBITS[(first + number) % len(ORBITS)]
        build = _build(orbit, np.random.default_rng([72, fleet.design]), rng)
        faults = _draw_faults(fleet, number, channels, scatter, rng)
        flight = _Flight(build, faults, rows=rows, period_s=period_s, rng=rng)
        values = _values(build, flight, flight.fly(), period_s=period_s, rng=rng)
        name = f"{orbit.name}-{number + 1:02d}"
        measured = _measure(values, faults, channels, scatter, period_s=period_s, rng=rng)
        kept = np.flatnonzero(rng.random(rows) >= fleet.missing_share)
        frames.append(
            pl.DataFrame(
                {
                    "satellite": pl.repeat(name, len(kept), dtype=pl.String, eager=True),
                    "time_ns": START_NS + (kept * (period_s * 1e9)).astype(np.int64),
                    "sequence": kept,
                    **{channel: measured[channel][kept] for channel in channels},
                }
            )
        )
        told += [(name, START_NS + int(at * 1e9), what, value) for at, what, value in flight.told]
        truth += [
            (
                *(name, one.channel, one.kind),
                *(START_NS + int(second * 1e9) for second in (one.begin_s, one.end_s)),
            )
            for one in faults
        ]
    folder.mkdir(parents=True, exist_ok=True)
    telemetry = pl.concat(frames)
    telemetry.write_parquet(folder / "telemetry.parquet")
    pl.DataFrame(
        told, schema=["satellite", "time_ns", "command", "value"], orient="row"
    ).write_parquet(folder / "commands.parquet")
    pl.DataFrame(
        truth,
        schema={
            "satellite": pl.String,
            "channel": pl.String,
            "kind": pl.String,
            "start_ns": pl.Int64,
            "end_ns": pl.Int64,
        },
        orient="row",
    ).write_csv(folder / "faults.csv")
    return {
        "satellites": fleet.satellites,
        "rows": telemetry.height,
        "channels": len(channels),
        "period_s": period_s,
        "commands": len(told),
        "faults": len(truth),
    }


def _build(orbit: Orbit, drawn: np.random.Generator, rng: np.random.Generator) -> Build:
    """A satellite of the design: alike within one, some parts a little apart."""
    load_w = drawn.uniform(60, 400)
    is_driven = bool(drawn.random() < 0.6) or not orbit.is_low
    rests_to_sun = bool(drawn.random() < 0.5)
    surplus = drawn.uniform(1.25, 1.6) * (1.65 if orbit.is_low else 1.05)
    surplus *= 1.0 if is_driven else 1.35 if rests_to_sun else 3.0  # what the Sun's angle costs
    payload_w, transmitter_w = load_w * drawn.uniform(0.2, 0.6), load_w * drawn.uniform(0.15, 0.4)
    heater_w = drawn.uniform(14, 24)
    mean_w = load_w + 0.15 * payload_w + 0.12 * transmitter_w + 0.7 * heater_w
    hours = drawn.uniform(1.2, 2.5) if orbit.is_low else drawn.uniform(3.0, 5.0)
    own = rng.uniform(0.95, 1.05, 4)
    return Build(
        orbit=orbit,
        is_driven=is_driven,
        rests_to_sun=rests_to_sun,
        load_w=load_w * own[0],
        payload_w=payload_w,
        transmitter_w=transmitter_w,
        heater_w=heater_w * own[1],
        array_w=mean_w * surplus * own[2],
        capacity_ws=load_w * hours * 3600 * own[3],
        heater_on_deg=drawn.uniform(8, 16) + rng.uniform(-0.5, 0.5),
        heater_band_deg=drawn.uniform(1.0, 4.0),
        battery_heat_ws=drawn.uniform(2500, 9000),
        session_every_s=float(drawn.choice([3 * 3600.0, 6 * 3600.0, 8 * 3600.0])),
        is_regular=bool(drawn.random() < 0.5),
        session_s=drawn.uniform(900, 2700),
        desaturation_every_s=float(drawn.choice([12 * 3600.0, DAY_S])),
        cells=int(drawn.integers(7, 11)),
    )


# --- faults -------------------------------------------------------------------------------------


def _draw_faults(
    fleet: BasiliskFleet,
    number: int,
    channels: tuple[str, ...],
    scatter: dict[str, float],
    rng: np.random.Generator,
) -> tuple[Fault, ...]:
    days = max(fleet.days - fleet.faults_from_day, 0.0)
    first_s, last_s = fleet.faults_from_day * DAY_S, fleet.days * DAY_S
    wanted: list[Fault] = []
    kinds = [*PHYSICAL_CHANNELS][number % 4 :] + [*PHYSICAL_CHANNELS][: number % 4]
    for kind in kinds[: min(rng.poisson(fleet.physical_faults_per_day * days), 4)]:
        begin_s = rng.uniform(first_s, last_s - 0.5 * DAY_S)
        length_s = rng.uniform(6, 36) * 3600
        if kind in LASTING:
            begin_s = rng.uniform(max(first_s, last_s - 3 * DAY_S), last_s - 0.5 * DAY_S)
        match kind:
            case "panel_loss":
                size, length_s = rng.uniform(0.33, 0.67), last_s
            case "battery_fade":
                size, length_s = rng.uniform(0.5, 0.75), last_s
            case "wheel_friction":
                size = rng.uniform(1.6, 3.0)
            case _:
                size = float(rng.random() < 0.5)
        wanted.append(
            Fault(
                channel=PHYSICAL_CHANNELS[kind],
                kind=kind,
                begin_s=begin_s,
                end_s=min(begin_s + length_s, last_s),
                size=size,
            )
        )
    usual = [name for name in channels if name in MEASURED]
    for _ in range(rng.poisson(fleet.sensor_faults_per_day * days)):
        kind, channel = str(rng.choice(SENSOR_KINDS)), str(rng.choice(usual))
        length_s = 3600 * float(np.exp(rng.uniform(math.log(0.5), math.log(6))))
        match kind:
            case "level" | "drift":
                length_s = 3600 * rng.uniform(4, 20)
            case "spike":
                length_s = rng.uniform(60, 240)
        size = _unit(channel, scatter) * float(np.exp(rng.uniform(math.log(5), math.log(25))))
        begin_s = rng.uniform(first_s, last_s - 0.3 * DAY_S)
        wanted.append(
            Fault(
                channel=channel,
                kind=kind,
                begin_s=begin_s,
                end_s=min(begin_s + length_s, last_s),
                size=size * rng.choice([-1.0, 1.0]),
            )
        )
    kept: list[Fault] = []
    for one in wanted:
        if all(
            one.begin_s > other.end_s + FAULT_GAP_S or one.end_s < other.begin_s - FAULT_GAP_S
            for other in kept
        ):
            kept.append(one)
    return tuple(sorted(kept, key=lambda one: one.begin_s))


def _unit(channel: str, scatter: dict[str, float]) -> float:
    """What a reading scatters by: its noise, or the half of what it is rounded to if greater."""
    noise, quantum = NOISE[channel]
    return max(noise * scatter[channel], quantum / 2)


def _measure(
    values: dict[str, Array],
    faults: tuple[Fault, ...],
    channels: tuple[str, ...],
    scatter: dict[str, float],
    *,
    period_s: float,
    rng: np.random.Generator,
) -> dict[str, Array]:
    """Noise, the faults of sensors, rounding; NaN where a sensor says nothing."""
    read = {}
    for name in channels:
        noise = NOISE[name][0] * scatter[name]
        read[name] = values[name] + noise * rng.standard_normal(len(values[name]))
    for one in faults:
        if one.kind in PHYSICAL_CHANNELS:
            continue
        rows = slice(math.ceil(one.begin_s / period_s), max(math.ceil(one.end_s / period_s), 1))
        part = read[one.channel][rows]
        if not len(part):
            continue
        match one.kind:
            case "step" | "level":
                part += one.size
            case "spike":
                part += 2 * one.size
            case "stuck":
                part[:] = part[0]
            case "dropout":
                part[:] = np.nan
            case "drift":
                part += one.size * np.linspace(0, 1, len(part))
            case "noise":
                part += 0.5 * one.size * rng.standard_normal(len(part))
            case _:
                wave_s = rng.uniform(6, 40) * period_s
                part += one.size * np.sin(2 * np.pi * np.arange(len(part)) * period_s / wave_s)
    for name in channels:
        quantum = NOISE[name][1]
        read[name] = np.round(read[name] / quantum) * quantum
    return read


# --- the flight ---------------------------------------------------------------------------------

MODULES = (
    *("architecture.messaging", "architecture.sysModel", "utilities.macros"),
    *("utilities.SimulationBaseClass", "utilities.simIncludeGravBody"),
    *("fswAlgorithms.celestialTwoBodyPoint", "fswAlgorithms.hillPoint"),
    *("simulation.GravityGradientEffector", "simulation.eclipse", "simulation.ephemerisConverter"),
    *("simulation.groundLocation", "simulation.planetEphemeris", "simulation.sensorThermal"),
    *("simulation.simpleBattery", "simulation.simpleInstrument", "simulation.simpleNav"),
    *("simulation.simplePowerSink", "simulation.simpleSolarPanel", "simulation.simpleStorageUnit"),
    *("simulation.spacecraft", "simulation.spaceToGroundTransmitter"),
)
INERTIA_KG_M2 = (120.0, 95.0, 70.0)
EFFICIENCY = 0.28
ARRAY_SHARES = (0.52, 0.48)
ARRAY_NORMALS = ((0.77, 0.0, 0.64), (0.77, 0.0, -0.64))


def _basilisk() -> SimpleNamespace:
    """The modules that are used, each by its last name."""
    try:
        modules = [importlib.import_module(f"Basilisk.{name}") for name in MODULES]
    except ImportError as error:
        raise UsageError(
            expected="Basilisk, which flies this fleet",
            got=str(error),
            where="basilisk-fleet",
            action=f"pip install bsk=={BASILISK_VERSION}; it is no dependency of Sightline",
        ) from error
    return SimpleNamespace(
        **{name.rpartition(".")[2]: one for name, one in zip(MODULES, modules, strict=True)}
    )


class _Flight:
    """One satellite in one simulation of Basilisk; modules run in the order of their adding."""

    def __init__(
        self,
        build: Build,
        faults: tuple[Fault, ...],
        *,
        rows: int,
        period_s: float,
        rng: np.random.Generator,
    ) -> None:
        self._b = _basilisk()
        self._build, self._rows, self._period_s = build, rows, period_s
        self._warm = round(WARM_UP_S / period_s)
        self.spans = {one.kind: one for one in faults if one.kind in PHYSICAL_CHANNELS}
        self._sim = self._b.SimulationBaseClass.SimBaseClass()
        self._sim.SetProgressBar(False)
        self._step_ns = self._b.macros.sec2nano(period_s)
        task = self._sim.CreateNewTask("step", self._step_ns)
        self._sim.CreateNewProcess("flight").addTask(task)
        self._order = iter(range(1000, 0, -1))
        self._put_earth_and_sun(rng)
        self._put_spacecraft(rng)
        self._put_what_it_sees()
        self._put_power()
        self._put_temperatures()
        self._put_data()
        self.told: list[Command] = []
        self._plan = _Plan(build, rows * period_s, rng, self.told)
        self.noted = np.zeros((self._warm + rows + 1, 6))
        """Mode, transmitter, heater asked for, frames, health of battery, range of a station."""
        self._add(_each_step(self._b, self._step))

    def _add(self, module: Any) -> Any:
        order = next(self._order)
        module.ModelTag = f"{type(module).__name__}{order}"
        self._sim.AddModelToTask("step", module, order)
        return module

    def _put_earth_and_sun(self, rng: np.random.Generator) -> None:
        """The Earth about a Sun at the origin, from a day of the year at an hour of the day."""
        b, planets = self._b.planetEphemeris, self._b.planetEphemeris.PlanetEphemeris()
        planets.setPlanetNames(b.StringVector(["earth"]))
        year = b.ClassicElements()
        year.a, year.e, year.i = AU_M, 0.0167, math.radians(23.44)
        year.Omega, year.omega, year.f = 0.0, 1.8, float(rng.uniform(0, 2 * math.pi))
        planets.planetElements = b.classicElementVector([year])
        planets.rightAscension = b.DoubleVector([0.0])
        planets.declination = b.DoubleVector([math.pi / 2])
        planets.lst0 = b.DoubleVector([float(rng.uniform(0, 2 * math.pi))])
        planets.rotRate = b.DoubleVector([7.2921159e-5])
        self._earth = self._add(planets).planetOutMsgs[0]
        self._planets = planets
        sun = self._b.messaging.SpicePlanetStateMsgPayload()
        sun.PlanetName = "sun"
        self._sun = self._b.messaging.SpicePlanetStateMsg().write(sun)

    def _put_spacecraft(self, rng: np.random.Generator) -> None:
        b = self._b
        craft = b.spacecraft.Spacecraft()
        craft.hub.mHub = 300.0
        craft.hub.IHubPntBc_B = np.diag(INERTIA_KG_M2).tolist()
        self._bodies = b.simIncludeGravBody.gravBodyFactory()
        earth = self._bodies.createEarth()
        earth.isCentralBody = True
        earth.planetBodyInMsg.subscribeTo(self._earth)
        self._bodies.addBodiesTo(craft)
        self._gradient = b.GravityGradientEffector.GravityGradientEffector()
        self._gradient.addPlanetName(earth.planetName)
        craft.addDynamicEffector(self._gradient)
        craft.hub.r_CN_NInit, craft.hub.v_CN_NInit = _begin(self._build.orbit, earth.mu, rng)
        self._attitude = b.messaging.AttRefMsg()
        self._attitude.write(b.messaging.AttRefMsgPayload())
        craft.attRefInMsg.subscribeTo(self._attitude)
        self._craft = self._add(craft)
        self._add(self._gradient)

    def _put_what_it_sees(self) -> None:
        """Where the Sun shines, where stations see it, where it could look."""
        b, state = self._b, self._craft.scStateOutMsg
        shadow = b.eclipse.Eclipse()
        shadow.sunInMsg.subscribeTo(self._sun)
        shadow.addSpacecraftToModel(state)
        shadow.addPlanetToModel(self._earth)
        self._shadow = self._add(shadow)
        self._light = shadow.eclipseOutMsgs[0]
        self._stations = []
        for latitude, longitude in LOW_STATIONS if self._build.orbit.is_low else HIGH_STATIONS:
            station = b.groundLocation.GroundLocation()
            station.planetRadius = EARTH_RADIUS_M
            station.specifyLocation(math.radians(latitude), math.radians(longitude), 0.0)
            station.planetInMsg.subscribeTo(self._earth)
            station.minimumElevation, station.maximumRange = STATION_ELEVATION_RAD, -1.0
            station.addSpacecraftToModel(state)
            self._stations.append(self._add(station))
        self._access = [station.accessOutMsgs[0] for station in self._stations]
        nav = b.simpleNav.SimpleNav()
        nav.scStateInMsg.subscribeTo(state)
        self._nav = self._add(nav)
        places = b.ephemerisConverter.EphemerisConverter()
        places.addSpiceInputMsg(self._earth)
        places.addSpiceInputMsg(self._sun)
        self._places = self._add(places)
        down, to_sun = b.hillPoint.hillPoint(), b.celestialTwoBodyPoint.celestialTwoBodyPoint()
        for guide, place in zip((down, to_sun), places.ephemOutMsgs, strict=True):
            guide.transNavInMsg.subscribeTo(nav.transOutMsg)
            guide.celBodyInMsg.subscribeTo(place)
            self._add(guide)
        self._down, self._to_sun = down, to_sun

    def _put_power(self) -> None:
        """Two arrays, what consumes (the bus, payload, transmitter, heater) and a battery."""
        b, build = self._b, self._build
        self._arrays = []
        for share, normal in zip(ARRAY_SHARES, ARRAY_NORMALS, strict=True):
            array = b.simpleSolarPanel.SimpleSolarPanel()
            array.stateInMsg.subscribeTo(self._craft.scStateOutMsg)
            array.sunEclipseInMsg.subscribeTo(self._light)
            array.sunInMsg.subscribeTo(self._sun)
            area_m2 = build.array_w * share / 1366 / EFFICIENCY
            array.setPanelParameters(list(normal), area_m2, EFFICIENCY)
            self._arrays.append(self._add(array))
        self._sinks = []
        for watts in (build.load_w, 0.0, 0.0, 0.0):
            sink = b.simplePowerSink.SimplePowerSink()
            sink.nodePowerOut = -watts
            self._sinks.append(self._add(sink))
        battery = b.simpleBattery.SimpleBattery()
        battery.storageCapacity = build.capacity_ws
        battery.storedCharge_Init = 0.9 * build.capacity_ws
        for node in (*self._arrays, *self._sinks):
            battery.addPowerNodeToModel(node.nodePowerOutMsg)
        self._battery = self._add(battery)

    def _put_temperatures(self) -> None:
        """Battery, back of an array, transmitter, payload; areas that balance their powers."""
        build = self._build
        battery_m2 = build.heater_w / 540
        transmitter_m2 = (12 + 0.1 * build.transmitter_w) / 310
        payload_m2 = (14 + 0.1 * build.payload_w) / 310
        parts = (
            ((0, 0, -1), battery_m2, 0.08, build.battery_heat_ws, 12.0),
            (ARRAY_NORMALS[0], 1.0, 0.42, 9500.0, 0.0),
            ((0, 1, 0), transmitter_m2, 0.1, 2600.0, 5.0),
            ((-1, 0, 0), payload_m2, 0.1, 5000.0, 5.0),
        )
        self._nodes = []
        for normal, area_m2, absorbs, heat_ws, start_deg in parts:
            node = self._b.sensorThermal.SensorThermal()
            node.nHat_B = list(normal)
            node.sensorArea, node.sensorAbsorptivity = area_m2, absorbs
            node.sensorEmissivity = 0.85
            node.sensorMass, node.sensorSpecificHeat = heat_ws / 900.0, 900.0
            node.sensorPowerDraw, node.T_0 = 0.0, start_deg
            node.sunInMsg.subscribeTo(self._sun)
            node.stateInMsg.subscribeTo(self._craft.scStateOutMsg)
            node.sunEclipseInMsg.subscribeTo(self._light)
            self._nodes.append(self._add(node))

    def _put_data(self) -> None:
        b = self._b
        self._instrument = b.simpleInstrument.SimpleInstrument()
        self._instrument.nodeDataName = "pictures"
        self._add(self._instrument)
        store = b.simpleStorageUnit.SimpleStorageUnit()
        store.storageCapacity = 64e9 * 8
        downlink = b.spaceToGroundTransmitter.SpaceToGroundTransmitter()
        downlink.nodeBaudRate, downlink.packetSize, downlink.numBuffers = -60e6, -1e6, 1
        for message in self._access:
            downlink.addAccessMsgToTransmitter(message)
        store.addDataNodeToModel(self._instrument.nodeDataOutMsg)
        store.addDataNodeToModel(downlink.nodeDataOutMsg)
        downlink.addStorageUnitToTransmitter(store.storageUnitDataOutMsg)
        self._downlink, self._store = self._add(downlink), self._add(store)

    def _step(self, flown_s: float) -> None:
        """What operators and the computer on board do, and what broke, after each step."""
        build = self._build
        i, now_s = round(flown_s / self._period_s), flown_s - self._warm * self._period_s
        seen = [message.read() for message in self._access]
        ranges = [one.slantRange for one in seen if one.hasAccess]
        mode, payload_on, transmits = self._plan.at(now_s, in_sight=bool(ranges))
        guide = self._to_sun if mode == 0 and build.rests_to_sun else self._down
        chosen = guide.attRefOutMsg.read()
        self._attitude.write(chosen)
        if build.is_driven:
            self._drive_panels(chosen.sigma_RN)
        asked = self._plan.thermostat(self._nodes[0].temperatureOutMsg.read().temperature)
        heats = asked
        if (one := self._broken("heater_stuck", now_s)) is not None:
            heats = one.size > 0
        health = 1.0
        if (one := self._broken("battery_fade", now_s)) is not None:
            faded = min((now_s - one.begin_s) / (12 * 3600.0), 1.0)
            health = 1 - (1 - one.size) * faded
            self._battery.storageCapacity = build.capacity_ws * health
        if (one := self._broken("panel_loss", now_s)) is not None:
            self._arrays[0].panelEfficiency = EFFICIENCY * one.size
        for sink, watts in zip(
            self._sinks[1:],
            (build.payload_w * payload_on, build.transmitter_w * transmits, build.heater_w * heats),
            strict=True,
        ):
            sink.nodePowerOut = -watts
        self._nodes[0].sensorPowerDraw = build.heater_w * heats + 2.0
        self._nodes[2].sensorPowerDraw = 12 + 0.6 * build.transmitter_w * transmits
        self._nodes[3].sensorPowerDraw = 14 + 0.4 * build.payload_w * payload_on
        self._instrument.nodeBaudRate = 8e6 * payload_on + 20e3
        self._downlink.dataStatus = int(transmits)
        frames = self.noted[i - 1, 3] if i else 0.0
        frames += round(self._period_s * (0.4 + 2.0 * payload_on + 1.0 * transmits))
        self.noted[i] = mode, transmits, asked, frames, health, min(ranges, default=0.0)

    def _drive_panels(self, sigma: Any) -> None:
        """To the Sun in the plane of the orbit, and part of the way out of it."""
        where = self._craft.scStateOutMsg.read().r_BN_N
        far = math.sqrt(sum(float(x) ** 2 for x in where))
        x, y, z = (
            -sum(row[k] * float(where[k]) for k in range(3)) / far for row in _rotation(sigma)
        )
        long = math.hypot(x, y, DRIVE_TILT * z)
        turned = [x / long, y / long, DRIVE_TILT * z / long]
        for one in (*self._arrays, self._nodes[1]):
            one.nHat_B = turned

    def _broken(self, kind: str, now_s: float) -> Fault | None:
        one = self.spans.get(kind)
        return one if one is not None and one.begin_s <= now_s < one.end_s else None

    def fly(self) -> dict[str, Array]:
        """Every row of what Basilisk computed; commands and notes begin with the first row too."""
        messages = {
            "state": self._craft.scStateOutMsg,
            "torque": self._gradient.gravityGradientOutMsg,
            "light": self._light,
            "store": self._store.storageUnitDataOutMsg,
            "battery": self._battery.batPowerOutMsg,
            **{f"array{k}": one.nodePowerOutMsg for k, one in enumerate(self._arrays)},
            **{f"sink{k}": one.nodePowerOutMsg for k, one in enumerate(self._sinks)},
            **{f"node{k}": one.temperatureOutMsg for k, one in enumerate(self._nodes)},
        }
        logs = {name: message.recorder() for name, message in messages.items()}
        for log in logs.values():
            self._sim.AddModelToTask("step", log, 0)
        self._sim.InitializeSimulation()
        self._sim.ConfigureStopTime(self._step_ns * (self._warm + self._rows))
        self._sim.ExecuteSimulation()
        flown = {
            "sigma": logs["state"].sigma_BN,
            "omega": logs["state"].omega_BN_B,
            "torque": logs["torque"].gravityGradientTorque_B,
            "light": logs["light"].shadowFactor,
            "buffer": logs["store"].storageLevel,
            "stored": logs["battery"].storageLevel,
            **{name: log.netPower for name, log in logs.items() if name[:-1] in {"array", "sink"}},
            **{name: log.temperature for name, log in logs.items() if name[:-1] == "node"},
        }
        rows = slice(self._warm, self._warm + self._rows)
        self.told = [one for one in self.told if one[0] >= 0]
        self.noted = self.noted[rows]
        self.noted[:, 3] -= self.noted[0, 3]
        return {name: np.asarray(values)[rows] for name, values in flown.items()}


def _rotation(sigma: Any) -> tuple[tuple[float, ...], ...]:
    """From the inertial frame to the body's, of modified Rodrigues parameters."""
    a, b, c = float(sigma[0]), float(sigma[1]), float(sigma[2])
    s = a * a + b * b + c * c
    k, m = 8 / (1 + s) ** 2, 4 * (1 - s) / (1 + s) ** 2
    return (
        (1 + k * (a * a - s), k * a * b + m * c, k * a * c - m * b),
        (k * a * b - m * c, 1 + k * (b * b - s), k * b * c + m * a),
        (k * a * c + m * b, k * b * c - m * a, 1 + k * (c * c - s)),
    )


def _begin(orbit: Orbit, mu: float, rng: np.random.Generator) -> tuple[list[float], list[float]]:
    """Position in m and velocity in m/s about the Earth, somewhere on the orbit."""
    near, far = EARTH_RADIUS_M + orbit.perigee_m, EARTH_RADIUS_M + orbit.apogee_m
    a, e = (near + far) / 2, (far - near) / (far + near)
    node, anomaly = rng.uniform(0, 2 * math.pi, 2)
    perigee = math.radians(270) if e > 0.3 else rng.uniform(0, 2 * math.pi)
    p = a * (1 - e * e)
    r = p / (1 + e * math.cos(anomaly))
    flat = np.array([[r * math.cos(anomaly), r * math.sin(anomaly), 0.0]])
    speed = math.sqrt(mu / p)
    moves = np.array([[-speed * math.sin(anomaly), speed * (e + math.cos(anomaly)), 0.0]])

    def about(axis: int, angle: float) -> Array:
        c, s = math.cos(angle), math.sin(angle)
        if axis == 2:
            return np.array([[c, -s, 0], [s, c, 0], [0, 0, 1.0]])
        return np.array([[1.0, 0, 0], [0, c, -s], [0, s, c]])

    turn = about(2, node) @ about(0, orbit.inclination_rad) @ about(2, perigee)
    return (turn @ flat[0]).tolist(), (turn @ moves[0]).tolist()


def _each_step(b: Any, step: Callable[[float], None]) -> Any:
    """A module of Basilisk that calls a function of the time."""

    class EachStep(b.sysModel.SysModel):  # type: ignore[misc]
        def Reset(self, _now_ns: int) -> None:  # noqa: N802
            pass

        def UpdateState(self, now_ns: int) -> None:  # noqa: N802
            step(now_ns * 1e-9)

    return EachStep()


class _Plan:
    """What operators and the computer on board do: sessions, passes, set points, desaturation."""

    def __init__(
        self, build: Build, length_s: float, rng: np.random.Generator, told: list[Command]
    ) -> None:
        self._build, self._told = build, told
        self._on_deg = build.heater_on_deg
        self._heats = False
        self._payload_until_s = self._transmit_until_s = -1.0
        self._may_transmit_s = 0.0
        sessions, at = [], float(rng.uniform(0, build.session_every_s)) - WARM_UP_S
        while at < length_s:
            long_s = build.session_s * (1.0 if build.is_regular else rng.uniform(0.5, 1.5))
            sessions.append((at, long_s))
            at += build.session_every_s * (1.0 if build.is_regular else rng.uniform(0.5, 1.5))
        self._sessions = iter(sessions)
        self._session = next(self._sessions, None)
        first = float(rng.uniform(0, build.desaturation_every_s))
        self._dumps = iter(np.arange(first, length_s, build.desaturation_every_s).tolist())
        self._dump = next(self._dumps, None)
        self._passes_skipped = iter((rng.random(4096) < 0.2).tolist())
        self._new_set_point_s = float(rng.uniform(0, 2 * length_s))
        self._new_on_deg = self._on_deg + float(rng.choice([-1.5, 1.5]))

    def at(self, now_s: float, *, in_sight: bool) -> tuple[int, bool, bool]:
        """Mode (0 rest, 1 payload, 2 downlink), whether the payload is on, the transmitter."""
        build, told = self._build, self._told
        if self._session is not None and now_s >= self._session[0]:
            self._payload_until_s = now_s + self._session[1]
            told.append((now_s, "payload_on", round(self._session[1])))
            self._session = next(self._sessions, None)
        if 0 <= self._payload_until_s <= now_s:
            told.append((now_s, "payload_off", 0.0))
            self._payload_until_s = -1.0
        is_sending = self._transmit_until_s >= 0
        if is_sending and (not in_sight or now_s >= self._transmit_until_s):
            told.append((now_s, "transmitter_off", 0.0))
            self._transmit_until_s = -1.0
            self._may_transmit_s = now_s + (1800.0 if build.orbit.is_low else 4 * 3600.0)
        elif not is_sending and in_sight and now_s >= self._may_transmit_s:
            if next(self._passes_skipped, False):
                self._may_transmit_s = now_s + 1800.0
            else:
                told.append((now_s, "transmitter_on", 1.0))
                self._transmit_until_s = now_s + (900.0 if build.orbit.is_low else 2700.0)
        if self._dump is not None and now_s >= self._dump:
            told.append((now_s, "desaturate", 1.0))
            self._dump = next(self._dumps, None)
        if now_s >= self._new_set_point_s:
            self._on_deg, self._new_set_point_s = self._new_on_deg, math.inf
            told.append((now_s, "heater_set_point", round(self._on_deg, 1)))
        is_on, sends = self._payload_until_s >= 0, self._transmit_until_s >= 0
        return (1 if is_on else 2 if sends else 0), is_on, sends

    def thermostat(self, battery_deg: float) -> bool:
        if battery_deg < self._on_deg:
            self._heats = True
        elif battery_deg > self._on_deg + self._build.heater_band_deg:
            self._heats = False
        return self._heats


def _values(
    build: Build,
    flight: _Flight,
    flown: dict[str, Array],
    *,
    period_s: float,
    rng: np.random.Generator,
) -> dict[str, Array]:
    """The channels, from what Basilisk flew and what was noted."""
    rows = len(flight.noted)
    time_s = np.arange(rows) * period_s
    mode, sends, heats, frames, health, range_m = flight.noted.T
    charge = np.clip(flown["stored"] / (build.capacity_ws * health), 0.0, 1.0)
    power_w = flown["array0"] + flown["array1"] + sum(flown[f"sink{k}"] for k in range(4))
    # Of a full battery what is too much is shunted: its current is what the energy did.
    stored_w = np.diff(charge, prepend=charge[:1]) * build.capacity_ws * health / period_s
    battery_w = np.where(charge > 0.999, np.minimum(power_w, stored_w), power_w)
    ohm = 0.0025 * build.cells * (400 / build.load_w) / health
    open_v = build.cells * (3.35 + 0.65 * charge + 0.12 * np.tanh(12 * (charge - 0.1)))
    current = battery_w / open_v
    bus_v = open_v + ohm * current
    # Momentum of the wheels: the torques' sum, without what was dumped.
    rotation = np.stack([np.stack(row) for row in _rotations(flown["sigma"])])
    lit = flown["light"][:, None] * np.array([2.2e-6, -1.4e-6, 0.9e-6])
    torque = np.einsum("ijn,ni->nj", rotation, flown["torque"]) + lit
    gathered = np.cumsum(torque * period_s, axis=0)
    dumps = np.array([at for at, what, _ in flight.told if what == "desaturate"])
    since = np.searchsorted(dumps, time_s, side="right")
    at_dump = np.minimum(np.searchsorted(time_s, dumps), rows - 1)
    base = np.concatenate([np.zeros((1, 3)), gathered[at_dump]])[since]
    body = np.einsum("ijn,nj->ni", rotation, gathered - base)
    body -= flown["omega"] * np.array(INERTIA_KG_M2)
    inertia_wheel = 0.02
    rpm = body / inertia_wheel * 60 / (2 * math.pi) + np.array([1800.0, -1500.0, 0.0])
    friction = np.ones(rows)
    if (one := flight.spans.get("wheel_friction")) is not None:
        friction[(time_s >= one.begin_s) & (time_s < one.end_s)] = one.size
    turns = rpm[:, 0] * 2 * math.pi / 60
    speeds_up = np.abs(np.gradient(turns, period_s)) * inertia_wheel
    drag = (4e-3 * np.tanh(turns / 5) + 3.5e-5 * turns) * friction
    wheel_i = (np.abs(drag) + speeds_up) / 0.05
    load_w = -sum(flown[f"sink{k}"] for k in range(4)) + 6.0 * wheel_i
    strength = -72 - 20 * np.log10(np.maximum(range_m, 1e5) / 1e6)
    heard = np.where(range_m > 0, strength, -128 + 0.8 * rng.standard_normal(rows))
    return {
        "array_a_i": flown["array0"] / bus_v,
        "array_b_i": flown["array1"] / bus_v,
        "bus_v": bus_v,
        "bat_i": current,
        "load_i": load_w / bus_v,
        "soc_pct": 100 * charge,
        "bat_temp": flown["node0"],
        "panel_temp": flown["node1"],
        "tx_temp": flown["node2"],
        "pay_temp": flown["node3"],
        "wheel1_rpm": rpm[:, 0],
        "wheel2_rpm": rpm[:, 1],
        "wheel1_i": wheel_i,
        "rate_mdps": np.degrees(np.linalg.norm(flown["omega"], axis=1)) * 1000,
        "rssi_dbm": heard,
        "buffer_mb": flown["buffer"] / 8e6,
        "frames": frames,
        "mode": mode,
        "heater": heats,
        "tx": sends,
    }


def _rotations(sigma: Array) -> Any:
    """``_rotation`` of many, each element an array."""
    a, b, c = sigma.T
    s = a * a + b * b + c * c
    k, m = 8 / (1 + s) ** 2, 4 * (1 - s) / (1 + s) ** 2
    return (
        (1 + k * (a * a - s), k * a * b + m * c, k * a * c - m * b),
        (k * a * b - m * c, 1 + k * (b * b - s), k * b * c + m * a),
        (k * a * c + m * b, k * b * c - m * a, 1 + k * (c * c - s)),
    )
