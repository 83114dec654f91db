"""A constellation and its ground stations, simulated: a pure function of a frozen configuration.

Everything that goes wrong is labelled: the faults in :attr:`Constellation.faults`, the everyday
imperfections of the links, packet by packet, in :attr:`Constellation.impairments`. Labels never
enter a pipeline.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
import polars as pl

from sightline.apps.gateway.faults import (
    Fault,
    apply_to_fields,
    check_faults,
    contacts_frame,
    default_faults,
    faults_frame,
)
from sightline.apps.gateway.link import LinkConfig, Transmission, transmit
from sightline.apps.gateway.orbits import (
    FIELD_QUANTA,
    Fleet,
    FloatArray,
    IntArray,
    healthy_fields,
    slant_ranges_m,
)
from sightline.apps.gateway.station_log import station_log
from sightline.errors import UsageError
from sightline.records.signals import NS_PER_S

START_2026_NS = 1_767_225_600 * NS_PER_S
"""2026-01-01T00:00:00Z."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ConstellationConfig:
    """What to simulate. Equal configurations give equal frames.

    Attributes:
        seed: of every random draw; 0 or more.
        n_satellites: satellites, taken in turn by the regions; at least one each.
        regions: names of the regions; each runs a gateway and a chain of stations.
        duration_s: length of the run in event time.
        period_s: sampling period of the telemetry.
        start_ns: start of the run, UTC ns.
        faults: ``"default"``, one of each kind (see :func:`.faults.default_faults`); ``"none"``;
            or an explicit list. The everyday imperfections of ``link`` are there in any case.
        link: loss, duplicates and delay; ``LinkConfig.perfect()`` has none.
        max_samples: satellites times sampling times. More is a UsageError, because a run is held
            in memory, at about 250 bytes a sample.
    """

    seed: int = 0
    n_satellites: int = 24
    regions: tuple[str, ...] = ("north", "south", "equator")
    duration_s: float = 1800.0
    period_s: float = 1.0
    start_ns: int = START_2026_NS
    faults: Literal["default", "none"] | tuple[Fault, ...] = "default"
    link: LinkConfig = field(default_factory=LinkConfig)
    max_samples: int = 20_000_000

    def __post_init__(self) -> None:
        self._require("seed", self.seed >= 0, "0 or more")
        self._require(
            "regions",
            0 < len(set(self.regions)) == len(self.regions),
            "at least one region, with different names",
        )
        self._require(
            "n_satellites", self.n_satellites >= len(self.regions), "one for each region or more"
        )
        self._require("duration_s", 0 < self.duration_s < math.inf, "more than 0")
        self._require("period_s", 0 < self.period_s <= self.duration_s, "within 0 to duration_s")
        self._require("start_ns", self.start_ns >= 0, "0 or more")
        self._require(
            "max_samples",
            self.n_satellites * self.n_times <= self.max_samples,
            f"at least n_satellites * duration_s / period_s, {self.n_satellites * self.n_times}",
        )

    @property
    def n_times(self) -> int:
        """Samples of each satellite."""
        # A quotient like 0.3 / 0.1 lands just below the whole number it stands for.
        return math.floor(self.duration_s / self.period_s + 1e-9)

    def _require(self, name: str, is_met: bool, expected: str) -> None:
        if not is_met:
            raise UsageError(
                expected=expected,
                got=repr(getattr(self, name)),
                where=f"ConstellationConfig.{name}",
                action="mend this value",
            )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Constellation:
    """What the simulator made.

    Attributes:
        telemetry: rows in order of receipt: satellite, region (text), time_ns, received_ns,
            sequence (int64; times are UTC ns), snr_db (dB), bus_voltage_v (V), temperature_c
            (deg C), wheel_speed_rpm (rpm) (float64).
        logs: rows in order of receipt; see :func:`.station_log.station_log`.
        contacts: key, start_ns, end_ns: the planned contacts of the satellites that have planned
            gaps. A satellite that is not listed is expected all the time.
        faults: labels: kind, subject, group, start_ns, end_ns (exclusive), field, magnitude.
        impairments: labels of single packets: satellite, sequence, kind, delay_s.
    """

    telemetry: pl.DataFrame
    logs: pl.DataFrame
    contacts: pl.DataFrame
    faults: pl.DataFrame
    impairments: pl.DataFrame


def simulate(config: ConstellationConfig) -> Constellation:
    """Run the constellation.

    Raises:
        UsageError: an explicit fault names a subject or a field that does not exist.

    >>> made = simulate(ConstellationConfig(n_satellites=3, duration_s=10, faults="none",
    ...                                     link=LinkConfig.perfect()))
    >>> made.telemetry.height, made.telemetry["satellite"].unique().sort().to_list()
    (30, ['sat-001', 'sat-002', 'sat-003'])
    """
    # One generator per purpose: a fault more or less leaves all other draws as they were.
    fleet_seed, field_seed, link_seed, log_seed = np.random.SeedSequence(config.seed).spawn(4)
    fleet = Fleet.draw(
        n_satellites=config.n_satellites,
        regions=config.regions,
        period_s=config.period_s,
        rng=np.random.default_rng(fleet_seed),
    )
    faults = _faults(config, fleet)
    elapsed_s = np.arange(config.n_times)[:, None] * config.period_s + fleet.sample_offset_s
    range_m, sine = slant_ranges_m(fleet, elapsed_s)
    fields = healthy_fields(
        fleet,
        elapsed_s=elapsed_s,
        range_m=range_m,
        sine=sine,
        rng=np.random.default_rng(field_seed),
    )
    apply_to_fields(fields, faults, fleet, elapsed_s=elapsed_s)
    transmission = transmit(
        config.link,
        faults,
        fleet,
        elapsed_s=elapsed_s,
        range_m=range_m,
        period_s=config.period_s,
        duration_s=config.duration_s,
        seeds=link_seed,
    )
    return Constellation(
        telemetry=_telemetry(fleet, fields, transmission, elapsed_s, start_ns=config.start_ns),
        logs=station_log(
            fleet,
            faults,
            start_ns=config.start_ns,
            duration_s=config.duration_s,
            rng=np.random.default_rng(log_seed),
        ),
        contacts=contacts_frame(
            faults, fleet, origin_ns=config.start_ns, duration_s=config.duration_s
        ),
        faults=faults_frame(faults, fleet, origin_ns=config.start_ns),
        impairments=transmission.impairments,
    )


def write_constellation(constellation: Constellation, folder: Path) -> None:
    """Write the frames into ``folder``, which is made if need be.

    ``telemetry.parquet`` and ``logs.parquet`` (zstd) are what a pipeline reads and
    ``contacts.csv`` is its contact plan; ``faults.csv`` and ``impairments.csv`` are labels.

    Raises:
        UsageError: the folder cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name in ("telemetry", "logs"):
            frame: pl.DataFrame = getattr(constellation, name)
            frame.write_parquet(folder / f"{name}.parquet", compression="zstd")
        for name in ("contacts", "faults", "impairments"):
            frame = getattr(constellation, name)
            frame.write_csv(folder / f"{name}.csv")
    except OSError as error:
        raise UsageError(
            expected="a folder to write to",
            got=str(error),
            where=str(folder),
            action="choose another folder or make room",
        ) from error


def shuffle_arrival(
    frame: pl.DataFrame, *, within_s: float, rng: np.random.Generator
) -> pl.DataFrame:
    """The same rows in another order of arrival, with a receipt time to match.

    Each row arrives a random 0 to ``within_s`` after its event time (and 50 ms for processing).
    So when a row arrives, no row of the frame, of whatever key, that arrived before it is newer
    by more than ``within_s``: a watermark held back by that much finds no row late. Delays that
    the rows had before are forgotten.

    Args:
        frame: rows with ``time_ns`` and ``received_ns`` (int64), telemetry or logs.
        within_s: bound of the displacement in event time, 0 or more; 0 sorts by event time.
        rng: for the delays.
    """
    if not 0 <= within_s < math.inf:
        raise UsageError(
            expected="0 or more seconds",
            got=repr(within_s),
            where="shuffle_arrival, within_s",
            action="mend this value",
        )
    # Rounded down, so that the bound holds to the nanosecond.
    bound_ns = math.floor(within_s * NS_PER_S)
    processing_ns = NS_PER_S // 20
    delay_ns = rng.integers(0, bound_ns, frame.height, endpoint=True)
    received_ns = frame["time_ns"].to_numpy() + delay_ns + processing_ns
    return frame.with_columns(received_ns=received_ns).sort("received_ns", maintain_order=True)


def _faults(config: ConstellationConfig, fleet: Fleet) -> tuple[Fault, ...]:
    match config.faults:
        case "default":
            return default_faults(fleet, duration_s=config.duration_s)
        case "none":
            return ()
        case explicit:
            check_faults(explicit, fleet)
            return explicit


def _telemetry(
    fleet: Fleet,
    fields: dict[str, FloatArray],
    transmission: Transmission,
    elapsed_s: FloatArray,
    *,
    start_ns: int,
) -> pl.DataFrame:
    """One row per packet received, in order of receipt."""
    once = np.flatnonzero(transmission.arrives)
    sample = np.concatenate([once, transmission.repeated])
    delay_s = np.concatenate([transmission.delay_s.ravel()[once], transmission.repeat_delay_s])
    time_ns = start_ns + _to_ns(elapsed_s.ravel()[sample])
    received_ns = time_ns + _to_ns(delay_s)
    order = np.argsort(received_ns, kind="stable")
    sample = sample[order]
    satellite = sample % len(fleet.satellites)
    return pl.DataFrame(
        {
            "satellite": pl.Series(fleet.satellites).gather(satellite),
            "region": pl.Series(fleet.regions).gather(fleet.satellite_region[satellite]),
            "time_ns": time_ns[order],
            "received_ns": received_ns[order],
            "sequence": transmission.sequence.ravel()[sample],
            **{
                name: _converted(fields[name].ravel()[sample], quantum)
                for name, quantum in FIELD_QUANTA.items()
            },
        }
    )


def _converted(values: FloatArray, quantum: float) -> FloatArray:
    """What the converter reports: multiples of ``quantum``, free of binary noise in print."""
    steps_per_unit = round(1 / quantum)
    converted: FloatArray = np.rint(values * steps_per_unit) / steps_per_unit
    return converted


def _to_ns(seconds: FloatArray) -> IntArray:
    return np.rint(seconds * NS_PER_S).astype(np.int64)
