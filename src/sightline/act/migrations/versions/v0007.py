"""Of two samples with one terminal, time and ingestion the one with more throughput counts."""

from __future__ import annotations

from alembic import op

revision = "0007"
down_revision = "0006"

NEWEST = """CREATE INDEX telemetry_newest ON telemetry
    (terminal, sample_time, ingested_at DESC, throughput_mbps DESC NULLS LAST)"""
THROUGHPUT = """CREATE VIEW throughput_p95 AS
    SELECT terminal,
           date_bin('5 minutes', sample_time, TIMESTAMPTZ '2000-01-01 00:00:00+00') AS bucket,
           percentile_cont(0.95) WITHIN GROUP (ORDER BY throughput_mbps) AS p95_mbps,
           count(throughput_mbps) AS samples
    FROM (
        SELECT DISTINCT ON (terminal, sample_time) terminal, sample_time, throughput_mbps
        FROM telemetry
        WHERE sample_time > now() - INTERVAL '24 hours' AND sample_time <= now()
        ORDER BY terminal, sample_time, ingested_at DESC, throughput_mbps DESC NULLS LAST
    ) AS newest
    GROUP BY 1, 2"""


def upgrade() -> None:
    """Make index and view anew."""
    op.execute("DROP VIEW throughput_p95")
    op.execute("DROP INDEX telemetry_newest")
    op.execute(NEWEST)
    op.execute(THROUGHPUT)
