"""A recorded fleet, watched as it goes, and scored where its faults are known."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from sightline.errors import SourceError, UsageError
from sightline.evidence.bounds import poisson_lower, poisson_upper
from sightline.perceive.normal.block_view import BLOCKS_PER_DAY, LEVEL_HOLDS
from sightline.perceive.normal.expectation import CommandTimes
from sightline.perceive.normal.satellite_record import SatelliteRecord
from sightline.perceive.normal.satellite_watch import (
    FALSE_ALERTS_PER_DAY,
    LEARN_DAYS,
    LEAST_LEARN_DAYS,
    SatelliteWatch,
)
from sightline.records.signals import NS_PER_S
from sightline.records.windows import IntArray

MOST_VALUES = 200_000_000
"""Of one satellite, gaps counted: 1.6 GB. One wrong time would otherwise take all memory."""
_KNOWN_COLUMNS = ("satellite", "time_ns", "sequence")
_NS_PER_DAY = 86_400 * NS_PER_S


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class FleetRecords:
    """A recorded fleet.

    Attributes:
        satellites: names.
        channels: names.
        records: of each satellite.
        row_ns: of each satellite int64[n], when each row of its grid was measured, UTC ns.
        faults: satellite, channel, kind, start_ns, end_ns; None where nothing is known of faults.
    """

    satellites: tuple[str, ...]
    channels: tuple[str, ...]
    records: tuple[SatelliteRecord, ...]
    row_ns: tuple[IntArray, ...]
    faults: pl.DataFrame | None


def read_fleet(folder: Path) -> FleetRecords:
    """Read ``telemetry.parquet``, and ``commands.parquet`` and ``faults.csv`` where they are.

    Of packets with the same satellite and time the one of highest sequence counts. Each satellite
    is put on an even grid of its own usual distance of packets.

    Raises:
        SourceError: a file that is missing, empty or of another form.
    """
    path = folder / "telemetry.parquet"
    table = _read(path, pl.read_parquet)
    _require(path, table, ("satellite", "time_ns"))
    channels = tuple(
        name
        for name, kind in table.schema.items()
        if name not in _KNOWN_COLUMNS and (kind.is_numeric() or kind == pl.Boolean)
    )
    if not channels or not table.height:
        raise SourceError(
            expected="rows, and a column of numbers for each channel",
            got=f"{table.height} rows, columns {', '.join(table.columns)}",
            where=str(path),
            action="give telemetry: satellite, time_ns, sequence, one column for each channel",
        )
    commands = None
    command_path = folder / "commands.parquet"
    if command_path.exists():
        commands = _read(command_path, pl.read_parquet)
        _require(command_path, commands, ("satellite", "time_ns", "command"))
    faults = None
    fault_path = folder / "faults.csv"
    if fault_path.exists():
        text: dict[str, pl.DataType | type[pl.DataType]] = dict.fromkeys(
            ("satellite", "channel", "kind"), pl.String
        )
        text |= dict.fromkeys(("start_ns", "end_ns"), pl.Int64)
        faults = _read(fault_path, lambda p: pl.read_csv(p, schema_overrides=text))
        _require(fault_path, faults, ("satellite", "channel", "kind", "start_ns", "end_ns"))
        faults = faults.with_columns(pl.col("channel").fill_null(""))
    table = table.with_columns(
        pl.col("satellite").cast(pl.String),
        pl.col("time_ns").cast(pl.Int64),
        *(pl.col(name).cast(pl.Float64) for name in channels),
    )
    order = ["satellite", "time_ns", *(["sequence"] if "sequence" in table.columns else [])]
    table = table.sort(order).unique(["satellite", "time_ns"], keep="last", maintain_order=True)
    names, records, times = [], [], []
    for (name,), part in table.group_by("satellite", maintain_order=True):
        own = None if commands is None else commands.filter(pl.col("satellite") == name)
        record, row_ns = _on_grid(part, channels, own)
        names.append(str(name))
        records.append(record)
        times.append(row_ns)
    return FleetRecords(
        satellites=tuple(names),
        channels=channels,
        records=tuple(records),
        row_ns=tuple(times),
        faults=faults,
    )


def _read(path: Path, reader: Callable[[Path], pl.DataFrame]) -> pl.DataFrame:
    try:
        return reader(path)
    except (OSError, pl.exceptions.PolarsError) as error:
        raise SourceError(
            expected="a file that can be read",
            got=f"{type(error).__name__}: {error}",
            where=str(path),
            action="see docs/recorded-fleets.md for the form of a recorded fleet",
        ) from error


def _require(path: Path, table: pl.DataFrame, columns: Sequence[str]) -> None:
    missing = [name for name in columns if name not in table.columns]
    if missing:
        raise SourceError(
            expected=f"columns {', '.join(columns)}",
            got=f"none called {', '.join(missing)}",
            where=str(path),
            action="see docs/recorded-fleets.md for the form of a recorded fleet",
        )


def _on_grid(
    part: pl.DataFrame, channels: Sequence[str], commands: pl.DataFrame | None
) -> tuple[SatelliteRecord, IntArray]:
    time_ns = part["time_ns"].to_numpy()
    gaps = np.diff(time_ns)
    step_ns = int(np.median(gaps)) if len(gaps) else NS_PER_S
    # A whole number of rows in a day, so that all days begin at one row.
    per_day = max(round(_NS_PER_DAY / max(step_ns, 1)), 1)
    even_ns = _NS_PER_DAY / per_day
    row = np.rint((time_ns - time_ns[0]) / even_ns).astype(np.int64)
    n = int(row[-1]) + 1
    if n * len(channels) > MOST_VALUES:
        raise SourceError(
            expected=f"at most {MOST_VALUES} values of one satellite on its even grid",
            got=f"{n} rows of {even_ns / NS_PER_S:g} s, {len(channels)} channels",
            where=f"telemetry of {part['satellite'][0]}",
            action="look for a time that cannot be, or give a shorter recording",
        )
    values = np.full((n, len(channels)), np.nan)
    values[row] = part.select(channels).to_numpy()
    values[~np.isfinite(values)] = np.nan
    row_ns = time_ns[0] + np.rint(np.arange(n) * even_ns).astype(np.int64)
    row_ns[row] = time_ns
    is_heard = np.zeros(n, np.bool_)
    is_heard[row] = True
    if commands is None or not commands.height:
        sent = CommandTimes.none()
    else:
        ordered = commands.sort("time_ns")
        value = (
            ordered["value"].cast(pl.Float64, strict=False).fill_null(math.nan).to_numpy()
            if "value" in ordered.columns
            else np.full(ordered.height, np.nan)
        )
        sent = CommandTimes(
            time_s=(ordered["time_ns"].to_numpy() - time_ns[0]) / NS_PER_S,
            name=ordered["command"].cast(pl.String).to_numpy().astype(np.str_),
            value=value,
        )
    step_s = even_ns / NS_PER_S
    return SatelliteRecord(step_s=step_s, values=values, is_heard=is_heard, commands=sent), row_ns


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class FleetResult:
    """What was told of a fleet.

    Attributes:
        fleet: that was watched.
        watches: of each satellite, with its alerts and its last expectation.
        learn_days: days of each satellite that were learnt from and not judged.
        budget: false alerts per satellite-day that levels were learnt for.
    """

    fleet: FleetRecords
    watches: tuple[SatelliteWatch, ...]
    learn_days: int
    budget: float

    def predictions(self) -> pl.DataFrame:
        """satellite, channel, start_ns, end_ns, told_ns, score, reason; by the time of telling."""
        rows = [
            (
                name,
                self.fleet.channels[alert.channel],
                int(row_ns[alert.begin]),
                int(row_ns[alert.end]),
                int(row_ns[alert.told]),
                round(alert.score, 3),
                alert.reason,
            )
            for name, row_ns, watch in zip(
                self.fleet.satellites, self.fleet.row_ns, self.watches, strict=True
            )
            for alert in watch.alerts
        ]
        schema = {
            "satellite": pl.String,
            "channel": pl.String,
            "start_ns": pl.Int64,
            "end_ns": pl.Int64,
            "told_ns": pl.Int64,
            "score": pl.Float64,
            "reason": pl.String,
        }
        return pl.DataFrame(rows, schema=schema, orient="row").sort("told_ns", "satellite")

    @property
    def judged_days(self) -> float:
        """Satellite-days that were judged."""
        return sum(
            max(w.record.end / w.record.rows_per_day - self.learn_days, 0.0) for w in self.watches
        )

    def as_mapping(self) -> dict[str, Any]:
        """JSON-ready."""
        told = self.predictions()
        plain: dict[str, Any] = {
            "satellites": len(self.watches),
            "channels": len(self.fleet.channels),
            "satellite_days_judged": round(self.judged_days, 2),
            "learn_days": self.learn_days,
            "budget_false_alerts_per_satellite_day": self.budget,
            "alerts": told.height,
            "satellite_days_in_doubt": sum(w.in_doubt_days for w in self.watches),
            "without_expectation": self.without_expectation(),
        }
        if self.fleet.faults is not None:
            plain["score"] = score_fleet(self)
        return plain

    def without_expectation(self) -> dict[str, list[str]]:
        """Channels whose expectation did not hold at last: no level is told of them."""
        found: dict[str, list[str]] = {}
        for name, watch in zip(self.fleet.satellites, self.watches, strict=True):
            if watch.expectation is not None:
                known = np.nan_to_num(watch.expectation.explained[0], nan=-np.inf)
                bad = (known <= LEVEL_HOLDS) | watch.expectation.is_constant
                if bad.any():
                    found[name] = [self.fleet.channels[k] for k in np.flatnonzero(bad)]
        return found


def watch_fleet(
    fleet: FleetRecords,
    *,
    learn_days: int = LEARN_DAYS,
    budget: float = FALSE_ALERTS_PER_DAY,
    on_day: Callable[[int, int], None] | None = None,
) -> FleetResult:
    """Watch a fleet day by day.

    Args:
        fleet: recorded.
        learn_days: 3 or more, of each satellite.
        budget: false alerts per satellite-day, above 0.
        on_day: called with each day and how many there are.

    Raises:
        UsageError: too few days to learn from, or no day left to judge.
    """
    if learn_days < LEAST_LEARN_DAYS or budget <= 0:
        raise UsageError(
            expected=f"{LEAST_LEARN_DAYS} or more days to learn from, and a budget above 0",
            got=f"{learn_days} days, {budget}",
            where="evaluate fleet",
            action="give --learn-days and --budget accordingly",
        )
    days = max(record.days for record in fleet.records)
    if days <= learn_days:
        raise UsageError(
            expected=f"more than {learn_days} days of telemetry",
            got=f"{days} begun",
            where="evaluate fleet",
            action="give a longer recording, or a smaller --learn-days",
        )
    watches = tuple(
        SatelliteWatch.begin(
            record.values.shape[1], step_s=record.step_s, learn_days=learn_days, budget=budget
        )
        for record in fleet.records
    )
    for day in range(days):
        for record, watch in zip(fleet.records, watches, strict=True):
            for block in range(day * BLOCKS_PER_DAY, (day + 1) * BLOCKS_PER_DAY):
                begin, end = watch.block_rows(block)
                rows = slice(begin, end)
                if begin < len(record.values):
                    watch.advance(record.values[rows], record.is_heard[rows], record.commands)
        if on_day is not None:
            on_day(day, days)
    for watch in watches:
        first = learn_days * watch.record.rows_per_day
        watch.alerts = [a for a in watch.alerts if a.told >= first]
    return FleetResult(fleet=fleet, watches=watches, learn_days=learn_days, budget=budget)


def score_fleet(result: FleetResult) -> dict[str, Any]:
    """Faults that were told, by kind, and alerts for nothing; JSON-ready.

    A fault is found when an alert of its satellite and channel is told from its start to its end
    (of any channel where the fault names none). An alert that overlaps a fault of its satellite, on
    whatever channel, is no false alert, but one on another channel finds nothing: it is counted as
    *beside a fault*. The clean time of a satellite is what lies outside its faults.
    """
    faults = result.fleet.faults
    if faults is None:
        raise UsageError(
            expected="faults.csv", got="none", where="evaluate fleet", action="give the faults"
        )
    told = result.predictions()
    by_kind: dict[str, dict[str, Any]] = {}
    delays: dict[str, list[float]] = {}
    false_alerts = beside = 0
    clean_days = 0.0
    early = unseen = 0
    rows: list[dict[str, Any]] = []
    for name, row_ns, watch in zip(
        result.fleet.satellites, result.fleet.row_ns, result.watches, strict=True
    ):
        first = result.learn_days * watch.record.rows_per_day
        if first >= len(row_ns):
            continue
        begin_ns, last_ns = int(row_ns[first]), int(row_ns[-1])
        mine = told.filter(pl.col("satellite") == name)
        known = faults.filter(pl.col("satellite") == name)
        judged = known.filter(pl.col("start_ns") >= begin_ns, pl.col("start_ns") <= last_ns)
        early += known.height - judged.height
        for fault in judged.iter_rows(named=True):
            hits = mine.filter(
                pl.col("told_ns") >= fault["start_ns"], pl.col("told_ns") <= fault["end_ns"]
            )
            if fault["channel"]:
                hits = hits.filter(pl.col("channel") == fault["channel"])
            delay = (
                (int(hits["told_ns"].min()) - fault["start_ns"]) / NS_PER_S  # type: ignore[arg-type]
                if hits.height
                else math.inf
            )
            delays.setdefault(fault["kind"], []).append(delay)
            rows.append({**fault, "delay_s": None if math.isinf(delay) else round(delay, 1)})
        starts, ends = known["start_ns"].to_numpy(), known["end_ns"].to_numpy()
        for alert in mine.iter_rows(named=True):
            near = (alert["start_ns"] <= ends) & (alert["end_ns"] >= starts)
            own = np.isin(known["channel"].to_numpy(), [alert["channel"], ""])
            false_alerts += not near.any()
            beside += bool(near.any() and not (near & own).any())
        clean_days += (last_ns - begin_ns - _covered(starts, ends, begin_ns, last_ns)) / _NS_PER_DAY
    unseen = faults.filter(~pl.col("satellite").is_in(list(result.fleet.satellites))).height
    for kind, found in sorted(delays.items()):
        by_kind[kind] = {
            "faults": len(found),
            "found": sum(map(math.isfinite, found)),
            "median_delay_s": _finite(float(np.median(found))),
        }
    total = sum(row["faults"] for row in by_kind.values())
    hit = sum(row["found"] for row in by_kind.values())
    return {
        "faults": total,
        "found": hit,
        "recall": hit / total if total else None,
        "by_kind": by_kind,
        "false_alerts": false_alerts,
        "alerts_beside_a_fault": beside,
        "clean_satellite_days": round(clean_days, 2),
        "false_alerts_per_clean_day": _finite(
            false_alerts / clean_days if clean_days > 0 else math.inf
        ),
        "false_alerts_per_clean_day_lower_95": (
            _finite(poisson_lower(false_alerts, clean_days)) if clean_days > 0 else None
        ),
        "false_alerts_per_clean_day_upper_95": (
            _finite(poisson_upper(false_alerts, clean_days)) if clean_days > 0 else None
        ),
        "faults_before_judging": early,
        "faults_of_unknown_satellites": unseen,
        "each": rows,
    }


def _covered(starts: IntArray, ends: IntArray, begin_ns: int, last_ns: int) -> int:
    """Time within bounds that some interval covers, ns."""
    covered, until = 0, begin_ns
    for k in np.argsort(starts, kind="stable"):
        low, high = max(int(starts[k]), until), min(int(ends[k]), last_ns)
        covered += max(high - low, 0)
        until = max(until, high)
    return covered


def _finite(value: float) -> float | None:
    return round(value, 5) if math.isfinite(value) else None


def write_predictions(result: FleetResult, path: Path) -> None:
    """satellite, channel, start_ns, end_ns, told_ns, score, reason."""
    result.predictions().write_csv(path)


def summary_lines(plain: Mapping[str, Any]) -> list[str]:
    """A result as lines of text; of :meth:`FleetResult.as_mapping`."""
    lines = [
        f"{plain['satellites']} satellites, {plain['channels']} channels, "
        f"{plain['satellite_days_judged']:g} satellite-days judged after "
        f"{plain['learn_days']} to learn from",
        f"{plain['alerts']} alerts; levels for "
        f"{plain['budget_false_alerts_per_satellite_day']:g} false ones per satellite-day",
    ]
    if plain["satellite_days_in_doubt"]:
        lines.append(f"{plain['satellite_days_in_doubt']} satellite-days in doubt: too many alerts")
    for name, channels in plain["without_expectation"].items():
        lines.append(f"{name}: no expectation for {', '.join(channels)}")
    score = plain.get("score")
    if score is None:
        return lines
    lines.append(f"{score['found']} of {score['faults']} faults told")
    for kind, row in score["by_kind"].items():
        delay = row["median_delay_s"]
        told = "median never" if delay is None else f"median {delay:.0f} s"
        lines.append(f"  {kind:<16} {row['found']:>4} of {row['faults']:<4} {told}")
    lower, came, upper = (
        "?" if (value := score[f"false_alerts_per_clean_day{name}"]) is None else f"{value:.3g}"
        for name in ("_lower_95", "", "_upper_95")
    )
    lines.append(
        f"{score['false_alerts']} false alerts on {score['clean_satellite_days']:g} clean "
        f"satellite-days: {plain['budget_false_alerts_per_satellite_day']:g} per day were asked "
        f"for, {came} came, at least {lower} and at most {upper} (95 % each); "
        f"{score['alerts_beside_a_fault']} on another channel than the fault"
    )
    if score["faults"] and not score["found"]:
        lines.append("NO FAULT WAS FOUND")
    return lines
