"""Applying a log to the ledger: once, whole, and never backwards."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import pytest
import sqlalchemy as sa
from hypothesis import given, settings
from hypothesis import strategies as st

from act.act_cases import PARTITION, apply_all, decision, sqlite_url
from sightline.act import Ledger
from sightline.act.ledger_database import ledger_engine
from sightline.errors import SinkError, UsageError
from sightline.limits import Limits
from sightline.records import Accounts, Decision
from sightline.records.decision import Status

COMMIT_ENTRIES = 4
COMMITS = 5


def commit(number: int) -> tuple[list[tuple[int, Decision]], int, Accounts]:
    """Decisions, last sequence and accounts of one commit of a small log."""
    first = number * COMMIT_ENTRIES
    said = [(first + i, decision(first + i)) for i in range(COMMIT_ENTRIES - 1)]
    rows = (number + 1) * 10
    return said, first + COMMIT_ENTRIES - 1, Accounts(received=rows, decided=rows)


def apply_commit(ledger: Ledger, number: int, *, sinks: tuple[str, ...] = ("hook",)) -> int:
    said, through, accounts = commit(number)
    return ledger.apply(PARTITION, said, through_sequence=through, accounts=accounts, sinks=sinks)


def state(ledger: Ledger) -> tuple[list[Decision], int, Accounts, list[str]]:
    return (
        ledger.decisions(),
        ledger.applied_through(PARTITION),
        ledger.accounts(),
        [row.idempotency_key for row in ledger.outbox.rows("pending")],
    )


def test_an_unknown_partition_has_applied_nothing(ledger: Ledger) -> None:
    assert ledger.applied_through("p007") == -1


def test_what_was_applied_comes_back_equal(ledger: Ledger) -> None:
    said = [decision(0), decision(1, subject="größe/π", score=0.1 + 0.2)]
    apply_all(ledger, said)
    assert sorted(ledger.decisions(), key=lambda d: d.event_ns) == said


def test_a_score_that_is_not_a_number_comes_back_as_one(ledger: Ledger) -> None:
    apply_all(ledger, [decision(score=math.nan)])
    assert math.isnan(ledger.decisions()[0].score)


MANY = 150  # as many as go to PostgreSQL by COPY


def many(first: int = 0, *, score: float = 1.0) -> list[Decision]:
    return [
        replace(decision(0, score=score, subject="a\\b\tπ"), decision_id=f"{n:032x}")
        for n in range(first, first + MANY)
    ]


@pytest.mark.parametrize("said", [[decision()], many()], ids=["one", "many"])
def test_every_field_of_a_decision_is_a_column(ledger_url: str, said: list[Decision]) -> None:
    with Ledger.open(ledger_url) as ledger:
        apply_all(ledger, said)
    engine = ledger_engine(ledger_url)
    with engine.connect() as connection:
        rows = connection.execute(
            sa.text("SELECT * FROM decisions ORDER BY decision_id")
        ).mappings()
        found = [dict(row) for row in rows]
    engine.dispose()
    assert len(found) == len(said)
    for one, row in zip(said, found, strict=True):
        plain = one.as_mapping()
        assert json.loads(row["reasons"]) == plain.pop("reasons")
        assert {name: row[name] for name in plain} == plain
        assert row["canonical"].encode() == one.canonical_bytes()


def test_decisions_among_many_that_are_known_keep_what_they_said(ledger: Ledger) -> None:
    ledger.apply("p000", list(enumerate(many())), through_sequence=MANY, accounts=Accounts())
    again = [(MANY + 1 + n, one) for n, one in enumerate(many(MANY // 2, score=2.0))]
    ledger.apply("p000", again, through_sequence=3 * MANY, accounts=Accounts())
    scores = [one.score for one in sorted(ledger.decisions(), key=lambda d: d.decision_id)]
    assert scores == [1.0] * MANY + [2.0] * (MANY // 2)


def test_apply_says_how_many_decisions_are_new(ledger: Ledger) -> None:
    assert apply_all(ledger, [decision(0), decision(1)]) == 2


def test_a_decision_said_twice_in_one_commit_counts_once(ledger: Ledger) -> None:
    assert apply_all(ledger, [decision(0), decision(0)], sinks=["hook"]) == 1
    assert len(ledger.outbox.rows("pending")) == 1


def test_a_commit_without_decisions_moves_on(ledger: Ledger) -> None:
    ledger.apply(PARTITION, [], through_sequence=9, accounts=Accounts(received=1, in_flight=1))
    assert ledger.applied_through(PARTITION) == 9
    assert ledger.accounts() == Accounts(received=1, in_flight=1)


def test_applying_again_changes_nothing(ledger: Ledger) -> None:
    apply_commit(ledger, 0)
    before = state(ledger)
    assert apply_commit(ledger, 0) == 0
    assert state(ledger) == before


def test_an_older_commit_takes_nothing_back(ledger: Ledger) -> None:
    for number in (0, 1, 2):
        apply_commit(ledger, number)
    before = state(ledger)
    assert apply_commit(ledger, 0) == 0
    assert state(ledger) == before


def test_of_a_commit_that_overlaps_only_the_rest_is_applied(ledger: Ledger) -> None:
    apply_commit(ledger, 0)
    both = [*commit(0)[0], *commit(1)[0]]
    new = ledger.apply(
        PARTITION, both, through_sequence=commit(1)[1], accounts=commit(1)[2], sinks=["hook"]
    )
    assert new == len(commit(1)[0])
    assert ledger.applied_through(PARTITION) == commit(1)[1]


def test_what_lies_before_is_left_out_even_if_it_is_unknown(ledger: Ledger) -> None:
    ledger.apply(PARTITION, [], through_sequence=9, accounts=Accounts())
    said = [(9, decision(0)), (10, decision(1))]
    assert ledger.apply(PARTITION, said, through_sequence=10, accounts=Accounts()) == 1
    assert ledger.decisions() == [decision(1)]


def test_a_known_revision_keeps_what_it_said(ledger: Ledger) -> None:
    apply_all(ledger, [decision(score=0.5)])
    assert apply_all(ledger, [decision(score=0.9)], sinks=["hook"]) == 0
    assert ledger.decisions() == [decision(score=0.5)]
    assert ledger.outbox.rows("pending") == []


def test_each_sink_gets_a_row_for_each_new_decision(ledger: Ledger) -> None:
    apply_all(ledger, [decision(0), decision(1)], sinks=["file", "hook"])
    found = {(row.sink, row.said.event_ns) for row in ledger.outbox.rows("pending")}
    assert found == {(s, decision(n).event_ns) for s in ("file", "hook") for n in (0, 1)}


def test_the_key_of_an_alert_is_its_decision_and_revision(ledger: Ledger) -> None:
    said = decision(revision=3, status=Status.REVISED)
    apply_all(ledger, [said], sinks=["hook"])
    assert ledger.outbox.rows("pending")[0].idempotency_key == f"{said.decision_id}:3"


def test_partitions_are_applied_apart(ledger: Ledger) -> None:
    apply_all(ledger, [decision(0)], partition="p000")
    apply_all(ledger, [decision(1, subject="sat-2")] * 1, partition="p001")
    ledger.apply("p001", [], through_sequence=50, accounts=Accounts())
    assert ledger.applied_through("p000") == 1
    assert ledger.applied_through("p001") == 50


def test_accounts_are_the_total_of_the_partitions(ledger: Ledger) -> None:
    a = Accounts(received=5, decided=3, quarantined={"RANGE": 2})
    b = Accounts(received=4, superseded=1, dropped={"BUFFER_FULL": 1}, quarantined={"RANGE": 2})
    ledger.apply("p000", [], through_sequence=0, accounts=a)
    ledger.apply("p001", [], through_sequence=0, accounts=Accounts(received=1, in_flight=1))
    ledger.apply("p001", [], through_sequence=1, accounts=b)
    assert ledger.accounts() == a + b


def test_a_decision_beyond_the_commit_is_refused(ledger: Ledger) -> None:
    with pytest.raises(UsageError, match="log sequences up to 3"):
        ledger.apply(PARTITION, [(4, decision())], through_sequence=3, accounts=Accounts())
    assert ledger.applied_through(PARTITION) == -1


def test_a_full_outbox_stops_the_run_and_nothing_is_applied(tmp_path: Path) -> None:
    with Ledger.open(sqlite_url(tmp_path), limits=Limits(outbox_rows=5)) as ledger:
        apply_commit(ledger, 0)
        before = state(ledger)
        with pytest.raises(SinkError, match="at most 5 undelivered alerts, got 3 and 3 more"):
            apply_commit(ledger, 1)
        assert state(ledger) == before


def test_what_was_given_up_counts_as_undelivered(tmp_path: Path) -> None:
    with Ledger.open(sqlite_url(tmp_path), limits=Limits(outbox_rows=5)) as ledger:
        apply_commit(ledger, 0)
        for row in ledger.outbox.rows("pending"):
            ledger.outbox.mark_failed(row, error="HTTP 400")
        with pytest.raises(SinkError, match="at most 5 undelivered"):
            apply_commit(ledger, 1)


def test_what_was_delivered_makes_room(tmp_path: Path) -> None:
    with Ledger.open(sqlite_url(tmp_path), limits=Limits(outbox_rows=5)) as ledger:
        apply_commit(ledger, 0)
        for row in ledger.outbox.rows("pending"):
            ledger.outbox.mark_delivered(row, delivered_ns=1)
        assert apply_commit(ledger, 1) == 3


@settings(max_examples=30, deadline=None, derandomize=True)
@given(st.lists(st.tuples(st.integers(0, COMMITS - 1), st.integers(0, COMMITS - 1)), max_size=8))
def test_any_re_application_ends_like_applying_once(spans: list[tuple[int, int]]) -> None:
    with Ledger.open("sqlite://") as once, Ledger.open("sqlite://") as often:
        for number in range(COMMITS):
            apply_commit(once, number)
        reached = -1
        for a, b in spans:
            # A reader of the log may begin anywhere at or before where the ledger is.
            first, last = min(a, b, reached + 1), max(a, b)
            said = [pair for n in range(first, last + 1) for pair in commit(n)[0]]
            often.apply(
                PARTITION, said, through_sequence=commit(last)[1], accounts=commit(last)[2],
                sinks=["hook"],
            )  # fmt: skip
            reached = max(reached, last)
        for number in range(COMMITS):
            apply_commit(often, number)
        assert state(often) == state(once)


def test_bulk_writes_do_not_take_a_statement_for_each_decision(tmp_path: Path) -> None:
    counted: list[str] = []

    def count(*arguments: object) -> None:
        counted.append(str(arguments[2]))

    said = [replace(decision(0), decision_id=f"{n:032x}") for n in range(2_000)]
    sa.event.listen(sa.Engine, "before_cursor_execute", count)
    try:
        with Ledger.open(sqlite_url(tmp_path)) as ledger:
            counted.clear()
            assert apply_all(ledger, said, sinks=["hook"]) == len(said)
    finally:
        sa.event.remove(sa.Engine, "before_cursor_execute", count)
    assert len(counted) < 20
