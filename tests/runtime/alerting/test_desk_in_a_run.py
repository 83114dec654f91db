"""What an operator is told of a run: causes, masks, storms, corrections; every alert in a place."""

from collections import Counter

from sightline.records.decision import final_revisions
from simulation.alerting_runs import (
    at,
    dispositions,
    fates,
    fleet_plan,
    fleet_rows,
    gateway_of,
    messages,
    names,
    run_fleet,
    said,
)

SAT = "sat-001"
HIGH = f"{SAT}/value"


def mask(subject=SAT, begin=0.0, end=1000.0, **more):
    return {
        "control": "mask",
        "subject": subject,
        "from_ns": at(begin),
        "until_ns": at(end),
        **more,
    }


def control(name, seconds, subject, **more):
    return {"control": name, "subject": subject, "event_ns": at(seconds), **more}


def test_an_outage_of_a_gateway_is_one_message_and_not_forty():
    quiet = {n: (100, 200) for i, n in enumerate(names(80)) if gateway_of(i) == "g-0"}
    run = run_fleet(fleet_plan(80), fleet_rows(80, quiet=quiet)).run
    assert messages(run) == [("group", "gateway=g-0", 40)]
    assert Counter(fates(run).values()) == {"told": 40}


def test_a_group_can_be_the_contracts_own():
    quiet = {n: (100, 200) for i, n in enumerate(names(30)) if i % 3 == 1}
    run = run_fleet(fleet_plan(30, by=["region"]), fleet_rows(30, quiet=quiet)).run
    assert messages(run) == [("group", "region=r-1", 10)]


def test_three_of_many_are_no_group():
    quiet = dict.fromkeys(names(60)[:2], (100, 200))
    run = run_fleet(fleet_plan(60), fleet_rows(60, quiet=quiet)).run
    assert [kind for kind, _, _ in messages(run)] == ["alert", "alert"]


def test_the_alerts_of_a_mask_are_made_and_recorded_with_its_reason():
    result = run_fleet(
        fleet_plan(), fleet_rows(high={SAT: [(100, 200)]}), mask(reason="antenna test")
    )
    assert messages(result.run) == []
    assert [(d["fate"], d["reason"]) for d in dispositions(result.run)] == [
        ("masked", "antenna test")
    ]
    assert {str(d.transition) for d in result.decisions} == {"raised", "cleared"}


def test_without_a_desk_a_mask_hides_the_decisions():
    result = run_fleet(fleet_plan(name=None), fleet_rows(high={SAT: [(100, 200)]}), mask())
    assert result.decisions == []


def test_what_outlives_its_mask_is_told_when_it_ends():
    rows = fleet_rows(high={SAT: [(100, 280)]})
    run = run_fleet(fleet_plan(hold_s=10), rows, mask(end=200)).run
    assert messages(run) == [("alert", HIGH, 1)]
    assert [(d["fate"], d["at_ns"]) for d in dispositions(run)] == [
        ("masked", at(110)),
        ("waiting", at(200)),
        ("told", at(210)),
    ]


def test_a_shelf_begins_at_its_event_time():
    rows = fleet_rows(high={SAT: [(60, 80), (160, 180)]})
    plan = fleet_plan(hold_s=5, repeat_s=10)
    shelve = control("shelve", 120, SAT, until_ns=at(290), reason="known")
    run = run_fleet(plan, rows, shelve).run
    assert list(fates(run).values()) == ["told", "shelved"]


def test_acknowledgement_is_done_at_its_event_time():
    rows = fleet_rows(high={SAT: [(100, 260)]})
    run = run_fleet(fleet_plan(hold_s=10), rows, control("acknowledge", 150, HIGH)).run
    changes = [(c["after"], c["at_ns"]) for one in said(run) for c in one.changes]
    assert changes == [("unacknowledged", at(110)), ("acknowledged", at(150)), ("normal", at(270))]


def test_an_action_that_cannot_be_done_is_logged_as_refused():
    run = run_fleet(fleet_plan(), fleet_rows(), control("acknowledge", 150, HIGH)).run
    refused = [r for one in said(run) for r in one.refused]
    assert [(r["kind"], r["cause"], r["event_ns"]) for r in refused] == [
        ("acknowledge", "NOTHING_TO_DO", at(150))
    ]


def test_contacts_with_an_event_time_take_effect_then():
    rows = fleet_rows(quiet={SAT: (50, 100), "sat-002": (200, 250)})
    quiet = {"control": "contacts", "source": "t", "event_ns": at(150), "contacts": [
        {"key": s, "start_ns": at(0), "end_ns": at(10)} for s in ("sat-002",)]}  # fmt: skip
    kinds = {d.subject for d in run_fleet(fleet_plan(), rows, quiet).decisions}
    assert kinds == {SAT}


def test_a_storm_becomes_digests_and_every_alert_is_in_one_place():
    storm = {"max_messages": 4, "calm_below": 2, "window_s": 100, "digest_every_s": 60}
    high = {n: [(50 + 10 * i, 80 + 10 * i)] for i, n in enumerate(names(20))}
    plan = fleet_plan(20, by=["region"], hold_s=10, storm=storm)
    run = run_fleet(plan, fleet_rows(20, high=high)).run
    kinds = Counter(kind for kind, _, _ in messages(run))
    assert kinds["alert"] == 4
    assert 2 <= kinds["digest"] <= 6
    counted = Counter(fates(run).values())
    assert counted == {"told": 4, "in_digest": 16}
    last = said(run)[-1]
    assert (dict(last.fates), last.raised) == (dict(counted), 20)
    in_digests = sum(n for kind, _, n in messages(run) if kind == "digest")
    assert in_digests == 16


def test_a_silence_that_backlog_takes_back_is_corrected():
    run = run_fleet(fleet_plan(), fleet_rows(late={SAT: (100, 200, 250)})).run
    assert messages(run) == [("alert", SAT, 1), ("correction", SAT, 1)]
    assert list(fates(run).values()) == ["retracted"]


def test_a_silence_that_is_taken_back_before_it_was_told_is_not_told():
    run = run_fleet(fleet_plan(hold_s=120), fleet_rows(late={SAT: (100, 200, 210)})).run
    assert messages(run) == []
    assert list(fates(run).values()) == ["retracted"]


def test_a_silence_that_began_later_than_thought_is_told_once():
    # Of the gap from 100 to 200 the first half comes late.
    rows = fleet_rows(quiet={SAT: (150, 200)}, late={SAT: (100, 150, 250)})
    result = run_fleet(fleet_plan(hold_s=30), rows)
    assert [kind for kind, _, _ in messages(result.run)] == ["alert"]
    assert Counter(fates(result.run).values()) == {"retracted": 1, "told": 1}
    raised = [d for d in final_revisions(result.decisions) if d.transition == "raised"]
    assert len(raised) == 1


def test_each_raised_decision_has_a_place():
    high = {n: [(50 + 7 * i, 120 + 9 * i)] for i, n in enumerate(names(12))}
    result = run_fleet(fleet_plan(), fleet_rows(high=high, quiet={"sat-003": (90, 150)}))
    raised = {d.decision_id for d in result.decisions if d.transition == "raised"}
    assert set(fates(result.run)) == raised


def test_held_decisions_reach_the_desk_only_when_released():
    stages = {
        "region_silent": {"use": "silence", "input": "seen", "scope": "group", "code": "REGION"},
        "silent": {"inhibited_by": ["region_silent"], "inhibit_hold_s": 10},
    }
    quiet = {n: (100, 200) for i, n in enumerate(names(12)) if i % 3 == 0}
    run = run_fleet(fleet_plan(stages=stages), fleet_rows(quiet=quiet)).run
    assert messages(run) == [("alert", "r-0", 1)]
