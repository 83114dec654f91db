"""Batch jobs in a database: which files of a job are done, and what came of each.

A job is what it is told (which model, which settings, which place) and nothing else, so the same
command finds its own work again. An item is stored when it is done, whole or not at all.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

import sqlalchemy as sa

from sightline.act.job_ledger import JobLedger
from sightline.act.ledger_database import Text, insert, reading, writing

metadata = sa.MetaData()
batch_schema = sa.Table(
    "batch_schema", metadata, sa.Column("version", sa.Integer, primary_key=True)
)
batch_jobs = sa.Table(
    "batch_jobs",
    metadata,
    sa.Column("job", Text, primary_key=True),  # digest of the configuration
    sa.Column("kind", Text, nullable=False),
    sa.Column("configuration", Text, nullable=False),  # JSON, without secrets
)
batch_items = sa.Table(
    "batch_items",
    metadata,
    sa.Column("job", Text, sa.ForeignKey("batch_jobs.job"), primary_key=True),
    sa.Column("name", Text, primary_key=True),
    sa.Column("identity", Text, nullable=False),
    sa.Column("status", Text, nullable=False),  # done, refused
    sa.Column("result", Text, nullable=False),  # JSON
    sa.Column("done_ns", sa.BigInteger, nullable=False),
)


class BatchLedger(JobLedger):
    """Items of batch jobs.

    >>> with BatchLedger.open("sqlite://") as ledger:
    ...     ledger.begin("a1", kind="inspect", configuration={})
    ...     ledger.known("a1")
    {}
    """

    tables, version_table, what = metadata, batch_schema, "batch jobs"

    def begin(self, job: str, *, kind: str, configuration: Mapping[str, Any]) -> None:
        """Make a job known; one that is known stays as it is."""
        row = {"job": job, "kind": kind, "configuration": json.dumps(configuration, sort_keys=True)}
        with writing(self._engine) as connection:
            connection.execute(insert(connection, batch_jobs).on_conflict_do_nothing(), row)

    def known(self, job: str) -> dict[str, str]:
        """Identity of each item that is done, by name."""
        items = batch_items.c
        statement = sa.select(items.name, items.identity).where(items.job == job)
        with reading(self._engine) as connection:
            return {row.name: row.identity for row in connection.execute(statement)}

    def finish(
        self,
        job: str,
        *,
        name: str,
        identity: str,
        status: str,
        result: Mapping[str, Any],
        at_ns: int,
    ) -> None:
        """Store one item; a newer file of the same name takes its place."""
        row = {
            "job": job,
            "name": name,
            "identity": identity,
            "status": status,
            "result": json.dumps(result, sort_keys=True, ensure_ascii=False),
            "done_ns": at_ns,
        }
        with writing(self._engine) as connection:
            connection.execute(
                insert(connection, batch_items)
                .values(row)
                .on_conflict_do_update(
                    index_elements=["job", "name"],
                    set_={n: row[n] for n in ("identity", "status", "result", "done_ns")},
                )
            )

    def items(self, job: str) -> Iterator[tuple[str, str, dict[str, Any]]]:
        """Name, status and result of each item, in order of name."""
        items = batch_items.c
        statement = (
            sa.select(items.name, items.status, items.result)
            .where(items.job == job)
            .order_by(items.name)
        )
        with reading(self._engine) as connection:
            for name, status, text in connection.execute(statement):
                yield name, status, json.loads(text)
