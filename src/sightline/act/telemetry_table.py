"""Telemetry in PostgreSQL: loaded by COPY, kept in partitions of a day, asked by a view.

Rows may come late and more than once; every one of them is kept as it came, and of a terminal and
sample time the one that was ingested last counts, and of several that were ingested at one time the
one with the highest throughput: that is the same however they were loaded. The table is for
whoever asks across runs; what decides reads streams and files, and never this.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Self

import polars as pl
import sqlalchemy as sa

from sightline.act.ledger_database import (
    copying,
    ledger_engine,
    reading,
    recorded_address,
    translated,
    writing,
)
from sightline.errors import LogError, UsageError

COLUMNS = (
    *("terminal", "sample_time", "ingested_at"),
    *("throughput_mbps", "snr_db", "latency_ms", "loss_ratio"),
)
"""Columns of the table; the first two are needed."""
_MAX_DAYS = 4000
"""Days that one loading may touch; each has a partition."""
_COPY_BYTES = 1 << 20
_NAME = "telemetry_%Y%m%d"
_WHOLE = "10min"
"""Longest wait for an answer that looks at all rows of a day, for whoever asks across runs. The
minute that other statements have is for a run; none waits for these."""


class TelemetryTable:
    """The table ``telemetry`` and the view ``throughput_p95`` of a ledger's database.

    Args:
        engine: of the database; ``sightline schema upgrade`` has made the table.
    """

    def __init__(self, engine: sa.Engine, address: str) -> None:
        self._engine = engine
        self._address = address

    @classmethod
    def open(cls, url: str) -> Self:
        """Open the table of a database.

        Raises:
            UsageError: it is no PostgreSQL.
            LogError: the table is not there.
            SinkError: the database does not answer.
        """
        engine = ledger_engine(url)
        address = recorded_address(url)
        if engine.url.get_backend_name() != "postgresql":
            raise UsageError(
                expected="PostgreSQL",
                got=engine.url.get_backend_name(),
                where="--ledger",
                action="keep telemetry in Parquet files instead, or give a database",
            )
        with translated(engine.url), engine.connect() as connection:
            is_there = sa.inspect(connection).has_table("telemetry")
        if not is_there:
            engine.dispose()
            raise LogError(
                expected="a table telemetry",
                got="none",
                where=address,
                action="run `sightline schema upgrade --ledger …`",
            )
        return cls(engine, address)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._engine.dispose()

    def load(self, rows: pl.DataFrame) -> int:
        """Add rows, in one transaction; partitions of days that are new are made.

        Args:
            rows: columns of :data:`COLUMNS`; ``sample_time`` and ``ingested_at`` as Datetime with a
                time zone. Without ``ingested_at`` the rows count as ingested now.

        Returns:
            Rows added.

        Raises:
            UsageError: other columns, a sample without a terminal or time, or too many days.
            SinkError: the database failed. Nothing was added.
        """
        columns = [name for name in COLUMNS if name in rows.columns]
        unknown = sorted(set(rows.columns) - set(COLUMNS))
        if unknown or {"terminal", "sample_time"} - set(columns):
            raise UsageError(
                expected=f"columns of {', '.join(COLUMNS)}, the first two at least",
                got=", ".join(unknown or columns) or "none",
                where="rows of telemetry",
                action="rename or leave out the others",
            )
        if rows["terminal"].null_count() or rows["sample_time"].null_count():
            raise UsageError(
                expected="a terminal and a time for each sample",
                got="some without",
                where="rows of telemetry",
                action="leave them out",
            )
        if not rows.height:
            return 0
        days: list[date] = (
            rows["sample_time"].dt.convert_time_zone("UTC").dt.date().unique().to_list()
        )
        if len(days) > _MAX_DAYS:
            raise UsageError(
                expected=f"samples of at most {_MAX_DAYS} days",
                got=f"{len(days)}",
                where="rows of telemetry",
                action="look for wrong times, or load the rows in parts",
            )
        text = rows.select(columns).write_csv(
            include_header=False, datetime_format="%Y-%m-%dT%H:%M:%S%.6f%:z"
        )
        with writing(self._engine) as connection:
            for day in sorted(days):
                _make_partition(connection, day)
            copy = f"COPY telemetry ({', '.join(columns)}) FROM STDIN (FORMAT csv)"
            with copying(connection, copy) as stream:
                for at in range(0, len(text), _COPY_BYTES):
                    stream.write(text[at : at + _COPY_BYTES])
        return rows.height

    def retain(self, *, days: int, now: datetime) -> list[str]:
        """Drop the partitions that end more than ``days`` before ``now``; their names.

        A partition goes as a whole, which costs nothing and leaves no dead rows.
        """
        last = (now.astimezone(UTC) - timedelta(days=days)).date()
        gone = []
        with writing(self._engine) as connection:
            for name in _partitions(connection):
                day = datetime.strptime(name, _NAME).replace(tzinfo=UTC).date()
                if day < last:
                    connection.exec_driver_sql(f"DROP TABLE {name}")
                    gone.append(name)
        return gone

    def throughput(self) -> pl.DataFrame:
        """95th percentile of throughput, Mbit/s, by terminal and 5 minutes of the last 24 hours.

        Returns:
            ``terminal``, ``bucket`` (its beginning, UTC), ``p95_mbps`` (linear between the two
            nearest samples), ``samples``; sorted by the first two.
        """
        asked = sa.text(
            "SELECT terminal, bucket, p95_mbps, samples FROM throughput_p95 ORDER BY 1, 2"
        )
        with reading(self._engine) as connection:
            connection.exec_driver_sql(f"SET LOCAL statement_timeout = '{_WHOLE}'")
            found = connection.execute(asked).fetchall()
        schema = {
            "terminal": pl.String(),
            "bucket": pl.Datetime("us", "UTC"),
            "p95_mbps": pl.Float64(),
            "samples": pl.Int64(),
        }
        return pl.DataFrame([tuple(row) for row in found], schema=schema, orient="row")

    def analyze(self) -> None:
        """Let the database look at what it holds, for better plans; after a large loading."""
        with translated(self._engine.url), self._engine.connect() as connection:
            whole = connection.execution_options(isolation_level="AUTOCOMMIT")
            whole.exec_driver_sql(f"SET statement_timeout = '{_WHOLE}'")
            try:
                whole.exec_driver_sql("VACUUM (ANALYZE) telemetry")
            finally:  # the connection is used again
                whole.exec_driver_sql("RESET statement_timeout")

    def plan(self) -> list[str]:
        """How the database answers :meth:`throughput`: lines of EXPLAIN (ANALYZE)."""
        asked = sa.text("EXPLAIN (ANALYZE, BUFFERS) SELECT * FROM throughput_p95")
        with reading(self._engine) as connection:
            connection.exec_driver_sql(f"SET LOCAL statement_timeout = '{_WHOLE}'")
            return [str(line) for line in connection.scalars(asked)]


def _partitions(connection: sa.Connection) -> Sequence[str]:
    asked = sa.text(
        "SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid "
        "WHERE i.inhparent = 'telemetry'::regclass ORDER BY 1"
    )
    return [str(name) for name in connection.scalars(asked)]


def _make_partition(connection: sa.Connection, day: date) -> None:
    connection.exec_driver_sql(
        f"CREATE TABLE IF NOT EXISTS {day.strftime(_NAME)} PARTITION OF telemetry "
        f"FOR VALUES FROM ('{day}T00:00:00Z') TO ('{day + timedelta(days=1)}T00:00:00Z')"
    )
