"""Tables of the ledger, the same on SQLite and PostgreSQL.

Upgrade rule: there are no migrations. Everything here is derived, so a ledger of another version
is refused by name, moved away by its owner, and rebuilt from the log.
"""

from __future__ import annotations

import sqlalchemy as sa

LEDGER_VERSION = 2
"""1: decisions, accounts, outbox. 2: also messages and dispositions of an alert desk."""

PENDING = "pending"
DELIVERED = "delivered"
FAILED = "failed"
SHELVED = "shelved"

metadata = sa.MetaData()

# SQLite compares text by bytes. PostgreSQL does so only in the C collation; without it the order
# of subjects, and the search for the beginning of an id, would depend on the server's locale.
_Text = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
# SQLite numbers rows by itself only in a column declared INTEGER, which holds 64 bits there.
_RowNumber = sa.BigInteger().with_variant(sa.Integer(), "sqlite")

schema_version = sa.Table(
    "schema_version", metadata, sa.Column("version", sa.Integer, primary_key=True)
)

decisions = sa.Table(
    "decisions",
    metadata,
    sa.Column("decision_id", _Text, primary_key=True),
    sa.Column("revision", sa.Integer, primary_key=True),
    sa.Column("pipeline", _Text, nullable=False),
    sa.Column("subject", _Text, nullable=False),
    sa.Column("group", _Text, nullable=False),
    sa.Column("kind", _Text, nullable=False),
    sa.Column("transition", _Text, nullable=False),
    sa.Column("event_ns", sa.BigInteger, nullable=False),
    sa.Column("window_start_ns", sa.BigInteger, nullable=False),
    sa.Column("window_end_ns", sa.BigInteger, nullable=False),
    sa.Column("severity", _Text, nullable=False),
    sa.Column("score", sa.Double, nullable=True),  # null: not finite
    sa.Column("confidence", sa.Double, nullable=True),  # null: not finite
    sa.Column("status", _Text, nullable=False),
    sa.Column("reasons", _Text, nullable=False),  # JSON list
    sa.Column("mode", _Text, nullable=False),
    sa.Column("trace_id", _Text, nullable=False),
    sa.Column("canonical", _Text, nullable=False),  # the bytes that replay reproduces
    sa.Column("partition", _Text, nullable=False),
    sa.Column("log_sequence", sa.BigInteger, nullable=False),
)
sa.Index("decisions_by_event", decisions.c.event_ns)
sa.Index("decisions_by_subject", decisions.c.subject, decisions.c.event_ns)
sa.Index("decisions_by_log", decisions.c.partition, decisions.c.log_sequence)

applied_through = sa.Table(
    "applied_through",
    metadata,
    sa.Column("partition", _Text, primary_key=True),
    sa.Column("log_sequence", sa.BigInteger, nullable=False),
)

accounts = sa.Table(
    "accounts",
    metadata,
    sa.Column("partition", _Text, primary_key=True),
    sa.Column("accounts", _Text, nullable=False),  # JSON of records.Accounts
)

messages = sa.Table(
    "messages",
    metadata,
    sa.Column("notice_id", _Text, primary_key=True),
    sa.Column("message_id", _Text, nullable=False),
    sa.Column("kind", _Text, nullable=False),
    sa.Column("at_ns", sa.BigInteger, nullable=False),
    sa.Column("subject", _Text, nullable=False),
    sa.Column("code", _Text, nullable=False),
    sa.Column("severity", _Text, nullable=False),
    sa.Column("count", sa.Integer, nullable=False),
    sa.Column("update_of", _Text, nullable=False),
    sa.Column("canonical", _Text, nullable=False),
    sa.Column("partition", _Text, nullable=False),
    sa.Column("log_sequence", sa.BigInteger, nullable=False),
    sa.Column("item", sa.Integer, nullable=False),  # position in its log entry
)
sa.Index("messages_by_log", messages.c.partition, messages.c.log_sequence, messages.c.item)

# Every change of where an alert is; the last one of an alert stands.
dispositions = sa.Table(
    "dispositions",
    metadata,
    sa.Column("partition", _Text, primary_key=True),
    sa.Column("log_sequence", sa.BigInteger, primary_key=True),
    sa.Column("item", sa.Integer, primary_key=True),  # position in its log entry
    sa.Column("alert_id", _Text, nullable=False),
    sa.Column("fate", _Text, nullable=False),
    sa.Column("before", _Text, nullable=True),
    sa.Column("cause", _Text, nullable=False),
    sa.Column("reason", _Text, nullable=False),
    sa.Column("held_by", _Text, nullable=False),
    sa.Column("at_ns", sa.BigInteger, nullable=False),
)
sa.Index("dispositions_by_alert", dispositions.c.alert_id)

outbox = sa.Table(
    "outbox",
    metadata,
    # The order in which things were said, which is the order of delivery. Event time is not: a
    # revision of an old decision may be said after a newer decision.
    sa.Column("position", _RowNumber, primary_key=True, autoincrement=True),
    sa.Column("idempotency_key", _Text, nullable=False),  # decision_id:revision, or notice_id
    sa.Column("sink", _Text, nullable=False),
    sa.Column("decision_id", _Text, nullable=True),  # of a decision
    sa.Column("revision", sa.Integer, nullable=True),
    sa.Column("notice_id", _Text, nullable=True),  # of a message
    sa.Column("subject", _Text, nullable=False),
    sa.Column("state", _Text, nullable=False),  # pending, delivered, failed or shelved
    sa.Column("attempts", sa.Integer, nullable=False),
    sa.Column("next_attempt_ns", sa.BigInteger, nullable=False),
    sa.Column("last_error", _Text, nullable=False),
    sa.Column("delivered_ns", sa.BigInteger, nullable=True),
    sa.UniqueConstraint("sink", "idempotency_key"),
    sa.ForeignKeyConstraint(
        ["decision_id", "revision"], ["decisions.decision_id", "decisions.revision"]
    ),
    sa.ForeignKeyConstraint(["notice_id"], ["messages.notice_id"]),
    sqlite_autoincrement=True,
)
sa.Index("outbox_by_state", outbox.c.state, outbox.c.position)
sa.Index("outbox_by_line", outbox.c.sink, outbox.c.subject, outbox.c.state, outbox.c.position)
