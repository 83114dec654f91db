"""Who was at risk from a machine and is not seen any more."""

import numpy as np
import pytest

from assess.site.site_tracks import S, person_and_vehicle, tracks
from sightline.assess.site import RiskCode, SiteAssessment, from_snapshot, snapshot
from sightline.assess.site.machines import (
    Braking,
    MachineRule,
    PairsAtRisk,
    pair_risk,
    watch_pairs,
)
from sightline.errors import UsageError

BRAKING = Braking(response_s=0.4, least_deceleration_m_s2=2.5)
RULE = MachineRule(machine_class="vehicle", length_m=4.0, width_m=2.0, braking=BRAKING)
IN_DANGER, SAFE = (7.0, 0.0), (7.0, 9.0)


def vehicle_alone(capture_ns):
    return tracks(capture_ns, [(0, 0)], ids=[2], velocity=[(5, 0)], classes=[1])


def watched(frames, *, state=None, lost_timeout_s=3.0):
    state = PairsAtRisk.start() if state is None else state
    lost = None
    for seen in frames:
        risk = pair_risk(seen, RULE, event_ns=seen.capture_ns)
        state, lost = watch_pairs(state, seen, risk, RULE, lost_timeout_s=lost_timeout_s)
    return state, [(r.code, r.value, r.threshold) for r in lost.reasons("v")]


def test_who_was_at_risk_and_vanishes_is_said_to_be_lost():
    _, lost = watched([person_and_vehicle(IN_DANGER), vehicle_alone(S)])
    assert lost == [(RiskCode.LOST_NEAR_MACHINE, 1.0, 3.0)]


def test_who_is_seen_is_not_lost():
    _, lost = watched([person_and_vehicle(IN_DANGER), person_and_vehicle(IN_DANGER, capture_ns=S)])
    assert lost == []


def test_who_was_safe_and_vanishes_is_not_lost():
    _, lost = watched([person_and_vehicle(SAFE), vehicle_alone(S)])
    assert lost == []


def test_who_was_at_risk_and_is_seen_to_be_safe_is_not_lost_afterwards():
    frames = [
        person_and_vehicle(IN_DANGER),
        person_and_vehicle(SAFE, capture_ns=S),
        vehicle_alone(2 * S),
    ]
    assert watched(frames)[1] == []


def test_a_coasting_track_is_no_sight_of_the_person():
    coasts = person_and_vehicle(SAFE, capture_ns=S, unseen_s=[1.0, 0.0])
    _, lost = watched([person_and_vehicle(IN_DANGER), coasts])
    assert [code for code, *_ in lost] == [RiskCode.LOST_NEAR_MACHINE]


def test_the_lost_are_forgotten_after_the_time_out_and_not_before():
    frames = [person_and_vehicle(IN_DANGER), *[vehicle_alone(i * S) for i in (1, 2, 3)]]
    state, lost = watched(frames)
    assert len(lost) == 1
    state, lost = watched([vehicle_alone(3 * S + 1)], state=state)
    assert lost == [] and len(state.person_id) == 0


def test_the_state_survives_being_kept_and_taken_back():
    state, _ = watched([person_and_vehicle(IN_DANGER)])
    kept = from_snapshot(PairsAtRisk, snapshot(state))
    assert watched([vehicle_alone(S)], state=kept)[1] == watched([vehicle_alone(S)], state=state)[1]


def stands(person, capture_ns, person_id):
    """A vehicle that stands (id 2), and a person."""
    return tracks(
        capture_ns, [person, (0, 0)], ids=[person_id, 2], velocity=[(0, 0), (0, 0)], classes=[0, 1]
    )


def without_time_out(*frames):
    state, lost = watched([person_and_vehicle(IN_DANGER), *frames], lost_timeout_s=None)
    return state, [code for code, *_ in lost]


def test_time_alone_ends_it_for_nobody():
    frames = [vehicle_alone(i * S) for i in (1, 60, 3600, 86_400)]
    _, lost = watched([person_and_vehicle(IN_DANGER), *frames], lost_timeout_s=None)
    assert [(code, value) for code, value, _ in lost] == [("LOST_NEAR_MACHINE", 86_400.0)]
    assert np.isnan(lost[0][2])


def test_who_is_found_again_where_they_were_lost_and_walks_away_is_lost_no_more():
    frames = [vehicle_alone(S), stands((7.5, 1.0), 60 * S, 9), stands((7.5, 9.0), 66 * S, 9)]
    assert without_time_out(*frames, vehicle_alone(67 * S))[1] == []


def test_somebody_else_who_appears_elsewhere_does_not_pass_for_the_lost():
    frames = [vehicle_alone(S), stands((7.0, 9.0), 60 * S, 9)]
    assert without_time_out(*frames)[1] == [RiskCode.LOST_NEAR_MACHINE]


def test_one_who_is_found_stands_for_one_of_two_who_were_lost():
    both = tracks(
        0,
        [(7.0, 0.0), (7.0, 0.5), (0.0, 0.0)],
        ids=[1, 3, 2],
        velocity=[(0, 0), (0, 0), (5, 0)],
        classes=[0, 0, 1],
    )
    frames = [both, vehicle_alone(S), stands((7.0, 0.6), 60 * S, 9)]
    state, lost = watched(frames, lost_timeout_s=None)
    assert len(lost) == 1
    assert 1 in state.person_id and 3 not in state.person_id


def test_to_be_seen_while_no_machine_is_tracked_is_not_to_be_safe():
    alone = tracks(S, [SAFE], ids=[1])
    assert without_time_out(alone, vehicle_alone(2 * S))[1] == [RiskCode.LOST_NEAR_MACHINE]


def test_an_operators_word_ends_it():
    state, _ = without_time_out(vehicle_alone(S))
    assert len(state.emptied().person_id) == 0


def test_an_operators_word_is_not_about_who_is_seen():
    state, _ = watched([person_and_vehicle(IN_DANGER)])
    assert state.emptied().person_id.tolist() == [1]


def test_a_time_out_that_is_infinite_is_refused():
    none = SiteAssessment.none("yard", 0)
    with pytest.raises(UsageError, match="lost_timeout_s"):
        watch_pairs(PairsAtRisk.start(), tracks(0), none, RULE, lost_timeout_s=np.inf)


def test_a_snapshot_of_another_kind_is_refused():
    with pytest.raises(UsageError, match="PairsAtRisk"):
        from_snapshot(PairsAtRisk, {"format": 1, "kind": "ZoneState"})


def test_assessments_of_other_frames_are_not_joined():
    with pytest.raises(UsageError, match="same frame"):
        SiteAssessment.joined("yard", 1, [SiteAssessment.none("yard", 0)])
