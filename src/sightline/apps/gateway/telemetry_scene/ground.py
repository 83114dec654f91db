"""What reaches the ground of a scene: packets, the logs of the stations, and the contact plan."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow.parquet as pq

from sightline.apps.gateway.telemetry_scene.draws import Purpose, generator, seeds
from sightline.apps.gateway.telemetry_scene.faults import FaultKind, one_of_each
from sightline.apps.gateway.telemetry_scene.link import LinkConfig, sending, transmit
from sightline.apps.gateway.telemetry_scene.orbit import Orbit, station_names
from sightline.apps.gateway.telemetry_scene.records import SceneTruth, scene_records, scene_truth
from sightline.apps.gateway.telemetry_scene.scene import (
    DAY_S,
    Satellite,
    TelemetryScene,
    link_faults,
    outages,
    scene_block,
)
from sightline.errors import UsageError
from sightline.records.signals import NS_PER_S
from sightline.records.windows import FloatArray, IntArray

MAX_PACKETS = 20_000_000
"""Of a whole scene in memory, at about 250 bytes each."""

HEARTBEAT_S = 10.0

LOG_CODES = (
    ("HEARTBEAT", "INFO", 0),
    ("HANDOVER", "INFO", 0),
    ("RAIN_FADE", "WARNING", 1),
    ("LOCK_LOST", "ERROR", 2),
    ("ANTENNA_FAULT", "ERROR", 3),
)
"""Code, level and severity (0 to 3) of the entries a station writes."""

_HEARTBEAT, _HANDOVER, _RAIN_FADE, _LOCK_LOST, _ANTENNA_FAULT = range(len(LOG_CODES))

# Entries per station and minute.
_EVERYDAY_PER_MIN = {_RAIN_FADE: 0.5 / 60, _LOCK_LOST: 0.1 / 60}
_FADE_PER_MIN = 4.0
_LOCK_LOST_PER_MIN = 6.0
_ANTENNA_FAULT_PER_MIN = 12.0

_Events = tuple[IntArray, FloatArray, int]
"""Numbers of stations of one gateway, seconds from the start, and the code they share."""


# --- a whole scene --------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SceneFrames:
    """What reaches the ground of a whole scene, and its labels.

    Attributes:
        telemetry: packets of all satellites in order of receipt; see :class:`ScenePackets`.
        logs: entries of all stations in order of receipt; see :func:`station_log`.
        contacts: key, start_ns, end_ns: the planned contacts of the satellites that have planned
            gaps. A satellite that is not listed is expected all the time.
        impairments: labels of single packets: satellite, sequence, kind, delay_s.
        truth: labels of faults and outages.
    """

    telemetry: pl.DataFrame
    logs: pl.DataFrame
    contacts: pl.DataFrame
    impairments: pl.DataFrame
    truth: SceneTruth


def watched_scene(
    *,
    seed: int = 7,
    n_satellites: int = 24,
    duration_s: float = 2700.0,
    link: LinkConfig | None = None,
) -> TelemetryScene:
    """A fleet at 1 Hz that the gateway's plain pipeline can watch, with one fault of each kind.

    Satellites are calm, and no faults are drawn.

    >>> sorted(str(fault.kind) for fault in watched_scene().scheduled_faults)[:3]
    ['backlog', 'drift', 'dropout']
    """
    scene = TelemetryScene(
        seed=seed,
        n_satellites=n_satellites,
        duration_s=duration_s,
        period_s=1.0,
        n_channels=5,
        is_calm=True,
        faults_per_satellite_day=0,
        gateway_faults_per_day=0,
        outages_per_gateway_day=0,
        releases="none",
        link=link or LinkConfig(),
    )
    faults = one_of_each(n_satellites=n_satellites, gateways=scene.gateways, duration_s=duration_s)
    return replace(scene, scheduled_faults=faults)


def simulate(scene: TelemetryScene) -> SceneFrames:
    """Everything that reaches the ground, in memory.

    Raises:
        UsageError: more than ``MAX_PACKETS``; take them by satellite and day.

    >>> scene = watched_scene(n_satellites=3, duration_s=60, link=LinkConfig.perfect())
    >>> frames = simulate(scene)
    >>> frames.telemetry.height, frames.telemetry["satellite"].unique().sort().to_list()
    (180, ['sat-00001', 'sat-00002', 'sat-00003'])
    """
    count = scene.n_satellites * sum(scene.samples_of_day(day) for day in range(scene.n_days))
    if count > MAX_PACKETS:
        raise UsageError(
            expected=f"at most {MAX_PACKETS} samples",
            got=str(count),
            where="simulate",
            action="simulate a smaller scene, or take scene_packets of one satellite and day",
        )
    parts = [
        scene_packets(scene, satellite=number, day=day)
        for number in range(scene.n_satellites)
        for day in range(scene.n_days)
    ]
    return SceneFrames(
        telemetry=pl.concat(part.telemetry for part in parts).sort(
            "received_ns", maintain_order=True
        ),
        logs=station_log(scene),
        contacts=contact_plan(scene),
        impairments=pl.concat(part.impairments for part in parts),
        truth=scene_truth(scene),
    )


PAST_PERIOD_S = 60.0
"""Of what is on record of the days before: one packet a minute."""


def simulate_with_past(scene: TelemetryScene, *, past_days: int) -> SceneFrames:
    """A scene after some quiet days, of which one packet a minute is on record.

    Its faults come as much later. On the days before, no contact is planned: nothing that is on
    record of them was received live.

    Args:
        scene: to be simulated; its first day is that after the past.
        past_days: 0 or more.
    """
    past_s = float(past_days * DAY_S)
    later = tuple(
        replace(f, start_s=f.start_s + past_s, end_s=f.end_s + past_s)
        for f in scene.scheduled_faults
    )
    whole = replace(scene, duration_s=scene.duration_s + past_s, scheduled_faults=later)
    past = replace(whole, period_s=PAST_PERIOD_S, link=LinkConfig.perfect())
    parts = [
        scene_packets(past if day < past_days else whole, satellite=number, day=day)
        for number in range(scene.n_satellites)
        for day in range(whole.n_days)
    ]
    begin_ns = scene.start_ns + round(past_s * NS_PER_S)
    # One number follows the other, also where packets come more often from then on.
    skipped = past_days * (whole.samples_per_day - past.samples_per_day)
    number = pl.col("sequence") - pl.when(pl.col("time_ns") >= begin_ns).then(skipped).otherwise(0)
    return SceneFrames(
        telemetry=pl.concat(part.telemetry for part in parts)
        .with_columns(sequence=number)
        .sort("received_ns", maintain_order=True),
        logs=station_log(whole).filter(pl.col("time_ns") >= begin_ns),
        contacts=_contacts_from(whole, begin_ns) if past_days else contact_plan(whole),
        impairments=pl.concat(part.impairments for part in parts),
        truth=scene_truth(whole),
    )


def write_frames(frames: SceneFrames, folder: Path) -> None:
    """Write the frames into ``folder``, which is made if need be.

    ``telemetry.parquet`` and ``logs.parquet`` (zstd) are what a pipeline reads and
    ``contacts.csv`` is its contact plan; ``faults.csv``, ``outages.csv`` and ``impairments.csv``
    are labels.

    Raises:
        UsageError: the folder cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        frames.telemetry.write_parquet(folder / "telemetry.parquet", compression="zstd")
        frames.logs.write_parquet(folder / "logs.parquet", compression="zstd")
        frames.contacts.write_csv(folder / "contacts.csv")
        frames.impairments.write_csv(folder / "impairments.csv")
        frames.truth.faults.write_csv(folder / "faults.csv")
        frames.truth.outages.write_csv(folder / "outages.csv")
    except OSError as error:
        raise UsageError(
            expected="a folder to write to",
            got=str(error),
            where=str(folder),
            action="choose another folder or make room",
        ) from error


# --- packets --------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ScenePackets:
    """What arrived of one satellite on one day.

    Attributes:
        telemetry: rows in order of receipt: satellite, region (text), time_ns, received_ns (UTC
            ns), sequence (int64, from 0 at the start of the scene), and one float64 column for
            each channel; NaN is "no value".
        impairments: labels of single packets: satellite, sequence, kind, delay_s.
    """

    telemetry: pl.DataFrame
    impairments: pl.DataFrame


def scene_packets(scene: TelemetryScene, *, satellite: int, day: int) -> ScenePackets:
    """Send one block through the link: duplicates, late and lost packets, outages of the gateway.

    The frames of several satellites are put together with ``pl.concat(...).sort("received_ns")``.

    Raises:
        UsageError: no such satellite or day.

    >>> scene = TelemetryScene(n_satellites=1, duration_s=3600, outages_per_gateway_day=0)
    >>> scene_packets(scene, satellite=0, day=0).telemetry.columns[:6]
    ['satellite', 'region', 'time_ns', 'received_ns', 'sequence', 'bus_voltage_v']
    """
    block = scene_block(scene, satellite=satellite, day=day)
    who = Satellite.draw(scene, satellite)
    name = scene.satellite_name(satellite)
    region = scene.gateways[scene.gateway_of(satellite)]
    elapsed_s = _sampled_s(scene, who, day)
    altitudes, _ = who.orbit.pass_geometry(day * DAY_S + elapsed_s)
    sent = transmit(
        scene.link,
        [
            replace(fault, start_s=fault.start_s - day * DAY_S, end_s=fault.end_s - day * DAY_S)
            for fault in link_faults(scene, satellite, day)
        ],
        elapsed_s=elapsed_s,
        range_m=altitudes * who.orbit.altitude_m,
        period_s=scene.period_s,
        first_sequence=sum(_n_sent(scene, who, earlier) for earlier in range(day)),
        seeds=seeds(scene.seed, Purpose.LINK, satellite, day),
    )
    received_ns = block.time_ns[sent.received] + _to_ns(sent.delay_s)
    order = np.argsort(received_ns, kind="stable")
    received = sent.received[order]
    telemetry = pl.DataFrame(
        {
            "satellite": pl.repeat(name, len(received), dtype=pl.String, eager=True),
            "region": pl.repeat(region, len(received), dtype=pl.String, eager=True),
            "time_ns": block.time_ns[received],
            "received_ns": received_ns[order],
            "sequence": sent.sequence[received],
            **{
                # Free of binary noise in print.
                model.name: np.round(block.values[received, k], 9)
                for k, model in enumerate(scene.channels)
            },
        }
    )
    labels = sent.impairments
    return ScenePackets(
        telemetry=telemetry,
        impairments=labels.select(pl.lit(name).alias("satellite"), *labels.columns),
    )


def _sampled_s(scene: TelemetryScene, satellite: Satellite, day: int) -> FloatArray:
    """float64[n]: sampling times of a satellite on a day, seconds from midnight."""
    sample = np.arange(scene.samples_of_day(day), dtype=np.float64)
    return satellite.sample_offset_s + sample * scene.period_s


def _n_sent(scene: TelemetryScene, satellite: Satellite, day: int) -> int:
    """Packets that a satellite sends on a day."""
    faults = link_faults(scene, satellite.number, day)
    if not faults:
        return scene.samples_of_day(day)
    elapsed_s = day * DAY_S + _sampled_s(scene, satellite, day)
    return int(np.count_nonzero(sending(faults, elapsed_s)))


def contact_plan(scene: TelemetryScene) -> pl.DataFrame:
    """Planned contacts of the satellites that have planned gaps: key, start_ns, end_ns."""
    gaps: dict[str, list[tuple[float, float]]] = {}
    for fault in scene.scheduled_faults:
        if fault.kind is FaultKind.PLANNED_SILENCE:
            gaps.setdefault(fault.subject, []).append((fault.start_s, fault.end_s))
    contacts: list[tuple[str, int, int]] = []
    end_s = scene.duration_s
    for key in sorted(gaps):
        at_s = 0.0
        for gap_start_s, gap_end_s in [*sorted(gaps[key]), (end_s, end_s)]:
            if gap_start_s > at_s:
                between = scene.start_ns + _to_ns(np.array([at_s, min(gap_start_s, end_s)]))
                contacts.append((key, *between.tolist()))
            at_s = max(at_s, gap_end_s)
    schema = {"key": pl.String, "start_ns": pl.Int64, "end_ns": pl.Int64}
    return pl.DataFrame(contacts, schema=schema, orient="row")


def _contacts_from(scene: TelemetryScene, begin_ns: int) -> pl.DataFrame:
    """The same of a scene before whose ``begin_ns`` no contact is planned with anybody."""
    planned = contact_plan(scene)
    end_ns = scene.start_ns + round(scene.duration_s * NS_PER_S)
    names = [*(scene.satellite_name(k) for k in range(scene.n_satellites)), *scene.gateways]
    others = [name for name in names if name not in planned["key"]]
    always = pl.DataFrame({"key": others}).with_columns(
        start_ns=pl.lit(begin_ns), end_ns=pl.lit(end_ns)
    )
    clipped = planned.with_columns(start_ns=pl.max_horizontal("start_ns", pl.lit(begin_ns)))
    return pl.concat([clipped.filter(pl.col("end_ns") > begin_ns), always])


# --- station log ----------------------------------------------------------------------------------


def station_log(scene: TelemetryScene) -> pl.DataFrame:
    """Log entries of all stations in order of receipt.

    Heartbeats, handovers, rain and lost locks of every day, and errors that cluster in faults.

    Columns: station, region (text), time_ns, received_ns, sequence (int64, per station from 0),
    level, code (text), severity (int64, 0 to 3).
    """
    logs = [_log_of_gateway(scene, gateway) for gateway in range(len(scene.gateways))]
    return pl.concat(logs).sort("received_ns", maintain_order=True)


def _log_of_gateway(scene: TelemetryScene, gateway: int) -> pl.DataFrame:
    rng = generator(scene.seed, Purpose.STATION_LOG, gateway)
    names = station_names(scene.gateways[gateway])
    events = [*_everyday(scene, gateway, rng), *_of_faults(scene, gateway)]
    station = np.concatenate([e[0] for e in events])
    at_s = np.concatenate([e[1] for e in events])
    code = np.concatenate([np.full(len(e[0]), e[2]) for e in events])

    order = np.lexsort((code, at_s, station))
    station, at_s, code = station[order], at_s[order], code[order]
    first = np.searchsorted(station, np.arange(len(names)))
    time_ns = scene.start_ns + _to_ns(at_s)
    delay_s = 0.05 + np.minimum(rng.exponential(0.05, len(station)), 1.0)
    codes, levels, severities = zip(*LOG_CODES, strict=True)
    return pl.DataFrame(
        {
            "station": pl.Series(names).gather(station),
            "region": pl.repeat(scene.gateways[gateway], len(station), eager=True),
            "time_ns": time_ns,
            "received_ns": time_ns + _to_ns(delay_s),
            "sequence": np.arange(len(station)) - first[station],
            "level": pl.Series(levels).gather(code),
            "code": pl.Series(codes).gather(code),
            "severity": np.array(severities, np.int64)[code],
        }
    )


def _everyday(scene: TelemetryScene, gateway: int, rng: np.random.Generator) -> Iterator[_Events]:
    duration_s = scene.duration_s
    everyone = np.arange(len(station_names(scene.gateways[gateway])))
    beat_s = np.arange(0, duration_s, HEARTBEAT_S)[:, None]
    beat_s = beat_s + rng.uniform(0, HEARTBEAT_S, len(everyone))
    inside = beat_s < duration_s
    yield np.broadcast_to(everyone, beat_s.shape)[inside], beat_s[inside], _HEARTBEAT
    for code, per_min in _EVERYDAY_PER_MIN.items():
        count = rng.poisson(per_min * duration_s / 60, len(everyone))
        station = np.repeat(everyone, count)
        yield station, rng.uniform(0, duration_s, len(station)), code
    # The handover schedule follows from the ephemeris, so an outage does not stop it.
    for satellite in range(gateway, scene.n_satellites, len(scene.gateways)):
        at_s, station = Orbit.draw(scene.seed, satellite).handovers(duration_s)
        yield station, at_s, _HANDOVER


def _of_faults(scene: TelemetryScene, gateway: int) -> Iterator[_Events]:
    names = station_names(scene.gateways[gateway])
    everyone = np.arange(len(names))
    down = [fault for day in range(scene.n_days) for fault in outages(scene, gateway, day)]
    own = [fault for fault in scene.scheduled_faults if fault.kind is not FaultKind.OUTAGE]
    for number, fault in enumerate([*own, *down]):
        rng = generator(scene.seed, Purpose.STATION_LOG, gateway, number + 1)
        span_s = (fault.start_s, min(fault.end_s, scene.duration_s))
        if span_s[0] >= span_s[1]:
            continue
        if fault.kind is FaultKind.OUTAGE:
            yield *_scatter(everyone, _LOCK_LOST_PER_MIN, span_s, rng), _LOCK_LOST
        elif fault.kind is FaultKind.STATION and fault.subject in names:
            station = everyone[[names.index(fault.subject)]]
            yield *_scatter(station, _ANTENNA_FAULT_PER_MIN, span_s, rng), _ANTENNA_FAULT
            yield *_scatter(station, _LOCK_LOST_PER_MIN, span_s, rng), _LOCK_LOST
        elif fault.kind is FaultKind.FADE:
            for satellite in range(gateway, scene.n_satellites, len(scene.gateways)):
                if scene.satellite_name(satellite) == fault.subject:
                    _, at_s = _scatter(everyone[:1], _FADE_PER_MIN, span_s, rng)
                    yield Orbit.draw(scene.seed, satellite).station(at_s), at_s, _RAIN_FADE


def _scatter(
    stations: IntArray, per_min: float, span_s: tuple[float, float], rng: np.random.Generator
) -> tuple[IntArray, FloatArray]:
    """Poisson arrivals at each of ``stations``, at least one each: where, and when."""
    start_s, end_s = span_s
    count = 1 + rng.poisson(per_min * (end_s - start_s) / 60, len(stations))
    where = np.repeat(stations, count)
    return where, rng.uniform(start_s, end_s, len(where))


def _to_ns(seconds: FloatArray) -> IntArray:
    return np.rint(seconds * NS_PER_S).astype(np.int64)


# --- a recording ----------------------------------------------------------------------------------


def write_recorded_fleet(scene: TelemetryScene, folder: Path) -> int:
    """Write ``telemetry.parquet``, ``commands.parquet`` and ``faults.csv``; the rows of telemetry.

    Telemetry (satellite, time_ns, sequence, one column for each channel) is as received: packets
    are lost, late and repeated. A row group is one satellite and day, and no more is in memory.
    Commands have no value here (null). Faults are those of single channels and of gateways;
    an outage, in which nothing arrives, is no fault of a channel.

    Args:
        scene: what to simulate.
        folder: made if it is not there.
    """
    folder.mkdir(parents=True, exist_ok=True)
    writer, rows = None, 0
    try:
        for satellite in range(scene.n_satellites):
            for day in range(scene.n_days):
                sent = scene_packets(scene, satellite=satellite, day=day).telemetry
                table = sent.drop("region", "received_ns").to_arrow()
                if writer is None:
                    writer = pq.ParquetWriter(folder / "telemetry.parquet", table.schema)
                writer.write_table(table)
                rows += sent.height
    finally:
        if writer is not None:
            writer.close()
    commands = scene_records(scene).commands.with_columns(value=pl.lit(None, pl.Float64))
    commands.select("satellite", "time_ns", "command", "value").write_parquet(
        folder / "commands.parquet"
    )
    faults = scene_truth(scene).faults.filter(pl.col("satellite") != "", pl.col("channel") != "")
    faults.select("satellite", "channel", "kind", "start_ns", "end_ns").write_csv(
        folder / "faults.csv"
    )
    return rows
