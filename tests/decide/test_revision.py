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


def test_beyond_the_bound_the_oldest_become_final_and_are_counted():
    issued = IssuedDecisions(most=2)
    for n in (1, 2, 3):
        say(issued, [decision(100 * n, raised=False)], from_ns=100 * n)
    assert (len(issued), issued.made_final) == (2, 1)


def test_what_became_final_is_neither_revised_nor_said_again():
    issued = IssuedDecisions(most=2)
    said = [decision(100 * n, raised=False) for n in (1, 2, 3)]
    say(issued, said)
    changed = [decision(100, score=9.0, raised=False), *said[1:]]
    assert say(issued, changed) == []
    assert say(issued, said[1:]) == []


def test_a_raised_state_that_lasts_is_the_last_to_become_final():
    issued = IssuedDecisions(most=2)
    issued.reconcile("k", "sat-0", [decision(1, subject="sat-0")], from_ns=0)
    for n in (1, 2, 3):
        say(issued, [decision(100 * n, raised=False)], from_ns=100 * n)
    assert issued.reconcile("k", "sat-0", [], from_ns=0)[0].status is Status.RETRACTED


def test_what_became_final_stays_so_after_a_checkpoint():
    issued, again = IssuedDecisions(most=2), IssuedDecisions(most=2)
    said = [decision(100 * n, raised=False) for n in (1, 2, 3)]
    say(issued, said)
    again.restore(issued.snapshot())
    assert (len(again), again.made_final) == (2, 1)
    assert say(again, said) == []
    assert again.snapshot() == issued.snapshot()


def test_settling_forgets_what_had_become_final():
    issued = IssuedDecisions(most=2)
    say(issued, [decision(100 * n, raised=False) for n in (1, 2, 3)])
    issued.settle({("k", "sat-1"): 1000})
    assert issued.snapshot() == {"decisions": [], "final": [], "made_final": 1}
