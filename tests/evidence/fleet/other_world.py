"""A second, small simulator of satellites whose physics have nothing in common with the first.

Kepler orbits of any eccentricity, a battery that integrates its current, temperatures that radiate
with the fourth power, a wheel driven by the gradient of gravity, thermostats slow and quick,
counters, a tank that only empties, modes by command. ``design`` draws the constants, so that each
number is another kind of satellite. Faults are of sensors (added to what is measured) or of the
satellite (put into the physics).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import polars as pl

MU = 398600.4418
EARTH_KM = 6378.0
DAY_S = 86_400.0
START_NS = 1_800_000_000 * 1_000_000_000

CHANNELS = (
    *("panel_a_i", "panel_b_i", "batt_v", "batt_i", "load_i", "t_batt", "t_panel", "t_box"),
    *("wheel_rpm", "wheel_i", "tank_bar", "agc_dbm", "mode", "t_line", "line_heater", "frames"),
    *("rate_dps", "fuel_kg"),
)
NOISE = (
    *(0.02, 0.02, 0.02, 0.05, 0.03, 0.1, 0.4, 0.1, 2.0, 0.004, 0.01, 0.4, 0.0),
    *(0.08, 0.0, 0.0, 0.002, 0.0005),
)
QUANTUM = (
    *(0.01, 0.01, 0.01, 0.02, 0.01, 0.1, 0.2, 0.1, 1.0, 0.002, 0.005, 0.25, 1.0),
    *(0.05, 1.0, 1.0, 0.001, 0.0005),
)
SENSOR_KINDS = ("step", "level", "stuck", "dropout", "drift", "oscillation", "noise", "reset")
FRAMES = CHANNELS.index("frames")
STATES = tuple(CHANNELS.index(name) for name in ("mode", "line_heater"))
PHYSICAL_KINDS = {
    "panel_loss": "panel_a_i",
    "wheel_friction": "wheel_i",
    "heater_stuck": "t_batt",
    "battery_fade": "batt_v",
}


@dataclass(frozen=True, kw_only=True)
class World:
    """A fleet; ``periods_h`` and ``eccentricities`` are those that satellites have in turn."""

    seed: int = 0
    satellites: int = 6
    days: float = 10.0
    step_s: float = 30.0
    periods_h: tuple[float, ...] = (1.62, 11.967, 23.93)
    eccentricities: tuple[float, ...] = (0.001, 0.7, 0.24)
    sensor_faults_per_day: float = 0.15
    physical_faults_per_day: float = 0.04
    faults_from_day: float = 3.0
    missing_share: float = 0.003
    never_dark: bool = False
    design: int = 0
    sun_turn: float = 0.3
    jitter_s: float = 0.0
    clock_offset_s: float = 0.0
    rename: dict[str, str] = field(default_factory=dict)
    given: tuple[tuple[int, str, str, float, float, float], ...] = ()
    """Sensor faults beside drawn ones: satellite, channel, kind, day, seconds, size in noise."""


def _positions(world: World, t: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, ...]:
    """In km, float64[n, s, 3], and the distance from the centre."""
    n = world.satellites
    which = np.arange(n) % len(world.periods_h)
    period = np.array(world.periods_h)[which] * 3600 * rng.uniform(0.98, 1.02, n)
    e = np.array(world.eccentricities)[which]
    a = (MU * (period / 2 / np.pi) ** 2) ** (1 / 3)
    mean = 2 * np.pi * t[:, None] / period + rng.uniform(0, 2 * np.pi, n)
    anomaly = mean + e * np.sin(mean)
    for _ in range(12):
        anomaly -= (anomaly - e * np.sin(anomaly) - mean) / (1 - e * np.cos(anomaly))
    x, y = a * (np.cos(anomaly) - e), a * np.sqrt(1 - e * e) * np.sin(anomaly)
    inclination = rng.uniform(0.1, 1.7, n)
    node = rng.uniform(0, 2 * np.pi, n) - 2e-7 * t[:, None]
    turned = x * np.cos(node) - y * np.cos(inclination) * np.sin(node)
    r = np.stack(
        [
            turned,
            x * np.sin(node) + y * np.cos(inclination) * np.cos(node),
            y * np.sin(inclination),
        ],
        axis=2,
    )
    return r, np.linalg.norm(r, axis=2), period


def simulate(world: World) -> tuple[pl.DataFrame, pl.DataFrame, pl.DataFrame]:
    """Telemetry, commands and faults."""
    rng = np.random.default_rng(world.seed)
    n, dt = world.satellites, world.step_s
    t = np.arange(0, world.days * DAY_S, dt)
    r, distance, period = _positions(world, t, rng)
    longitude = 2 * np.pi * t / (365.25 * DAY_S) + world.sun_turn
    sun = np.stack(
        [np.cos(longitude), 0.917 * np.sin(longitude), 0.398 * np.sin(longitude)], axis=1
    )
    along = np.einsum("nsk,nk->ns", r, sun)
    across = np.sqrt(np.maximum(distance**2 - along**2, 0))
    light = np.clip((across - EARTH_KM) / 60 + 0.5, 0, 1)
    light = np.where(along > 0, 1.0, light)
    if world.never_dark:
        light[:] = 1.0

    drawn = np.random.default_rng(world.design)
    inertia = drawn.uniform(0.5, 1.6) if world.design else 1.0
    capacity = drawn.uniform(15, 60) if world.design else 30.0
    tuned = (
        np.exp(drawn.uniform(-0.9, 0.9, len(CHANNELS))) if world.design else np.ones(len(CHANNELS))
    )
    band = drawn.uniform(0.7, 2.5, n)
    duty = drawn.uniform(0.25, 0.7, n)
    is_regular = world.design % 2 == 1  # sessions by a timetable, not at any time

    # Commands: science sessions, and dumps of momentum.
    commands: list[tuple[int, float, str, float]] = []
    science = np.zeros((len(t), n))
    dump = np.zeros((len(t), n), bool)
    for k in range(n):
        at = rng.uniform(0, 7200)
        while at < t[-1]:
            long_s = rng.uniform(900, 3600)
            gain = float(rng.integers(1, 4))
            commands += [(k, at, "science_on", gain), (k, at + long_s, "science_off", 0.0)]
            science[int(at / dt) : int((at + long_s) / dt), k] = gain
            at += (
                (21_600 - at % 21_600 + k * 60) if is_regular else long_s + rng.uniform(4000, 20000)
            )
        for about in np.arange(rng.uniform(0, 3e4), t[-1], 43_000):
            when = float(about + rng.uniform(0, 6000))
            commands.append((k, when, "unload", 1.0))
            dump[int(when / dt) : int(when / dt) + 1, k] = True

    faults: list[tuple[int, str, str, float, float, float]] = []
    fade = np.ones((len(t), n))
    panel, friction = np.ones((len(t), n)), np.ones((len(t), n))
    heater_stuck = np.full((len(t), n), -1)
    for k in range(n):
        days = world.days - world.faults_from_day
        for _ in range(rng.poisson(world.physical_faults_per_day * days)):
            kind = str(rng.choice(list(PHYSICAL_KINDS)))
            begin = rng.uniform(world.faults_from_day, world.days - 0.5) * DAY_S
            end = min(begin + rng.uniform(0.3, 2) * DAY_S, t[-1])
            where = slice(int(begin / dt), int(end / dt))
            match kind:
                case "panel_loss":
                    panel[where, k] = rng.uniform(0.6, 0.9)
                case "wheel_friction":
                    friction[where, k] = rng.uniform(1.3, 2.5)
                case "heater_stuck":
                    heater_stuck[where, k] = 1
                case _:
                    fade[where, k] = np.linspace(1, rng.uniform(0.4, 0.7), where.stop - where.start)
            faults.append((k, PHYSICAL_KINDS[kind], kind, begin, end, 0.0))

    scale = rng.uniform(0.9, 1.1, (8, n))
    soc, temperature = np.full(n, 0.9), np.full((3, n), 285.0)
    momentum, heating = np.zeros(n), np.zeros(n, bool)
    line, line_on, frames_sent = 280.0 + band * rng.random(n), np.zeros(n, bool), np.zeros(n)
    fuel = np.full(n, 55.0)
    out = np.empty((len(t), n, len(CHANNELS)))
    cosine = 0.75 + 0.25 * np.cos(2 * np.pi * t[:, None] / period + 1.0)
    gradient = (7000 / distance) ** 3 * np.sin(2 * np.arctan2(r[:, :, 1], r[:, :, 0])) * 1e-3
    gradient += rng.uniform(-1, 1, n) * 2e-5
    albedo = (EARTH_KM / distance) ** 2 * np.clip(along / distance, 0, 1)
    chance = rng.standard_normal((len(t), n))
    for i in range(len(t)):
        stuck = heater_stuck[i]
        cold = temperature[0] < np.where(heating, 290.0, 287.5)
        heating = np.where(stuck >= 0, stuck == 1, cold)
        load = scale[0] * 3.0 + 1.2 * science[i] + 1.5 * heating
        warm = 1 - 0.002 * (temperature[1] - 300)
        a_i = 5.2 * scale[1] * light[i] * cosine[i] * warm * panel[i]
        b_i = 4.8 * scale[2] * light[i] * (1.3 - 0.4 * cosine[i]) * warm
        full = np.clip((1.0 - soc) * 40, 0, 1)
        battery_i = np.minimum(a_i + b_i - load, 6 * full)
        soc = np.clip(soc + battery_i * dt / 3600 / (capacity * fade[i]), 0.02, 1.0)
        volts = 26 + 5 * soc + 0.8 * np.tanh(8 * (soc - 0.15)) + 0.08 * battery_i / fade[i]
        flow = np.stack(
            [
                0.004 * (temperature[2] - temperature[0]) + 0.02 * heating - 0.0035,
                light[i] * 0.35 + 0.1 * albedo[i] - 2.8e-11 * temperature[1] ** 4 - 0.02,
                0.0006 * (temperature[1] - temperature[2])
                + 0.006 * science[i]
                + 0.004 * load
                - 2.2e-12 * temperature[2] ** 4,
            ]
        )
        temperature = (
            temperature + dt * flow * np.array([[0.12], [0.45], [0.12]]) * scale[3:6] * inertia
        )
        # A line that a quick thermostat keeps in a band of kelvins, by a heater of its own.
        line_on = np.where(line < 279.5, True, np.where(line > 279.5 + band, False, line_on))
        pull = (temperature[2] - 285) * 2e-6
        line = line + dt * (
            np.where(line_on, 1.2e-3 / duty, 0.0) - 1.2e-3 + pull + 2e-5 * chance[i]
        )
        sent = np.maximum((2.0 + 5 * science[i]) * dt + np.sqrt(2 * dt) * chance[i], 0)
        frames_sent = frames_sent + np.round(sent)
        fuel = fuel - np.where(dump[i], 0.004, 0.0)
        momentum = np.where(dump[i], 0.0, momentum + gradient[i] * dt)
        rpm = 800 * scale[6] + 900 * momentum
        wheel_i = 0.05 * np.sign(rpm) + 6e-5 * rpm * friction[i] + 0.05 * (friction[i] - 1)
        out[i] = np.stack(
            [
                *(a_i, b_i, volts, battery_i, load, temperature[0] - 273, temperature[1] - 273),
                *(temperature[2] - 273, rpm, wheel_i, 20 + 0.07 * (temperature[2] - 285)),
                *(-90 - 20 * np.log10(distance[i] / 7000), science[i], line - 273, 1.0 * line_on),
                *(frames_sent, 2e-3 * np.sin(np.arange(n) + momentum * 9), fuel),
            ],
            axis=1,
        )
    noise, quantum = np.array(NOISE) * tuned, np.array(QUANTUM)
    measured = out + noise * rng.standard_normal(out.shape)
    wanted = [
        (k, CHANNELS.index(name), kind, day * DAY_S, length_s, size)
        for k, name, kind, day, length_s, size in world.given
    ]
    for k in range(n):
        days = world.days - world.faults_from_day
        for _ in range(rng.poisson(world.sensor_faults_per_day * days)):
            kind = str(rng.choice(SENSOR_KINDS))
            begin = rng.uniform(world.faults_from_day, world.days - 0.3) * DAY_S
            length_s = float(np.exp(rng.uniform(np.log(1500), np.log(20_000))))
            if kind == "drift":
                length_s = rng.uniform(7200, 25_000)
            size = float(np.exp(rng.uniform(np.log(5), np.log(20))))
            if kind == "level":
                length_s, size = rng.uniform(15_000, 60_000), size / 2
            continuous = [c for c in range(len(CHANNELS)) if c not in (*STATES, FRAMES)]
            c = FRAMES if kind == "reset" else int(rng.choice(continuous))
            wanted.append((k, c, kind, begin, length_s, size))
    spans: list[tuple[int, int, int, int]] = []
    for k, c, kind, begin, length_s, size in wanted:
        end = begin + length_s
        i0, i1 = math.ceil(begin / dt), math.ceil(end / dt)
        if any(s == k and ch == c and i0 < b + 400 and i1 > a - 400 for s, ch, a, b in spans):
            continue
        spans.append((k, c, i0, i1))
        part, m = measured[i0:i1, k, c], i1 - i0
        match kind:
            case "reset":
                measured[i0:, k, c] -= measured[i0, k, c]
                end = begin + 3600
            case "step" | "level":
                part += noise[c] * size * rng.choice([-1, 1])
            case "drift":
                part += noise[c] * size * rng.choice([-1, 1]) * 1.5 * np.linspace(0, 1, m)
            case "oscillation":
                part += noise[c] * size * 0.5 * np.sin(np.arange(m) * dt / rng.uniform(40, 150))
            case "noise":
                part += noise[c] * rng.uniform(3, 8) * rng.standard_normal(m)
            case "stuck":
                part[:] = part[0]
            case _:
                part[:] = np.nan
        faults.append((k, CHANNELS[c], kind, begin, end, size))
    measured = np.round(measured / quantum) * quantum
    keep = rng.random((len(t), n)) > world.missing_share
    late = world.clock_offset_s * rng.uniform(-1, 1, n)
    jitter = world.jitter_s * rng.uniform(-0.5, 0.5, len(t))
    frames = []
    for k in range(n):
        rows = np.flatnonzero(keep[:, k])
        frames.append(
            pl.DataFrame(
                {
                    "satellite": pl.repeat(f"s{k:02d}", len(rows), dtype=pl.String, eager=True),
                    "time_ns": START_NS
                    + ((t[rows] + late[k] + jitter[rows]) * 1e9).astype(np.int64),
                    "sequence": rows,
                    **{
                        world.rename.get(name, name): measured[rows, k, c]
                        for c, name in enumerate(CHANNELS)
                    },
                }
            )
        )
    told = pl.DataFrame(
        [(f"s{k:02d}", START_NS + int(at * 1e9), name, value) for k, at, name, value in commands],
        schema=["satellite", "time_ns", "command", "value"],
        orient="row",
    )
    truth = pl.DataFrame(
        [
            (
                f"s{k:02d}",
                world.rename.get(c, c),
                kind,
                START_NS + int(a * 1e9),
                START_NS + int(b * 1e9),
            )
            for k, c, kind, a, b, _ in faults
        ],
        schema=["satellite", "channel", "kind", "start_ns", "end_ns"],
        orient="row",
    )
    return pl.concat(frames), told, truth


def write(world: World, folder: Path, *, commands: bool = True) -> None:
    """As `sightline evaluate fleet` reads it."""
    folder.mkdir(parents=True, exist_ok=True)
    telemetry, told, truth = simulate(world)
    telemetry.write_parquet(folder / "telemetry.parquet")
    if commands:
        told.write_parquet(folder / "commands.parquet")
    truth.write_csv(folder / "faults.csv")
