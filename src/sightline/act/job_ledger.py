"""Tables of a job in a database: opening them, making them, their version.

They stand beside those of a run's ledger in PostgreSQL, and in a file of their own in SQLite.
Upgrade rule: those in a database are brought on by :mod:`.ledger_upgrade`; a file of another
version is refused by name, and the job computes its rows again.
"""

from __future__ import annotations

from typing import ClassVar, Self

import sqlalchemy as sa

from sightline.act.ledger_database import check_file, ledger_engine, shown, writing
from sightline.errors import LogError


class JobLedger:
    """An opened database with the tables of one kind of job; a context manager.

    Attributes:
        tables: of the job.
        version_table: among them, with one row: the version.
        version: that this Sightline makes and reads.
        what: they hold, for errors.
        views: statements that make views of them.
    """

    tables: ClassVar[sa.MetaData]
    version_table: ClassVar[sa.Table]
    version: ClassVar[int] = 1
    what: ClassVar[str]
    views: ClassVar[tuple[str, ...]] = ()

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine

    @classmethod
    def open(cls, url: str, *, create: bool = True) -> Self:
        """Open it; with ``create`` the tables are made where there are none.

        Raises:
            UsageError: the address cannot work, or the driver is not installed.
            LogError: nothing there (without ``create``), or another version.
            SinkError: the database does not answer.
        """
        engine = ledger_engine(url)
        try:
            if engine.url.get_backend_name() == "sqlite":
                check_file(engine.url, create=create)
            with writing(engine) as connection:
                schema = sa.make_url(url).query.get("schema")
                if create and schema:
                    connection.execute(sa.schema.CreateSchema(str(schema), if_not_exists=True))
                cls._check(connection, create=create)
        except BaseException:
            engine.dispose()
            raise
        return cls(engine)

    @classmethod
    def _check(cls, connection: sa.Connection, *, create: bool) -> None:
        if not sa.inspect(connection).has_table(cls.version_table.name):
            if not create:
                raise cls._other_version(connection, "none")
            cls.tables.create_all(connection)
            for view in cls.views:
                connection.exec_driver_sql(view)
            connection.execute(sa.insert(cls.version_table).values(version=cls.version))
        found = list(connection.scalars(sa.select(cls.version_table.c.version).limit(2)))
        if found != [cls.version]:
            raise cls._other_version(connection, ", ".join(map(str, found)) or "none")

    @classmethod
    def _other_version(cls, connection: sa.Connection, got: str) -> LogError:
        action = "check the address, or give another file: the job computes its rows again"
        if connection.dialect.name == "postgresql":
            action = "check the address, or bring the tables on: `sightline schema upgrade`"
        return LogError(
            expected=f"tables of {cls.what}, version {cls.version}",
            got=got,
            where=shown(connection.engine.url),
            action=action,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._engine.dispose()
