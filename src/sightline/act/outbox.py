"""The outbox: alerts on their way to sinks, in the ledger's database.

A *line* is the alerts of one subject for one sink. A line is delivered in the order in which
things were said: whoever waits for another attempt holds back the rest of its line, and no other.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import sqlalchemy as sa

from sightline.act.ledger_database import (
    DELIVERED,
    DISCARDED,
    FAILED,
    PENDING,
    SHELVED,
    decisions,
    insert,
    messages,
    outbox,
    reading,
    writing,
)
from sightline.act.notices import Notice
from sightline.errors import SinkError
from sightline.limits import Limits
from sightline.records import Decision

_STATES = (PENDING, DELIVERED, FAILED, SHELVED, DISCARDED)
_TO_CLIENT = (
    outbox.c.sink,
    outbox.c.idempotency_key,
    outbox.c.subject,
    outbox.c.state,
    outbox.c.attempts,
    outbox.c.next_attempt_ns,
    outbox.c.last_error,
    outbox.c.delivered_ns,
    outbox.c.notice_id,
    sa.func.coalesce(decisions.c.canonical, messages.c.canonical).label("canonical"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class OutboxRow:
    """One alert for one sink.

    Attributes:
        sink: name of the sink.
        idempotency_key: ``decision_id:revision``, or the id of a notice; the same at every
            attempt.
        subject: of the decision or notice.
        state: ``pending``, ``delivered`` or ``failed`` (given up until it is put back).
        attempts: made since it was put in line.
        next_attempt_ns: not before this, UTC ns.
        last_error: what went wrong last; ``""`` where nothing did. Holds no secrets.
        delivered_ns: when it was taken, UTC ns; None before.
        said: what is sent.
    """

    sink: str
    idempotency_key: str
    subject: str
    state: str
    attempts: int
    next_attempt_ns: int
    last_error: str
    delivered_ns: int | None
    said: Decision | Notice


@dataclass(frozen=True, slots=True, kw_only=True)
class Undelivered:
    """What a receiver has not taken.

    Attributes:
        pending: alerts that wait for another attempt, or for the receiver to be named again.
        failed: alerts that were given up until they are put back in line.
        last_error: why the oldest of them was not taken; ``""`` where it was never tried.
    """

    pending: int
    failed: int
    last_error: str

    def __int__(self) -> int:
        return self.pending + self.failed

    def words(self) -> str:
        """For people.

        >>> Undelivered(pending=2, failed=1, last_error="HTTP 503").words()
        '2 wait, 1 refused for good (HTTP 503)'
        """
        parts = [f"{self.pending:,} wait"] if self.pending else []
        parts += [f"{self.failed:,} refused for good"] if self.failed else []
        return ", ".join(parts) + (f" ({self.last_error})" if self.last_error else "")


class OutboxTable:
    """The rows of the outbox. Rows are never deleted: ``delivered`` is a record too."""

    def __init__(self, engine: sa.Engine, *, limits: Limits) -> None:
        self._engine = engine
        self._limits = limits

    def fill(
        self,
        connection: sa.Connection,
        partition: str,
        *,
        after: int,
        sinks: Sequence[str],
        shelved: Collection[str] = (),
    ) -> int:
        """Put the decisions of ``partition`` beyond log sequence ``after`` in line.

        Part of the transaction that stored them. Rows of decisions whose id is in ``shelved`` are
        kept beside the line: nobody is told, and nothing is lost.

        Returns:
            The number of decisions, each of which got one row per sink.

        Raises:
            SinkError: the outbox would hold more than ``limits.outbox_rows`` undelivered rows.
        """
        fresh = (decisions.c.partition == partition, decisions.c.log_sequence > after)
        count = connection.execute(
            sa.select(sa.func.count()).select_from(decisions).where(*fresh)
        ).scalar_one()
        if not count or not sinks:
            return int(count)
        self._check_room(connection, count * len(sinks))
        for sink in sinks:
            key = decisions.c.decision_id + ":" + sa.cast(decisions.c.revision, sa.Text)
            lines = (
                sa.select(
                    key,
                    sa.literal(sink),
                    decisions.c.decision_id,
                    decisions.c.revision,
                    decisions.c.subject,
                    sa.case(
                        (decisions.c.decision_id.in_(list(shelved)), sa.literal(SHELVED)),
                        else_=sa.literal(PENDING),
                    ),
                    sa.literal(0),
                    sa.literal(0),
                    sa.literal(""),
                )
                .where(*fresh)
                .order_by(decisions.c.log_sequence)
            )
            names = [
                "idempotency_key", "sink", "decision_id", "revision", "subject",
                "state", "attempts", "next_attempt_ns", "last_error",
            ]  # fmt: skip
            connection.execute(
                insert(connection, outbox).from_select(names, lines).on_conflict_do_nothing()
            )
        return int(count)

    def fill_notices(
        self, connection: sa.Connection, partition: str, *, after: int, sinks: Sequence[str]
    ) -> None:
        """Put the messages of ``partition`` beyond log sequence ``after`` in line.

        Part of the transaction that stored them.

        Raises:
            SinkError: the outbox would hold more than ``limits.outbox_rows`` undelivered rows.
        """
        fresh = (messages.c.partition == partition, messages.c.log_sequence > after)
        count = connection.execute(
            sa.select(sa.func.count()).select_from(messages).where(*fresh)
        ).scalar_one()
        if not count or not sinks:
            return
        self._check_room(connection, count * len(sinks))
        for sink in sinks:
            lines = (
                sa.select(
                    messages.c.notice_id,
                    sa.literal(sink),
                    messages.c.notice_id,
                    messages.c.subject,
                    sa.literal(PENDING),
                    sa.literal(0),
                    sa.literal(0),
                    sa.literal(""),
                )
                .where(*fresh)
                .order_by(messages.c.log_sequence, messages.c.item)
            )
            names = [
                "idempotency_key", "sink", "notice_id", "subject",
                "state", "attempts", "next_attempt_ns", "last_error",
            ]  # fmt: skip
            connection.execute(
                insert(connection, outbox).from_select(names, lines).on_conflict_do_nothing()
            )

    def due(
        self, now_ns: int, *, sinks: Collection[str], most: int, longest_wait_ns: int
    ) -> list[OutboxRow]:
        """Pending rows for ``sinks`` whose time has come, oldest first, ``most`` at most.

        A row is left out while an earlier one of its line waits for another attempt. Nobody waits
        for more than ``longest_wait_ns``: a row that would was put off by a clock that has been
        set back since, and its time has come.
        """
        before = outbox.alias("before")
        last_ns = now_ns + longest_wait_ns
        held_back = sa.exists().where(
            before.c.sink == outbox.c.sink,
            before.c.subject == outbox.c.subject,
            before.c.state == PENDING,
            before.c.position < outbox.c.position,
            before.c.next_attempt_ns > now_ns,
            before.c.next_attempt_ns <= last_ns,
        )
        return self._rows(
            outbox.c.state == PENDING,
            outbox.c.sink.in_(sorted(sinks)),
            sa.or_(outbox.c.next_attempt_ns <= now_ns, outbox.c.next_attempt_ns > last_ns),
            ~held_back,
            most=most,
        )

    def next_attempts_ns(self, *, sinks: Collection[str]) -> dict[str, int]:
        """When the first line of each sink moves on, UTC ns; sinks without pending rows missing."""
        before = outbox.alias("before")
        is_head = ~sa.exists().where(
            before.c.sink == outbox.c.sink,
            before.c.subject == outbox.c.subject,
            before.c.state == PENDING,
            before.c.position < outbox.c.position,
        )
        statement = (
            sa.select(outbox.c.sink, sa.func.min(outbox.c.next_attempt_ns))
            .where(outbox.c.state == PENDING, outbox.c.sink.in_(sorted(sinks)), is_head)
            .group_by(outbox.c.sink)
            .order_by(outbox.c.sink)
        )
        with reading(self._engine) as connection:
            return {sink: int(next_ns) for sink, next_ns in connection.execute(statement)}

    def rows(self, state: str, *, most: int = 1000) -> list[OutboxRow]:
        """Rows in ``state`` (pending, delivered, failed), oldest first, ``most`` at most."""
        return self._rows(outbox.c.state == state, most=most)

    def counts(self) -> Mapping[str, int]:
        """Rows by state; every state is there."""
        statement = sa.select(outbox.c.state, sa.func.count()).group_by(outbox.c.state)
        with reading(self._engine) as connection:
            found = {state: int(count) for state, count in connection.execute(statement)}
        return {state: found.get(state, 0) for state in _STATES}

    def undelivered(self) -> Mapping[str, Undelivered]:
        """What each receiver has not taken, by its name; those that have taken all are missing."""
        left = outbox.c.state.in_([PENDING, FAILED])
        count = sa.select(outbox.c.sink, outbox.c.state, sa.func.count()).where(left)
        oldest = sa.select(outbox.c.sink, sa.func.min(outbox.c.position)).where(
            left, outbox.c.last_error != ""
        )
        with reading(self._engine) as connection:
            counts = {
                (sink, state): int(n)
                for sink, state, n in connection.execute(
                    count.group_by(outbox.c.sink, outbox.c.state)
                )
            }
            first = {int(n) for _, n in connection.execute(oldest.group_by(outbox.c.sink))}
            found = sa.select(outbox.c.sink, outbox.c.last_error).where(
                outbox.c.position.in_(sorted(first))
            )
            errors = {str(row[0]): str(row[1]) for row in connection.execute(found)}
        return {
            sink: Undelivered(
                pending=counts.get((sink, PENDING), 0),
                failed=counts.get((sink, FAILED), 0),
                last_error=errors.get(sink, ""),
            )
            for sink in sorted({sink for sink, _ in counts})
        }

    def discard(self, sink: str) -> int:
        """Give up for ever what ``sink`` has not taken; how many. The rows stay as a record."""
        statement = (
            sa.update(outbox)
            .where(outbox.c.sink == sink, outbox.c.state.in_([PENDING, FAILED]))
            .values(state=DISCARDED)
        )
        with writing(self._engine) as connection:
            return int(connection.execute(statement).rowcount)

    def mark_delivered(self, row: OutboxRow, *, delivered_ns: int) -> None:
        """The sink has taken it."""
        self._update(
            row, state=DELIVERED, attempts=row.attempts + 1, last_error="",
            delivered_ns=delivered_ns,
        )  # fmt: skip

    def mark_waiting(self, row: OutboxRow, *, next_attempt_ns: int, error: str) -> None:
        """The attempt failed and another follows."""
        self._update(
            row, attempts=row.attempts + 1, next_attempt_ns=next_attempt_ns, last_error=error
        )

    def mark_failed(self, row: OutboxRow, *, error: str) -> None:
        """The attempt failed and it is given up until :meth:`retry_failed`."""
        self._update(row, state=FAILED, attempts=row.attempts + 1, last_error=error)

    def retry_failed(self) -> int:
        """Put rows that were given up back in line, and let none wait any longer; how many."""
        statement = (
            sa.update(outbox)
            .where(outbox.c.state == FAILED)
            .values(state=PENDING, attempts=0, next_attempt_ns=0)
        )
        with writing(self._engine) as connection:
            return int(connection.execute(statement).rowcount)

    def _rows(self, *conditions: sa.ColumnElement[bool], most: int) -> list[OutboxRow]:
        statement = (
            sa.select(*_TO_CLIENT)
            .select_from(outbox.outerjoin(decisions).outerjoin(messages))
            .where(*conditions)
            .order_by(outbox.c.position)
            .limit(most)
        )
        with reading(self._engine) as connection:
            found = connection.execute(statement).mappings().all()
        return [
            OutboxRow(
                **{n: value for n, value in row.items() if n not in ("canonical", "notice_id")},
                said=Decision.from_bytes(row["canonical"].encode())
                if row["notice_id"] is None
                else Notice.from_mapping(json.loads(row["canonical"])),
            )
            for row in found
        ]

    def _update(self, row: OutboxRow, **values: object) -> None:
        statement = (
            sa.update(outbox)
            .where(outbox.c.sink == row.sink, outbox.c.idempotency_key == row.idempotency_key)
            .values(**values)
        )
        with writing(self._engine) as connection:
            connection.execute(statement)

    def _check_room(self, connection: sa.Connection, more: int) -> None:
        undelivered = connection.execute(
            sa.select(sa.func.count())
            .select_from(outbox)
            .where(outbox.c.state.in_([PENDING, FAILED]))
        ).scalar_one()
        # A commit that is larger than the bound by itself would else never fit.
        if undelivered and undelivered + more > self._limits.outbox_rows:
            raise SinkError(
                expected=f"at most {self._limits.outbox_rows} undelivered alerts",
                got=f"{undelivered} and {more} more",
                where="outbox",
                action="mend the receivers; the log has every alert, and what has no room is "
                "stored when there is some. `sightline outbox RUN` shows who takes none, and "
                "gives up what nobody will take: --discard RECEIVER",
            )
