"""Ledger 3: decisions, messages, accounts, outbox, and who writes."""

from __future__ import annotations

from alembic import op

revision = "0003"
down_revision = None

TABLES = (
    """CREATE TABLE accounts (
        partition TEXT COLLATE "C" NOT NULL,
        accounts TEXT COLLATE "C" NOT NULL,
        PRIMARY KEY (partition)
    )""",
    """CREATE TABLE applied_through (
        partition TEXT COLLATE "C" NOT NULL,
        log_sequence BIGINT NOT NULL,
        chain_hash TEXT COLLATE "C" NOT NULL,
        PRIMARY KEY (partition)
    )""",
    """CREATE TABLE decisions (
        decision_id TEXT COLLATE "C" NOT NULL,
        revision INTEGER NOT NULL,
        pipeline TEXT COLLATE "C" NOT NULL,
        subject TEXT COLLATE "C" NOT NULL,
        "group" TEXT COLLATE "C" NOT NULL,
        kind TEXT COLLATE "C" NOT NULL,
        transition TEXT COLLATE "C" NOT NULL,
        event_ns BIGINT NOT NULL,
        window_start_ns BIGINT NOT NULL,
        window_end_ns BIGINT NOT NULL,
        severity TEXT COLLATE "C" NOT NULL,
        score DOUBLE PRECISION,
        confidence DOUBLE PRECISION,
        status TEXT COLLATE "C" NOT NULL,
        reasons TEXT COLLATE "C" NOT NULL,
        mode TEXT COLLATE "C" NOT NULL,
        trace_id TEXT COLLATE "C" NOT NULL,
        canonical TEXT COLLATE "C" NOT NULL,
        partition TEXT COLLATE "C" NOT NULL,
        log_sequence BIGINT NOT NULL,
        PRIMARY KEY (decision_id, revision)
    )""",
    "CREATE INDEX decisions_by_event ON decisions (event_ns)",
    "CREATE INDEX decisions_by_log ON decisions (partition, log_sequence)",
    "CREATE INDEX decisions_by_subject ON decisions (subject, event_ns)",
    """CREATE TABLE dispositions (
        partition TEXT COLLATE "C" NOT NULL,
        log_sequence BIGINT NOT NULL,
        item INTEGER NOT NULL,
        alert_id TEXT COLLATE "C" NOT NULL,
        fate TEXT COLLATE "C" NOT NULL,
        before TEXT COLLATE "C",
        cause TEXT COLLATE "C" NOT NULL,
        reason TEXT COLLATE "C" NOT NULL,
        held_by TEXT COLLATE "C" NOT NULL,
        at_ns BIGINT NOT NULL,
        PRIMARY KEY (partition, log_sequence, item)
    )""",
    "CREATE INDEX dispositions_by_alert ON dispositions (alert_id)",
    """CREATE TABLE messages (
        notice_id TEXT COLLATE "C" NOT NULL,
        message_id TEXT COLLATE "C" NOT NULL,
        kind TEXT COLLATE "C" NOT NULL,
        at_ns BIGINT NOT NULL,
        subject TEXT COLLATE "C" NOT NULL,
        code TEXT COLLATE "C" NOT NULL,
        severity TEXT COLLATE "C" NOT NULL,
        count INTEGER NOT NULL,
        update_of TEXT COLLATE "C" NOT NULL,
        canonical TEXT COLLATE "C" NOT NULL,
        partition TEXT COLLATE "C" NOT NULL,
        log_sequence BIGINT NOT NULL,
        item INTEGER NOT NULL,
        PRIMARY KEY (notice_id)
    )""",
    "CREATE INDEX messages_by_log ON messages (partition, log_sequence, item)",
    """CREATE TABLE schema_version (
        version SERIAL NOT NULL,
        PRIMARY KEY (version)
    )""",
    """CREATE TABLE writer (
        run_id TEXT COLLATE "C" NOT NULL,
        epoch BIGINT NOT NULL,
        is_closed BOOLEAN NOT NULL,
        PRIMARY KEY (run_id)
    )""",
    """CREATE TABLE outbox (
        position BIGSERIAL NOT NULL,
        idempotency_key TEXT COLLATE "C" NOT NULL,
        sink TEXT COLLATE "C" NOT NULL,
        decision_id TEXT COLLATE "C",
        revision INTEGER,
        notice_id TEXT COLLATE "C",
        subject TEXT COLLATE "C" NOT NULL,
        state TEXT COLLATE "C" NOT NULL,
        attempts INTEGER NOT NULL,
        next_attempt_ns BIGINT NOT NULL,
        last_error TEXT COLLATE "C" NOT NULL,
        delivered_ns BIGINT,
        PRIMARY KEY (position),
        UNIQUE (sink, idempotency_key),
        FOREIGN KEY(decision_id, revision) REFERENCES decisions (decision_id, revision),
        FOREIGN KEY(notice_id) REFERENCES messages (notice_id)
    )""",
    "CREATE INDEX outbox_by_line ON outbox (sink, subject, state, position)",
    "CREATE INDEX outbox_by_state ON outbox (state, position)",
)


def upgrade() -> None:
    """Make the tables."""
    for statement in TABLES:
        op.execute(statement)
    op.execute("INSERT INTO schema_version (version) VALUES (3)")
