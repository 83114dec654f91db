import os
import uuid

import pytest
import sqlalchemy as sa
from decide.making import decision
from hypothesis import given, settings
from hypothesis import strategies as st

from sightline.act import Ledger
from sightline.errors import LogError, SinkError, UsageError
from sightline.records import Accounts, Status


def apply(ledger, said, through):
    return ledger.apply("p000", said, through_sequence=through, accounts=Accounts())


def test_a_decision_comes_back_as_the_same_bytes():
    with Ledger.open("sqlite://") as ledger:
        apply(ledger, [(3, decision(100))], 3)
        assert ledger.decisions()[0].canonical_bytes() == decision(100).canonical_bytes()


def test_applying_a_commit_twice_has_one_effect():
    with Ledger.open("sqlite://") as ledger:
        assert apply(ledger, [(3, decision(100))], 3) == 1
        assert apply(ledger, [(3, decision(100))], 3) == 0
        assert len(ledger.decisions()) == 1


@settings(max_examples=25, derandomize=True, deadline=None)
@given(st.lists(st.integers(0, 9), max_size=20))
def test_commits_may_be_applied_again_from_anywhere(order):
    every = [(i, decision(100 + i)) for i in range(10)]
    with Ledger.open("sqlite://") as ledger:
        for through in [*order, 9]:
            apply(ledger, every[: through + 1], through)
        found = [d.event_ns for d in ledger.decisions()]
    assert found == [100 + i for i in range(10)]


def test_going_back_does_not_unapply():
    with Ledger.open("sqlite://") as ledger:
        apply(ledger, [(5, decision(100))], 5)
        apply(ledger, [], 2)
        assert ledger.applied_through("p000") == 5


def test_revisions_are_kept_and_the_last_one_stands():
    with Ledger.open("sqlite://") as ledger:
        first = decision(100)
        apply(ledger, [(1, first), (2, first.revised(revision=1, status=Status.RETRACTED))], 2)
        assert (len(ledger.decisions()), ledger.decisions(final_only=True)) == (2, [])


def test_a_decision_is_found_by_the_beginning_of_its_id():
    with Ledger.open("sqlite://") as ledger:
        apply(ledger, [(1, decision(100)), (2, decision(250))], 2)
        assert ledger.decision("k:sat-1:2")[0].event_ns == 250


def test_an_ambiguous_beginning_is_an_error():
    with Ledger.open("sqlite://") as ledger:
        apply(ledger, [(1, decision(100)), (2, decision(250))], 2)
        with pytest.raises(UsageError, match="begins several"):
            ledger.decision("k:sat")


def test_an_unknown_id_names_the_closest_one():
    with Ledger.open("sqlite://") as ledger:
        apply(ledger, [(1, decision(100))], 1)
        with pytest.raises(UsageError, match="did you mean k:sat-1:1"):
            ledger.decision("k:sat-2:1")


def test_accounts_of_all_partitions_add_up():
    with Ledger.open("sqlite://") as ledger:
        for name in ("p000", "p001"):
            ledger.apply(
                name,
                [],
                through_sequence=1,
                accounts=Accounts(received=2, decided=1, quarantined={"RANGE": 1}),
            )
        assert ledger.accounts().equation().startswith("received 4 = decided 2")


def test_a_ledger_of_another_version_is_refused(tmp_path):
    url = f"sqlite:///{tmp_path / 'l.sqlite'}"
    Ledger.open(url).close()
    engine = sa.create_engine(url)
    with engine.begin() as connection:
        connection.execute(sa.text("UPDATE schema_version SET version = 99"))
    engine.dispose()
    with pytest.raises(LogError, match="99"):
        Ledger.open(url)


def test_a_database_file_is_in_wal_mode(tmp_path):
    url = f"sqlite:///{tmp_path / 'l.sqlite'}"
    with Ledger.open(url):
        engine = sa.create_engine(url)
        with engine.connect() as connection:
            mode = connection.scalar(sa.text("PRAGMA journal_mode"))
        engine.dispose()
    assert mode == "wal"


def test_an_address_that_does_not_answer_is_an_error_without_the_password(tmp_path):
    with pytest.raises(SinkError) as caught:
        Ledger.open(f"sqlite:///{tmp_path}/absent/folder/l.sqlite")
    assert "a database that answers" in str(caught.value)


@pytest.fixture
def postgres_url():
    pytest.importorskip(
        "psycopg", reason="psycopg is not installed: pip install sightline[postgres]"
    )
    base = os.environ.get("SIGHTLINE_POSTGRES", "postgresql+psycopg://postgres@127.0.0.1:5432/test")
    schema = f"sightline_{uuid.uuid4().hex[:12]}"
    engine = sa.create_engine(base, connect_args={"connect_timeout": 2})
    try:
        with engine.begin() as connection:
            connection.execute(sa.text(f"CREATE SCHEMA {schema}"))
    except sa.exc.OperationalError:
        pytest.skip("no PostgreSQL answers on 127.0.0.1:5432")
    yield f"{base}?options=-csearch_path%3D{schema}"
    with engine.begin() as connection:
        connection.execute(sa.text(f"DROP SCHEMA {schema} CASCADE"))
    engine.dispose()


def test_the_same_ledger_works_on_postgresql(postgres_url):
    with Ledger.open(postgres_url) as ledger:
        for _ in range(2):
            ledger.apply(
                "p000",
                [(3, decision(100))],
                through_sequence=3,
                accounts=Accounts(),
                sinks=("hook",),
            )
        assert ledger.decisions()[0].canonical_bytes() == decision(100).canonical_bytes()
        assert (ledger.applied_through("p000"), ledger.outbox_counts()) == (3, {"pending": 1})
