"""Run by Alembic: the connection is given, and the whole upgrade is one transaction."""

from __future__ import annotations

from alembic import context

context.configure(
    connection=context.config.attributes["connection"], version_table="ledger_revision"
)
with context.begin_transaction():
    context.run_migrations()
