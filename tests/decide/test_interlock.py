"""The interlock: up at once, down after a calm, stopped without sight."""

import itertools

import pytest

from decide.actuation_cases import (
    NONE,
    SLOW,
    STEP_NS,
    STOP,
    WARN,
    S,
    driven,
    reason,
    rule,
    running,
    situation,
)
from sightline.decide.actuation import (
    COMMAND_EXPIRED,
    FALLBACKS_FAILED,
    HOLDING,
    NO_SIGHT,
    STALE_SIGHT,
    WAITS_FOR_RESET,
    ActuationState,
    advance,
    command_id,
)
from sightline.errors import UsageError


def first(steps, level):
    """The first step in which a level is in force."""
    return next(i for i, (now, _) in enumerate(steps) if now is level)


def codes(command):
    return [r.code for r in command.reasons]


def test_a_machine_begins_stopped():
    _, steps = driven([situation(0)])
    assert steps[0][0] is STOP and steps[0][1].level is STOP


def test_a_machine_is_let_go_after_the_hold_and_not_before():
    _, steps = driven([situation(i) for i in range(40)])
    assert first(steps, NONE) == 20


@pytest.mark.parametrize("level", [WARN, SLOW, STOP])
def test_what_is_asked_for_is_commanded_in_the_same_step(level):
    state, i = running()
    state, command = advance(rule(), state, situation(i, level))
    assert command.level is level and command.issued_ns == situation(i).event_ns


def test_a_command_says_why():
    state, i = running()
    _, command = advance(rule(), state, situation(i, STOP))
    assert codes(command) == ["TOO_CLOSE"]


def test_a_reason_that_nobody_has_thought_of_stops_the_machine():
    state, i = running()
    state, command = advance(rule(), state, situation(i, reasons=(reason("UNHEARD_OF"),)))
    assert command.level is STOP


def test_less_is_commanded_only_after_the_hold():
    state, i = running()
    _, steps = driven([situation(i, STOP), *[situation(i + 1 + k) for k in range(40)]], state=state)
    assert first(steps[1:], NONE) == 20


def test_a_new_demand_begins_the_hold_anew():
    state, i = running()
    demands = [STOP, *[NONE] * 15, STOP, *[NONE] * 40]
    _, steps = driven([situation(i + k, d) for k, d in enumerate(demands)], state=state)
    assert first(steps[17:], NONE) == 20


def test_the_level_falls_to_the_most_that_was_asked_for_in_the_calm():
    state, i = running()
    demands = [SLOW, *[NONE] * 5, WARN, *[NONE] * 40]
    _, steps = driven([situation(i + k, d) for k, d in enumerate(demands)], state=state)
    assert list(dict.fromkeys(level for level, _ in steps)) == [SLOW, WARN, NONE]


def test_a_stopped_machine_does_not_set_off_while_anything_is_asked_for():
    state, i = running()
    demands = [STOP, *[WARN] * 100]
    _, steps = driven([situation(i + k, d) for k, d in enumerate(demands)], state=state)
    assert all(level is STOP for level, _ in steps)


def test_a_stopped_machine_may_be_allowed_to_set_off_with_a_warning():
    state, i = running()
    demands = [STOP, *[WARN] * 100]
    by = rule(restarts_at=WARN)
    _, steps = driven([situation(i + k, d) for k, d in enumerate(demands)], state=state, by=by)
    assert first(steps, WARN) == 21


def test_while_the_hold_lasts_the_command_says_so_after_its_reasons():
    state, i = running()
    _, steps = driven([situation(i, STOP), *[situation(i + 1 + k) for k in range(10)]], state=state)
    last = [command for _, command in steps if command is not None][-1]
    assert codes(last) == ["TOO_CLOSE", HOLDING]


# --- reset ------------------------------------------------------------------------------------


def pressed(steps, by=None):
    """The levels when the reset button is down in these steps, from the very start."""
    by = by or rule(needs_reset=True)
    situations = [situation(i, is_reset_pressed=i in steps) for i in range(60)]
    return [level for level, _ in driven(situations, by=by)[1]]


def test_without_reset_a_stopped_machine_stays_so_and_says_what_it_waits_for():
    _, steps = driven([situation(i) for i in range(60)], by=rule(needs_reset=True))
    last = [command for _, command in steps if command is not None][-1]
    assert last.level is STOP and codes(last)[-1] == WAITS_FOR_RESET


def test_reset_after_the_hold_lets_the_machine_go():
    levels = pressed({30})
    assert levels[29] is STOP and levels[30] is NONE


def test_reset_before_the_hold_has_passed_does_not_count():
    assert set(pressed({10})) == {STOP}


def test_a_button_that_is_held_down_does_not_count():
    assert set(pressed(range(60))) == {STOP}


def test_reset_does_not_let_go_what_is_still_asked_to_stop():
    by = rule(needs_reset=True)
    situations = [situation(i, STOP, is_reset_pressed=i % 2 == 1) for i in range(60)]
    assert {level for level, _ in driven(situations, by=by)[1]} == {STOP}


# --- sight ------------------------------------------------------------------------------------


def test_without_any_picture_the_machine_is_stopped():
    state, i = running()
    state, command = advance(rule(), state, situation(i, newest_capture_ns=None))
    assert command.level is STOP and codes(command) == [NO_SIGHT]


def test_a_picture_just_as_old_as_allowed_is_sight():
    state, i = running()
    old = situation(i).event_ns - S // 2
    assert advance(rule(), state, situation(i, newest_capture_ns=old))[0].level is NONE


def test_a_picture_older_than_allowed_stops_the_machine():
    state, i = running()
    old = situation(i).event_ns - S // 2 - 1
    state, command = advance(rule(), state, situation(i, newest_capture_ns=old))
    assert command.level is STOP and codes(command) == [STALE_SIGHT]


def test_a_picture_from_the_future_is_no_sight():
    state, i = running()
    late = situation(i).event_ns + 1
    state, command = advance(rule(), state, situation(i, newest_capture_ns=late))
    assert command.level is STOP and codes(command) == [NO_SIGHT]


def test_when_all_fallbacks_have_failed_the_machine_is_stopped():
    state, i = running()
    state, command = advance(rule(), state, situation(i, has_answer=False))
    assert command.level is STOP and codes(command) == [FALLBACKS_FAILED]


def test_the_calm_does_not_count_through_a_gap_in_sight():
    blind = [situation(i, newest_capture_ns=STEP_NS) for i in range(10, 15)]
    seen = [situation(i) for i in (*range(10), *range(15, 60))]
    situations = sorted([*seen, *blind], key=lambda one: one.event_ns)
    _, steps = driven(situations)
    assert first(steps, NONE) == 35


def test_the_calm_does_not_count_through_a_gap_between_two_steps():
    _, steps = driven([situation(i) for i in (*range(10), *range(16, 60))])
    assert first(steps, NONE) == 30


# --- commands ---------------------------------------------------------------------------------


def test_a_command_is_repeated_as_a_heartbeat():
    _, steps = driven([situation(i) for i in range(60)])
    issued = [command.issued_ns for _, command in steps if command is not None]
    assert max(b - a for a, b in itertools.pairwise(issued)) == 4 * STEP_NS


def test_a_command_is_valid_until_two_heartbeats_later_at_least():
    _, steps = driven([situation(0)])
    command = steps[0][1]
    assert command.valid_until_ns - command.issued_ns == S


def test_a_machine_whose_command_ran_out_is_stopped():
    state, i = running()
    state, command = advance(rule(), state, situation(i + 30))
    assert command.level is STOP and COMMAND_EXPIRED in codes(command)


def test_revisions_count_up_within_an_episode_and_the_id_stays():
    state, i = running()
    _, steps = driven([situation(i + k, STOP) for k in range(30)], state=state)
    issued = [command for _, command in steps if command is not None]
    assert {c.command_id for c in issued} == {issued[0].command_id}
    assert [c.revision for c in issued] == list(range(len(issued)))


def test_a_new_episode_has_a_new_id():
    state, i = running()
    free = state.last_command.command_id
    _, command = advance(rule(), state, situation(i, STOP))
    assert command.command_id != free and command.revision == 0


def test_the_id_depends_on_pipeline_machine_and_episode():
    base = {"pipeline": "p", "machine": "saw", "episode_ns": 0}
    others = [base | {"pipeline": "q"}, base | {"machine": "belt"}, base | {"episode_ns": 1}]
    assert len({command_id(**plain) for plain in [base, *others]}) == 4


def test_only_the_most_important_reasons_are_kept():
    state, i = running()
    many = (*(reason("NEAR", value=float(k)) for k in range(9)), reason("TOO_CLOSE"))
    _, command = advance(rule(max_reasons=3), state, situation(i, reasons=many))
    assert codes(command) == ["TOO_CLOSE", "NEAR", "NEAR"]


def test_a_step_that_is_not_later_is_refused():
    state, _ = driven([situation(5)])
    with pytest.raises(UsageError, match="in order of event time"):
        advance(rule(), state, situation(5))


def test_a_refused_step_leaves_the_state_as_it_was():
    state, _ = driven([situation(5)])
    before = state.as_mapping()
    with pytest.raises(UsageError):
        advance(rule(), state, situation(4))
    assert state.as_mapping() == before


@pytest.mark.parametrize(
    "wrong",
    [
        {"machine": ""},
        {"max_age_s": 0.0},
        {"hold_s": -1.0},
        {"heartbeat_s": 0.6},
        {"restarts_at": STOP},
        {"max_reasons": 0},
        {"valid_s": float("inf")},
    ],
)
def test_a_rule_with_a_value_out_of_range_is_refused(wrong):
    with pytest.raises(UsageError, match="mend the rule"):
        rule(**wrong)


def test_a_state_of_another_format_is_refused():
    with pytest.raises(UsageError, match="start from a new state"):
        ActuationState.from_mapping(ActuationState().as_mapping() | {"format": 99})


def test_a_time_that_is_no_whole_number_is_refused():
    with pytest.raises(UsageError, match="whole nanoseconds"):
        ActuationState.from_mapping(ActuationState().as_mapping() | {"event_ns": 1.5})
