"""Tables of the ledger, the same on SQLite and PostgreSQL."""

from __future__ import annotations

import sqlalchemy as sa

LEDGER_VERSION = 1

metadata = sa.MetaData()

schema_version = sa.Table(
    "schema_version", metadata, sa.Column("version", sa.Integer, nullable=False)
)

decisions = sa.Table(
    "decisions",
    metadata,
    sa.Column("decision_id", sa.String(32), primary_key=True),
    sa.Column("revision", sa.Integer, primary_key=True),
    sa.Column("pipeline", sa.String(16), nullable=False),
    sa.Column("subject", sa.Text, nullable=False, index=True),
    sa.Column("group", sa.Text, nullable=False),
    sa.Column("kind", sa.String(64), nullable=False, index=True),
    sa.Column("transition", sa.String(16), nullable=False),
    sa.Column("status", sa.String(16), nullable=False),
    sa.Column("severity", sa.String(16), nullable=False),
    sa.Column("mode", sa.String(16), nullable=False),
    sa.Column("score", sa.Float, nullable=True),
    sa.Column("confidence", sa.Float, nullable=True),
    sa.Column("event_ns", sa.BigInteger, nullable=False, index=True),
    sa.Column("window_start_ns", sa.BigInteger, nullable=False),
    sa.Column("window_end_ns", sa.BigInteger, nullable=False),
    sa.Column("trace_id", sa.String(32), nullable=False),
    sa.Column("reasons", sa.Text, nullable=False),  # JSON list
    sa.Column("canonical", sa.Text, nullable=False),  # the bytes that replay reproduces
    sa.Column("partition", sa.String(32), nullable=False),
    sa.Column("log_sequence", sa.BigInteger, nullable=False),
)

applied_through = sa.Table(
    "applied_through",
    metadata,
    sa.Column("partition", sa.String(32), primary_key=True),
    sa.Column("log_sequence", sa.BigInteger, nullable=False),
    sa.Column("accounts", sa.Text, nullable=False),  # JSON of records.Accounts
)

outbox = sa.Table(
    "outbox",
    metadata,
    sa.Column("sink", sa.String(64), primary_key=True),
    sa.Column("idempotency_key", sa.String(48), primary_key=True),
    sa.Column("subject", sa.Text, nullable=False),
    sa.Column("event_ns", sa.BigInteger, nullable=False),
    sa.Column("canonical", sa.Text, nullable=False),
    sa.Column("state", sa.String(16), nullable=False, index=True),  # pending, delivered, failed
    sa.Column("attempts", sa.Integer, nullable=False),
    sa.Column("next_attempt_ns", sa.BigInteger, nullable=False),
    sa.Column("last_error", sa.Text, nullable=False),
    sa.Column("delivered_ns", sa.BigInteger, nullable=True),
)
