from decide.making import decision
from sightline.decide import IssuedDecisions
from sightline.records.decision import Status


def say(issued, now, from_ns=0):
    found = issued.reconcile("k", "sat-1", now, from_ns=from_ns)
    return [(d.event_ns, d.revision, str(d.status)) for d in found]


def test_a_new_decision_is_issued_with_revision_zero():
    assert say(IssuedDecisions(), [decision(100)]) == [(100, 0, "issued")]


def test_an_unchanged_decision_is_not_said_again():
    issued = IssuedDecisions()
    say(issued, [decision(100)])
    assert say(issued, [decision(100)]) == []


def test_a_decision_with_other_content_is_revised():
    issued = IssuedDecisions()
    say(issued, [decision(100, score=1.0)])
    assert say(issued, [decision(100, score=2.0)]) == [(100, 1, "revised")]


def test_a_decision_that_no_longer_follows_is_retracted():
    issued = IssuedDecisions()
    say(issued, [decision(100)])
    assert say(issued, []) == [(100, 1, "retracted")]


def test_a_retraction_is_said_once():
    issued = IssuedDecisions()
    say(issued, [decision(100)])
    say(issued, [])
    assert say(issued, []) == []


def test_a_decision_that_comes_back_continues_its_revision_numbers():
    issued = IssuedDecisions()
    say(issued, [decision(100)])
    say(issued, [])
    assert say(issued, [decision(100)]) == [(100, 2, "revised")]


def test_what_was_not_looked_at_again_stands():
    issued = IssuedDecisions()
    say(issued, [decision(100)])
    assert say(issued, [], from_ns=101) == []


def test_a_settled_decision_is_forgotten_and_cannot_be_retracted():
    issued = IssuedDecisions()
    say(issued, [decision(100), decision(110, raised=False)])
    issued.settle({("k", "sat-1"): 110})
    assert (len(issued), say(issued, [])) == (0, [])


def test_a_raised_state_that_lasts_is_remembered_however_old():
    issued = IssuedDecisions()
    say(issued, [decision(100)])
    issued.settle({("k", "sat-1"): 100})
    assert say(issued, [decision(100), decision(500, raised=False)]) == [(500, 0, "issued")]


def test_what_was_settled_before_is_not_issued_again():
    issued = IssuedDecisions()
    found = issued.reconcile("k", "sat-1", [decision(100)], from_ns=0, settled_ns=100)
    assert found == []


def test_a_snapshot_restores_what_was_said():
    issued = IssuedDecisions()
    say(issued, [decision(100)])
    again = IssuedDecisions()
    again.restore(issued.snapshot())
    found = again.reconcile("k", "sat-1", [], from_ns=0)
    assert [d.status for d in found] == [Status.RETRACTED]
