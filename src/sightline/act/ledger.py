"""The ledger: decisions and the outbox in a database, derived from the log.

Everything here can be rebuilt from the log. One transaction holds the decisions of a commit, their
outbox rows and ``applied_through``, so that after a crash the same log entries can be applied
again without a second effect.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Sequence
from dataclasses import asdict
from types import TracebackType
from typing import Any, Self

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.pool import NullPool

from sightline.act.ledger_schema import (
    LEDGER_VERSION,
    applied_through,
    decisions,
    metadata,
    outbox,
    schema_version,
)
from sightline.errors import LogError, SinkError, UsageError
from sightline.limits import DEFAULT_LIMITS, Limits
from sightline.records import Accounts, Decision
from sightline.records.decision import final_revisions


class Ledger:
    """Decisions of one run, or of many, in SQLite (WAL) or PostgreSQL.

    >>> with Ledger.open("sqlite://") as ledger:
    ...     ledger.applied_through("p000")
    -1
    """

    def __init__(self, engine: sa.Engine, *, limits: Limits = DEFAULT_LIMITS) -> None:
        self._engine = engine
        self._limits = limits

    @classmethod
    def open(cls, url: str, *, limits: Limits = DEFAULT_LIMITS) -> Ledger:
        """Open a ledger, making its tables where there are none.

        Args:
            url: SQLAlchemy URL, for example ``sqlite:///ledger.sqlite`` or
                ``postgresql+psycopg://localhost/sightline``.
            limits: bounds of the outbox.

        Raises:
            SinkError: the database cannot be reached.
            LogError: the tables are of another version.
        """
        address = sa.make_url(url)
        in_memory = address.get_backend_name() == "sqlite" and address.database in (None, "")
        engine = (
            sa.create_engine(address)
            if in_memory
            else sa.create_engine(address, poolclass=NullPool)
        )
        if address.get_backend_name() == "sqlite":
            sa.event.listen(engine, "connect", _use_wal)
        try:
            with engine.begin() as connection:
                metadata.create_all(connection)
                version = connection.scalar(sa.select(schema_version.c.version))
                if version is None:
                    connection.execute(sa.insert(schema_version).values(version=LEDGER_VERSION))
        except sa.exc.SQLAlchemyError as error:
            raise SinkError(
                expected="a database that answers",
                got=type(error).__name__,
                where=address.render_as_string(hide_password=True),
                action="check that it runs and that the address is right",
            ) from error
        if version not in (None, LEDGER_VERSION):
            raise LogError(
                expected=f"ledger version {LEDGER_VERSION}",
                got=str(version),
                where=address.render_as_string(hide_password=True),
                action="move it away: the ledger is rebuilt from the log by --resume",
            )
        return cls(engine, limits=limits)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Release the database."""
        self._engine.dispose()

    def apply(
        self,
        partition: str,
        said: Sequence[tuple[int, Decision]],
        *,
        through_sequence: int,
        accounts: Accounts,
        sinks: Sequence[str] = (),
    ) -> int:
        """Apply the decisions of one commit, in one transaction.

        Args:
            partition: whose log they come from.
            said: (log sequence, decision), ascending.
            through_sequence: last log sequence of the commit.
            accounts: of the partition after it.
            sinks: names of the sinks that get an outbox row for each decision.

        Returns:
            The number of decisions that were new.

        Raises:
            SinkError: the database failed or the outbox is full; nothing was applied.
        """
        try:
            with self._engine.begin() as connection:
                before = _applied(connection, partition)
                new = [(s, d) for s, d in said if s > before]
                if through_sequence <= before:
                    return 0
                if new:
                    rows = [_row(partition, s, d) for s, d in new]
                    connection.execute(_insert_ignoring(connection, decisions), rows)
                    if sinks:
                        self._fill_outbox(connection, [d for _, d in new], sinks)
                values = {
                    "partition": partition,
                    "log_sequence": through_sequence,
                    "accounts": json.dumps(asdict(accounts)),
                }
                statement = _insert(connection, applied_through).values(values)
                connection.execute(
                    statement.on_conflict_do_update(
                        index_elements=["partition"],
                        set_={k: values[k] for k in ("log_sequence", "accounts")},
                    )
                )
                return len(new)
        except sa.exc.SQLAlchemyError as error:
            raise self._failed(error) from error

    def _fill_outbox(
        self, connection: sa.Connection, new: Sequence[Decision], sinks: Sequence[str]
    ) -> None:
        waiting = connection.scalar(
            sa.select(sa.func.count()).select_from(outbox).where(outbox.c.state == "pending")
        )
        if (waiting or 0) + len(new) * len(sinks) > self._limits.outbox_rows:
            raise SinkError(
                expected=f"at most {self._limits.outbox_rows} undelivered alerts",
                got=f"{waiting} and {len(new) * len(sinks)} more",
                where="outbox",
                action="mend the receiver, or raise Limits.outbox_rows; no alert was dropped",
            )
        rows = [
            {
                "sink": sink,
                "idempotency_key": f"{d.decision_id}:{d.revision}",
                "subject": d.subject,
                "event_ns": d.event_ns,
                "canonical": d.canonical_bytes().decode(),
                "state": "pending",
                "attempts": 0,
                "next_attempt_ns": 0,
                "last_error": "",
                "delivered_ns": None,
            }
            for sink in sinks
            for d in new
        ]
        connection.execute(_insert_ignoring(connection, outbox), rows)

    def applied_through(self, partition: str) -> int:
        """Last log sequence of ``partition`` that was applied, -1 for none."""
        with self._engine.connect() as connection:
            return _applied(connection, partition)

    def accounts(self) -> Accounts:
        """Accounts of all partitions together."""
        with self._engine.connect() as connection:
            texts = connection.scalars(sa.select(applied_through.c.accounts)).all()
        return Accounts.total(Accounts(**json.loads(text)) for text in texts)

    def decisions(
        self, *, kind: str | None = None, subject: str | None = None, final_only: bool = False
    ) -> list[Decision]:
        """Decisions by event time, all revisions or only what stands at the end."""
        statement = sa.select(decisions.c.canonical).order_by(
            decisions.c.event_ns, decisions.c.subject, decisions.c.kind, decisions.c.revision
        )
        if kind is not None:
            statement = statement.where(decisions.c.kind == kind)
        if subject is not None:
            statement = statement.where(decisions.c.subject == subject)
        with self._engine.connect() as connection:
            found = [Decision.from_bytes(t.encode()) for t in connection.scalars(statement)]
        return final_revisions(found) if final_only else found

    def decision(self, decision_id: str) -> list[Decision]:
        """All revisions of one decision, given its id or the beginning of it.

        Raises:
            UsageError: unknown or ambiguous.
        """
        with self._engine.connect() as connection:
            ids = connection.scalars(
                sa.select(decisions.c.decision_id)
                .where(decisions.c.decision_id.startswith(decision_id, autoescape=True))
                .distinct()
                .limit(5)
            ).all()
            if len(ids) == 1:
                texts = connection.scalars(
                    sa.select(decisions.c.canonical)
                    .where(decisions.c.decision_id == ids[0])
                    .order_by(decisions.c.revision)
                ).all()
                return [Decision.from_bytes(text.encode()) for text in texts]
            known = connection.scalars(sa.select(decisions.c.decision_id).limit(10_000)).all()
        near = difflib.get_close_matches(decision_id, [k[: len(decision_id)] for k in known], n=1)
        raise UsageError(
            expected="the id of one decision",
            got=f"{decision_id}: {'unknown' if not ids else 'begins several'}",
            where="ledger",
            action=f"did you mean {near[0]}…?" if near else "give more of the id",
        )

    # --- outbox, for the dispatcher ---------------------------------------------------------------

    def outbox_due(self, now_ns: int, *, most: int) -> list[Any]:
        """Pending outbox rows whose next attempt has come, oldest event first."""
        statement = (
            sa.select(outbox)
            .where(outbox.c.state == "pending", outbox.c.next_attempt_ns <= now_ns)
            .order_by(outbox.c.event_ns, outbox.c.subject, outbox.c.idempotency_key)
            .limit(most)
        )
        with self._engine.connect() as connection:
            return list(connection.execute(statement))

    def outbox_update(self, sink: str, key: str, **values: Any) -> None:
        """Change one outbox row."""
        try:
            with self._engine.begin() as connection:
                connection.execute(
                    sa.update(outbox)
                    .where(outbox.c.sink == sink, outbox.c.idempotency_key == key)
                    .values(**values)
                )
        except sa.exc.SQLAlchemyError as error:
            raise self._failed(error) from error

    def outbox_counts(self) -> dict[str, int]:
        """Outbox rows by state."""
        statement = sa.select(outbox.c.state, sa.func.count()).group_by(outbox.c.state)
        with self._engine.connect() as connection:
            return {row[0]: row[1] for row in connection.execute(statement)}

    def outbox_next_ns(self) -> int | None:
        """When the next pending row is due; None when none is."""
        statement = sa.select(sa.func.min(outbox.c.next_attempt_ns)).where(
            outbox.c.state == "pending"
        )
        with self._engine.connect() as connection:
            found: int | None = connection.scalar(statement)
        return found

    def outbox_retry_failed(self) -> int:
        """Put failed rows back in line; how many."""
        statement = (
            sa.update(outbox)
            .where(outbox.c.state == "failed")
            .values(state="pending", attempts=0, next_attempt_ns=0)
        )
        with self._engine.begin() as connection:
            return connection.execute(statement).rowcount

    def _failed(self, error: Exception) -> SinkError:
        return SinkError(
            expected="the database to take the transaction",
            got=f"{type(error).__name__}",
            where=self._engine.url.render_as_string(hide_password=True),
            action="check the database and its disk, then --resume: the log has everything",
        )


def _applied(connection: sa.Connection, partition: str) -> int:
    found = connection.scalar(
        sa.select(applied_through.c.log_sequence).where(applied_through.c.partition == partition)
    )
    return -1 if found is None else int(found)


def _row(partition: str, sequence: int, decision: Decision) -> dict[str, Any]:
    plain = decision.as_mapping()
    plain["reasons"] = json.dumps(plain["reasons"], sort_keys=True)
    for name in ("transition", "status", "severity", "mode"):
        plain[name] = str(plain[name])
    plain["canonical"] = decision.canonical_bytes().decode()
    plain["partition"] = partition
    plain["log_sequence"] = sequence
    return plain


def _insert(connection: sa.Connection, table: sa.Table) -> Any:
    if connection.dialect.name == "postgresql":
        return postgresql.insert(table)
    return sqlite.insert(table)


def _insert_ignoring(connection: sa.Connection, table: sa.Table) -> Any:
    return _insert(connection, table).on_conflict_do_nothing()


def _use_wal(connection: Any, record: object) -> None:
    cursor = connection.cursor()
    cursor.execute("PRAGMA journal_mode=WAL")
    cursor.execute("PRAGMA synchronous=NORMAL")  # derived data: the log is what must be durable
    cursor.execute("PRAGMA busy_timeout=5000")
    cursor.close()
