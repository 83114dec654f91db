"""What an operator is told, case by case."""

from itertools import pairwise

import pytest

from decide.alerting.alerting_cases import (
    CRITICAL,
    INFO,
    MINUTE,
    Run,
    action,
    alert,
    cleared,
    many,
    rules,
)
from sightline.decide.alerting import AlertingState, StormRule
from sightline.errors import UsageError

SAT = "sat-1"
CALM = StormRule(max_messages=1000, calm_below=5)


def repeats(n, *, start=1.0, every=1.0, subject=SAT):
    return [alert(f"r{i}", start + i * every, subject=subject) for i in range(n)]


# --- hold -----------------------------------------------------------------------------------------


def test_an_alert_waits_for_others_of_its_cause_and_is_then_told():
    run = Run().step(alert(1), now=0.5)
    assert (run.said(), run.fates()) == ([], {"1": "waiting"})
    run.step(now=1)
    assert (run.said(), run.fates()) == ([("alert", SAT, 1)], {"1": "told"})


def test_an_urgent_alert_does_not_wait():
    assert Run().step(alert(1, severity=CRITICAL), now=0).said() == [("alert", SAT, 1)]


def test_an_alert_that_has_cleared_while_it_waited_is_told_all_the_same():
    run = Run().step(alert(1), cleared(SAT, 0.5), now=2)
    assert run.said() == [("alert", SAT, 1)]
    assert run.point(SAT) == "returned_unacknowledged"


def test_at_the_end_what_waits_is_told():
    assert Run().step(alert(1), now=0, is_last=True).said() == [("alert", SAT, 1)]


# --- groups ---------------------------------------------------------------------------------------


def test_alerts_of_one_gateway_are_one_message_with_its_members():
    run = Run().step(*many(6, gateway="g-1", region="r"), now=1)
    assert run.said() == [("group", "gateway=g-1", 6)]
    assert run.messages[0].named == ("0", "1", "2", "3", "4", "5")
    assert set(run.fates().values()) == {"told"}


def test_the_list_of_members_is_bounded_and_the_count_is_not():
    run = Run(rules(max_named=2)).step(*many(6, gateway="g-1"), now=1)
    assert (len(run.messages[0].named), run.messages[0].count) == (2, 6)
    assert {d.held_by for d in run.dispositions if d.fate == "told"} == {"desk-1"}


def test_a_late_member_is_counted_on_the_group():
    run = Run().step(*many(6, gateway="g-1"), now=1)
    run.step(alert(9, 10, gateway="g-1"), now=12)
    assert run.fates()["9"] == "suppressed"
    assert run.dispositions[-1].cause == "IN_GROUP"
    assert len(run.messages) == 1


def test_a_worse_alert_of_a_group_is_told():
    run = Run().step(*many(6, gateway="g-1"), now=1)
    run.step(alert(9, 10, gateway="g-1", severity=CRITICAL), now=12)
    assert run.said()[-1] == ("alert", "sat-9", 1)


def test_the_growth_of_a_group_is_said_at_intervals():
    run = Run().step(*many(6, gateway="g-1"), now=1)
    run.step(alert(8, 10, gateway="g-1"), alert(9, 11, gateway="g-1"), now=200)
    assert run.said()[1:] == [("update", "gateway=g-1", 8)]
    assert run.messages[1].update_of == run.messages[0].message_id


# --- repeats --------------------------------------------------------------------------------------


def test_repeats_are_counted_on_the_first_and_said_at_intervals():
    run = Run().step(alert(1), *repeats(100), now=130)
    assert run.said() == [("alert", SAT, 1), ("update", SAT, 60), ("update", SAT, 101)]
    assert run.fates()["r7"] == "suppressed"


def test_a_repeat_names_the_alert_it_is_counted_on():
    run = Run().step(alert(1), *repeats(1), now=3)
    assert [d.held_by for d in run.dispositions if d.cause == "REPEAT"] == ["1"]


def test_behind_the_repeat_window_it_is_told_again():
    run = Run().step(alert(1), alert(2, 361, subject=SAT), now=400)
    assert run.said() == [("alert", SAT, 1), ("alert", SAT, 1)]


def test_another_code_of_the_same_subject_is_no_repeat():
    run = Run().step(alert(1), alert(2, 2, subject=SAT, code="STEP"), now=5)
    assert [kind for kind, _, _ in run.said()] == ["alert", "alert"]


def test_a_worse_repeat_is_told():
    run = Run().step(alert(1), alert(2, 2, subject=SAT, severity=CRITICAL), now=5)
    assert len(run.said()) == 2


def test_counts_that_were_not_said_are_carried_on_to_the_next_alert():
    slow = rules(update_every_ns=1000 * MINUTE)
    run = Run(slow).step(alert(1), *repeats(3), alert(2, 400, subject=SAT), now=1500)
    assert run.said()[-1] == ("update", SAT, 4)


# --- storms ---------------------------------------------------------------------------------------


def test_a_storm_is_ten_messages_and_a_digest():
    run = Run().step(*many(60), now=1)
    assert [kind for kind, _, _ in run.said()] == ["alert"] * 10 + ["digest"]
    digest = run.messages[-1]
    assert digest.count == 50
    assert sum(row.count for row in digest.rows) == 50
    assert sorted(run.fates().values()) == ["in_digest"] * 50 + ["told"] * 10


def test_the_worst_are_told_before_the_storm_and_come_first_in_the_digest():
    mild = many(20, severity=INFO)
    run = Run().step(*mild, *many(3, first=50), now=1)
    assert [m.subject for m in run.messages[:3]] == ["sat-50", "sat-51", "sat-52"]
    worse = alert(99, 2, severity=CRITICAL, satellite="s-9")
    run.step(*many(5, 2, first=30, severity=INFO), worse, now=9)
    assert run.messages[-1].rows[0].group == "s-9"
    assert run.messages[-1].named[0] == "99"


def test_in_a_storm_digests_come_at_intervals():
    alerts = [alert(i, i / 10) for i in range(600)]
    run = Run().step(*alerts, now=60, is_last=True)
    times = [m.at_ns // MINUTE for m in run.messages if str(m.kind) == "digest"]
    assert all(b - a >= 5 for a, b in pairwise(times[:-1]))
    assert len(run.messages) <= 10 + 60 / 5 + 2


def test_a_storm_ends_when_its_rate_has_fallen_below_half():
    run = Run().step(*many(30), now=1)
    assert run.state.storm.is_storm
    run.step(now=12)
    assert not run.state.storm.is_storm
    run.step(alert(99, 13), now=15)
    assert run.said()[-1] == ("alert", "sat-99", 1)


def test_between_the_two_rates_a_storm_goes_on():
    # 1.4 min apart: 7 in ten minutes are no storm by themselves, and do not end one.
    late = [alert(100 + i, 3 + 1.4 * i) for i in range(20)]
    run = Run().step(*many(30), *late, now=31)
    assert run.state.storm.is_storm
    assert not Run().step(*late, now=31).state.storm.is_storm


def test_a_digest_counts_by_group_and_code():
    lots = many(12, severity=CRITICAL)
    one, two = many(4, 1, first=20, satellite="a"), many(3, 1, first=30, satellite="b", code="STEP")
    run = Run().step(*lots, *one, *two, now=20)
    rows = [(r.group, r.code, r.count) for m in run.messages for r in m.rows]
    assert ("a", "DRIFT", 4) in rows
    assert ("b", "STEP", 3) in rows


def test_updates_wait_while_there_is_a_storm():
    first = alert("x", 0, subject=SAT, severity=CRITICAL)
    storm = [alert(i + 10, 1 + i / 10) for i in range(800)]
    run = Run().step(first, *repeats(5, start=0.1, every=0.01), *storm, now=81)
    assert "update" not in [kind for kind, _, _ in run.said()]
    run.step(now=100)
    assert ("update", SAT, 6) in run.said()


# --- masks and shelves ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "fate", "cause"),
    [
        ("suppress", "masked", "SUPPRESSED_BY_DESIGN"),
        ("take_out", "masked", "OUT_OF_SERVICE"),
        ("shelve", "shelved", "SHELVED"),
    ],
)
def test_what_is_hidden_is_recorded_with_its_reason(kind, fate, cause):
    hide = action(kind, 0, SAT, until=60, reason="heater test")
    run = Run().step(hide, alert(1, 5), cleared(SAT, 9), now=70, is_last=True)
    assert run.said() == []
    assert [(str(d.fate), d.cause, d.reason) for d in run.dispositions] == [
        (fate, cause, "heater test")
    ]


@pytest.mark.parametrize("kind", ["suppress", "take_out", "shelve"])
def test_what_is_still_active_when_it_is_no_longer_hidden_is_told(kind):
    run = Run().step(action(kind, 0, SAT, until=60), alert(1, 5), now=59)
    assert run.said() == []
    run.step(now=61)
    assert run.said() == [("alert", SAT, 1)]
    assert run.fates() == {"1": "told"}


def test_a_shelf_that_runs_out_on_an_active_alarm_is_heard_of_again():
    run = Run().step(alert(1), now=2).step(action("shelve", 3, SAT, until=30), now=32)
    assert run.said() == [("alert", SAT, 1), ("alert", SAT, 1)]
    assert run.dispositions[-2].cause == "STILL_ACTIVE"


def test_a_member_whose_shelf_runs_out_is_told_and_not_counted_on_its_group():
    run = Run().step(*many(6, gateway="g-1"), now=2)
    run.step(action("shelve", 3, "sat-0", until=10), now=15)
    assert run.said()[-1] == ("alert", "sat-0", 1)


def test_what_is_in_the_next_digest_already_is_not_put_there_again():
    storm = [alert(i + 10, i / 10) for i in range(30)]
    urgent = alert(2, 4, severity=CRITICAL)
    run = Run().step(*storm, urgent, action("shelve", 4.5, "sat-2", until=4.6), now=30)
    assert [d.fate for d in run.dispositions if d.alert_id == "2"] == ["waiting", "in_digest"]


def test_a_late_alert_from_before_the_mask_is_told_once_when_the_mask_has_ended():
    run = Run().step(action("take_out", 0, SAT, from_=10, until=60), now=12)
    run.step(alert(1, 5), now=12.2)
    assert run.fates() == {"1": "masked"}
    run.step(action("put_back", 12.5, SAT), now=20)
    assert run.said() == [("alert", SAT, 1)]


def test_shelving_is_cut_to_its_limit():
    short = rules(max_shelve_ns=10 * MINUTE)
    run = Run(short).step(action("shelve", 0, SAT, until=10_000), alert(1, 5), now=12)
    assert run.said() == [("alert", SAT, 1)]


def test_shelving_without_an_end_is_refused():
    run = Run().step(action("shelve", 0, SAT), now=1)
    assert [cause for _, cause in run.refused] == ["NO_END"]


def test_a_mask_covers_the_fields_of_its_subject():
    field = alert(1, 5, subject="sat-1/bus_v")
    run = Run().step(action("take_out", 0, SAT, until=60), field, now=30)
    assert run.fates() == {"1": "masked"}


def test_maintenance_that_is_planned_begins_and_ends_by_itself():
    planned = action("take_out", 0, SAT, from_=10, until=20)
    run = Run().step(planned, alert(1, 5), now=8)
    assert run.point(SAT) == "unacknowledged"
    assert run.step(now=12).point(SAT) == "out_of_service"
    assert run.step(now=21).point(SAT) == "unacknowledged"


def test_what_waits_when_its_point_is_shelved_is_not_told():
    run = Run().step(alert(1), action("shelve", 0.5, SAT, until=60), cleared(SAT, 3), now=90)
    assert (run.said(), run.fates()) == ([], {"1": "shelved"})


def test_nothing_is_counted_on_an_alert_that_was_never_told():
    run = Run().step(alert(1), action("shelve", 0.5, SAT, until=60), cleared(SAT, 3), now=70)
    run.step(alert(2, 71, subject=SAT), now=80)
    assert run.said() == [("alert", SAT, 1)]


def test_a_late_alert_is_masked_by_its_own_time():
    run = Run().step(action("take_out", 0, SAT, until=60), now=100)
    run.step(alert(1, 50), cleared(SAT, 55), now=101)
    assert (run.said(), run.fates()) == ([], {"1": "masked"})


def test_more_masks_than_the_bound_are_refused():
    run = Run(rules(max_hidings=2))
    run.step(*[action("take_out", i, f"sat-{i}", until=60) for i in range(3)], now=5)
    assert [cause for _, cause in run.refused] == ["TOO_MANY"]


# --- bounds ---------------------------------------------------------------------------------------


def test_beyond_the_bound_of_waiting_alerts_they_are_released_early():
    run = Run(rules(max_waiting=5, storm=CALM)).step(*many(12), now=0.1)
    assert len(run.messages) == 10
    assert len(run.state.waiting) == 2


def test_beyond_the_bound_of_points_alerts_are_told_without_a_life_cycle():
    run = Run(rules(max_points=3, storm=CALM)).step(*many(5), now=2)
    assert (len(run.state.points), run.state.untracked, len(run.messages)) == (3, 2, 5)


def test_a_state_of_another_format_is_refused():
    with pytest.raises(UsageError, match="alerting state"):
        AlertingState.from_mapping({"format": 0})


def test_a_rule_out_of_its_range_is_refused():
    with pytest.raises(UsageError):
        rules(max_named=0)


# --- ends -----------------------------------------------------------------------------------------


def ends(run):
    """(what it ends, raised at, over since) of each message that says so, in minutes."""
    return [
        (m.update_of, m.since_ns // MINUTE, m.until_ns and m.until_ns // MINUTE)
        for m in run.messages
        if m.kind == "over"
    ]


def test_what_was_told_is_told_to_be_over():
    run = Run(rules(tell_ends=True)).step(alert(1, at=1), now=3)
    assert ends(run) == []
    assert ends(run.step(cleared(SAT, 7), now=8)) == [("desk-1", 1, 7)]


def test_what_was_over_before_it_was_told_is_told_to_be_over_at_once():
    run = Run(rules(tell_ends=True)).step(alert(1, at=1), cleared(SAT, 1.5), now=9)
    assert run.said() == [("alert", SAT, 1), ("over", SAT, 1)]
    assert ends(run.step(now=20)) == [("desk-1", 1, None)]


def test_the_end_of_what_nobody_was_told_of_is_not_told():
    hidden = action("shelve", 0, SAT, until=60)
    run = Run(rules(tell_ends=True)).step(hidden, alert(1, at=1), cleared(SAT, 5), now=9)
    assert run.said() == []


def test_without_the_wish_no_end_is_told():
    run = Run().step(alert(1, at=1), now=3).step(cleared(SAT, 7), now=8)
    assert run.said() == [("alert", SAT, 1)]
