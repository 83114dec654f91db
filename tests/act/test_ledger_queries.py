"""Asking the ledger."""

from __future__ import annotations

from dataclasses import replace

import pytest

from act.act_cases import apply_all, decision
from sightline.act import Ledger
from sightline.errors import UsageError
from sightline.records.decision import Status, decisions_digest, final_revisions

FIRST = decision(0)
REVISED = decision(0, revision=1, status=Status.REVISED, score=0.5)
TAKEN_BACK = decision(1, revision=1, status=Status.RETRACTED)
OTHER_KIND = decision(2, kind="silence")
OTHER_SUBJECT = decision(3, subject="sat-2")
ALL = [FIRST, REVISED, decision(1), TAKEN_BACK, OTHER_KIND, OTHER_SUBJECT]


@pytest.fixture
def filled(ledger: Ledger) -> Ledger:
    apply_all(ledger, [ALL[3], *ALL[4:], *ALL[:3]])
    return ledger


def test_decisions_come_by_event_time_and_revision(filled: Ledger) -> None:
    assert filled.decisions() == ALL


def test_subjects_of_one_time_come_in_the_order_of_their_bytes(ledger: Ledger) -> None:
    names = ["Zeta", "alpha", "sat-10", "sat-2", "ähre"]
    apply_all(ledger, [decision(subject=name) for name in reversed(names)])
    assert [d.subject for d in ledger.decisions()] == names


def test_decisions_of_one_subject(filled: Ledger) -> None:
    assert filled.decisions(subject="sat-2") == [OTHER_SUBJECT]


def test_decisions_of_one_kind(filled: Ledger) -> None:
    assert filled.decisions(kind="silence") == [OTHER_KIND]


def test_filters_are_taken_together(filled: Ledger) -> None:
    assert filled.decisions(subject="sat-2", kind="silence") == []


def test_only_what_stands_is_final(filled: Ledger) -> None:
    assert filled.decisions(final_only=True) == [REVISED, OTHER_KIND, OTHER_SUBJECT]


def test_final_decisions_have_the_digest_of_the_records(filled: Ledger) -> None:
    ours = decisions_digest(final_revisions(filled.decisions(final_only=True)))
    assert ours == decisions_digest(final_revisions(ALL))


def test_a_decision_is_found_by_its_id_with_all_revisions(filled: Ledger) -> None:
    assert filled.decision(FIRST.decision_id) == [FIRST, REVISED]


def test_a_decision_is_found_by_the_beginning_of_its_id(filled: Ledger) -> None:
    assert filled.decision(OTHER_KIND.decision_id[:8]) == [OTHER_KIND]


def test_an_ambiguous_beginning_names_the_candidates(ledger: Ledger) -> None:
    twins = [replace(FIRST, decision_id="ab" + end * 30) for end in "01"]
    apply_all(ledger, twins)
    with pytest.raises(UsageError, match=r"ab0000.*, ab1111.* begin.*; give more of the id"):
        ledger.decision("ab")


def test_an_id_that_begins_another_is_found_itself(ledger: Ledger) -> None:
    short, long = replace(FIRST, decision_id="ab"), replace(FIRST, decision_id="ab0")
    apply_all(ledger, [short, long])
    assert ledger.decision("ab") == [short]


def test_an_unknown_id_names_the_closest(ledger: Ledger) -> None:
    apply_all(ledger, [replace(FIRST, decision_id=i) for i in ("1234aaaa", "12ffaaaa", "9999aaaa")])
    with pytest.raises(UsageError, match=r"'1234b'.*closest is 1234aaaa"):
        ledger.decision("1234b")


def test_a_percent_sign_matches_nothing(filled: Ledger) -> None:
    with pytest.raises(UsageError, match="unknown"):
        filled.decision("%")


def test_an_empty_ledger_says_that_it_is_empty(ledger: Ledger) -> None:
    with pytest.raises(UsageError, match="holds no decision yet"):
        ledger.decision("12")
