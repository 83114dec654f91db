"""The nine states of ANSI/ISA-18.2 and the ways between them."""

import pytest

from decide.alerting.alerting_cases import CRITICAL, Run, action, alert, cleared, rules
from sightline.decide.alerting.points import (
    HIDDEN,
    TRANSITIONS,
    AlarmEvent,
    AlarmState,
    next_state,
)

SAT = "sat-1"


def raised(**changed):
    return Run(rules(**changed)).step(alert(1, severity=CRITICAL), now=1)


def test_there_are_the_nine_states_of_the_standard():
    assert len(AlarmState) == 9


def test_every_state_can_be_reached_and_left_again_to_normal():
    reached = {AlarmState.NORMAL}
    for _ in AlarmState:
        reached |= {after for (before, _), after in TRANSITIONS.items() if before in reached}
    assert reached == set(AlarmState)
    for state in AlarmState:
        ends = {state}
        for _ in AlarmState:
            ends |= {after for (before, _), after in TRANSITIONS.items() if before in ends}
        assert AlarmState.NORMAL in ends


def test_an_alarm_leaves_no_visible_state_to_normal_without_a_look_or_a_return():
    ways = {
        (before, event)
        for (before, event), after in TRANSITIONS.items()
        if after is AlarmState.NORMAL and before not in HIDDEN
        if event is not AlarmEvent.RETRACTED  # it never was an alarm, and that is told
    }
    assert ways == {
        (AlarmState.ACKNOWLEDGED, AlarmEvent.CLEARED),
        (AlarmState.RETURNED, AlarmEvent.ACKNOWLEDGE),
        (AlarmState.LATCHED_ACKNOWLEDGED, AlarmEvent.RESET),
    }


def test_a_raised_alarm_is_unacknowledged():
    assert raised().point(SAT) == "unacknowledged"


def test_acknowledged_and_cleared_it_is_normal_in_either_order():
    one = raised().step(action("acknowledge", 2, SAT), now=2)
    assert one.point(SAT) == "acknowledged"
    assert one.step(cleared(SAT, 3), now=3).point(SAT) == "normal"
    other = raised().step(cleared(SAT, 2), now=2)
    assert other.point(SAT) == "returned_unacknowledged"
    assert other.step(action("acknowledge", 3, SAT), now=3).point(SAT) == "normal"


def test_a_latching_alarm_has_to_be_acknowledged_and_then_reset():
    run = raised(latching=("DRIFT",)).step(cleared(SAT, 2), now=2)
    assert run.point(SAT) == "latched_unacknowledged"
    assert run.step(action("reset", 3, SAT), now=3).point(SAT) == "latched_unacknowledged"
    assert len(run.refused) == 1
    assert run.step(action("acknowledge", 4, SAT), now=4).point(SAT) == "latched_acknowledged"
    assert run.step(action("reset", 5, SAT), now=5).point(SAT) == "normal"


def test_shelving_a_latched_alarm_does_not_reset_it():
    run = raised(latching=("DRIFT",)).step(cleared(SAT, 2), now=2)
    run.step(action("shelve", 3, SAT, until=10), now=4)
    assert run.point(SAT) == "shelved"
    assert run.step(now=11).point(SAT) == "latched_unacknowledged"


def test_raised_again_while_acknowledged_it_needs_a_look_again_once_told():
    run = raised(repeat_ns=0).step(action("acknowledge", 2, SAT), now=2)
    run.step(alert(2, 3, subject=SAT, severity=CRITICAL), now=3)
    assert run.point(SAT) == "unacknowledged"


def test_a_repeat_that_is_only_counted_leaves_an_acknowledged_alarm_acknowledged():
    run = raised().step(action("acknowledge", 2, SAT), now=2)
    run.step(alert(2, 3, subject=SAT, severity=CRITICAL), now=3)
    assert run.point(SAT) == "acknowledged"


def test_an_operator_cannot_acknowledge_what_is_not_there():
    run = Run().step(action("acknowledge", 2, SAT), now=2)
    assert [cause for _, cause in run.refused] == ["NOTHING_TO_DO"]


@pytest.mark.parametrize(
    ("kind", "end", "state"),
    [
        ("shelve", "unshelve", "shelved"),
        ("suppress", "put_back", "suppressed_by_design"),
        ("take_out", "put_back", "out_of_service"),
    ],
)
def test_each_hidden_state_is_entered_and_left_by_its_action(kind, end, state):
    run = raised().step(action(kind, 2, SAT, until=100), now=3)
    assert run.point(SAT) == state
    assert run.step(action(end, 4, SAT), now=5).point(SAT) == "unacknowledged"


def test_every_change_is_recorded_with_what_caused_it():
    run = raised().step(action("acknowledge", 2, SAT), now=2).step(cleared(SAT, 3), now=3)
    assert [(str(c.before), str(c.event), str(c.after)) for c in run.changes] == [
        ("normal", "raised", "unacknowledged"),
        ("unacknowledged", "acknowledge", "acknowledged"),
        ("acknowledged", "cleared", "normal"),
    ]


def test_what_is_not_in_the_table_cannot_happen():
    assert next_state(AlarmState.SHELVED, AlarmEvent.ACKNOWLEDGE) is None
