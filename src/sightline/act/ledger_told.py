"""Messages and dispositions in the ledger's database."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import sqlalchemy as sa

from sightline.act.ledger_database import insert
from sightline.act.ledger_schema import dispositions, messages
from sightline.act.notices import Notice, Told

_NOTICE_COLUMNS = tuple(messages.c[name] for name in Notice.__slots__)


def store_told(connection: sa.Connection, partition: str, told: Sequence[tuple[int, Told]]) -> None:
    """Store what a desk said, by log sequence; what is known keeps what it says."""
    notices = [
        {
            **{name: getattr(notice, name) for name in Notice.__slots__},
            "partition": partition,
            "log_sequence": sequence,
            "item": item,
        }
        for sequence, one in told
        for item, notice in enumerate(one.notices)
    ]
    disposed = [
        {
            **{name: plain[name] for name in _DISPOSITION},
            "partition": partition,
            "log_sequence": sequence,
            "item": item,
        }
        for sequence, one in told
        for item, plain in enumerate(one.dispositions)
    ]
    for table, rows in ((messages, notices), (dispositions, disposed)):
        if rows:
            connection.execute(insert(connection, table).on_conflict_do_nothing(), rows)


_DISPOSITION = ("alert_id", "fate", "before", "cause", "reason", "held_by", "at_ns")


def stored_notices(connection: sa.Connection) -> list[Notice]:
    """Every message, in the order in which they were said."""
    statement = sa.select(*_NOTICE_COLUMNS).order_by(
        messages.c.partition, messages.c.log_sequence, messages.c.item
    )
    return [Notice(**row) for row in connection.execute(statement).mappings()]


def notice_counts(connection: sa.Connection) -> Mapping[str, int]:
    """Messages by kind."""
    statement = (
        sa.select(messages.c.kind, sa.func.count())
        .group_by(messages.c.kind)
        .order_by(messages.c.kind)
    )
    return {str(kind): int(count) for kind, count in connection.execute(statement)}


def disposition_counts(connection: sa.Connection) -> Mapping[str, int]:
    """Alerts by the fate of their last disposition."""
    later = dispositions.alias("later")
    is_later = sa.or_(
        later.c.log_sequence > dispositions.c.log_sequence,
        sa.and_(
            later.c.log_sequence == dispositions.c.log_sequence,
            later.c.item > dispositions.c.item,
        ),
    )
    statement = (
        sa.select(dispositions.c.fate, sa.func.count())
        .where(~sa.exists().where(later.c.alert_id == dispositions.c.alert_id, is_later))
        .group_by(dispositions.c.fate)
        .order_by(dispositions.c.fate)
    )
    return {str(fate): int(count) for fate, count in connection.execute(statement)}
