"""Steps from version to version of a ledger in a database."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest
import sqlalchemy as sa

from act.act_cases import apply_all, decision, sqlite_url
from sightline.act import Ledger
from sightline.act.batch_ledger import BatchLedger
from sightline.act.kpi_ledger import KpiLedger
from sightline.act.ledger_database import ledger_engine
from sightline.act.ledger_upgrade import check_schema, upgrade_schema
from sightline.errors import LogError, UsageError

OWN = ("ledger_revision", "telemetry", "throughput_p95")


def execute(url: str, *statements: str) -> None:
    engine = ledger_engine(url)
    with engine.begin() as connection:
        for statement in statements:
            connection.execute(sa.schema.DDL(statement.replace("%", "%%")))
    engine.dispose()


def made_as_version_3(url: str) -> None:
    old = importlib.import_module("sightline.act.migrations.versions.v0003")
    execute(url, *old.TABLES, "INSERT INTO schema_version (version) VALUES (3)")


def columns_and_indexes(url: str) -> object:
    engine = ledger_engine(url)
    tables = sa.inspect(engine)
    found = {
        name: (
            [(c["name"], str(c["type"]), c["nullable"]) for c in tables.get_columns(name)],
            sorted(str(i["column_names"]) for i in tables.get_indexes(name)),
            tables.get_pk_constraint(name)["constrained_columns"],
        )
        for name in tables.get_table_names()
        if not name.startswith(OWN)
    }
    engine.dispose()
    return found


def test_the_steps_make_the_tables_that_a_run_makes(postgres_url: str) -> None:
    upgrade_schema(postgres_url)
    by_steps = columns_and_indexes(postgres_url)
    execute(postgres_url, "DROP TABLE outbox, decisions, messages, dispositions, parts, accounts, "
            "writer, applied_through, schema_version, kpi_schema, kpi_inputs, kpi_manifests, "
            "kpi_values, batch_schema, batch_items, batch_jobs CASCADE")  # fmt: skip
    Ledger.open(postgres_url).close()
    with KpiLedger.open(postgres_url), BatchLedger.open(postgres_url):
        assert columns_and_indexes(postgres_url) == by_steps


def test_values_of_a_job_that_made_its_tables_itself_outlive_an_upgrade(postgres_url: str) -> None:
    with BatchLedger.open(postgres_url) as ledger:
        ledger.begin("a1", kind="inspect", configuration={})
        ledger.finish("a1", name="x", identity="i", status="done", result={}, at_ns=1)
    upgrade_schema(postgres_url)
    with BatchLedger.open(postgres_url, create=False) as ledger:
        assert ledger.known("a1") == {"x": "i"}
    with KpiLedger.open(postgres_url, create=False) as ledger:
        assert not ledger.newest("any")


def test_an_older_ledger_is_refused_then_brought_on_and_keeps_its_rows(postgres_url: str) -> None:
    made_as_version_3(postgres_url)
    execute(postgres_url, "INSERT INTO accounts VALUES ('p000', '{}')")
    assert not check_schema(postgres_url)
    with pytest.raises(LogError, match=r"got 3; .*sightline schema upgrade"):
        Ledger.open(postgres_url)
    before, after = upgrade_schema(postgres_url)
    assert (before.found, bool(after)) == ("0003", True)
    with Ledger.open(postgres_url, create=False) as ledger:
        apply_all(ledger, [decision()])
        assert ledger.decisions() == [decision()]


def test_a_second_upgrade_changes_nothing(postgres_url: str) -> None:
    Ledger.open(postgres_url).close()
    _, first = upgrade_schema(postgres_url)
    assert upgrade_schema(postgres_url) == (first, first)


def test_an_upgrade_that_fails_leaves_everything_as_it_was(postgres_url: str) -> None:
    made_as_version_3(postgres_url)
    execute(postgres_url, "CREATE VIEW throughput_p95 AS SELECT 1 AS taken")
    before = columns_and_indexes(postgres_url)
    with pytest.raises(Exception, match="throughput_p95"):
        upgrade_schema(postgres_url)
    assert columns_and_indexes(postgres_url) == before
    assert check_schema(postgres_url).found == "0003"


def test_a_file_is_not_upgraded_but_made_again(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="move it away and resume the run"):
        upgrade_schema(sqlite_url(tmp_path))
