"""Conditions that stand: raised once, cleared after a hold, bounded."""

import json

from hypothesis import given
from hypothesis import strategies as st

from sightline.records import Decision
from sightline.records.decision import Mode, Reason, Severity, Transition
from sightline.runtime.engine.standing import MAX_STANDING, Condition, StandingConditions


def condition(subject, kind="dwell", value=1.0):
    return Condition(
        kind=kind,
        subject=subject,
        group="",
        severity=Severity.WARNING,
        reason=Reason(
            code=kind.upper(), measure="m", value=value, threshold=0.5, unit="1", version="v"
        ),
    )


def said(standing, at, subjects, scope="yard"):
    found = standing.update(scope, at, [condition(s) for s in subjects], mode=Mode.PRIMARY)
    return [(d.transition.value, d.subject) for d in found]


def test_a_condition_that_goes_on_is_said_once():
    standing = StandingConditions("p", clear_ns=10)
    assert [said(standing, t, ["a"]) for t in (0, 5, 9)] == [[("raised", "a")], [], []]


def test_a_flicker_shorter_than_the_hold_clears_nothing():
    standing = StandingConditions("p", clear_ns=10)
    said(standing, 0, ["a"])
    assert [said(standing, 5, []), said(standing, 9, ["a"]), said(standing, 18, [])] == [[], [], []]
    assert said(standing, 19, []) == [("cleared", "a")]


def test_scopes_do_not_clear_each_other():
    standing = StandingConditions("p", clear_ns=0)
    said(standing, 0, ["a"], scope="east")
    assert said(standing, 100, [], scope="west") == []
    assert said(standing, 100, [], scope="east") == [("cleared", "a")]


def test_beyond_the_bound_nothing_more_is_said_until_something_is_cleared():
    standing = StandingConditions("p", clear_ns=0)
    many = [f"s{n:05d}" for n in range(MAX_STANDING + 5)]
    assert len(said(standing, 0, many)) == MAX_STANDING
    assert len(standing) == MAX_STANDING


@given(
    steps=st.lists(st.sets(st.sampled_from("abcd")), min_size=1, max_size=30),
    cut=st.integers(0, 30),
)
def test_what_is_said_does_not_depend_on_a_checkpoint_between(steps, cut):
    def run(cut_at):
        standing, found = StandingConditions("p", clear_ns=3), []
        for t, subjects in enumerate(steps):
            if t == cut_at:
                fresh = StandingConditions("p", clear_ns=3)
                fresh.restore(json.loads(json.dumps(standing.snapshot())))
                standing = fresh
            found += said(standing, t, sorted(subjects))
        return found

    assert run(cut) == run(None)


@given(steps=st.lists(st.sets(st.sampled_from("abcd")), min_size=1, max_size=30))
def test_raised_and_cleared_take_turns_for_each_subject(steps):
    standing, last = StandingConditions("p", clear_ns=2), {}
    for t, subjects in enumerate(steps):
        for transition, subject in said(standing, t, sorted(subjects)):
            assert transition != last.get(subject, "cleared")
            last[subject] = transition


def test_a_decision_of_a_condition_reads_back_from_its_bytes():
    standing = StandingConditions("p", clear_ns=0)
    decision = standing.update("yard", 7, [condition("a")], mode=Mode.FALLBACK)[0]
    assert Decision.from_bytes(decision.canonical_bytes()) == decision
    assert (decision.mode, decision.transition) == (Mode.FALLBACK, Transition.RAISED)
