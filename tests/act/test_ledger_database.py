"""The database itself: opening, versions, damage, several processes."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
import sqlalchemy as sa

from act.act_cases import apply_all, decision, sqlite_url
from sightline.act import Ledger
from sightline.act.ledger_database import open_database, writing
from sightline.errors import LogError, SinkError, UsageError
from sightline.records import Accounts


def run_sql(url: str, *statements: str) -> list[object]:
    """Execute statements behind the ledger's back; the first column of the last result."""
    engine = sa.create_engine(url)
    with engine.begin() as connection:
        results = [connection.execute(sa.text(statement)) for statement in statements]
        found = [row[0] for row in results[-1]] if results[-1].returns_rows else []
    engine.dispose()
    return found


def test_a_ledger_is_there_when_it_is_opened_again(ledger_url: str) -> None:
    with Ledger.open(ledger_url) as ledger:
        apply_all(ledger, [decision()], sinks=["hook"])
    with Ledger.open(ledger_url, create=False) as again:
        assert again.decisions() == [decision()]
        assert again.applied_through("p000") == 1
        assert again.outbox.counts() == {
            "pending": 1, "delivered": 0, "failed": 0, "shelved": 0, "discarded": 0,
        }  # fmt: skip


def test_another_version_is_refused_with_the_upgrade_rule(ledger_url: str) -> None:
    Ledger.open(ledger_url).close()
    run_sql(ledger_url, "UPDATE schema_version SET version = 99")
    with pytest.raises(LogError, match=r"version 4, got 99; .*rebuilt from the log"):
        Ledger.open(ledger_url)


def test_a_refused_ledger_is_left_as_it_was(tmp_path: Path) -> None:
    url = sqlite_url(tmp_path)
    run_sql(
        url,
        "CREATE TABLE schema_version (version INTEGER PRIMARY KEY)",
        "INSERT INTO schema_version VALUES (99)",
    )
    with pytest.raises(LogError):
        Ledger.open(url)
    assert run_sql(url, "SELECT name FROM sqlite_master") == ["schema_version"]


def test_a_ledger_without_a_version_is_refused(tmp_path: Path) -> None:
    url = sqlite_url(tmp_path)
    Ledger.open(url).close()
    run_sql(url, "DELETE FROM schema_version")
    with pytest.raises(LogError, match="got none"):
        Ledger.open(url)


@pytest.mark.parametrize(
    "sql",
    [
        "CREATE TRIGGER hush AFTER INSERT ON outbox BEGIN DELETE FROM outbox; END",
        "CREATE VIEW extra AS SELECT 1",
        "CREATE TABLE extra (a INTEGER)",
        "DROP TABLE messages",
        "DROP INDEX decisions_by_log",
    ],
)
def test_a_ledger_with_other_tables_views_or_triggers_is_refused(tmp_path: Path, sql: str) -> None:
    url = sqlite_url(tmp_path)
    Ledger.open(url).close()
    run_sql(url, sql)
    with pytest.raises(LogError, match="the tables of a ledger, and no others"):
        Ledger.open(url)


@pytest.mark.parametrize("end", ["", "-wal", "-shm"])
def test_a_link_in_the_place_of_a_ledger_is_not_followed(tmp_path: Path, end: str) -> None:
    Ledger.open(sqlite_url(tmp_path)).close()
    (tmp_path / f"ledger.sqlite{end}").unlink(missing_ok=True)
    (tmp_path / f"ledger.sqlite{end}").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(LogError, match="no link, folder or device"):
        Ledger.open(sqlite_url(tmp_path))
    assert not (tmp_path / "elsewhere").exists()


def test_a_folder_in_the_place_of_a_ledger_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "ledger.sqlite").mkdir()
    with pytest.raises(LogError, match="move it away and resume"):
        Ledger.open(sqlite_url(tmp_path))


def test_a_second_name_of_a_file_is_no_ledger_to_write_to(tmp_path: Path) -> None:
    Ledger.open(sqlite_url(tmp_path)).close()
    (tmp_path / "copy.sqlite").hardlink_to(tmp_path / "ledger.sqlite")
    with pytest.raises(LogError, match="no link"):
        Ledger.open(sqlite_url(tmp_path))


def test_a_new_ledger_is_for_its_owner_alone(tmp_path: Path) -> None:
    Ledger.open(sqlite_url(tmp_path)).close()
    assert (tmp_path / "ledger.sqlite").stat().st_mode & 0o777 == 0o600


def test_a_database_of_something_else_is_not_made_into_a_ledger(tmp_path: Path) -> None:
    url = sqlite_url(tmp_path)
    run_sql(url, "CREATE TABLE orders (id INTEGER)")
    with pytest.raises(LogError, match="no others"):
        Ledger.open(url)
    assert run_sql(url, "SELECT name FROM sqlite_master") == ["orders"]


def test_a_ledger_belongs_to_one_run(tmp_path: Path) -> None:
    with Ledger.open(sqlite_url(tmp_path)) as ledger:
        ledger.claim("a" * 32, epoch=1)
        with pytest.raises(LogError, match="the ledger of run b"):
            ledger.claim("b" * 32, epoch=2)


def test_an_earlier_opening_of_a_run_cannot_apply_after_a_later_one(tmp_path: Path) -> None:
    with Ledger.open(sqlite_url(tmp_path)) as old, Ledger.open(sqlite_url(tmp_path)) as new:
        old.claim("a" * 32, epoch=1)
        new.claim("a" * 32, epoch=2)
        with pytest.raises(LogError, match="opening 2 writes"):
            apply_all(old, [decision()])
        with pytest.raises(LogError, match="opening 2 writes"):
            old.claim("a" * 32, epoch=1)
        assert new.decisions() == []


def test_a_ledger_knows_the_hash_of_the_log_where_it_was_applied(tmp_path: Path) -> None:
    with Ledger.open(sqlite_url(tmp_path)) as ledger:
        ledger.apply("p000", [], through_sequence=7, accounts=Accounts(), chain_hash="c" * 64)
        assert ledger.positions() == {"p000": (7, "c" * 64)}


def test_a_missing_file_is_not_made_unless_asked_for(tmp_path: Path) -> None:
    with pytest.raises(LogError, match="expected a ledger, got none"):
        Ledger.open(sqlite_url(tmp_path), create=False)
    assert list(tmp_path.iterdir()) == []


def test_a_database_of_something_else_is_no_ledger(tmp_path: Path) -> None:
    url = sqlite_url(tmp_path)
    run_sql(url, "CREATE TABLE orders (id INTEGER)")
    with pytest.raises(LogError, match="expected a ledger, got none"):
        Ledger.open(url, create=False)


def test_a_file_that_is_no_database_is_damage(tmp_path: Path) -> None:
    (tmp_path / "ledger.sqlite").write_bytes(b"not a database, not even close" * 100)
    with pytest.raises(LogError, match="expected a sound database"):
        Ledger.open(sqlite_url(tmp_path))


def test_a_folder_that_does_not_exist_is_a_failing_database(tmp_path: Path) -> None:
    with pytest.raises(SinkError, match="a folder in which a database can be opened"):
        Ledger.open(sqlite_url(tmp_path / "nowhere"))


@pytest.mark.parametrize("url", ["", "ledger.sqlite", "nosuch://x/y", "mysql://root:pw@host/db"])
def test_an_address_that_cannot_work_is_refused(url: str) -> None:
    with pytest.raises(UsageError) as caught:
        Ledger.open(url)
    assert "pw" not in str(caught.value)


def test_a_failure_does_not_name_user_or_password(postgres_url: str) -> None:
    url = postgres_url.replace("postgres@", "nobody_here:s3cret@")
    with pytest.raises(SinkError) as caught:
        Ledger.open(url.replace(":5432", ":1"))
    assert "s3cret" not in str(caught.value)
    assert "nobody_here" not in str(caught.value)


def test_sqlite_runs_in_wal_mode(tmp_path: Path) -> None:
    Ledger.open(sqlite_url(tmp_path)).close()
    assert run_sql(sqlite_url(tmp_path), "PRAGMA journal_mode") == ["wal"]


def test_a_transaction_that_dies_leaves_nothing_behind(tmp_path: Path) -> None:
    url = sqlite_url(tmp_path)
    with Ledger.open(url) as ledger:
        run_sql(
            url,
            "CREATE TRIGGER no_accounts BEFORE INSERT ON accounts "
            "BEGIN SELECT RAISE(ABORT, 'disk on fire'); END",
        )
        with pytest.raises(SinkError, match="disk on fire"):
            apply_all(ledger, [decision()], sinks=["hook"])
        assert ledger.decisions() == []
        assert ledger.outbox.rows("pending") == []
        assert ledger.applied_through("p000") == -1


def test_a_reader_keeps_its_view_while_another_connection_writes(tmp_path: Path) -> None:
    url = sqlite_url(tmp_path)
    with Ledger.open(url) as writer:
        apply_all(writer, [decision(0)])
        engine = sa.create_engine(url)
        with engine.connect() as reader:
            reader.exec_driver_sql("BEGIN")
            count = sa.text("SELECT count(*) FROM decisions")
            assert reader.scalar(count) == 1
            apply_all(writer, [decision(1)])
            assert reader.scalar(count) == 1
        engine.dispose()
        assert len(writer.decisions()) == 2


def test_a_writer_that_still_reads_keeps_other_writers_out(tmp_path: Path) -> None:
    Ledger.open(sqlite_url(tmp_path)).close()
    engine = open_database(sqlite_url(tmp_path), create=False)
    other = sqlite3.connect(tmp_path / "ledger.sqlite", timeout=0)
    with writing(engine), pytest.raises(sqlite3.OperationalError, match="locked"):
        other.execute("INSERT INTO applied_through VALUES ('p009', 1, '')")
    other.close()
    engine.dispose()
    with Ledger.open(sqlite_url(tmp_path)) as ledger:
        assert ledger.applied_through("p009") == -1


_OTHER_PROCESS = """
import sys
from act.act_cases import apply_all, decision
from sightline.act import Ledger

url, partition = sys.argv[1:]
with Ledger.open(url) as ledger:
    print("ready", flush=True)
    sys.stdin.readline()
    for number in range(20):
        apply_all(ledger, [decision(number, subject=partition)], partition=partition)
    print(len(ledger.decisions(subject=partition)))
"""


def test_two_processes_apply_at_the_same_time(tmp_path: Path) -> None:
    url = sqlite_url(tmp_path)
    partitions = ["p000", "p001"]
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", _OTHER_PROCESS, url, partition],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={"PYTHONPATH": ":".join(sys.path)},
        )
        for partition in partitions
    ]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    assert [process.communicate()[0] for process in processes] == ["20\n", "20\n"]
    with Ledger.open(url, create=False) as ledger:
        assert len(ledger.decisions()) == 40
        assert {p: ledger.applied_through(p) for p in partitions} == {"p000": 39, "p001": 39}


def test_a_process_that_is_killed_in_a_transaction_leaves_a_whole_ledger(tmp_path: Path) -> None:
    url = sqlite_url(tmp_path)
    with Ledger.open(url) as ledger:
        apply_all(ledger, [decision(0)])
    script = (
        "import os, sys; from sightline.act.ledger_database import open_database, writing\n"
        "engine = open_database(sys.argv[1], create=False)\n"
        "with writing(engine) as c:\n"
        "    c.exec_driver_sql('DELETE FROM decisions')\n"
        "    os._exit(9)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, url], env={"PYTHONPATH": ":".join(sys.path)}, check=False
    )
    assert done.returncode == 9
    with Ledger.open(url, create=False) as ledger:
        assert ledger.decisions() == [decision(0)]
        ledger.apply("p000", [], through_sequence=7, accounts=Accounts())
        assert ledger.applied_through("p000") == 7
