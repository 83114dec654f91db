"""Telemetry in PostgreSQL: duplicates, late rows, the view of throughput, its index, retention."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest

from sightline.act.ledger_upgrade import upgrade_schema
from sightline.act.telemetry_table import TelemetryTable
from sightline.errors import LogError, SinkError, UsageError


@pytest.fixture
def now() -> datetime:
    """When the test begins: the view looks back from the database's own clock."""
    return datetime.now(UTC).replace(microsecond=0)


@pytest.fixture
def table(postgres_url: str) -> Iterator[TelemetryTable]:
    upgrade_schema(postgres_url)
    with TelemetryTable.open(postgres_url) as opened:
        yield opened


def telemetry(rows: int, *, now: datetime, terminals: int = 7, seed: int = 0) -> pl.DataFrame:
    """Rows of the last 30 hours; of a tenth a second, later version that came late."""
    rng = np.random.default_rng(seed)
    seconds = rng.integers(60, 30 * 3600, rows)
    frame = pl.DataFrame(
        {
            "terminal": [f"t{i}" for i in rng.integers(0, terminals, rows)],
            "sample_time": [now - timedelta(seconds=int(s)) for s in seconds],
            "ingested_at": [now - timedelta(seconds=int(s) - 5) for s in seconds],
            "throughput_mbps": rng.normal(100, 10, rows).round(3),
        }
    ).unique(["terminal", "sample_time"], keep="first", maintain_order=True)
    again = frame.gather_every(10).with_columns(
        pl.col("ingested_at") + timedelta(hours=1), pl.col("throughput_mbps") * 2
    )
    return pl.concat([again.head(again.height // 2), frame, again.slice(again.height // 2)])


def expected(frame: pl.DataFrame, *, now: datetime) -> pl.DataFrame:
    """The same by Polars: the plain reference."""
    return (
        frame.filter(pl.col("sample_time") > now - timedelta(hours=24))
        .sort("ingested_at")
        .unique(subset=["terminal", "sample_time"], keep="last")
        .with_columns(bucket=pl.col("sample_time").dt.truncate("5m"))
        .group_by("terminal", "bucket")
        .agg(
            p95_mbps=pl.col("throughput_mbps").quantile(0.95, interpolation="linear"),
            samples=pl.len().cast(pl.Int64),
        )
        .sort("terminal", "bucket")
    )


def test_the_view_says_what_polars_says_of_the_same_rows(
    table: TelemetryTable, now: datetime
) -> None:
    frame = telemetry(4000, now=now)
    frame = frame.filter(  # none that leaves the last day while the test runs
        (pl.col("sample_time") - (now - timedelta(hours=24))).abs() > timedelta(minutes=5)
    )
    for part in (frame.head(1000), frame.slice(1000)):
        table.load(part)
    found, wanted = table.throughput(), expected(frame, now=now)
    assert found.height > 1000
    assert found.drop("p95_mbps").equals(wanted.select("terminal", "bucket", "samples"))
    np.testing.assert_allclose(found["p95_mbps"], wanted["p95_mbps"], rtol=1e-12)


def test_the_view_is_answered_from_its_index(table: TelemetryTable, now: datetime) -> None:
    table.load(telemetry(60_000, now=now, terminals=200))
    table.analyze()
    plan = "\n".join(table.plan())
    assert "Index Only Scan using telemetry_" in plan, plan
    assert "Seq Scan" not in plan, plan


def test_rows_that_came_last_count_whatever_the_order_of_loading(
    table: TelemetryTable, now: datetime
) -> None:
    row = {"terminal": "t", "sample_time": now - timedelta(minutes=9)}
    late = pl.DataFrame([{**row, "ingested_at": now, "throughput_mbps": 7.0}])
    early = pl.DataFrame([{**row, "ingested_at": now - timedelta(hours=1), "throughput_mbps": 3.0}])
    table.load(late)
    table.load(early)
    assert table.throughput().rows()[0][2:] == (7.0, 1)


@pytest.mark.parametrize("order", [(3.0, None, 7.0), (7.0, None, 3.0)])
def test_of_rows_that_came_at_one_time_the_highest_throughput_counts(
    table: TelemetryTable, now: datetime, order: tuple[float | None, ...]
) -> None:
    row = {"terminal": "t", "sample_time": now - timedelta(minutes=9), "ingested_at": now}
    for value in order:
        table.load(
            pl.DataFrame([{**row, "throughput_mbps": value}]).cast({"throughput_mbps": pl.Float64})
        )
    assert table.throughput().rows()[0][2:] == (7.0, 1)


def test_a_loading_that_fails_adds_nothing(table: TelemetryTable, now: datetime) -> None:
    bad = telemetry(10, now=now).with_columns(terminal=pl.lit("a\x00b"))
    with pytest.raises(SinkError, match="0x00"):
        table.load(bad)
    assert table.throughput().is_empty()


def test_old_days_are_dropped_as_a_whole(table: TelemetryTable, now: datetime) -> None:
    frame = telemetry(100, now=now)
    old = frame.with_columns(pl.col("sample_time") - timedelta(days=40))
    table.load(pl.concat([frame, old]))
    gone = table.retain(days=30, now=now)
    assert gone
    assert table.throughput().height == expected(frame, now=now).height
    assert table.retain(days=30, now=now) == []


def test_other_columns_are_refused_by_name(table: TelemetryTable, now: datetime) -> None:
    with pytest.raises(UsageError, match="got colour"):
        table.load(telemetry(3, now=now).with_columns(colour=pl.lit("red")))


def test_without_the_table_the_remedy_is_named(postgres_url: str) -> None:
    with pytest.raises(LogError, match="sightline schema upgrade"):
        TelemetryTable.open(postgres_url)
