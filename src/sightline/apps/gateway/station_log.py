"""The log of the ground stations: heartbeats, handovers, and errors that cluster in faults."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import polars as pl

from sightline.apps.gateway.faults import Fault, FaultKind
from sightline.apps.gateway.orbits import Fleet, FloatArray, IntArray
from sightline.records.signals import NS_PER_S

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
_EVERYDAY_RAIN_PER_MIN = 0.5 / 60
_EVERYDAY_LOCK_LOST_PER_MIN = 0.1 / 60
_FADE_PER_MIN = 4.0
_LOCK_LOST_PER_MIN = 6.0
_ANTENNA_FAULT_PER_MIN = 12.0

_Events = tuple[IntArray, FloatArray, int]
"""Station ids, seconds from the start, and the code they share."""


def station_log(
    fleet: Fleet,
    faults: Sequence[Fault],
    *,
    start_ns: int,
    duration_s: float,
    rng: np.random.Generator,
) -> pl.DataFrame:
    """Log entries of all stations in order of receipt.

    Columns: station, region (text), time_ns, received_ns, sequence (int64, per station from 0),
    level, code (text), severity (int64, 0 to 3).
    """
    events = [*_everyday(fleet, duration_s, rng), *_of_faults(fleet, faults, duration_s, rng)]
    station = np.concatenate([e[0] for e in events])
    at_s = np.concatenate([e[1] for e in events])
    code = np.concatenate([np.full(len(e[0]), e[2]) for e in events])

    order = np.lexsort((code, at_s, station))
    station, at_s, code = station[order], at_s[order], code[order]
    first = np.searchsorted(station, np.arange(len(fleet.stations)))
    sequence = np.arange(len(station)) - first[station]
    time_ns = start_ns + np.rint(at_s * NS_PER_S).astype(np.int64)
    delay_s = 0.05 + np.minimum(rng.exponential(0.05, len(station)), 1.0)
    received_ns = time_ns + np.rint(delay_s * NS_PER_S).astype(np.int64)

    order = np.argsort(received_ns, kind="stable")
    station, code = station[order], code[order]
    codes, levels, severities = zip(*LOG_CODES, strict=True)
    return pl.DataFrame(
        {
            "station": pl.Series(fleet.stations).gather(station),
            "region": pl.Series(fleet.regions).gather(fleet.station_region[station]),
            "time_ns": time_ns[order],
            "received_ns": received_ns[order],
            "sequence": sequence[order],
            "level": pl.Series(levels).gather(code),
            "code": pl.Series(codes).gather(code),
            "severity": np.array(severities, np.int64)[code],
        }
    )


def _everyday(fleet: Fleet, duration_s: float, rng: np.random.Generator) -> Iterator[_Events]:
    everyone = np.arange(len(fleet.stations))
    beat_s = np.arange(0, duration_s, HEARTBEAT_S)[:, None]
    beat_s = beat_s + rng.uniform(0, HEARTBEAT_S, len(everyone))
    station = np.broadcast_to(everyone, beat_s.shape)
    inside = beat_s < duration_s
    yield station[inside], beat_s[inside], _HEARTBEAT
    # The handover schedule follows from the ephemeris, so an outage does not stop it.
    yield *fleet.handovers(duration_s), _HANDOVER
    for code, per_min in (
        (_RAIN_FADE, _EVERYDAY_RAIN_PER_MIN),
        (_LOCK_LOST, _EVERYDAY_LOCK_LOST_PER_MIN),
    ):
        count = rng.poisson(per_min * duration_s / 60, len(everyone))
        station = np.repeat(everyone, count)
        yield station, rng.uniform(0, duration_s, len(station)), code


def _of_faults(
    fleet: Fleet, faults: Sequence[Fault], duration_s: float, rng: np.random.Generator
) -> Iterator[_Events]:
    for fault in faults:
        start_s, end_s = min(fault.start_s, duration_s), min(fault.end_s, duration_s)
        match fault.kind:
            case FaultKind.REGIONAL_OUTAGE:
                region = fleet.regions.index(fault.subject)
                stations = np.flatnonzero(fleet.station_region == region)
                which, at_s = _scatter(len(stations), _LOCK_LOST_PER_MIN, start_s, end_s, rng)
                yield stations[which], at_s, _LOCK_LOST
            case FaultKind.STATION_FAULT:
                station = np.array([fleet.stations.index(fault.subject)])
                for code, per_min in (
                    (_ANTENNA_FAULT, _ANTENNA_FAULT_PER_MIN),
                    (_LOCK_LOST, _LOCK_LOST_PER_MIN),
                ):
                    which, at_s = _scatter(1, per_min, start_s, end_s, rng)
                    yield station[which], at_s, code
            case FaultKind.SNR_FADE:
                satellite = np.array([fleet.satellites.index(fault.subject)])
                which, at_s = _scatter(1, _FADE_PER_MIN, start_s, end_s, rng)
                yield fleet.serving_station(satellite[which], at_s), at_s, _RAIN_FADE
            case _:
                pass


def _scatter(
    n: int, per_min: float, start_s: float, end_s: float, rng: np.random.Generator
) -> tuple[IntArray, FloatArray]:
    """Poisson arrivals of ``n`` independent processes, at least one each: whose, and when."""
    count = 1 + rng.poisson(per_min * (end_s - start_s) / 60, n)
    which = np.repeat(np.arange(n), count)
    return which, rng.uniform(start_s, end_s, len(which))
