"""Packets: the samples of a satellite-day as the gateway gets them, and their contract."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from sightline.apps.gateway.faults import Fault, FaultKind
from sightline.apps.gateway.link import transmit
from sightline.apps.gateway.orbits import Fleet
from sightline.apps.gateway.telemetry_scene.blocks import scene_block
from sightline.apps.gateway.telemetry_scene.channels import ChannelModel, Nature
from sightline.apps.gateway.telemetry_scene.config import DAY_S, TelemetryScene
from sightline.apps.gateway.telemetry_scene.draws import Purpose, seeds
from sightline.apps.gateway.telemetry_scene.outages import outage_of_day, packets_sent
from sightline.apps.gateway.telemetry_scene.traits import Satellite
from sightline.records.signals import NS_PER_S
from sightline.sense.contract import Contract, parse_contract


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ScenePackets:
    """What arrived of one satellite on one day.

    Attributes:
        telemetry: rows in order of receipt: satellite, gateway (text), time_ns, received_ns (UTC
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
    ['satellite', 'gateway', 'time_ns', 'received_ns', 'sequence', 'bus_voltage_v']
    """
    block = scene_block(scene, satellite=satellite, day=day)
    who = Satellite.draw(scene, satellite)
    name = scene.satellite_name(satellite)
    gateway = scene.gateways[scene.gateway_of(satellite)]
    sample = np.arange(len(block.time_ns), dtype=np.float64)
    elapsed_s = who.sample_offset_s + sample * scene.period_s
    altitudes, _ = who.orbit.pass_geometry(day * DAY_S + elapsed_s)
    outage = outage_of_day(scene, scene.gateway_of(satellite), day)
    faults = []
    if outage is not None:
        start_s, end_s = (at_s - day * DAY_S for at_s in outage)
        faults = [
            Fault(kind=FaultKind.REGIONAL_OUTAGE, subject=gateway, start_s=start_s, end_s=end_s)
        ]
    sent = transmit(
        scene.link,
        faults,
        _fleet_of_one(name, gateway),
        elapsed_s=elapsed_s[:, None],
        range_m=(altitudes * who.orbit.altitude_m)[:, None],
        period_s=scene.period_s,
        duration_s=len(elapsed_s) * scene.period_s,
        seeds=seeds(scene.seed, Purpose.LINK, satellite, day),
    )
    # The link counts from anywhere; a satellite counts on from day to day.
    last = packets_sent(scene, who, day + 1) - 1
    shift = last - int(sent.sequence[-1, 0])
    once = np.flatnonzero(sent.arrives)
    arrived = np.concatenate([once, sent.repeated])
    delay_s = np.concatenate([sent.delay_s[once, 0], sent.repeat_delay_s])
    received_ns = block.time_ns[arrived] + np.rint(delay_s * NS_PER_S).astype(np.int64)
    order = np.argsort(received_ns, kind="stable")
    arrived = arrived[order]
    columns = {
        # Free of binary noise in print.
        model.name: np.round(block.values[arrived, k], 9)
        for k, model in enumerate(scene.channels)
    }
    telemetry = pl.DataFrame(
        {
            "satellite": pl.repeat(name, len(arrived), dtype=pl.String, eager=True),
            "gateway": pl.repeat(gateway, len(arrived), dtype=pl.String, eager=True),
            "time_ns": block.time_ns[arrived],
            "received_ns": received_ns[order],
            "sequence": sent.sequence[arrived, 0] + shift,
            **columns,
        }
    )
    impairments = sent.impairments.with_columns(sequence=pl.col("sequence") + shift)
    return ScenePackets(telemetry=telemetry, impairments=impairments)


def scene_contract(scene: TelemetryScene, *, stuck_for_s: float = 600.0) -> Contract:
    """The contract of the packets: the range of each converter and what the physics allows.

    Args:
        scene: what is simulated.
        stuck_for_s: equal values for so long are implausible; not asked of counters, for which
            they are health.

    >>> contract = scene_contract(TelemetryScene())
    >>> contract.key, contract.group, len(contract.fields)
    (('satellite',), 'gateway', 8)
    """
    plain: dict[str, Any] = {
        "contract": "telemetry_scene",
        "version": "1",
        "description": "Housekeeping packets of a simulated fleet, in order of receipt.",
        "key": ["satellite"],
        "group": "gateway",
        "event_time": {"column": "time_ns", "format": "unix_ns", "time_zone": "utc"},
        "receipt_time": {"column": "received_ns", "format": "unix_ns"},
        "sequence": {"column": "sequence"},
        "fields": {model.name: _field(model, stuck_for_s) for model in scene.channels},
        "timing": {
            "out_of_order_s": 5,
            "revision_allowance_s": 300,
            "max_backlog_s": 86400,
            "clock_skew_s": 2,
        },
        "expected_rate_hz": 1 / scene.period_s,
        "silence": {"timeout_s": max(60.0, 6 * scene.period_s), "contacts": []},
        "known_keys": None,
        "extra_columns": "ignore",
        "archive": None,
    }
    return parse_contract(plain, where="telemetry_scene")


def _field(model: ChannelModel, stuck_for_s: float) -> dict[str, Any]:
    field: dict[str, Any] = {
        "type": "number",
        "unit": model.unit,
        "range": [model.low, model.high],
        "nan": "invalid",
        "required": True,
    }
    plausibility: dict[str, Any] = {"max_nan_share": 0.5}
    if model.nature is not Nature.COUNTER:
        plausibility["stuck_for_s"] = stuck_for_s
    return field | {"plausibility": plausibility}


def _fleet_of_one(name: str, gateway: str) -> Fleet:
    """What the link needs to know: who sends, and to whom."""
    none = np.zeros(1)
    return Fleet(
        satellites=(name,),
        regions=(gateway,),
        stations=(),
        satellite_region=np.zeros(1, np.int64),
        along_track_rad=none,
        cross_track_rad=none,
        since_eclipse_entry_s=none,
        beta_rad=none,
        sample_offset_s=none,
        bias=np.zeros((4, 1)),
    )
