"""Steps from one version of the ledger in a database to the next, run by Alembic."""
