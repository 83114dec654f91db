"""KPIs and batch jobs, version 1: beside a ledger, where a job has not made them before."""

from __future__ import annotations

from alembic import op

revision = "0006"
down_revision = "0005"

_METRIC = """kpis TEXT COLLATE "C" NOT NULL,
        metric TEXT COLLATE "C" NOT NULL,
        metric_version BIGINT NOT NULL,"""
_WINDOW = """window_start_ns BIGINT NOT NULL,
        window_end_ns BIGINT NOT NULL,
        revision INTEGER NOT NULL,"""
TABLES = (
    "CREATE TABLE IF NOT EXISTS kpi_schema (version SERIAL NOT NULL, PRIMARY KEY (version))",
    """CREATE TABLE IF NOT EXISTS kpi_inputs (
        kpis TEXT COLLATE "C" NOT NULL,
        name TEXT COLLATE "C" NOT NULL,
        size BIGINT NOT NULL,
        identity TEXT COLLATE "C" NOT NULL,
        sha256 TEXT COLLATE "C" NOT NULL,
        without_time BIGINT NOT NULL,
        grid_ns BIGINT NOT NULL,
        slots BYTEA NOT NULL,
        rows BYTEA NOT NULL,
        PRIMARY KEY (kpis, name, grid_ns)
    )""",
    f"""CREATE TABLE IF NOT EXISTS kpi_manifests (
        {_METRIC}
        {_WINDOW}
        status TEXT COLLATE "C" NOT NULL,
        inputs TEXT COLLATE "C" NOT NULL,
        calibration TEXT COLLATE "C" NOT NULL,
        definition TEXT COLLATE "C" NOT NULL,
        manifest TEXT COLLATE "C" NOT NULL,
        computed_ns BIGINT NOT NULL,
        PRIMARY KEY (kpis, metric, metric_version, window_start_ns, window_end_ns, revision)
    )""",
    f"""CREATE TABLE IF NOT EXISTS kpi_values (
        {_METRIC}
        subject TEXT COLLATE "C" NOT NULL,
        {_WINDOW}
        value DOUBLE PRECISION,
        rows BIGINT NOT NULL,
        PRIMARY KEY (
            kpis, metric, metric_version, subject, window_start_ns, window_end_ns, revision
        )
    )""",
    """CREATE INDEX IF NOT EXISTS kpi_values_by_window ON kpi_values
        (kpis, metric, metric_version, window_start_ns, window_end_ns, revision)""",
    """CREATE OR REPLACE VIEW kpi_current AS
        SELECT v.* FROM kpi_values v JOIN (
            SELECT kpis, metric, metric_version, window_start_ns, window_end_ns,
                   MAX(revision) AS revision
            FROM kpi_manifests WHERE status = 'published'
            GROUP BY kpis, metric, metric_version, window_start_ns, window_end_ns
        ) m USING (kpis, metric, metric_version, window_start_ns, window_end_ns, revision)""",
    "CREATE TABLE IF NOT EXISTS batch_schema (version SERIAL NOT NULL, PRIMARY KEY (version))",
    """CREATE TABLE IF NOT EXISTS batch_jobs (
        job TEXT COLLATE "C" NOT NULL,
        kind TEXT COLLATE "C" NOT NULL,
        configuration TEXT COLLATE "C" NOT NULL,
        PRIMARY KEY (job)
    )""",
    """CREATE TABLE IF NOT EXISTS batch_items (
        job TEXT COLLATE "C" NOT NULL,
        name TEXT COLLATE "C" NOT NULL,
        identity TEXT COLLATE "C" NOT NULL,
        status TEXT COLLATE "C" NOT NULL,
        result TEXT COLLATE "C" NOT NULL,
        done_ns BIGINT NOT NULL,
        PRIMARY KEY (job, name),
        FOREIGN KEY(job) REFERENCES batch_jobs (job)
    )""",
    "INSERT INTO kpi_schema (version) VALUES (1) ON CONFLICT DO NOTHING",
    "INSERT INTO batch_schema (version) VALUES (1) ON CONFLICT DO NOTHING",
)


def upgrade() -> None:
    """Make the tables."""
    for statement in TABLES:
        op.execute(statement)
