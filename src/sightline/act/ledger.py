"""The ledger: what was decided, in a database, derived from the logs of the partitions.

One transaction holds the decisions of a commit, their outbox rows, the accounts and how far the
log was applied. After a crash the same entries can be applied again without a second effect.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import sqlalchemy as sa

from sightline.act.ledger_database import accounts as accounts_table
from sightline.act.ledger_database import (
    add_rows,
    dispositions,
    file_identity,
    insert,
    messages,
    open_database,
    reading,
    writing,
)
from sightline.act.ledger_database import applied_through as applied_table
from sightline.act.ledger_database import decisions as decisions_table
from sightline.act.ledger_database import parts as parts_table
from sightline.act.ledger_database import writer as writer_table
from sightline.act.notices import Notice, Told
from sightline.act.outbox import OutboxTable
from sightline.errors import LogError, UsageError
from sightline.limits import DEFAULT_LIMITS, Limits
from sightline.records import Accounts, Decision
from sightline.records.decision import Status
from sightline.records.part import PartNote, PartRecord, note_bytes, note_of
from sightline.records.plain_json import number_or_null

_AFTER_ANY_TEXT = "\U0010ffff"  # the last code point, so it sorts after whatever follows a prefix
_SHOWN_IDS = 3


class Ledger:
    """Decisions, messages, accounts and outbox in SQLite (WAL) or PostgreSQL.

    One process applies; any number may read. A key (decision id, revision) that is known keeps
    what it says: nothing that was published changes silently.

    >>> with Ledger.open("sqlite://") as ledger:
    ...     ledger.applied_through("p000")
    -1
    """

    def __init__(self, engine: sa.Engine, *, limits: Limits = DEFAULT_LIMITS) -> None:
        self._engine = engine
        self._file = file_identity(engine.url)
        self._outbox = OutboxTable(engine, limits=limits)
        self._claim: tuple[str, int] | None = None

    @classmethod
    def open(cls, url: str, *, create: bool = True, limits: Limits = DEFAULT_LIMITS) -> Ledger:
        """Open a ledger.

        Args:
            url: SQLAlchemy address, for example ``sqlite:///ledger.sqlite`` or
                ``postgresql+psycopg://host/database``.
            create: make the tables where there are none.
            limits: bounds of the outbox.

        Raises:
            UsageError: the address cannot work, or the driver is not installed.
            LogError: no ledger there (without ``create``), a damaged one, or another version.
            SinkError: the database does not answer.
        """
        return cls(open_database(url, create=create), limits=limits)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Release the database. What was applied is already there."""
        self._engine.dispose()

    def is_in_place(self) -> bool:
        """Whether the file that was opened is still the one at its address.

        SQLite would go on writing to one that was deleted, which nobody could read any more.
        """
        return file_identity(self._engine.url) == self._file

    def claim(self, run_id: str, *, epoch: int, is_closed: bool = False) -> None:
        """Let this opening of a run write, and no earlier one any more.

        Args:
            run_id: of the run.
            epoch: of the opening; a later opening of the run has a higher one.
            is_closed: it has ended as it should, and writes nothing any more.

        Raises:
            LogError: it is the ledger of another run, or a later opening has claimed it.
        """
        with writing(self._engine) as connection:
            found = connection.execute(sa.select(writer_table)).mappings().all()
            if [row["run_id"] for row in found] not in ([], [run_id]):
                raise LogError(
                    expected=f"the ledger of run {run_id[:16]}",
                    got=f"that of run {found[0]['run_id'][:16]}",
                    where="ledger",
                    action="restore the ledger of this run, or move it away and resume the run: "
                    "the ledger is rebuilt from the log; in a database name another schema, "
                    "…?schema=NAME",
                )
            if found and found[0]["epoch"] > epoch:
                raise _superseded(epoch, found[0]["epoch"])
            connection.execute(sa.delete(writer_table))
            connection.execute(
                sa.insert(writer_table).values(run_id=run_id, epoch=epoch, is_closed=is_closed)
            )
        self._claim = (run_id, epoch)

    def claimed_by(self) -> tuple[str, int, bool] | None:
        """Run id, epoch of the last opening, and whether that ended as it should."""
        with reading(self._engine) as connection:
            found = connection.execute(sa.select(writer_table)).mappings().first()
        return None if found is None else (found["run_id"], found["epoch"], found["is_closed"])

    def _check_claim(self, connection: sa.Connection) -> None:
        if self._claim is None:
            return
        run_id, epoch = self._claim
        # Locked until this transaction ends: nobody can claim the ledger between look and write.
        claimed = sa.select(writer_table).with_for_update(read=True)
        found = connection.execute(claimed).mappings().first()
        if found is None or (found["run_id"], found["epoch"]) != (run_id, epoch):
            raise _superseded(epoch, None if found is None else found["epoch"])

    @property
    def outbox(self) -> OutboxTable:
        """The alerts and how far their delivery is."""
        return self._outbox

    def apply(
        self,
        partition: str,
        decisions: Sequence[tuple[int, Decision]],
        *,
        through_sequence: int,
        accounts: Accounts,
        chain_hash: str = "",
        sinks: Sequence[str] = (),
        shelved: Collection[str] = (),
        told: Sequence[tuple[int, Told]] = (),
        notice_sinks: Sequence[str] = (),
        parts: Sequence[tuple[int, PartNote]] = (),
    ) -> int:
        """Apply one commit of one partition's log, in one transaction.

        What lies at or before :meth:`applied_through` is left out, so that applying again, or
        an older part of the log, changes nothing.

        Args:
            partition: whose log they come from.
            decisions: (log sequence, decision) of the commit.
            through_sequence: last log sequence of the commit.
            accounts: of the partition after the commit.
            chain_hash: of the partition's log after the commit, 64 hex digits.
            sinks: names of the sinks that get an outbox row for each new decision.
            shelved: ids of decisions that are kept in the outbox but told to nobody.
            told: (log sequence, what an alert desk said) of the commit.
            notice_sinks: names of the sinks that get an outbox row for each new message.
            parts: (log sequence, record of a part or review of one) of the commit.

        Returns:
            How many (decision id, revision) were new to the ledger.

        Raises:
            UsageError: a decision or message lies beyond ``through_sequence``.
            LogError: a later opening of the run has claimed the ledger.
            SinkError: the database failed, or the outbox is full. Nothing was applied.
        """
        sequences = [s for given in (decisions, told, parts) for s, _ in given]
        last = max(sequences, default=through_sequence)
        if last > through_sequence:
            raise UsageError(
                expected=f"log sequences up to {through_sequence}",
                got=str(last),
                where=f"commit of partition {partition}",
                action="apply whole commits",
            )
        with writing(self._engine) as connection:
            self._check_claim(connection)
            before = _lock_applied(connection, partition)
            if through_sequence <= before:
                return 0
            rows = _DecisionRows(partition, [one for one in decisions if one[0] > before])
            new = 0
            if rows.decisions:
                add_rows(connection, decisions_table, rows, count=len(rows.decisions))
                new = self._outbox.fill(
                    connection, partition, after=before, sinks=sinks, shelved=shelved
                )
            fresh = [(s, one) for s, one in told if s > before]
            if fresh:
                store_told(connection, partition, fresh)
                self._outbox.fill_notices(connection, partition, after=before, sinks=notice_sinks)
            notes = [_part_row(partition, s, note) for s, note in parts if s > before]
            if notes:
                connection.execute(insert(connection, parts_table).on_conflict_do_nothing(), notes)
            connection.execute(
                sa.update(applied_table)
                .where(applied_table.c.partition == partition)
                .values(log_sequence=through_sequence, chain_hash=chain_hash)
            )
            _store_accounts(connection, partition, accounts)
            return new

    def applied_through(self, partition: str) -> int:
        """Last log sequence of ``partition`` that was applied, -1 for none."""
        with reading(self._engine) as connection:
            found = connection.scalar(
                sa.select(applied_table.c.log_sequence).where(
                    applied_table.c.partition == partition
                )
            )
        return -1 if found is None else int(found)

    def positions(self) -> dict[str, tuple[int, str]]:
        """How far each log was applied: the last log sequence, and the chain's hash after it."""
        found = applied_table
        statement = sa.select(found.c.partition, found.c.log_sequence, found.c.chain_hash)
        with reading(self._engine) as connection:
            return {
                partition: (int(sequence), chain_hash)
                for partition, sequence, chain_hash in connection.execute(
                    statement.order_by(found.c.partition)
                )
            }

    def derived_rows(self) -> dict[str, dict[tuple[object, ...], Mapping[str, object]]]:
        """Every row that follows from the logs, by table and primary key."""
        found: dict[str, dict[tuple[object, ...], Mapping[str, object]]] = {}
        with reading(self._engine) as connection:
            for table in (decisions_table, messages, dispositions, parts_table):
                keys = [column.name for column in table.primary_key]
                rows = connection.execute(sa.select(table)).mappings().all()
                found[table.name] = {tuple(row[key] for key in keys): dict(row) for row in rows}
        return found

    def accounts(self) -> Accounts:
        """Accounts of all partitions together."""
        statement = sa.select(accounts_table.c.accounts).order_by(accounts_table.c.partition)
        with reading(self._engine) as connection:
            texts = connection.scalars(statement).all()
        return Accounts.total(Accounts(**json.loads(text)) for text in texts)

    def decisions(
        self, *, subject: str | None = None, kind: str | None = None, final_only: bool = False
    ) -> list[Decision]:
        """Decisions sorted by (event time, subject, kind, revision, id).

        Args:
            subject: of this subject only.
            kind: of this kind only.
            final_only: only what stands: the last revision of each, retracted ones left out.
                Revision numbers stay as published; ``records.decision.final_revisions``
                normalises them for a comparison of runs.
        """
        found = decisions_table
        statement = sa.select(found.c.canonical).order_by(
            found.c.event_ns, found.c.subject, found.c.kind, found.c.revision, found.c.decision_id
        )
        if subject is not None:
            statement = statement.where(found.c.subject == subject)
        if kind is not None:
            statement = statement.where(found.c.kind == kind)
        if final_only:
            later = found.alias("later")
            statement = statement.where(
                found.c.status != Status.RETRACTED.value,
                ~sa.exists().where(
                    later.c.decision_id == found.c.decision_id,
                    later.c.revision > found.c.revision,
                ),
            )
        with reading(self._engine) as connection:
            return [Decision.from_bytes(text.encode()) for text in connection.scalars(statement)]

    def parts(self, name: str | None = None) -> list[PartNote]:
        """Records of parts and reviews of them, in the order in which they were made.

        Args:
            name: serial or id of a part; None: of all parts.
        """
        found = parts_table
        statement = sa.select(found.c.canonical).order_by(found.c.partition, found.c.log_sequence)
        if name is not None:
            same = sa.select(found.c.part_id).where(
                sa.or_(found.c.serial == name, found.c.part_id == name)
            )
            statement = statement.where(found.c.part_id.in_(same))
        with reading(self._engine) as connection:
            return [note_of(text.encode()) for text in connection.scalars(statement)]

    def notices(self) -> list[Notice]:
        """Every message of an alert desk, in the order in which they were said."""
        with reading(self._engine) as connection:
            return stored_notices(connection)

    def notices_by_kind(self) -> Mapping[str, int]:
        """Messages of an alert desk by kind."""
        with reading(self._engine) as connection:
            return notice_counts(connection)

    def alerts_by_fate(self) -> Mapping[str, int]:
        """Alerts by where they are: the last disposition of each counts."""
        with reading(self._engine) as connection:
            return disposition_counts(connection)

    def decision(self, decision_id: str) -> list[Decision]:
        """All revisions of one decision, given its id or an unambiguous beginning of it.

        Raises:
            UsageError: no such id (the closest one is named), or several begin like this.
        """
        ids = decisions_table.c.decision_id
        statement = (
            sa.select(ids)
            .where(ids >= decision_id, ids < decision_id + _AFTER_ANY_TEXT)
            .distinct()
            .order_by(ids)
            .limit(_SHOWN_IDS + 1)
        )
        with reading(self._engine) as connection:
            found = connection.scalars(statement).all()
            if decision_id in found:  # an id may be the beginning of another
                found = [decision_id]
            if not found:
                raise _unknown(decision_id, _closest(connection, decision_id))
            if len(found) > 1:
                raise _ambiguous(decision_id, found)
            texts = connection.scalars(
                sa.select(decisions_table.c.canonical)
                .where(ids == found[0])
                .order_by(decisions_table.c.revision)
            ).all()
        return [Decision.from_bytes(text.encode()) for text in texts]


def _lock_applied(connection: sa.Connection, partition: str) -> int:
    """How far the partition was applied; its row stays locked until the transaction ends."""
    first = {"partition": partition, "log_sequence": -1, "chain_hash": ""}
    connection.execute(insert(connection, applied_table).values(first).on_conflict_do_nothing())
    return int(
        connection.execute(
            sa.select(applied_table.c.log_sequence)
            .where(applied_table.c.partition == partition)
            .with_for_update()
        ).scalar_one()
    )


def _superseded(epoch: int, found: int | None) -> LogError:
    return LogError(
        expected=f"a ledger that opening {epoch} of the run writes",
        got="none that it may write" if found is None else f"one that opening {found} writes",
        where="ledger",
        action="leave the run to the later opening: what was committed here is in the log",
    )


def _store_accounts(connection: sa.Connection, partition: str, accounts: Accounts) -> None:
    plain = {
        "received": accounts.received,
        "decided": accounts.decided,
        "superseded": accounts.superseded,
        "dropped": dict(accounts.dropped),
        "quarantined": dict(accounts.quarantined),
        "in_flight": accounts.in_flight,
    }
    text = json.dumps(plain, sort_keys=True)
    connection.execute(
        insert(connection, accounts_table)
        .values(partition=partition, accounts=text)
        .on_conflict_do_update(index_elements=["partition"], set_={"accounts": text})
    )


@dataclass(frozen=True, slots=True)
class _DecisionRows:
    """Decisions of a partition's log as rows of the table, made as they are asked for."""

    partition: str
    decisions: Sequence[tuple[int, Decision]]

    def __iter__(self) -> Iterator[tuple[Any, ...]]:
        """The values in the order of the table's columns."""
        for sequence, one in self.decisions:
            reasons = [reason.as_mapping() for reason in one.reasons]
            yield (
                one.decision_id,
                one.revision,
                one.pipeline,
                one.subject,
                one.group,
                one.kind,
                one.transition.value,
                one.event_ns,
                one.window_start_ns,
                one.window_end_ns,
                one.severity.value,
                number_or_null(one.score),
                number_or_null(one.confidence),
                one.status.value,
                _REASONS.encode(reasons),
                one.mode.value,
                one.trace_id,
                one.canonical_bytes().decode(),
                self.partition,
                sequence,
            )


_REASONS = json.JSONEncoder(sort_keys=True, ensure_ascii=False)


def _part_row(partition: str, sequence: int, note: PartNote) -> dict[str, Any]:
    if isinstance(note, PartRecord):
        what, serial, said, at_ns = "record", note.serial, str(note.disposition), note.decided_ns
    else:
        what, serial, said, at_ns = "review", "", note.verdict, note.given_ns
    return {
        "partition": partition,
        "log_sequence": sequence,
        "what": what,
        "part_id": note.part_id,
        "serial": serial,
        "disposition": said,
        "at_ns": at_ns,
        "canonical": note_bytes(note).decode(),
    }


def _closest(connection: sa.Connection, decision_id: str) -> str | None:
    """The id that shares the longest beginning: one of the two neighbours in sorted order."""
    ids = decisions_table.c.decision_id
    neighbours = (
        connection.scalar(sa.select(sa.func.max(ids)).where(ids < decision_id)),
        connection.scalar(sa.select(sa.func.min(ids)).where(ids > decision_id)),
    )
    return max(
        (one for one in neighbours if one is not None),
        key=lambda one: _shared_chars(one, decision_id),
        default=None,
    )


def _shared_chars(a: str, b: str) -> int:
    return next(
        (i for i, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b))
    )


def _unknown(decision_id: str, closest: str | None) -> UsageError:
    return UsageError(
        expected="the id of a decision, or its beginning",
        got=f"{decision_id!r}, which is unknown",
        where="ledger",
        action="the ledger holds no decision yet" if closest is None else f"closest is {closest}",
    )


def _ambiguous(decision_id: str, found: Sequence[str]) -> UsageError:
    more = ", …" if len(found) > _SHOWN_IDS else ""
    return UsageError(
        expected="the beginning of one id",
        got=f"{decision_id!r}, with which {', '.join(found[:_SHOWN_IDS])}{more} begin",
        where="ledger",
        action="give more of the id",
    )


_NOTICE_COLUMNS = tuple(messages.c[name] for name in Notice.__slots__)


def store_told(connection: sa.Connection, partition: str, told: Sequence[tuple[int, Told]]) -> None:
    """Store what a desk said, by log sequence; what is known keeps what it says."""
    notices = [
        (*(getattr(notice, name) for name in _NOTICE_NAMES), partition, sequence, item)
        for sequence, one in told
        for item, notice in enumerate(one.notices)
    ]
    disposed = [
        (partition, sequence, item, *(plain[name] for name in _DISPOSITION))
        for sequence, one in told
        for item, plain in enumerate(one.dispositions)
    ]
    for table, rows in ((messages, notices), (dispositions, disposed)):
        if rows:
            add_rows(connection, table, rows, count=len(rows))


# Columns in the order of their tables, beside place in the log, which is last and first of them.
_NOTICE_NAMES = tuple(column.name for column in messages.columns)[:-3]
_DISPOSITION = tuple(column.name for column in dispositions.columns)[3:]


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
