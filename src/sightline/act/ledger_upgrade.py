"""Bringing the ledger in a database to the version of this Sightline.

A file (SQLite) is never upgraded: it is derived from the logs beside it, and made again from them.
A database is shared: its tables are brought on by the steps in :mod:`sightline.act.migrations`, all
in one transaction, so that it is either at the new version or untouched.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from sightline.act.ledger_database import (
    ledger_engine,
    recorded_address,
    schema_version,
    translated,
    writing,
)
from sightline.errors import UsageError

_REVISIONS = "ledger_revision"
_ONE_AT_A_TIME = 0x51_9471_1EE  # key of an advisory lock, any number that is always the same


@dataclass(frozen=True, slots=True, kw_only=True)
class SchemaState:
    """Which steps a database has, and which this Sightline knows.

    Attributes:
        found: newest step that the database has; ``""``: it has no ledger.
        newest: newest step there is.
    """

    found: str
    newest: str

    def __bool__(self) -> bool:
        return self.found == self.newest


def check_schema(url: str) -> SchemaState:
    """Which version the tables of a database are.

    Raises:
        UsageError: no PostgreSQL, or Alembic is not installed.
        SinkError: the database does not answer.
    """
    engine = _engine(url)
    try:
        with translated(engine.url), engine.connect() as connection:
            return SchemaState(found=_found(connection), newest=_newest())
    finally:
        engine.dispose()


def upgrade_schema(url: str) -> tuple[SchemaState, SchemaState]:
    """Bring a database to the newest version, or make the tables where there are none.

    Who comes second waits for the first, and finds nothing left to do.

    Returns:
        What was found, and what is there now.

    Raises:
        UsageError: no PostgreSQL, or Alembic is not installed, or a version that is newer.
        SinkError: the database does not answer, or refuses. Nothing was changed.
    """
    engine = _engine(url)
    try:
        with writing(engine) as connection:
            schema = sa.make_url(url).query.get("schema")
            if schema:
                connection.execute(sa.schema.CreateSchema(str(schema), if_not_exists=True))
            connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_ONE_AT_A_TIME)))
            before = SchemaState(found=_found(connection), newest=_newest())
            if before.found > before.newest:
                raise UsageError(
                    expected=f"tables of version {before.newest} or before",
                    got=before.found,
                    where=recorded_address(url),
                    action="install the version of Sightline that made them",
                )
            _upgrade(connection, before.found)
            return before, SchemaState(found=_found(connection), newest=before.newest)
    finally:
        engine.dispose()


def _engine(url: str) -> sa.Engine:
    engine = ledger_engine(url)
    if engine.url.get_backend_name() != "postgresql":
        raise UsageError(
            expected="a ledger in PostgreSQL",
            got="a file",
            where="--ledger",
            action="a file needs no upgrade: move it away and resume the run, which makes it again",
        )
    return engine


def _steps() -> Any:
    """The steps, as Alembic reads them from the package."""
    try:
        from alembic.config import Config  # noqa: PLC0415 - an extra
        from alembic.script import ScriptDirectory  # noqa: PLC0415 - an extra
    except ModuleNotFoundError as error:
        raise UsageError(
            expected="Alembic, which knows the steps",
            got="no module alembic",
            where="sightline schema",
            action="pip install 'sightline[postgres]'",
        ) from error
    configuration = Config()
    configuration.set_main_option("script_location", "sightline.act:migrations")
    configuration.set_main_option("path_separator", "os")
    return ScriptDirectory.from_config(configuration)


def _newest() -> str:
    return str(_steps().get_current_head())


def _found(connection: sa.Connection) -> str:
    """The newest step; of a ledger that a run has made, the one that equals its version."""
    tables = sa.inspect(connection)
    if tables.has_table(_REVISIONS):
        revision = sa.text(f"SELECT version_num FROM {_REVISIONS}")  # noqa: S608 - a constant
        return str(connection.execute(revision).scalar() or "")
    if not tables.has_table(schema_version.name):
        return ""
    version = connection.execute(sa.select(schema_version.c.version)).scalar_one()
    return f"{version:04d}"


def _upgrade(connection: sa.Connection, found: str) -> None:
    steps = _steps()
    from alembic.config import Config  # noqa: PLC0415 - an extra
    from alembic.runtime.environment import EnvironmentContext  # noqa: PLC0415 - an extra

    def to_do(revision: Any, _: Any) -> Any:
        return steps._upgrade_revs("head", revision)

    with EnvironmentContext(Config(), steps, fn=to_do) as environment:
        environment.configure(connection=connection, version_table=_REVISIONS)
        if found and not sa.inspect(connection).has_table(_REVISIONS):
            environment.get_context().stamp(steps, found)
        environment.run_migrations()
