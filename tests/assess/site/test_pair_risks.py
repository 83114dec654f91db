"""Risks of a person and a machine: which code, when, and when none."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assess.site.site_tracks import S, person_and_vehicle, tracks
from sightline.assess.site import RiskCode
from sightline.assess.site.machines import Braking, Headings, MachineRule, pair_risk
from sightline.errors import UsageError

BRAKING = Braking(response_s=0.4, least_deceleration_m_s2=2.5)
RULE = MachineRule(machine_class="vehicle", length_m=4.0, width_m=2.0, braking=BRAKING)
# At 5 m/s: 2.5 m in 0.5 s of reaction, 5 m of braking.
STOPPING_M = 7.5
FRONT_M = 2.0 + STOPPING_M + 0.3 + 0.5
NORTH = Headings(heading_rad=np.array([np.nan, 0.0]), std_rad=np.array([np.nan, 0.0]))


def codes(seen, *, event_ns=0, rule=RULE, headings=None):
    found = pair_risk(seen, rule, event_ns=event_ns, headings=headings)
    return {RiskCode(reason.code) for reason in found.reasons("v")}


def test_who_stands_within_the_stopping_way_is_in_it():
    assert RiskCode.IN_STOPPING_PATH in codes(person_and_vehicle((FRONT_M - 0.1, 0.0)))


def test_who_stands_beyond_the_stopping_way_and_the_warning_is_in_no_danger():
    assert codes(person_and_vehicle((FRONT_M + 10.2, 0.0))) == set()


def test_who_stands_somewhat_beyond_the_stopping_way_is_approached():
    assert codes(person_and_vehicle((FRONT_M + 0.2, 0.0))) == {RiskCode.APPROACHING}


def test_who_stands_beside_the_way_is_in_no_danger():
    assert codes(person_and_vehicle((6.0, 1.9))) == set()


def test_who_stands_behind_the_machine_is_in_no_danger():
    assert codes(person_and_vehicle((-4.0, 0.0))) == set()


def test_who_is_nearer_than_the_clearance_is_too_close():
    assert RiskCode.TOO_CLOSE in codes(person_and_vehicle((0.0, 1.79)))
    assert RiskCode.TOO_CLOSE not in codes(person_and_vehicle((0.0, 1.81)))


def test_who_walks_into_the_way_in_time_to_be_met_is_on_collision_course():
    walks_in = person_and_vehicle((8.0, 3.5), walks=(0.0, -2.5))
    assert codes(walks_in) == {RiskCode.COLLISION_COURSE}


def test_who_walks_through_behind_the_machine_is_not_on_collision_course():
    assert codes(person_and_vehicle((0.0, 8.0), walks=(0.0, -3.0))) == set()


def test_the_time_to_contact_is_told():
    found = pair_risk(person_and_vehicle((7.3, 0.0)), RULE, event_ns=0)
    assert found.contact_s[0] == pytest.approx(1.0)


def test_the_age_of_the_frame_brings_the_machine_nearer():
    seen = person_and_vehicle((FRONT_M + 2.0, 0.0))
    assert RiskCode.IN_STOPPING_PATH not in codes(seen)
    assert RiskCode.IN_STOPPING_PATH in codes(seen, event_ns=S // 2)


def test_a_machine_that_may_speed_up_needs_more_way():
    faster = Braking(response_s=0.4, least_deceleration_m_s2=2.5, acceleration_m_s2=2.0)
    rule = MachineRule(machine_class="vehicle", length_m=4.0, width_m=2.0, braking=faster)
    seen = person_and_vehicle((FRONT_M + 1.0, 0.0))
    assert RiskCode.IN_STOPPING_PATH not in codes(seen)
    assert RiskCode.IN_STOPPING_PATH in codes(seen, rule=rule)


def test_a_machine_that_stands_is_taken_to_set_off():
    seen = person_and_vehicle((3.5, 0.0), drives=(0.0, 0.0))
    assert RiskCode.IN_STOPPING_PATH in codes(seen, headings=NORTH)


def test_a_machine_whose_heading_is_not_known_may_set_off_anywhere():
    seen = person_and_vehicle((0.0, 4.0), drives=(0.0, 0.0))
    assert codes(seen, headings=NORTH) == set()
    assert RiskCode.TOO_CLOSE in codes(seen)


def test_a_person_without_a_position_is_said_to_be_unlocated():
    assert codes(person_and_vehicle((np.nan, np.nan))) == {RiskCode.UNLOCATED}


def test_other_classes_are_no_machines():
    assert codes(tracks(0, [(0, 0), (1, 0)], velocity=[(5, 0), (0, 0)])) == set()


def test_a_decision_before_its_frame_is_refused():
    with pytest.raises(UsageError, match="synchronise the clocks"):
        pair_risk(person_and_vehicle((5.0, 0.0), capture_ns=5), RULE, event_ns=4)


def test_more_pairs_than_the_bound_are_refused():
    many = tracks(0, np.zeros((700, 2)), classes=[0] * 350 + [1] * 350)
    with pytest.raises(UsageError, match="pairs of a person and a machine"):
        pair_risk(many, RULE, event_ns=0)


angles = st.floats(-3.1, 3.1)
places = st.tuples(st.floats(-15, 15), st.floats(-15, 15))


@settings(max_examples=60, deadline=None)
@given(places, st.tuples(st.floats(-3, 3), st.floats(-3, 3)), angles)
def test_turning_the_whole_site_changes_no_risk(place, walks, angle):
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    straight = person_and_vehicle(place, walks=walks, position_std_m=0.2, velocity_std_m_s=0.3)
    turned = person_and_vehicle(
        turn @ place,
        walks=turn @ walks,
        drives=turn @ (5.0, 0.0),
        position_std_m=0.2,
        velocity_std_m_s=0.3,
    )
    one, two = (pair_risk(seen, RULE, event_ns=0) for seen in (straight, turned))
    # Where a probability is just that of the rule, rounding may decide.
    if one.code.tolist() != two.code.tolist():
        decided = np.concatenate([one.value - one.threshold, two.value - two.threshold])
        assert np.abs(decided).min() < 1e-6
    else:
        np.testing.assert_allclose(one.value, two.value, atol=1e-6)


@settings(max_examples=60, deadline=None)
@given(places, places)
def test_risks_of_one_person_do_not_depend_on_another(first, second):
    both = tracks(0, [first, second, (0, 0)], velocity=[(0, 0), (0, 0), (5, 0)], classes=[0, 0, 1])
    alone = both.only(np.array([True, False, True]))
    together = pair_risk(both, RULE, event_ns=0)
    own = together.only(together.subject == 1)
    assert own.reasons("v") == pair_risk(alone, RULE, event_ns=0).reasons("v")
