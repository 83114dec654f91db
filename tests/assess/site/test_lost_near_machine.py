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


def watched(frames, *, state=None):
    state = PairsAtRisk.start() if state is None else state
    lost = None
    for seen in frames:
        risk = pair_risk(seen, RULE, event_ns=seen.capture_ns)
        state, lost = watch_pairs(state, seen, risk, lost_timeout_s=3.0)
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


def test_a_time_out_that_never_ends_is_refused():
    none = SiteAssessment.none("yard", 0)
    with pytest.raises(UsageError, match="lost_timeout_s"):
        watch_pairs(PairsAtRisk.start(), tracks(0), none, lost_timeout_s=np.inf)


def test_a_snapshot_of_another_kind_is_refused():
    with pytest.raises(UsageError, match="PairsAtRisk"):
        from_snapshot(PairsAtRisk, {"format": 1, "kind": "ZoneState"})


def test_assessments_of_other_frames_are_not_joined():
    with pytest.raises(UsageError, match="same frame"):
        SiteAssessment.joined("yard", 1, [SiteAssessment.none("yard", 0)])
