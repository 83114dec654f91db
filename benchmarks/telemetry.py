"""Throughput of the last day from telemetry in PostgreSQL: time, plan, equal to Polars or not.

Samples of many terminals over 30 hours, a tenth of them a second time and ingested later. They are
loaded by COPY in parts, into a schema of its own that is dropped at the end.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import polars as pl
import sqlalchemy as sa

from sightline.act.ledger_database import ledger_engine
from sightline.act.ledger_upgrade import upgrade_schema
from sightline.act.telemetry_table import TelemetryTable

_PART_ROWS = 50_000
"""Of one transaction: each statement has a minute, also on a machine that is busy."""
_TERMINALS = 2_000
_MARGIN = timedelta(hours=1)
"""No sample is nearer to the beginning of the 24 hours, so that none leaves them meanwhile."""


def bench_telemetry(
    url: str, *, rows: int, progress: Callable[[str], None] = lambda text: None
) -> dict[str, Any]:
    """Load, ask, compare.

    Args:
        url: of PostgreSQL.
        rows: to load.
        progress: told what begins.
    """
    schema = f"bench_{uuid.uuid4().hex[:8]}"
    address = f"{url}?schema={schema}"
    now = datetime.now(UTC).replace(microsecond=0)
    upgrade_schema(address)
    try:
        with TelemetryTable.open(address) as table:
            parts = []
            load_s = 0.0
            for first in range(0, rows, _PART_ROWS):
                part = _samples(min(_PART_ROWS, rows - first), now=now, seed=first)
                parts.append(part)
                began_s = time.perf_counter()
                table.load(part)
                load_s += time.perf_counter() - began_s
                progress(f"{first + part.height:,} of {rows:,} rows loaded")
            progress("analyzed")
            table.analyze()
            progress("asked")
            began_s = time.perf_counter()
            answer = table.throughput()
            asked_s = time.perf_counter() - began_s
            progress("asked for its plan")
            plan = table.plan()
    finally:
        engine = ledger_engine(url)
        with engine.begin() as connection:
            connection.execute(sa.schema.DropSchema(schema, cascade=True))
        engine.dispose()
    every = pl.concat(parts)
    began_s = time.perf_counter()
    wanted = _by_polars(every, now=now)
    polars_s = time.perf_counter() - began_s
    is_equal = answer.drop("p95_mbps").equals(wanted.drop("p95_mbps")) and np.allclose(
        answer["p95_mbps"], wanted["p95_mbps"], rtol=1e-12, atol=0
    )
    return {
        "rows": every.height,
        "load_rows_per_s": round(every.height / load_s),
        "view_s": round(asked_s, 2),
        "polars_s": round(polars_s, 2),
        "buckets": answer.height,
        "equal_to_polars": bool(is_equal),
        "plan": {f"{n:02d}": line for n, line in enumerate(plan)},
    }


def _samples(rows: int, *, now: datetime, seed: int) -> pl.DataFrame:
    rng = np.random.default_rng(seed)
    own = rows - rows // 11  # the others come a second time
    ms = rng.integers(60_000, 30 * 3_600_000, own)
    edge = pl.lit(now - timedelta(hours=24))
    terminal = rng.integers(0, _TERMINALS, own)
    frame = pl.DataFrame({"n": terminal, "ms": ms, "mbps": rng.normal(100, 10, own).round(3)})
    sample = pl.lit(now) - pl.duration(milliseconds="ms")
    # What lies near the edge of the day is put before it.
    sample = pl.when((sample - edge).abs() < _MARGIN).then(sample - 2 * _MARGIN).otherwise(sample)
    frame = frame.select(
        terminal=pl.format("terminal-{}", "n"),
        sample_time=sample.dt.cast_time_unit("us"),
        ingested_at=(sample + timedelta(seconds=5)).dt.cast_time_unit("us"),
        throughput_mbps="mbps",
    )
    again = frame.head(rows - own).with_columns(
        pl.col("ingested_at") + timedelta(hours=1), pl.col("throughput_mbps") * 2
    )
    return pl.concat([again, frame])


def _by_polars(frame: pl.DataFrame, *, now: datetime) -> pl.DataFrame:
    return (
        frame.filter(pl.col("sample_time") > now - timedelta(hours=24))
        .sort("ingested_at", "throughput_mbps")
        .unique(subset=["terminal", "sample_time"], keep="last", maintain_order=True)
        .with_columns(bucket=pl.col("sample_time").dt.truncate("5m"))
        .group_by("terminal", "bucket")
        .agg(
            p95_mbps=pl.col("throughput_mbps").quantile(0.95, interpolation="linear"),
            samples=pl.len().cast(pl.Int64),
        )
        .select("terminal", "bucket", "p95_mbps", "samples")
        .sort("terminal", "bucket")
    )
