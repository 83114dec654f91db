"""A course must be sure, or last, before a machine is stopped for it."""

import numpy as np
import pytest

from assess.site.site_tracks import S, person_and_vehicle
from sightline.assess.site import RiskCode, from_snapshot, snapshot
from sightline.assess.site.machines import (
    Braking,
    Headings,
    MachineRule,
    SuspectedPairs,
    look_at_pairs,
    pair_risk,
)

MS = S // 1000
RULE = MachineRule(
    machine_class="vehicle",
    length_m=4.0,
    width_m=2.0,
    braking=Braking(response_s=0.4, least_deceleration_m_s2=2.5),
)
UNSURE = {"position_std_m": 0.2, "velocity_std_m_s": 0.4}
# Walks towards the way, so that it would be met just within the clearance of the front.
PASSES = {"person": (8.0, 3.9), "walks": (0.0, -1.35)}


def seen_at(at_ms, *, moves_ms=0, **rest):
    """A person who may be met, in a frame; how it was ``moves_ms`` after the first one."""
    values = {**PASSES, **UNSURE, **rest}
    return person_and_vehicle(values.pop("person"), capture_ns=at_ms * MS, **values)


def looked(*frames_ms, state=None, rule=RULE, headings=None, **rest):
    """State and codes after frames at these times, each decided at once."""
    state = SuspectedPairs.start() if state is None else state
    for at_ms in frames_ms:
        state, risk = look_at_pairs(
            state, seen_at(at_ms, **rest), rule, event_ns=at_ms * MS, headings=headings
        )
    return state, {RiskCode(reason.code) for reason in risk.reasons("v")}


def test_an_unsure_course_is_not_said_in_the_first_frame_though_one_moment_would():
    assert RiskCode.COLLISION_COURSE not in looked(0)[1]
    alone = pair_risk(seen_at(0), RULE, event_ns=0).reasons("v")
    assert RiskCode.COLLISION_COURSE in {r.code for r in alone}


def test_while_it_is_looked_at_it_is_said_to_approach():
    assert RiskCode.APPROACHING in looked(0)[1]


def test_a_course_that_lasts_is_said():
    assert RiskCode.COLLISION_COURSE not in looked(0, 100)[1]
    assert RiskCode.COLLISION_COURSE in looked(0, 100, 200)[1]


def carried_on(*frames_ms, state):
    """State and codes when only the vehicle is seen in these frames, the person carried on."""
    return looked(*frames_ms, state=state, unseen_s=[0.1, 0.0])


def test_who_was_not_seen_again_must_be_on_course_for_twice_as_long():
    state, _ = looked(0)
    state, codes = carried_on(100, 200, 300, state=state)
    assert RiskCode.COLLISION_COURSE not in codes
    assert RiskCode.COLLISION_COURSE in carried_on(400, state=state)[1]


def test_one_further_sighting_is_enough_though_the_newest_frame_misses_the_person():
    state, _ = looked(0, 100)
    assert RiskCode.COLLISION_COURSE in carried_on(200, state=state)[1]


def test_a_sure_course_is_said_though_the_person_is_not_seen_again():
    sure = {"person": (8.0, 3.5), "walks": (0.0, -2.5), "velocity_std_m_s": 0.0}
    assert RiskCode.COLLISION_COURSE in looked(0, unseen_s=[0.3, 0.0], **sure)[1]


def test_a_course_that_was_gone_in_between_begins_anew():
    state, _ = looked(0, 100)
    state, _ = looked(150, state=state, walks=(0.0, 3.0))
    assert RiskCode.COLLISION_COURSE not in looked(200, state=state)[1]


def test_a_sure_course_is_said_at_once():
    sure = {"person": (8.0, 3.5), "walks": (0.0, -2.5), "velocity_std_m_s": 0.0}
    assert RiskCode.COLLISION_COURSE in looked(0, **sure)[1]


def test_who_is_too_close_is_never_waited_for():
    assert RiskCode.TOO_CLOSE in looked(0, person=(0.0, 1.5), walks=(0.0, 0.0))[1]


def test_who_stands_in_the_path_of_a_machine_that_cannot_speed_up_is_never_waited_for():
    assert RiskCode.IN_STOPPING_PATH in looked(0, person=(7.0, 0.0), walks=(0.0, 0.0))[1]


def before_a_machine_that_may_speed_up(*frames_ms, driven_s):
    """Codes for who stands where the machine needs its allowance to stop before."""
    faster = Braking(response_s=0.4, least_deceleration_m_s2=2.5, acceleration_m_s2=2.0)
    rule = MachineRule(machine_class="vehicle", length_m=4.0, width_m=2.0, braking=faster)
    headings = Headings(
        heading_rad=np.array([np.nan, 0.0]),
        std_rad=np.array([np.nan, 0.0]),
        driven_s=np.full(2, driven_s),
    )
    stands = {"person": (11.8, 0.0), "walks": (0.0, 0.0), "velocity_std_m_s": 0.0}
    _, codes = looked(*frames_ms, rule=rule, headings=headings, **stands)
    return codes & {RiskCode.IN_STOPPING_PATH, RiskCode.COLLISION_COURSE}


def test_the_allowance_of_a_machine_that_drives_leaves_time_to_look_again():
    assert not before_a_machine_that_may_speed_up(0, driven_s=60.0)
    assert before_a_machine_that_may_speed_up(0, 100, 200, driven_s=60.0)


def test_a_machine_that_stood_a_moment_ago_needs_its_allowance_itself():
    assert before_a_machine_that_may_speed_up(0, driven_s=1.0)


def in_the_way_of_a_fast_machine(*, walks_m_s, top_speed_m_s=8.0):
    """Codes for who is 20 m before a machine of 7.9 m/s +- 0.6: at 8 m/s it stops within 19.6."""
    brakes = Braking(
        response_s=0.4, least_deceleration_m_s2=2.5, acceleration_m_s2=2.0,
        top_speed_m_s=top_speed_m_s,
    )  # fmt: skip
    rule = MachineRule(machine_class="vehicle", length_m=4.0, width_m=2.0, braking=brakes)
    headings = Headings(
        heading_rad=np.array([np.nan, 0.0]),
        std_rad=np.array([np.nan, 0.01]),
        driven_s=np.full(2, 60.0),
    )
    seen = {"person": (20.0, 0.0), "walks": (0.0, walks_m_s), "drives": (7.9, 0.0)}
    seen |= {"position_std_m": 0.1, "velocity_std_m_s": 0.6}
    _, codes = looked(0, rule=rule, headings=headings, **seen)
    return codes & {RiskCode.IN_STOPPING_PATH, RiskCode.COLLISION_COURSE}


def test_who_will_have_left_the_way_is_not_feared_for_at_speeds_that_no_machine_has():
    assert not in_the_way_of_a_fast_machine(walks_m_s=2.5)


def test_of_a_machine_without_a_known_top_speed_every_error_of_its_speed_counts():
    found = in_the_way_of_a_fast_machine(walks_m_s=2.5, top_speed_m_s=np.inf)
    assert RiskCode.IN_STOPPING_PATH in found


def test_who_may_still_be_there_has_the_error_of_the_speed_in_hand():
    assert RiskCode.IN_STOPPING_PATH in in_the_way_of_a_fast_machine(walks_m_s=0.0)


def test_who_is_about_to_walk_into_the_path_is_in_it_in_the_second_frame():
    walks_in = {"person": (7.0, 2.5), "walks": (0.0, -3.0), "drives": (5.0, 0.0)}
    assert RiskCode.IN_STOPPING_PATH not in looked(0, **walks_in)[1]
    assert RiskCode.IN_STOPPING_PATH in looked(0, 67, **walks_in)[1]


def test_without_a_further_frame_the_time_of_walking_in_runs_all_the_same():
    walks_in = {"person": (7.0, 2.5), "walks": (0.0, -3.0)}
    state, _ = looked(0, **walks_in)
    frame = seen_at(0, **walks_in)
    later = pair_risk(frame, RULE, event_ns=70 * MS, suspected=state).reasons("v")
    assert RiskCode.IN_STOPPING_PATH in {r.code for r in later}


def test_a_frame_without_pairs_forgets():
    state, _ = looked(0)
    nobody = seen_at(50).only(np.array([False, True]))
    state, risk = look_at_pairs(state, nobody, RULE, event_ns=50 * MS)
    assert len(state.person_id) == len(risk) == 0


def test_a_snapshot_goes_on_as_if_nothing_had_happened():
    state, _ = looked(0, 100)
    kept = from_snapshot(SuspectedPairs, snapshot(state))
    assert looked(200, state=kept)[1] == looked(200, state=state)[1]


@pytest.mark.parametrize("probability", [0.2, 0.5, 0.8])
def test_what_is_said_reaches_the_threshold_it_is_said_with(probability):
    rule = MachineRule(
        machine_class="vehicle",
        length_m=4.0,
        width_m=2.0,
        braking=RULE.braking,
        probability=probability,
    )
    state = SuspectedPairs.start()
    for at_ms in range(0, 400, 100):
        frame = seen_at(at_ms)
        state, risk = look_at_pairs(state, frame, rule, event_ns=at_ms * MS)
    reasons = [r for r in risk.reasons("v") if r.code != RiskCode.TOO_CLOSE]
    assert reasons and all(r.value >= r.threshold for r in reasons)
