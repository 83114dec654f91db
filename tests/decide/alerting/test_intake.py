"""Decisions and their revisions in terms of alarm points: what stands there stands at the desk."""

from hypothesis import given, settings
from hypothesis import strategies as st

from sightline.decide import IssuedDecisions
from sightline.decide.alerting import AlertingRules, AlertingState, advance
from sightline.decide.alerting.intake import DecisionIntake
from sightline.decide.alerting.rules import Replaced, Resumed, Retracted
from sightline.records import Decision
from sightline.records.decision import Mode, Reason, Severity, Status, Transition, decision_id

SECOND = 1_000_000_000
REASON = Reason(code="HIGH", measure="m", value=1, threshold=1, unit="1", version="v")


def transition(at_s, kind, score=1.0):
    at_ns = at_s * SECOND
    return Decision(
        decision_id=decision_id(
            pipeline="p", subject="s", kind=f"high{kind}", window_start_ns=at_ns,
            window_end_ns=at_ns,
        ),
        pipeline="p", subject="s", group="", kind="high", transition=kind, event_ns=at_ns,
        window_start_ns=at_ns, window_end_ns=at_ns, severity=Severity.WARNING, score=score,
        confidence=1.0, revision=0, status=Status.ISSUED, reasons=(REASON,), mode=Mode.PRIMARY,
        trace_id="0",
    )  # fmt: skip


def episodes(*bounds):
    """Decisions of states raised and cleared at these seconds; an odd last one lasts."""
    kinds = (Transition.RAISED, Transition.CLEARED)
    return [transition(at_s, kinds[i % 2]) for i, at_s in enumerate(bounds)]


class Point:
    """Decisions that are made again and again over growing evidence, and the desk behind."""

    def __init__(self):
        self.issued = IssuedDecisions()
        self.intake = intake()
        self.state = AlertingState()
        self.now_s = 0

    def look(self, *bounds, now_s=None):
        self.now_s = self.now_s + 100 if now_s is None else now_s
        said = self.issued.reconcile("high", "s", episodes(*bounds), from_ns=-1)
        inputs = self.intake.take(said)
        self.state = advance(AlertingRules(), self.state, inputs, now_ns=self.now_s * SECOND).state
        return inputs

    @property
    def is_active(self):
        point = self.state.points.get(("s", "HIGH"))
        return point is not None and point.is_active


def intake(most=100):
    return DecisionIntake(attributes=lambda decision: {}, code={"high": "HIGH"}, most=most)


def test_a_state_that_only_began_earlier_replaces_its_alert():
    point = Point()
    point.look(50)
    (change,) = point.look(40)
    assert isinstance(change, Replaced)
    assert change.alert.event_ns == 40 * SECOND


def test_a_state_that_was_none_is_retracted():
    point = Point()
    point.look(50)
    (change,) = point.look()
    assert isinstance(change, Retracted)


def test_two_states_apart_are_two_alerts():
    point = Point()
    point.look(10, 20)
    kinds = [type(change).__name__ for change in point.look(50, 60)]
    assert sorted(kinds) == ["Alert", "Cleared", "Retracted"]


def test_an_end_that_moved_is_not_told_to_the_desk_as_a_resumption():
    point = Point()
    point.look(10, 20)
    changes = point.look(10, 30)
    assert not any(isinstance(change, Resumed) for change in changes)
    assert not point.is_active


def test_an_end_that_was_taken_back_resumes_the_alert():
    point = Point()
    point.look(10, 20)
    (change,) = point.look(10)
    assert isinstance(change, Resumed)
    assert point.is_active


def test_a_state_that_comes_back_is_another_alert():
    point = Point()
    (first,) = point.look(10)
    point.look()
    (again,) = point.look(10)
    assert again.alert_id == f"{first.alert_id}:2"


def test_another_score_is_the_same_alert():
    made = intake()
    made.take([transition(10, Transition.RAISED)])
    revised = transition(10, Transition.RAISED, score=9.0)
    assert made.take([revised.revised(revision=1, status=Status.REVISED)]) == []


def test_settled_states_are_forgotten_and_open_ones_kept():
    made = intake()
    made.take(episodes(10, 20, 30))
    made.settle(40 * SECOND)
    assert [row[3] for row in made.snapshot()] == [30 * SECOND]


def test_what_is_kept_is_bounded():
    made = intake(most=2)
    made.take(episodes(10, 20, 30))
    made.settle(0)
    assert made.snapshot() == []


def test_a_snapshot_restores_it():
    made, again = intake(), intake()
    made.take(episodes(10, 20, 30))
    again.restore(made.snapshot())
    assert again.snapshot() == made.snapshot()


bounds = st.lists(st.integers(1, 30), unique=True, max_size=6).map(sorted)


@settings(max_examples=200, deadline=None)
@given(looks=st.lists(bounds, min_size=1, max_size=6))
def test_what_stands_in_the_end_stands_at_the_desk(looks):
    point = Point()
    for seen in looks:
        point.look(*seen)
    assert point.is_active == (len(looks[-1]) % 2 == 1)
    counts = {str(fate): n for fate, n in point.state.counts.items() if n}
    standing = sum(n for fate, n in counts.items() if fate != "retracted")
    assert standing == (len(looks[-1]) + 1) // 2
    assert point.state.unplaced == 0
