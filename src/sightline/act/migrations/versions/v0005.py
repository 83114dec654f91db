"""Telemetry in time partitions, and throughput per terminal of the last day."""

from __future__ import annotations

from alembic import op

revision = "0005"
down_revision = "0004"

TELEMETRY = """CREATE TABLE telemetry (
    terminal TEXT COLLATE "C" NOT NULL,
    sample_time TIMESTAMPTZ NOT NULL,
    ingested_at TIMESTAMPTZ NOT NULL DEFAULT clock_timestamp(),
    throughput_mbps DOUBLE PRECISION,
    snr_db DOUBLE PRECISION,
    latency_ms DOUBLE PRECISION,
    loss_ratio DOUBLE PRECISION
) PARTITION BY RANGE (sample_time)"""
NEWEST = """CREATE INDEX telemetry_newest ON telemetry
    (terminal, sample_time, ingested_at DESC) INCLUDE (throughput_mbps)"""
THROUGHPUT = """CREATE VIEW throughput_p95 AS
    SELECT terminal,
           date_bin('5 minutes', sample_time, TIMESTAMPTZ '2000-01-01 00:00:00+00') AS bucket,
           percentile_cont(0.95) WITHIN GROUP (ORDER BY throughput_mbps) AS p95_mbps,
           count(throughput_mbps) AS samples
    FROM (
        SELECT DISTINCT ON (terminal, sample_time) terminal, sample_time, throughput_mbps
        FROM telemetry
        WHERE sample_time > now() - INTERVAL '24 hours' AND sample_time <= now()
        ORDER BY terminal, sample_time, ingested_at DESC
    ) AS newest
    GROUP BY 1, 2"""


def upgrade() -> None:
    """Make the table, the index that answers the view, and the view."""
    op.execute(TELEMETRY)
    op.execute(NEWEST)
    op.execute(THROUGHPUT)
