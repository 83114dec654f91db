"""What holds of the interlock whatever happens."""

import json

from hypothesis import given, settings
from hypothesis import strategies as st

from decide.actuation_cases import LEVEL_OF, NONE, STEP_NS, STOP, rule, running, situation
from sightline.decide.actuation import ActuationState, Situation, advance, demand
from sightline.records.command import CommandLevel
from sightline.records.decision import Reason

rules = st.builds(
    rule,
    hold_s=st.sampled_from([0.0, 0.3, 1.0]),
    needs_reset=st.booleans(),
    restarts_at=st.sampled_from(list(CommandLevel)[:3]),
)
reasons = st.lists(
    st.builds(
        Reason,
        code=st.sampled_from([*LEVEL_OF, "UNHEARD_OF"]),
        measure=st.just("m"),
        value=st.sampled_from([0.5, 1.0, float("nan")]),
        threshold=st.just(1.0),
        unit=st.just("1"),
        version=st.just("v"),
    ),
    max_size=3,
).map(tuple)


@st.composite
def histories(draw):
    """Steps of a machine: gaps, old pictures, failures, resets and any reasons."""
    now_ns, steps = 0, []
    for _ in range(draw(st.integers(1, 40))):
        now_ns += STEP_NS * draw(st.sampled_from([1, 1, 1, 1, 2, 15]))
        age = draw(st.sampled_from([0, 0, 0, 0, 1, 9, -1, None]))
        steps.append(
            Situation(
                event_ns=now_ns,
                newest_capture_ns=None if age is None else now_ns - age * STEP_NS,
                reasons=draw(st.one_of(st.just(()), st.just(()), reasons)),
                has_answer=draw(st.sampled_from([True] * 9 + [False])),
                is_reset_pressed=draw(st.booleans()),
            )
        )
    return steps


def levels_and_demands(by, steps):
    """Of each step: (event time, level in force, level asked for, command)."""
    state, found = ActuationState(), []
    for one in steps:
        last = state.last_command
        asked = demand(by, one, valid_until_ns=last.valid_until_ns if last else None).level
        state, command = advance(by, state, one)
        found.append((one.event_ns, state.level, asked, command))
    return found


@settings(max_examples=80, deadline=None)
@given(rules, histories())
def test_the_level_in_force_is_never_below_what_is_asked_for(by, steps):
    assert all(level.rank >= asked.rank for _, level, asked, _ in levels_and_demands(by, steps))


@settings(max_examples=80, deadline=None)
@given(rules, histories())
def test_a_level_is_never_lowered_within_the_hold_of_a_demand_for_it(by, steps):
    found = levels_and_demands(by, steps)
    for k, (now_ns, level, _, _) in enumerate(found):
        demanded = [t for t, _, asked, _ in found[:k] if asked.rank > level.rank]
        if demanded:
            assert now_ns - max(demanded) >= by.hold_ns


@settings(max_examples=80, deadline=None)
@given(rules, histories())
def test_every_change_of_the_level_is_commanded_in_its_step(by, steps):
    before = None
    for _, level, _, command in levels_and_demands(by, steps):
        if level is not before:
            assert command is not None and command.level is level
        before = level


@settings(max_examples=80, deadline=None)
@given(rules, histories())
def test_a_command_is_known_at_every_step_and_never_older_than_a_heartbeat(by, steps):
    issued_ns = None
    for now_ns, _, _, command in levels_and_demands(by, steps):
        issued_ns = now_ns if command is not None else issued_ns
        assert issued_ns is not None and now_ns - issued_ns < by.heartbeat_ns


@settings(max_examples=60, deadline=None)
@given(histories())
def test_a_machine_that_needs_reset_leaves_a_stop_only_when_the_button_goes_down(steps):
    by, state = rule(needs_reset=True, hold_s=0.3), ActuationState()
    for one in steps:
        was, was_down = state.level, state.is_reset_down
        state, _ = advance(by, state, one)
        if was is STOP and state.level is not STOP:
            assert one.is_reset_pressed and not was_down


@settings(max_examples=60, deadline=None)
@given(rules, histories(), st.randoms(use_true_random=False))
def test_the_order_of_the_reasons_changes_no_command(by, steps, random):
    def commands(situations):
        state, found = ActuationState(), []
        for one in situations:
            state, command = advance(by, state, one)
            found.append(command and command.canonical_bytes())
        return found

    shuffled = [
        Situation(
            event_ns=one.event_ns,
            newest_capture_ns=one.newest_capture_ns,
            reasons=tuple(random.sample(one.reasons, len(one.reasons))),
            has_answer=one.has_answer,
            is_reset_pressed=one.is_reset_pressed,
        )
        for one in steps
    ]
    assert commands(steps) == commands(shuffled)


@settings(max_examples=60, deadline=None)
@given(rules, histories(), st.integers(0, 40))
def test_a_state_that_was_kept_and_taken_back_goes_on_the_same(by, steps, cut):
    state = ActuationState()
    for one in steps[:cut]:
        state, _ = advance(by, state, one)
    kept = ActuationState.from_mapping(json.loads(json.dumps(state.as_mapping())))
    for one in steps[cut:]:
        state, said = advance(by, state, one)
        kept, again = advance(by, kept, one)
        assert (said and said.canonical_bytes()) == (again and again.canonical_bytes())
    assert state.as_mapping() == kept.as_mapping()


@settings(max_examples=50, deadline=None)
@given(reasons)
def test_a_running_machine_obeys_the_most_that_any_reason_asks_for(given_reasons):
    state, i = running()
    state, _ = advance(rule(), state, situation(i, reasons=given_reasons))
    wanted = [LEVEL_OF.get(r.code, STOP) for r in given_reasons]
    assert state.level is max([NONE, *wanted], key=lambda level: level.rank)
