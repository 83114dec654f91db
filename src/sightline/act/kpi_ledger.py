"""KPIs in a database: files that were read, a manifest per window, values with their revisions.

Nothing here is ever changed: a window that is computed again gets a new revision beside the old.
The view ``kpi_current`` has the newest published one. Two jobs at once cannot publish the same
revision: the second one's transaction fails as a whole, and nothing of it is stored.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import polars as pl
import sqlalchemy as sa

from sightline.act.job_ledger import JobLedger
from sightline.act.ledger_database import Text, reading, shown, writing
from sightline.errors import LogError, SinkError

_ROWS_AT_ONCE = 20_000

metadata = sa.MetaData()

kpi_schema = sa.Table("kpi_schema", metadata, sa.Column("version", sa.Integer, primary_key=True))
kpi_inputs = sa.Table(
    "kpi_inputs",
    metadata,
    sa.Column("kpis", Text, primary_key=True),
    sa.Column("name", Text, primary_key=True),
    sa.Column("size", sa.BigInteger, nullable=False),
    sa.Column("identity", Text, nullable=False),
    sa.Column("sha256", Text, nullable=False),
    sa.Column("without_time", sa.BigInteger, nullable=False),
    sa.Column("grid_ns", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("slots", sa.LargeBinary, nullable=False),  # int64, little-endian
    sa.Column("rows", sa.LargeBinary, nullable=False),
)
_WINDOW = (
    ("kpis", Text),
    ("metric", Text),
    ("metric_version", sa.BigInteger),
    ("window_start_ns", sa.BigInteger),
    ("window_end_ns", sa.BigInteger),
    ("revision", sa.Integer),
)
kpi_manifests = sa.Table(
    "kpi_manifests",
    metadata,
    *(sa.Column(n, t, primary_key=True, autoincrement=False) for n, t in _WINDOW),
    sa.Column("status", Text, nullable=False),  # published, held
    sa.Column("inputs", Text, nullable=False),  # digest
    sa.Column("calibration", Text, nullable=False),  # digest
    sa.Column("definition", Text, nullable=False),  # digest
    sa.Column("manifest", Text, nullable=False),  # JSON: files with digests, warm-up, counts
    sa.Column("computed_ns", sa.BigInteger, nullable=False),
)
kpi_values = sa.Table(
    "kpi_values",
    metadata,
    *(sa.Column(n, t, primary_key=True, autoincrement=False) for n, t in _WINDOW[:3]),
    sa.Column("subject", Text, primary_key=True),
    *(sa.Column(n, t, primary_key=True, autoincrement=False) for n, t in _WINDOW[3:]),
    sa.Column("value", sa.Double, nullable=True),  # null: nothing was measured
    sa.Column("rows", sa.BigInteger, nullable=False),
)
sa.Index(
    "kpi_values_by_window",
    *(kpi_values.c[name] for name, _ in _WINDOW),
)
_CURRENT = """CREATE VIEW kpi_current AS
SELECT v.* FROM kpi_values v JOIN (
  SELECT kpis, metric, metric_version, window_start_ns, window_end_ns, MAX(revision) AS revision
  FROM kpi_manifests WHERE status = 'published'
  GROUP BY kpis, metric, metric_version, window_start_ns, window_end_ns
) m ON v.kpis = m.kpis AND v.metric = m.metric AND v.metric_version = m.metric_version
  AND v.window_start_ns = m.window_start_ns AND v.window_end_ns = m.window_end_ns
  AND v.revision = m.revision"""


class KpiLedger(JobLedger):
    """The KPIs of any number of sets.

    >>> with KpiLedger.open("sqlite://") as ledger:
    ...     ledger.newest("telemetry")
    []
    """

    tables, version_table, what, views = metadata, kpi_schema, "KPIs", (_CURRENT,)

    def inputs(self, kpis: str, *, grid_ns: int) -> list[dict[str, Any]]:
        """Files that were read at this width of slots; ``slots`` and ``rows`` as int64[s]."""
        statement = (
            sa.select(kpi_inputs)
            .where(kpi_inputs.c.kpis == kpis, kpi_inputs.c.grid_ns == grid_ns)
            .order_by(kpi_inputs.c.name)
        )
        with reading(self._engine) as connection:
            found = [dict(row) for row in connection.execute(statement).mappings()]
        for row in found:
            del row["kpis"]
            for name in ("slots", "rows"):
                row[name] = np.frombuffer(row[name], "<i8").astype(np.int64)
        return found

    def newest(self, kpis: str) -> list[dict[str, Any]]:
        """The newest revision of every window: the columns of its manifest, less its text."""
        m = kpi_manifests.c
        newest = (
            sa.select(*(m[n] for n, _ in _WINDOW[:-1]), sa.func.max(m.revision).label("revision"))
            .where(m.kpis == kpis)
            .group_by(*(m[n] for n, _ in _WINDOW[:-1]))
            .subquery()
        )
        statement = sa.select(
            *(column for column in kpi_manifests.c if column.name != "manifest")
        ).join(newest, sa.and_(*(m[n] == newest.c[n] for n, _ in _WINDOW)))
        with reading(self._engine) as connection:
            return [dict(row) for row in connection.execute(statement).mappings()]

    def manifest(self, kpis: str, metric: str, *, window_start_ns: int) -> dict[str, Any]:
        """What the newest revision of a window was made of; {}: there is none."""
        m = kpi_manifests.c
        statement = (
            sa.select(m.manifest)
            .where(m.kpis == kpis, m.metric == metric, m.window_start_ns == window_start_ns)
            .order_by(m.metric_version.desc(), m.revision.desc())
            .limit(1)
        )
        with reading(self._engine) as connection:
            text = connection.scalar(statement)
        found: dict[str, Any] = {} if text is None else json.loads(text)
        return found

    def values(
        self, kpis: str, metric: str, version: int, *, start_ns: int, end_ns: int
    ) -> pl.DataFrame:
        """Newest published values of windows that begin in a range of time.

        Returns:
            Columns subject, window_start_ns, window_end_ns, revision, value, rows.
        """
        statement = sa.text(
            "SELECT subject, window_start_ns, window_end_ns, revision, value, rows "
            "FROM kpi_current WHERE kpis = :kpis AND metric = :metric AND metric_version = :version"
            " AND window_start_ns >= :start AND window_start_ns < :end "
            "ORDER BY subject, window_start_ns"
        )
        given = {"kpis": kpis, "metric": metric, "version": version}
        with reading(self._engine) as connection:
            found = connection.execute(statement, given | {"start": start_ns, "end": end_ns}).all()
        return pl.DataFrame(
            [tuple(row) for row in found],
            schema={
                "subject": pl.String,
                "window_start_ns": pl.Int64,
                "window_end_ns": pl.Int64,
                "revision": pl.Int64,
                "value": pl.Float64,
                "rows": pl.Int64,
            },
            orient="row",
        )

    def most_subjects(self, kpis: str) -> dict[tuple[str, int], int]:
        """Largest number of subjects in a published window, by metric and version."""
        m = kpi_manifests.c
        statement = sa.select(m.metric, m.metric_version, m.manifest).where(
            m.kpis == kpis, m.status == "published"
        )
        found: dict[tuple[str, int], int] = {}
        with reading(self._engine) as connection:
            for metric, version, text in connection.execute(statement):
                key = (metric, version)
                found[key] = max(found.get(key, 0), json.loads(text)["subjects"])
        return found

    def publish(
        self,
        *,
        inputs: Sequence[Mapping[str, Any]] = (),
        manifests: Sequence[Mapping[str, Any]] = (),
        values: pl.DataFrame | None = None,
    ) -> None:
        """Store files, manifests and values in one transaction.

        Args:
            inputs: columns of ``kpi_inputs``; ``slots`` and ``rows`` as int64[s].
            manifests: columns of ``kpi_manifests``; ``manifest`` as a mapping.
            values: columns of ``kpi_values``.

        Raises:
            LogError: another job has published one of these revisions. Nothing was stored.
            SinkError: the database failed. Nothing was stored.
        """
        packed = [
            {
                **row,
                "slots": np.asarray(row["slots"], "<i8").tobytes(),
                "rows": np.asarray(row["rows"], "<i8").tobytes(),
            }
            for row in inputs
        ]
        written = [
            {**row, "manifest": json.dumps(row["manifest"], sort_keys=True, ensure_ascii=False)}
            for row in manifests
        ]
        try:
            with writing(self._engine) as connection:
                for table, rows in ((kpi_inputs, packed), (kpi_manifests, written)):
                    if rows:
                        connection.execute(sa.insert(table), rows)
                if values is not None:
                    for part in values.iter_slices(_ROWS_AT_ONCE):
                        connection.execute(sa.insert(kpi_values), part.to_dicts())
        except SinkError as error:
            if isinstance(error.__cause__, sa.exc.IntegrityError):
                raise LogError(
                    expected="to be the only job that computes these windows",
                    got="a revision that another one has stored meanwhile",
                    where=shown(self._engine.url),
                    action="wait for the other job, and run this one again: it goes on from there",
                ) from error
            raise
