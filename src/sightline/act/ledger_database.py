"""The database under the ledger: its tables, opening it, its version, transactions and failures.

The tables are the same on SQLite and PostgreSQL. Upgrade rule: everything here is derived, so a
file of another version is refused by name, moved away by its owner, and rebuilt from the log. Those
of a database, which others read too, are brought on by :mod:`.ledger_upgrade`.
"""

from __future__ import annotations

import contextlib
import hashlib
import math
import os
import re
import stat
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from sightline.errors import LogError, SightlineError, SinkError, UsageError


class LedgerDamaged(LogError):
    """The database is there and cannot be used; the log gives it again."""


LEDGER_VERSION = 4
"""1: decisions, accounts, outbox. 2: also messages and dispositions of an alert desk. 3: also who
writes, and the hash of each log where it was applied. 4: also parts."""

PENDING = "pending"
DELIVERED = "delivered"
FAILED = "failed"
SHELVED = "shelved"
DISCARDED = "discarded"

metadata = sa.MetaData()

# SQLite compares text by bytes. PostgreSQL does so only in the C collation; without it the order
# of subjects, and the search for the beginning of an id, would depend on the server's locale.
Text = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
# SQLite numbers rows by itself only in a column declared INTEGER, which holds 64 bits there.
_RowNumber = sa.BigInteger().with_variant(sa.Integer(), "sqlite")

schema_version = sa.Table(
    "schema_version", metadata, sa.Column("version", sa.Integer, primary_key=True)
)

decisions = sa.Table(
    "decisions",
    metadata,
    sa.Column("decision_id", Text, primary_key=True),
    sa.Column("revision", sa.Integer, primary_key=True),
    sa.Column("pipeline", Text, nullable=False),
    sa.Column("subject", Text, nullable=False),
    sa.Column("group", Text, nullable=False),
    sa.Column("kind", Text, nullable=False),
    sa.Column("transition", Text, nullable=False),
    sa.Column("event_ns", sa.BigInteger, nullable=False),
    sa.Column("window_start_ns", sa.BigInteger, nullable=False),
    sa.Column("window_end_ns", sa.BigInteger, nullable=False),
    sa.Column("severity", Text, nullable=False),
    sa.Column("score", sa.Double, nullable=True),  # null: not finite
    sa.Column("confidence", sa.Double, nullable=True),  # null: not finite
    sa.Column("status", Text, nullable=False),
    sa.Column("reasons", Text, nullable=False),  # JSON list
    sa.Column("mode", Text, nullable=False),
    sa.Column("trace_id", Text, nullable=False),
    sa.Column("canonical", Text, nullable=False),  # the bytes that replay reproduces
    sa.Column("partition", Text, nullable=False),
    sa.Column("log_sequence", sa.BigInteger, nullable=False),
)
sa.Index("decisions_by_event", decisions.c.event_ns)
sa.Index("decisions_by_subject", decisions.c.subject, decisions.c.event_ns)
sa.Index("decisions_by_log", decisions.c.partition, decisions.c.log_sequence)

# How far each log was applied. A number alone would fit another log, or one that was cut.
applied_through = sa.Table(
    "applied_through",
    metadata,
    sa.Column("partition", Text, primary_key=True),
    sa.Column("log_sequence", sa.BigInteger, nullable=False),
    sa.Column("chain_hash", Text, nullable=False),  # of the log's chain after that entry
)

# One row: the run whose ledger this is, and which opening of it may write.
writer = sa.Table(
    "writer",
    metadata,
    sa.Column("run_id", Text, primary_key=True),
    sa.Column("epoch", sa.BigInteger, nullable=False),  # a later opening has a higher one
    sa.Column("is_closed", sa.Boolean, nullable=False),  # that opening ended as it should
)

accounts = sa.Table(
    "accounts",
    metadata,
    sa.Column("partition", Text, primary_key=True),
    sa.Column("accounts", Text, nullable=False),  # JSON of records.Accounts
)

messages = sa.Table(
    "messages",
    metadata,
    sa.Column("notice_id", Text, primary_key=True),
    sa.Column("message_id", Text, nullable=False),
    sa.Column("kind", Text, nullable=False),
    sa.Column("at_ns", sa.BigInteger, nullable=False),
    sa.Column("subject", Text, nullable=False),
    sa.Column("code", Text, nullable=False),
    sa.Column("severity", Text, nullable=False),
    sa.Column("count", sa.Integer, nullable=False),
    sa.Column("update_of", Text, nullable=False),
    sa.Column("canonical", Text, nullable=False),
    sa.Column("partition", Text, nullable=False),
    sa.Column("log_sequence", sa.BigInteger, nullable=False),
    sa.Column("item", sa.Integer, nullable=False),  # position in its log entry
)
sa.Index("messages_by_log", messages.c.partition, messages.c.log_sequence, messages.c.item)

# Every change of where an alert is; the last one of an alert stands.
dispositions = sa.Table(
    "dispositions",
    metadata,
    sa.Column("partition", Text, primary_key=True),
    sa.Column("log_sequence", sa.BigInteger, primary_key=True),
    sa.Column("item", sa.Integer, primary_key=True),  # position in its log entry
    sa.Column("alert_id", Text, nullable=False),
    sa.Column("fate", Text, nullable=False),
    sa.Column("before", Text, nullable=True),
    sa.Column("cause", Text, nullable=False),
    sa.Column("reason", Text, nullable=False),
    sa.Column("held_by", Text, nullable=False),
    sa.Column("at_ns", sa.BigInteger, nullable=False),
)
sa.Index("dispositions_by_alert", dispositions.c.alert_id)

# Records of parts, and reviews of them: one row for each entry, none is ever changed.
parts = sa.Table(
    "parts",
    metadata,
    sa.Column("partition", Text, primary_key=True),
    sa.Column("log_sequence", sa.BigInteger, primary_key=True),
    sa.Column("what", Text, nullable=False),  # record or review
    sa.Column("part_id", Text, nullable=False),
    sa.Column("serial", Text, nullable=False),  # "" of a review
    sa.Column("disposition", Text, nullable=False),  # verdict of a review
    sa.Column("at_ns", sa.BigInteger, nullable=False),  # decided, or given
    sa.Column("canonical", Text, nullable=False),  # the bytes that replay reproduces
)
sa.Index("parts_by_id", parts.c.part_id)
sa.Index("parts_by_serial", parts.c.serial)

outbox = sa.Table(
    "outbox",
    metadata,
    # The order in which things were said, which is the order of delivery. Event time is not: a
    # revision of an old decision may be said after a newer decision.
    sa.Column("position", _RowNumber, primary_key=True, autoincrement=True),
    sa.Column("idempotency_key", Text, nullable=False),  # decision_id:revision, or notice_id
    sa.Column("sink", Text, nullable=False),
    sa.Column("decision_id", Text, nullable=True),  # of a decision
    sa.Column("revision", sa.Integer, nullable=True),
    sa.Column("notice_id", Text, nullable=True),  # of a message
    sa.Column("subject", Text, nullable=False),
    sa.Column("state", Text, nullable=False),  # one of the words above
    sa.Column("attempts", sa.Integer, nullable=False),
    sa.Column("next_attempt_ns", sa.BigInteger, nullable=False),
    sa.Column("last_error", Text, nullable=False),
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


_WRITES = "sightline_writes"
_BUSY_S = 5.0
"""How long a transaction waits for another process to finish writing to the same SQLite file."""
_SHOWN_CHARS = 200
_REBUILD = "move it away and resume the run: the ledger is rebuilt from the log"


def open_database(url: str, *, create: bool) -> sa.Engine:
    """Connect, make the tables where ``create`` allows it, and check the version.

    Raises:
        UsageError: ``url`` is not the address of a SQLite or PostgreSQL database, or its driver
            is not installed.
        LogError: no ledger there, a damaged one, or one of another version.
        SinkError: the database does not answer.
    """
    engine = ledger_engine(url)
    address = engine.url
    if address.get_backend_name() == "sqlite":
        check_file(address, create=create)
    try:
        with writing(engine) as connection:
            schema = sa.make_url(url).query.get("schema")
            if create and schema:
                connection.execute(sa.schema.CreateSchema(str(schema), if_not_exists=True))
            _check_version(connection, create=create)
    except BaseException:
        engine.dispose()
        raise
    return engine


def settled_digest(url: str) -> str:
    """SHA-256 of a ledger's SQLite file once all that was written is in it; hex.

    ``""`` where that cannot be had: another process reads or writes, or it is no SQLite file.
    """
    engine = open_database(url, create=False)
    try:
        if engine.url.get_backend_name() != "sqlite":
            return ""
        path = Path(str(engine.url.database))
        with translated(engine.url), engine.connect() as connection:
            connection.exec_driver_sql("ROLLBACK")
            is_busy = connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)").scalar_one()
            connection.exec_driver_sql("BEGIN")
    finally:
        engine.dispose()
    return "" if is_busy else file_digest(path)


def file_digest(path: Path) -> str:
    """SHA-256 of a ledger's SQLite file, hex; ``""`` where there is no such file, or more of it in
    another beside it. What lies there may come from anybody: a pipe would never end.
    """
    beside = path.with_name(f"{path.name}-wal")
    if not path.is_file() or (beside.exists() and beside.stat().st_size):
        return ""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextlib.contextmanager
def writing(engine: sa.Engine) -> Iterator[sa.Connection]:
    """One write transaction: committed at the end, rolled back on any error."""
    with translated(engine.url), engine.execution_options(**{_WRITES: True}).begin() as connection:
        yield connection


@contextlib.contextmanager
def reading(engine: sa.Engine) -> Iterator[sa.Connection]:
    """One consistent view of the database."""
    with translated(engine.url), engine.connect() as connection:
        yield connection


def insert(connection: sa.Connection, table: sa.Table) -> Any:
    """An INSERT that knows ``ON CONFLICT``, which SQLAlchemy offers per dialect only."""
    if connection.dialect.name == "postgresql":
        return postgresql.insert(table)
    return sqlite.insert(table)


def add_rows(
    connection: sa.Connection, table: sa.Table, rows: Iterable[Sequence[Any]], *, count: int
) -> None:
    """Add rows, in the running transaction; what has a key that is known changes nothing.

    Many rows go to PostgreSQL by COPY, straight into the table. COPY knows no ``ON CONFLICT``:
    where a key is known after all, they go again into a table of the transaction and from there.

    Args:
        connection: in a transaction.
        table: with these columns.
        rows: the values of each column, in the table's order. Gone through twice at most, and as
            they are sent, so that making them and storing them share the time.
        count: how many they are.
    """
    names = ", ".join(f'"{column.name}"' for column in table.columns)
    if connection.dialect.name != "postgresql" or count < _COPY_ROWS:
        mark = "%s" if connection.dialect.name == "postgresql" else "?"
        marks = ", ".join([mark] * len(table.columns))
        connection.exec_driver_sql(
            f"INSERT INTO {table.name} ({names}) VALUES ({marks}) "  # noqa: S608 - ours
            "ON CONFLICT DO NOTHING",
            [tuple(row) for row in rows],
        )
        return
    try:
        with connection.begin_nested():
            _copy(connection, table.name, names, rows)
    except sa.exc.IntegrityError:
        waiting = f"copied_{table.name}"
        connection.exec_driver_sql(
            f"CREATE TEMPORARY TABLE IF NOT EXISTS {waiting} "
            f"(LIKE {table.name} INCLUDING DEFAULTS) ON COMMIT DELETE ROWS"
        )
        _copy(connection, waiting, names, rows)
        connection.exec_driver_sql(
            f"INSERT INTO {table.name} ({names}) SELECT {names} FROM {waiting} "  # noqa: S608 - ours
            "ON CONFLICT DO NOTHING"
        )
        connection.exec_driver_sql(f"TRUNCATE {waiting}")


def _copy(connection: sa.Connection, table: str, names: str, rows: Iterable[Sequence[Any]]) -> None:
    with copying(connection, f"COPY {table} ({names}) FROM STDIN") as stream:
        for row in rows:
            stream.write_row(row)


@contextlib.contextmanager
def copying(connection: sa.Connection, statement: str) -> Iterator[Any]:
    """What a COPY of PostgreSQL is written to; the driver's errors become those of SQLAlchemy."""
    errors = connection.dialect.loaded_dbapi.Error
    try:
        with connection.connection.cursor().copy(statement) as stream:
            yield stream
    except errors as error:
        raise sa.exc.DBAPIError.instance(
            statement, None, error, errors, hide_parameters=True, dialect=connection.dialect
        ) from error


_COPY_ROWS = 100
"""From so many rows on COPY is quicker than statements."""


def shown(address: sa.URL) -> str:
    """The address without user, password and options, any of which may carry a secret."""
    bare = sa.URL.create(
        address.drivername, host=address.host, port=address.port, database=address.database
    )
    return bare.render_as_string(hide_password=True)


def recorded_address(url: str) -> str:
    """The address without password and options, from which a database can be found again.

    >>> recorded_address("postgresql://me:secret@host/db?schema=gate&sslmode=require")
    'postgresql://me@host/db?schema=gate'
    """
    try:
        address = sa.make_url(url)
    except (sa.exc.ArgumentError, ValueError):
        raise _no_address() from None
    schema = address.query.get("schema")
    bare = sa.URL.create(  # `URL.set` takes a password of None for "as it is"
        address.drivername,
        username=address.username,
        host=address.host,
        port=address.port,
        database=address.database,
        query={"schema": schema} if schema else {},
    )
    return bare.render_as_string()


def _postgres(address: sa.URL, *, connect_s: float | None) -> sa.Engine:
    """An engine whose every wait has an end, in the schema that the address names."""
    options = [str(address.query.get("options", ""))]
    options += [f"-c{name}={value}" for name, value in _POSTGRES_WAITS.items()]
    schema = address.query.get("schema")
    if schema is not None:
        if not (isinstance(schema, str) and _SCHEMA.fullmatch(schema)):
            raise UsageError(
                expected="a schema of letters, digits and underscores, in lower case",
                got="another name",
                where="ledger",
                action="write for example postgresql://host/database?schema=gateway",
            )
        options.append(f"-csearch_path={schema}")
    address = address.difference_update_query(["schema", "options"])
    if address.drivername == "postgresql":
        address = address.set(drivername="postgresql+psycopg")
    return sa.create_engine(
        address,
        hide_parameters=True,
        pool_pre_ping=True,
        connect_args={
            "connect_timeout": math.ceil(connect_s or _CONNECT_S),
            "options": " ".join(filter(None, options)),
            "application_name": "sightline",
        },
    )


_SCHEMA = re.compile(r"[a-z_][a-z0-9_]{0,62}")
_CONNECT_S = 5
_POSTGRES_WAITS = MappingProxyType(
    {
        "statement_timeout": "60s",
        "lock_timeout": "10s",
        "idle_in_transaction_session_timeout": "60s",
        "tcp_user_timeout": "15s",
    }
)
"""Longest waits of one session: for an answer, for a lock, for a client that is asleep amid a
transaction (its locks would hold up whoever takes over), and for a network that is gone."""


def _no_address() -> UsageError:
    return UsageError(
        expected="a database address such as sqlite:///ledger.sqlite",
        got="something else",
        where="ledger",
        action="mend the address",
    )


def ledger_engine(url: str, *, connect_s: float | None = None) -> sa.Engine:
    """An engine for a ledger's database, whether it is there or not; nothing is opened yet.

    Args:
        url: of SQLite or PostgreSQL.
        connect_s: time to connect, of whole seconds from 2; None: 5.

    Raises:
        UsageError: another database, or its driver is not installed.
    """
    try:
        address = sa.make_url(url)
        backend = address.get_backend_name()
        # Bound values are alerts and accounts; they have no place in an error message.
        engine = None
        if backend == "postgresql":
            engine = _postgres(address, connect_s=connect_s)
        elif backend == "sqlite":
            engine = sa.create_engine(address, hide_parameters=True)
    except (sa.exc.ArgumentError, ValueError):
        # The cause repeats the address, password included.
        raise _no_address() from None
    except ModuleNotFoundError as error:
        raise UsageError(
            expected=f"the driver of {shown(address)}",
            got=f"no module {error.name}",
            where="ledger",
            action="pip install 'sightline[postgres]'",
        ) from error
    if engine is None:
        raise UsageError(
            expected="sqlite or postgresql",
            got=backend,
            where="ledger",
            action="use one of these databases",
        )
    if backend == "sqlite":
        sa.event.listen(engine, "connect", _prepare_sqlite)
        sa.event.listen(engine, "begin", _begin_sqlite)
    return engine


def _prepare_sqlite(connection: Any, _record: object) -> None:
    connection.isolation_level = None  # transactions are begun by _begin_sqlite
    cursor = connection.cursor()
    cursor.execute(f"PRAGMA busy_timeout={round(_BUSY_S * 1000)}")
    cursor.execute("PRAGMA journal_mode=WAL")
    # After a power cut the newest transactions may be gone but the file is whole; the log, which
    # is durable before, gives them again.
    cursor.execute("PRAGMA synchronous=NORMAL")
    cursor.execute("PRAGMA foreign_keys=ON")
    cursor.execute("PRAGMA trusted_schema=OFF")
    cursor.close()


def _begin_sqlite(connection: sa.Connection) -> None:
    # A writer that first reads would fail at its first write if another process wrote in between.
    writes = connection.get_execution_options().get(_WRITES, False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def _check_version(connection: sa.Connection, *, create: bool) -> None:
    if not sa.inspect(connection).has_table(schema_version.name):
        if not create:
            raise _no_ledger(connection.engine.url)
        metadata.create_all(connection)
        connection.execute(sa.insert(schema_version).values(version=LEDGER_VERSION))
    versions = connection.scalars(sa.select(schema_version.c.version).limit(2)).all()
    if list(versions) != [LEDGER_VERSION]:
        raise LogError(
            expected=f"ledger version {LEDGER_VERSION}",
            got=", ".join(map(str, versions)) or "none",
            where=shown(connection.engine.url),
            action=_REBUILD
            if connection.dialect.name == "sqlite"
            else "bring it on: `sightline schema upgrade --ledger …`; or name another schema, and "
            "it is rebuilt from the log",
        )
    if connection.dialect.name == "sqlite":
        _check_schema(connection)


def file_identity(address: sa.URL) -> tuple[int, int] | None:
    """Device and inode of a SQLite file; None of one that is not there, and of other databases."""
    if address.get_backend_name() != "sqlite" or not _sqlite_file_exists(address):
        return None
    found = Path(str(address.database)).stat()
    return found.st_dev, found.st_ino


def _sqlite_file_exists(address: sa.URL) -> bool:
    return address.database not in (None, "", ":memory:") and Path(str(address.database)).exists()


def _check_schema(connection: sa.Connection) -> None:
    """Raise LogError unless a SQLite file has our tables and nothing else.

    A view or a trigger in a file that somebody sent would be run by whoever reads or writes it.
    """
    found = _definitions(connection)
    expected = _our_definitions()
    if found != expected:
        names = {row[1] for row in {*found} ^ {*expected}}
        raise LedgerDamaged(
            expected="the tables of a ledger, and no others",
            got=f"other definitions: {', '.join(sorted(map(repr, names)))[:_SHOWN_CHARS]}",
            where=shown(connection.engine.url),
            action=_REBUILD,
        )


@cache
def _our_definitions() -> tuple[tuple[object, ...], ...]:
    engine = sa.create_engine("sqlite://")
    with engine.begin() as connection:
        metadata.create_all(connection)
        found = _definitions(connection)
    engine.dispose()
    return found


def _definitions(connection: sa.Connection) -> tuple[tuple[object, ...], ...]:
    statement = "SELECT type, name, tbl_name, sql FROM sqlite_master ORDER BY type, name"
    return tuple(tuple(row) for row in connection.exec_driver_sql(statement))


def check_file(address: sa.URL, *, create: bool) -> None:
    """Raise LogError unless a SQLite file may be opened; a new one is made for its owner alone."""
    if address.database in (None, "", ":memory:"):
        if not create:
            raise _no_ledger(address)
        return
    path = Path(str(address.database))
    for found in (path, *(path.with_name(path.name + end) for end in ("-wal", "-shm", "-journal"))):
        try:
            status = found.lstat()
        except FileNotFoundError:
            continue
        except OSError as error:
            raise _unreachable(address, error) from error
        # Through a link, what is written would go into a file of somebody else.
        if not stat.S_ISREG(status.st_mode) or status.st_nlink > 1:
            raise LogError(
                expected="a file of its own, no link, folder or device",
                got="something else",
                where=str(found),
                action=_REBUILD,
            )
    if path.exists():
        return
    if not create:
        raise _no_ledger(address)
    try:
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    except OSError as error:
        raise _unreachable(address, error) from error


def _unreachable(address: sa.URL, error: OSError) -> SinkError:
    return SinkError(
        expected="a folder in which a database can be opened",
        got=error.strerror or type(error).__name__,
        where=shown(address),
        action="check the path, its permissions and the free space",
    )


def _no_ledger(address: sa.URL) -> LogError:
    return LogError(
        expected="a ledger",
        got="none",
        where=shown(address),
        action="check the address, or resume the run: the ledger is rebuilt from the log",
    )


@contextlib.contextmanager
def translated(address: sa.URL) -> Iterator[None]:
    try:
        yield
    except sa.exc.SQLAlchemyError as error:
        raise _failure(address, error) from error


def _failure(address: sa.URL, error: sa.exc.SQLAlchemyError) -> SightlineError:
    cause = getattr(error, "orig", None) or error
    got = " ".join(f"{type(cause).__name__}: {cause}".split())[:_SHOWN_CHARS]
    if address.get_backend_name() == "sqlite":
        # SQLite reports damage with the plain class; what may pass by itself has a class of its
        # own. A table that somebody has dropped does not come back by itself either.
        is_dropped = got.startswith("OperationalError: no such ")
        if type(error) is sa.exc.DatabaseError or is_dropped:
            return LedgerDamaged(
                expected="a sound database", got=got, where=shown(address), action=_REBUILD
            )
    return SinkError(
        expected="the database to take the transaction",
        got=got,
        where=shown(address),
        action="check that it runs and has space, then resume the run: the log has everything",
    )
