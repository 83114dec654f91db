"""Late data takes alerts back: nothing is lost, and what was told is corrected."""

from decide.alerting.alerting_cases import (
    CRITICAL,
    MINUTE,
    Run,
    action,
    alert,
    cleared,
    many,
    rules,
)
from sightline.decide.alerting import StormRule
from sightline.decide.alerting.rules import Replaced, Resumed, Retracted

SAT = "sat-1"


def retracted(identity, at, subject=SAT, code="DRIFT"):
    return Retracted(alert_id=str(identity), subject=subject, code=code, event_ns=int(at * MINUTE))


def resumed(of, at):
    return Resumed(alert=of, event_ns=int(at * MINUTE))


def test_what_waits_is_taken_back_without_a_word():
    run = Run().step(alert(1), now=0.5).step(retracted(1, 0), now=10)
    assert run.said() == []
    assert run.fates() == {"1": "retracted"}
    assert run.point(SAT) == "normal"


def test_what_was_told_is_corrected_by_one_short_message():
    run = Run().step(alert(1), now=5).step(retracted(1, 0), now=6)
    assert run.said() == [("alert", SAT, 1), ("correction", SAT, 1)]
    assert run.messages[1].update_of == run.messages[0].message_id
    assert run.messages[1].named == ("1",)


def test_a_retracted_alarm_owes_no_acknowledgement():
    run = Run().step(alert(1), now=5)
    assert run.point(SAT) == "unacknowledged"
    assert run.step(retracted(1, 0), now=6).point(SAT) == "normal"


def test_an_earlier_alarm_of_the_point_still_owes_one():
    run = Run(rules(repeat_ns=MINUTE)).step(alert(1), cleared(SAT, 2), now=5)
    run.step(alert(2, 6, subject=SAT), now=10).step(retracted(2, 6), now=11)
    assert run.point(SAT) == "returned_unacknowledged"


def test_all_that_is_taken_back_at_one_time_is_one_correction():
    run = Run().step(*many(4, gateway="g-1"), now=5)
    assert run.said() == [("group", "gateway=g-1", 4)]
    run.step(*[retracted(i, 0, f"sat-{i}") for i in range(3)], now=6)
    assert run.said()[1:] == [("correction", "", 3)]
    assert run.messages[1].update_of == run.messages[0].message_id


def test_a_correction_of_several_messages_names_none():
    run = Run().step(*many(2), now=5).step(retracted(0, 0, "sat-0"), retracted(1, 0), now=6)
    assert run.messages[-1].kind == "correction"
    assert run.messages[-1].update_of == ""


def test_an_alert_counted_on_one_that_waited_takes_its_place():
    run = Run().step(alert(1), alert(2, 0.2, subject=SAT), now=0.5)
    run.step(retracted(1, 0), now=10)
    assert run.fates() == {"1": "retracted", "2": "told"}
    assert run.said() == [("alert", SAT, 1)]


def test_an_active_alert_counted_on_one_that_was_told_is_told_itself():
    run = Run().step(alert(1), cleared(SAT, 2), alert(2, 3, subject=SAT), now=5)
    assert run.fates() == {"1": "told", "2": "suppressed"}
    run.step(retracted(1, 0), now=20)
    assert run.fates() == {"1": "retracted", "2": "told"}
    assert [kind for kind, _, _ in run.said()] == ["alert", "correction", "alert"]


def test_what_is_taken_out_of_a_digest_before_it_is_said_is_not_in_it():
    storm = StormRule(window_ns=10 * MINUTE, max_messages=1, calm_below=1)
    run = Run(rules(storm=storm)).step(*many(3, severity=CRITICAL), now=0)
    run.step(alert(7, 1, severity=CRITICAL), now=1)
    assert run.fates()["7"] == "in_digest"
    run.step(retracted(7, 1, "sat-7"), now=30)
    assert "7" not in {i for m in run.messages for i in m.named}
    assert run.fates()["7"] == "retracted"


def test_in_a_storm_corrections_wait_for_the_digest():
    storm = StormRule(window_ns=60 * MINUTE, max_messages=2, calm_below=1)
    run = Run(rules(storm=storm)).step(*many(4, severity=CRITICAL), now=0)
    before = len(run.messages)
    run.step(retracted(0, 0, "sat-0"), now=1).step(retracted(1, 0), now=2)
    assert len(run.messages) == before
    run.step(now=6)
    assert [(str(m.kind), m.count, m.at_ns) for m in run.messages[before:]] == [
        ("digest", 1, 5 * MINUTE),
        ("correction", 2, 5 * MINUTE),
    ]


def test_an_alert_that_began_at_another_time_is_told_once():
    run = Run().step(alert(1, 1), now=5)
    other = alert(2, 0.5, subject=SAT)
    run.step(Replaced(alert_id="1", alert=other), now=6)
    assert run.said() == [("alert", SAT, 1)]
    assert run.fates() == {"1": "retracted", "2": "told"}
    assert run.point(SAT) == "unacknowledged"


def test_a_replaced_alert_that_waits_is_told_under_its_new_name():
    run = Run().step(alert(1, 1), now=1.5)
    run.step(Replaced(alert_id="1", alert=alert(2, 0.5, subject=SAT)), now=6)
    assert run.messages[0].named == ("2",)


def test_a_clear_taken_back_makes_an_acknowledged_alarm_stand_again():
    first = alert(1)
    run = Run().step(first, action("acknowledge", 2, SAT), cleared(SAT, 3), now=5)
    assert run.point(SAT) == "normal"
    assert run.step(resumed(first, 3), now=6).point(SAT) == "unacknowledged"
    assert run.said() == [("alert", SAT, 1)]


def test_a_masked_alarm_that_resumes_after_the_mask_is_told():
    first = alert(1)
    hidden = Run().step(action("take_out", 0, SAT, until=5), first, cleared(SAT, 2), now=10)
    assert hidden.said() == []
    hidden.step(resumed(first, 2), now=20)
    assert hidden.said() == [("alert", SAT, 1)]
    assert hidden.fates() == {"1": "told"}


def test_a_retraction_of_what_is_not_known_any_more_is_counted():
    run = Run(rules(revise_ns=MINUTE)).step(alert(1), cleared(SAT, 1), now=100)
    run.step(retracted(1, 0), now=101)
    assert run.state.unplaced == 1
    assert run.fates() == {"1": "told"}


def test_what_may_still_be_retracted_is_bounded():
    run = Run(rules(max_placed=5)).step(*many(30), now=5)
    assert len(run.state.placed) == 5
    assert run.state.raised == 30
