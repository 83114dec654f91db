"""Operator inputs: their forms, their times, their bounds; and who shares what."""

import json

import pytest

from sightline.decide.alerting.actions import PendingActions, operator_action
from sightline.errors import LogError, UsageError
from sightline.runtime.alerting.desk import Subjects
from sightline.runtime.engine.operator_inputs import OperatorInputs
from simulation.alerting_runs import fleet_plan
from simulation.site_cases import plan_of, yard

WITH_DESK, WITHOUT_DESK = fleet_plan(), fleet_plan(name=None)
ACKNOWLEDGE = {"control": "acknowledge", "subject": "sat-1"}


def inputs(*, has_desk):
    return OperatorInputs(WITH_DESK if has_desk else WITHOUT_DESK)


def payload(**plain):
    return json.dumps(plain).encode()


def test_an_input_with_an_id_takes_effect_once():
    taken = inputs(has_desk=True)
    given = payload(**ACKNOWLEDGE, id="1")
    assert taken.apply(given) is not None
    assert taken.apply(given) is None


def test_an_id_is_remembered_over_a_checkpoint():
    taken, again = inputs(has_desk=True), inputs(has_desk=True)
    taken.apply(payload(**ACKNOWLEDGE, id="1"))
    again.restore(json.loads(json.dumps(taken.snapshot())))
    assert again.apply(payload(**ACKNOWLEDGE, id="1")) is None


@pytest.mark.parametrize(
    "control",
    [
        {"control": "shelve", "subject": "sat-1"},
        {"control": "mask", "subject": "sat-1", "until_ns": "tomorrow"},
        {"control": "mask", "subject": "sat-1", "until_ns": 9, "as": "holiday"},
        {"control": "acknowledge"},
        {"control": "acknowledge", "subject": ""},
        {"control": "reset", "subject": "sat-1", "event_ns": 1.5},
    ],
)
def test_an_input_that_lacks_something_is_refused_before_the_run(control):
    with pytest.raises(UsageError):
        OperatorInputs.check(WITH_DESK, [control])


MASK = {"control": "mask", "subject": "sat-1", "from_ns": 1, "until_ns": 9}


@pytest.mark.parametrize(
    "control",
    [
        {"control": "mask", "event_ns": 5},
        {"control": "mask", "event_ns": 5, "from_ns": 1, "until_ns": 9},
        {**MASK, "event_ns": 5, "until_ns": "tomorrow"},
        {**MASK, "event_ns": "soon"},
        {"control": "shelve", "event_ns": 5},
        {"control": "contacts", "event_ns": 5, "contacts": []},
        {"control": "contacts", "event_ns": 5, "contacts": [{}], "source": "t"},
        {"control": "contacts", "event_ns": 5, "contacts": [], "source": "nowhere"},
        {"control": "rest", "event_ns": 5},
        {"control": "rest"},
        {"event_ns": 5},
    ],
)
def test_without_a_desk_an_input_that_lacks_something_is_refused_when_it_comes(control):
    with pytest.raises(LogError):
        inputs(has_desk=False).apply(payload(**control))


def test_a_mask_with_a_time_waits_for_it():
    taken = inputs(has_desk=False)
    assert taken.apply(payload(**MASK, event_ns=5)) is None
    assert (len(taken.snapshot()["waiting"]), taken.snapshot()["masks"]) == (1, [])


PRESS = {"control": "reset", "machine": "saw", "is_down": True}


def test_a_reset_button_is_pressed_as_it_comes():
    assert OperatorInputs(plan_of(yard())).apply(payload(**PRESS)) == PRESS


def test_a_reset_button_cannot_be_pressed_at_another_time():
    with pytest.raises(LogError, match="takes effect as it comes"):
        OperatorInputs(plan_of(yard())).apply(payload(**PRESS, event_ns=10**18))


def test_a_reset_button_of_no_machine_is_refused():
    with pytest.raises(LogError, match="no machine 'axe'"):
        OperatorInputs(plan_of(yard())).apply(payload(**{**PRESS, "machine": "axe"}))


def test_answers_that_only_a_desk_can_take_are_refused_without_one():
    with pytest.raises(LogError, match="no `alerting`"):
        inputs(has_desk=False).apply(payload(control="reset", subject="sat-1"))


def test_a_mask_is_maintenance_unless_it_says_that_a_command_was_sent():
    mask = {"control": "mask", "subject": "sat-1", "until_ns": 9}
    assert operator_action(mask).kind == "take_out"
    assert operator_action({**mask, "as": "suppressed"}).kind == "suppress"


def test_actions_are_due_at_their_times_and_those_without_one_at_once():
    pending = PendingActions(most=10)
    for event_ns in (None, 50, 150):
        pending.add({**ACKNOWLEDGE, "event_ns": event_ns})
    at_once, timed = pending.due(now_ns=100, reached_ns=90)
    assert [a.event_ns for a in at_once] == [90]
    assert [a.event_ns for a in timed] == [50]
    assert len(pending) == 1


def test_beyond_the_bound_inputs_are_refused_and_that_is_said_once():
    pending = PendingActions(most=1)
    for _ in range(3):
        pending.add({**ACKNOWLEDGE, "event_ns": 50})
    assert [cause for _, cause in pending.take_refused()] == ["TOO_MANY_WAITING"] * 2
    assert pending.take_refused() == []


def test_a_group_counts_each_key_and_each_of_its_fields_that_is_decided_on():
    subjects = Subjects(fleet_plan())
    subjects.note([("t", "sat-000", "r-0"), ("t", "sat-002", "r-2"), ("t", "sat-004", "r-1")])
    # The satellite itself may fall silent, and its value may be high.
    assert subjects.population["gateway", "g-0"] == 6
    assert subjects.population["region", "r-0"] == 2
    assert subjects.population["satellite", "sat-000"] == 2


def test_values_beyond_the_bound_are_never_named_as_a_cause():
    subjects = Subjects(fleet_plan(max_groups=2, by=["satellite"]))
    subjects.note([("t", f"sat-{i}", "r") for i in range(5)])
    assert len(subjects.population) == 2


def test_only_the_attributes_asked_for_are_used():
    subjects = Subjects(fleet_plan(by=["gateway"], digest_by="gateway"))
    subjects.note([("t", "sat-001", "r-1")])
    assert set(subjects.population) == {("gateway", "g-1")}
