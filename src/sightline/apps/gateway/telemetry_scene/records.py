"""What is on record about a scene: for operators (commands, firmware), and the truth (labels)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from sightline.apps.gateway.telemetry_scene.activity import Command
from sightline.apps.gateway.telemetry_scene.draws import Purpose, generator
from sightline.apps.gateway.telemetry_scene.faults import CHANNEL_KINDS, Fault, FaultKind
from sightline.apps.gateway.telemetry_scene.firmware import FirmwareRelease
from sightline.apps.gateway.telemetry_scene.orbit import station_names
from sightline.apps.gateway.telemetry_scene.scene import (
    DAY_S,
    Satellite,
    TelemetryScene,
    activity_of_day,
    channel_faults,
    outages,
)
from sightline.records.signals import NS_PER_S
from sightline.records.windows import FloatArray, IntArray

_UPLINK_S = (1.0, 8.0)

COMMAND_SCHEMA = {"time_ns": pl.Int64, "satellite": pl.String, "command": pl.String}
UPDATE_SCHEMA = {"time_ns": pl.Int64, "satellite": pl.String, "version": pl.String}
DECLARED_SCHEMA = {
    "version": pl.String,
    "channel": pl.String,
    "gain": pl.Float64,
    "offset": pl.Float64,
    "quantum_factor": pl.Float64,
}
FAULT_SCHEMA = {
    "kind": pl.String,
    "subject": pl.String,
    "satellite": pl.String,
    "gateway": pl.String,
    "channel": pl.String,
    "start_ns": pl.Int64,
    "end_ns": pl.Int64,
    "magnitude": pl.Float64,
}
DEGRADATION_SCHEMA = {
    "version": pl.String,
    "channel": pl.String,
    "kind": pl.String,
    "start_ns": pl.Int64,
    "rate_per_day": pl.Float64,
}
OUTAGE_SCHEMA = {"gateway": pl.String, "start_ns": pl.Int64, "end_ns": pl.Int64}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SceneRecords:
    """What an operator knows; a detector may use all of it.

    Attributes:
        commands: time_ns (sent, one to eight seconds before the effect), satellite, command; of
            each satellite in order of effect.
        updates: time_ns, satellite, version: from then on the satellite runs it. The version at
            the start is ``1.0``.
        declared: version, channel, gain, offset (the channel's unit), quantum_factor: what each
            release changes on purpose: new value = old value times gain plus offset.
    """

    commands: pl.DataFrame
    updates: pl.DataFrame
    declared: pl.DataFrame


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SceneTruth:
    """Labels. They never enter a pipeline.

    Attributes:
        faults: kind, subject, satellite, gateway, channel, start_ns, end_ns (exclusive),
            magnitude (see :class:`.faults.FaultKind`). A disturbance of a gateway has its name as
            subject and one row for each of its satellites; a fault of a station has no satellite.
        degradations: version, channel, kind (``noise_growth``: share a day, or ``drift``:
            noise_sd a day), start_ns (the first update of all), rate_per_day. It lasts on every
            satellite for as long as the scene.
        outages: gateway, start_ns, end_ns: nothing of its satellites arrives.
    """

    faults: pl.DataFrame
    degradations: pl.DataFrame
    outages: pl.DataFrame


def scene_records(
    scene: TelemetryScene, *, satellites: Sequence[int] | None = None
) -> SceneRecords:
    """The operator's records of a scene, or of some of its satellites (by index).

    About 40 commands for each satellite and day are held in memory.

    >>> records = scene_records(TelemetryScene(n_satellites=1))
    >>> records.commands.columns, records.updates.height
    (['time_ns', 'satellite', 'command'], 0)
    """
    chosen = range(scene.n_satellites) if satellites is None else satellites
    names = list(Command)
    at_ns: list[IntArray] = []
    codes, lengths = [], []
    updates: list[tuple[int, str, str]] = []
    for number in chosen:
        before = len(at_ns)
        for day in range(scene.n_days):
            activity = activity_of_day(scene, number, day)
            effect_s, code = activity.commands(
                day * DAY_S, min((day + 1) * DAY_S, scene.duration_s)
            )
            rng = generator(scene.seed, Purpose.UPLINK, number, day)
            sent_s = effect_s - rng.uniform(*_UPLINK_S, len(effect_s))
            at_ns.append(_to_ns(scene, sent_s))
            codes.append(code)
        lengths.append(sum(len(part) for part in at_ns[before:]))
        updates += [
            (int(_to_ns(scene, np.array(at_day * DAY_S))), scene.satellite_name(number), to.version)
            for at_day, to in Satellite.draw(scene, number).updates
            if at_day * DAY_S < scene.duration_s
        ]
    satellite = np.repeat(np.arange(len(chosen)), lengths)
    commands = pl.DataFrame(
        {
            "time_ns": np.concatenate(at_ns) if at_ns else np.empty(0, np.int64),
            "satellite": pl.Series([scene.satellite_name(k) for k in chosen]).gather(satellite),
            "command": pl.Series([str(name) for name in names]).gather(
                np.concatenate(codes).astype(np.int64) if codes else np.empty(0, np.int64)
            ),
        },
        schema=COMMAND_SCHEMA,
    )
    declared = [
        (release.version, effect.channel, effect.gain, effect.offset, effect.quantum_factor)
        for release in scene.firmware
        for effect in release.effects
        if (effect.gain, effect.offset, effect.quantum_factor) != (1.0, 0.0, 1.0)
    ]
    return SceneRecords(
        commands=commands,
        updates=pl.DataFrame(updates, schema=UPDATE_SCHEMA, orient="row"),
        declared=pl.DataFrame(declared, schema=DECLARED_SCHEMA, orient="row"),
    )


def scene_truth(scene: TelemetryScene, *, satellites: Sequence[int] | None = None) -> SceneTruth:
    """The labels of a scene, or of some of its satellites (by index)."""
    chosen = range(scene.n_satellites) if satellites is None else satellites
    numbers = {scene.satellite_name(number): number for number in chosen}
    faults = [
        _fault_row(scene, fault, gateway=scene.gateway_of(number), satellite=name)
        for name, number in numbers.items()
        for day in range(scene.n_days)
        for fault in channel_faults(scene, number, day)
    ]
    for fault in scene.scheduled_faults:
        if fault.kind is FaultKind.STATION:
            served = [fault.subject in station_names(name) for name in scene.gateways]
            faults.append(_fault_row(scene, fault, gateway=served.index(True), satellite=""))
        elif fault.subject in numbers and fault.kind not in CHANNEL_KINDS:
            gateway = scene.gateway_of(numbers[fault.subject])
            faults.append(_fault_row(scene, fault, gateway=gateway, satellite=fault.subject))
    down = [
        (fault.subject, *_to_ns(scene, np.array([fault.start_s, fault.end_s])).tolist())
        for gateway in range(len(scene.gateways))
        for day in range(scene.n_days)
        for fault in outages(scene, gateway, day)
    ]
    degradations = [row for release in scene.firmware for row in _degradations(scene, release)]
    return SceneTruth(
        faults=pl.DataFrame(faults, schema=FAULT_SCHEMA, orient="row"),
        degradations=pl.DataFrame(degradations, schema=DEGRADATION_SCHEMA, orient="row"),
        outages=pl.DataFrame(down, schema=OUTAGE_SCHEMA, orient="row"),
    )


def _fault_row(
    scene: TelemetryScene, fault: Fault, *, gateway: int, satellite: str
) -> tuple[str, str, str, str, str, int, int, float]:
    start_ns, end_ns = _to_ns(scene, np.array([fault.start_s, fault.end_s])).tolist()
    return (
        str(fault.kind),
        fault.subject,
        satellite,
        scene.gateways[gateway],
        fault.channel,
        start_ns,
        end_ns,
        fault.magnitude,
    )


def _degradations(
    scene: TelemetryScene, release: FirmwareRelease
) -> list[tuple[str, str, str, int, float]]:
    start_ns = int(_to_ns(scene, np.array(release.at_day * DAY_S)))
    rows = []
    for effect in release.effects:
        for kind, rate in (
            ("noise_growth", effect.noise_growth_per_day),
            ("drift", effect.drift_per_day),
        ):
            if rate:
                rows.append((release.version, effect.channel, kind, start_ns, rate))
    return rows


def _to_ns(scene: TelemetryScene, elapsed_s: FloatArray) -> IntArray:
    return scene.start_ns + np.rint(elapsed_s * NS_PER_S).astype(np.int64)
