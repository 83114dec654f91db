"""Ledger 4: records of parts."""

from __future__ import annotations

from alembic import op

revision = "0004"
down_revision = "0003"

TABLES = (
    """CREATE TABLE parts (
        partition TEXT COLLATE "C" NOT NULL,
        log_sequence BIGINT NOT NULL,
        what TEXT COLLATE "C" NOT NULL,
        part_id TEXT COLLATE "C" NOT NULL,
        serial TEXT COLLATE "C" NOT NULL,
        disposition TEXT COLLATE "C" NOT NULL,
        at_ns BIGINT NOT NULL,
        canonical TEXT COLLATE "C" NOT NULL,
        PRIMARY KEY (partition, log_sequence)
    )""",
    "CREATE INDEX parts_by_id ON parts (part_id)",
    "CREATE INDEX parts_by_serial ON parts (serial)",
)


def upgrade() -> None:
    """Make the table of parts."""
    for statement in TABLES:
        op.execute(statement)
    op.execute("UPDATE schema_version SET version = 4")
