"""Faults of the simulated constellation: what can be injected, when, and how it shows."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
import polars as pl

from sightline.apps.gateway.orbits import FIELD_QUANTA, Fleet, FloatArray, IntArray
from sightline.errors import UsageError
from sightline.records.signals import NS_PER_S


class FaultKind(StrEnum):
    """What goes wrong; in brackets the subject, and the meaning of the magnitude."""

    STUCK_SENSOR = "stuck_sensor"
    """The field keeps its value (satellite; none)."""
    SENSOR_SILENT = "sensor_silent"
    """The field has no valid value, in packets that come as always (satellite; none)."""
    DRIFT = "drift"
    """The field moves away linearly (satellite; reached at the end, in the field's unit)."""
    STEP = "step"
    """The field is offset (satellite; offset in the field's unit)."""
    SNR_FADE = "snr_fade"
    """Rain between satellite and station (satellite; deepest loss in dB, cosine-shaped)."""
    PACKET_LOSS = "packet_loss"
    """The link loses many packets (satellite; share lost, 0 to 1)."""
    SATELLITE_SILENT = "satellite_silent"
    """The transmitter is off: nothing is sent, the packet counter stands still (satellite)."""
    PLANNED_LOSS_OF_CONTACT = "planned_loss_of_contact"
    """The same, but announced in the contact plan: no alarm is due (satellite)."""
    BACKLOG = "backlog"
    """No link: the satellite stores its packets and sends them first, in order, once the link is
    back (satellite)."""
    REGIONAL_OUTAGE = "regional_outage"
    """The gateway of a region is down. Its satellites do not see its beacon and send nothing; its
    stations report lost locks (region)."""
    STATION_FAULT = "station_fault"
    """An antenna fails and its spare takes over: seen in the log alone (station)."""


FIELD_FAULTS = frozenset(
    {
        FaultKind.STUCK_SENSOR,
        FaultKind.SENSOR_SILENT,
        FaultKind.DRIFT,
        FaultKind.STEP,
        FaultKind.SNR_FADE,
    }
)
"""Faults that change what is measured; ``field`` says where."""
QUIET_FAULTS = frozenset(
    {FaultKind.SATELLITE_SILENT, FaultKind.PLANNED_LOSS_OF_CONTACT, FaultKind.REGIONAL_OUTAGE}
)
"""Faults during which the satellites concerned send nothing."""

FAULT_SCHEMA: dict[str, pl.DataType] = {
    "kind": pl.String(),
    "subject": pl.String(),
    "group": pl.String(),
    "start_ns": pl.Int64(),
    "end_ns": pl.Int64(),
    "field": pl.String(),
    "magnitude": pl.Float64(),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One labelled fault.

    Attributes:
        kind: what goes wrong.
        subject: name of the satellite, station or region.
        start_s: first moment, seconds from the start of the run.
        end_s: first moment after it, seconds from the start.
        field: the telemetry field concerned; ``""`` where there is none.
        magnitude: see :class:`FaultKind`; 0 where it has no meaning.
    """

    kind: FaultKind
    subject: str
    start_s: float
    end_s: float
    field: str = ""
    magnitude: float = 0.0

    def start_ns(self, origin_ns: int) -> int:
        """First moment, UTC ns, in a run that starts at ``origin_ns``."""
        return origin_ns + round(self.start_s * NS_PER_S)

    def end_ns(self, origin_ns: int) -> int:
        """First moment after it, UTC ns."""
        return origin_ns + round(self.end_s * NS_PER_S)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Planned:
    """A line of the default schedule; start and length as shares of the run."""

    kind: FaultKind
    start: float
    length: float
    at_least_s: float
    field: str = ""
    magnitude: float = 0.0


# Lengths are floors where a shorter fault could not be told from a healthy satellite: longer than
# the stuck and silence time-outs of the telemetry contract, and for the backlog longer than every
# allowance in it.
_DEFAULT_SCHEDULE = (
    _Planned(kind=FaultKind.BACKLOG, start=0.20, length=0.30, at_least_s=335.0),
    _Planned(kind=FaultKind.SATELLITE_SILENT, start=0.40, length=0.20, at_least_s=120.0),
    _Planned(
        kind=FaultKind.STUCK_SENSOR,
        start=0.15,
        length=0.20,
        at_least_s=180.0,
        field="bus_voltage_v",
    ),
    _Planned(
        kind=FaultKind.SNR_FADE,
        start=0.30,
        length=0.12,
        at_least_s=120.0,
        magnitude=12.0,
        field="snr_db",
    ),
    _Planned(
        kind=FaultKind.DRIFT,
        start=0.45,
        length=0.25,
        at_least_s=180.0,
        field="temperature_c",
        magnitude=15.0,
    ),
    _Planned(
        kind=FaultKind.STEP,
        start=0.25,
        length=0.20,
        at_least_s=120.0,
        field="wheel_speed_rpm",
        magnitude=400.0,
    ),
    _Planned(kind=FaultKind.PACKET_LOSS, start=0.55, length=0.10, at_least_s=120.0, magnitude=0.4),
    _Planned(kind=FaultKind.PLANNED_LOSS_OF_CONTACT, start=0.50, length=0.15, at_least_s=120.0),
    _Planned(kind=FaultKind.REGIONAL_OUTAGE, start=0.65, length=0.10, at_least_s=120.0),
    _Planned(kind=FaultKind.STATION_FAULT, start=0.80, length=0.08, at_least_s=60.0),
    _Planned(
        kind=FaultKind.SENSOR_SILENT,
        start=0.70,
        length=0.12,
        at_least_s=120.0,
        field="temperature_c",
    ),
)


def default_faults(fleet: Fleet, *, duration_s: float) -> tuple[Fault, ...]:
    """One fault of each kind, each on a satellite of its own, spread over the run.

    The last region has the outage; satellites of the other regions have their own faults, so no
    two faults concern the same satellite. A fault is left out where the run is too short for its
    shortest meaningful length, or where no satellite is left: 600 s, and nine satellites outside
    the last region, are enough for all eleven.
    """
    last_region = len(fleet.regions) - 1
    healthy = iter(np.flatnonzero(fleet.satellite_region != last_region).tolist())
    faults = []
    for planned in _DEFAULT_SCHEDULE:
        start_s = planned.start * duration_s
        end_s = start_s + max(planned.length * duration_s, planned.at_least_s)
        if end_s > 0.95 * duration_s:
            continue
        match planned.kind:
            case FaultKind.REGIONAL_OUTAGE:
                subject = fleet.regions[last_region]
            case FaultKind.STATION_FAULT:
                subject = fleet.stations[0]
            case _:
                satellite = next(healthy, None)
                if satellite is None:
                    continue
                subject = fleet.satellites[satellite]
        faults.append(
            Fault(
                kind=planned.kind,
                subject=subject,
                start_s=start_s,
                end_s=end_s,
                field=planned.field,
                magnitude=planned.magnitude,
            )
        )
    return tuple(faults)


def check_faults(faults: Iterable[Fault], fleet: Fleet) -> None:
    """Raise :class:`UsageError` for a fault whose subject, field or times cannot be."""
    for number, fault in enumerate(faults):
        where = f"faults[{number}] ({fault.kind})"
        subjects, word = _possible_subjects(fault.kind, fleet)
        if fault.subject not in subjects:
            raise UsageError(
                expected=f"a {word}, {subjects[0]} to {subjects[-1]}",
                got=repr(fault.subject),
                where=f"{where}, subject",
                action="name one that the configuration has",
            )
        fields = _possible_fields(fault.kind)
        if fault.field not in fields:
            raise UsageError(
                expected=f"one of {', '.join(map(repr, fields))}",
                got=repr(fault.field),
                where=f"{where}, field",
                action="name a field in which this fault can show",
            )
        if not 0 <= fault.start_s < fault.end_s < math.inf:
            raise UsageError(
                expected="0 <= start_s < end_s",
                got=f"{fault.start_s} to {fault.end_s}",
                where=where,
                action="mend its times",
            )


def faults_frame(faults: Sequence[Fault], fleet: Fleet, *, origin_ns: int) -> pl.DataFrame:
    """Labels in the layout of ``FAULT_SCHEMA``; the group of a region is ``""``."""
    region = dict(zip(fleet.satellites, fleet.satellite_region.tolist(), strict=True)) | dict(
        zip(fleet.stations, fleet.station_region.tolist(), strict=True)
    )
    return pl.DataFrame(
        {
            "kind": [str(f.kind) for f in faults],
            "subject": [f.subject for f in faults],
            "group": [
                fleet.regions[region[f.subject]] if f.subject in region else "" for f in faults
            ],
            "start_ns": [f.start_ns(origin_ns) for f in faults],
            "end_ns": [f.end_ns(origin_ns) for f in faults],
            "field": [f.field for f in faults],
            "magnitude": [f.magnitude for f in faults],
        },
        schema=FAULT_SCHEMA,
    )


def satellites_concerned(fault: Fault, fleet: Fleet) -> IntArray:
    """int64[k]: ids of the satellites whose packets or fields a fault changes."""
    if fault.kind is FaultKind.REGIONAL_OUTAGE:
        return np.flatnonzero(fleet.satellite_region == fleet.regions.index(fault.subject))
    if fault.kind is FaultKind.STATION_FAULT:
        return np.empty(0, np.int64)
    return np.array([fleet.satellites.index(fault.subject)])


def contacts_frame(
    faults: Iterable[Fault], fleet: Fleet, *, origin_ns: int, duration_s: float
) -> pl.DataFrame:
    """The contact plan: key, start_ns, end_ns of each contact of satellites with planned gaps.

    A satellite that is not listed is expected to talk all the time.
    """
    end_ns = origin_ns + round(duration_s * NS_PER_S)
    gaps: dict[str, list[tuple[int, int]]] = {}
    for fault in faults:
        if fault.kind is FaultKind.PLANNED_LOSS_OF_CONTACT:
            gap = (fault.start_ns(origin_ns), fault.end_ns(origin_ns))
            gaps.setdefault(fault.subject, []).append(gap)
    contacts: list[tuple[str, int, int]] = []
    for key in sorted(gaps):
        at_ns = origin_ns
        for gap_start_ns, gap_end_ns in [*sorted(gaps[key]), (end_ns, end_ns)]:
            if gap_start_ns > at_ns:
                contacts.append((key, at_ns, gap_start_ns))
            at_ns = max(at_ns, gap_end_ns)
    return pl.DataFrame(
        contacts,
        schema={"key": pl.String, "start_ns": pl.Int64, "end_ns": pl.Int64},
        orient="row",
    )


def apply_to_fields(
    fields: Mapping[str, FloatArray],
    faults: Iterable[Fault],
    fleet: Fleet,
    *,
    elapsed_s: FloatArray,
) -> None:
    """Change ``fields`` (float64[t, n] each) in place where a fault shows in them."""
    for fault in faults:
        if fault.kind not in FIELD_FAULTS:
            continue
        satellite = fleet.satellites.index(fault.subject)
        at_s = elapsed_s[:, satellite]
        rows = slice(*np.searchsorted(at_s, [fault.start_s, fault.end_s]))
        progress = (at_s[rows] - fault.start_s) / (fault.end_s - fault.start_s)
        values = fields[fault.field][rows, satellite]
        match fault.kind:
            case FaultKind.STUCK_SENSOR:
                values[:] = values[:1]
            case FaultKind.SENSOR_SILENT:
                values[:] = np.nan
            case FaultKind.DRIFT:
                values += fault.magnitude * progress
            case FaultKind.STEP:
                values += fault.magnitude
            case _:
                values -= fault.magnitude * (1 - np.cos(2 * math.pi * progress)) / 2


def _possible_subjects(kind: FaultKind, fleet: Fleet) -> tuple[tuple[str, ...], str]:
    if kind is FaultKind.REGIONAL_OUTAGE:
        return fleet.regions, "region"
    if kind is FaultKind.STATION_FAULT:
        return fleet.stations, "station"
    return fleet.satellites, "satellite"


def _possible_fields(kind: FaultKind) -> tuple[str, ...]:
    if kind is FaultKind.SNR_FADE:
        return ("snr_db",)
    return tuple(FIELD_QUANTA) if kind in FIELD_FAULTS else ("",)
