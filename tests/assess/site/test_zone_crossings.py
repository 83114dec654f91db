"""Zones: when somebody has entered or left, and when only nearly."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assess.site.site_tracks import S, tracks
from sightline.assess.site import from_snapshot, snapshot
from sightline.assess.site.zones import Crossing, Polygon, SiteZone, ZoneState, watch_zones
from sightline.errors import UsageError

HALF_PLANE = Polygon.of([(0, -50), (50, -50), (50, 50), (0, 50)])
ZONE = SiteZone(name="pit", polygon=HALF_PLANE, is_forbidden=True, lost_timeout_s=5.0)
STEP_NS = S // 10


def watched(depths, zone=ZONE, *, state=None, first=0, **rest):
    """Somebody at these depths inside, 10 a second; None: not seen. All events, last presence."""
    state = ZoneState.start(1) if state is None else state
    events, presence = [], None
    for i, x in enumerate(depths, start=first):
        at = [] if x is None else [(x, 0.0)]
        state, presence = watch_zones([zone], state, tracks(i * STEP_NS, at, **rest))
        events += [
            (i, Crossing(e), int(ns))
            for e, ns in zip(presence.event, presence.event_ns, strict=True)
        ]
    return state, events, presence


def test_who_stays_inside_for_the_hold_time_has_entered_once():
    _, events, _ = watched([-1.0] * 3 + [1.0] * 20)
    assert [kind for _, kind, _ in events] == [Crossing.ENTERED]


def test_an_entry_is_dated_at_its_first_sight_not_at_the_end_of_the_hold():
    _, events, _ = watched([-1.0] * 3 + [1.0] * 20)
    assert events == [(8, Crossing.ENTERED, 3 * STEP_NS)]


def test_a_flicker_over_the_border_is_no_crossing():
    _, events, _ = watched([-1.0, 1.0] * 30)
    assert not events


def test_a_single_wrong_position_outside_does_not_end_a_stay():
    _, events, presence = watched([1.0] * 10 + [-3.0] + [1.0] * 10)
    assert [kind for _, kind, _ in events] == [Crossing.ENTERED]
    assert presence.dwell_s[0] == pytest.approx(2.0)


def test_who_stays_within_the_margin_of_the_border_crosses_nothing():
    _, events, _ = watched([-0.1, 0.1, 0.15, -0.15] * 20)
    assert not events


def test_who_leaves_for_the_hold_time_has_left_at_the_first_sight_outside():
    _, events, presence = watched([1.0] * 10 + [-1.0] * 10)
    assert events[-1] == (15, Crossing.LEFT, 10 * STEP_NS)
    assert len(presence.track_id) == 0


def test_danger_does_not_wait_for_the_hold_time():
    _, events, presence = watched([-1.0, 1.0])
    assert not events
    assert presence.track_id.tolist() == [1] and not presence.is_counted[0]


def test_an_uncertain_position_is_no_evidence_of_an_entry():
    _, events, _ = watched([0.3] * 30, position_std_m=1.0)
    assert not events


def test_a_coasting_track_enters_nothing():
    _, events, presence = watched([-1.0] + [1.0] * 20, unseen_s=[0.3])
    assert not events and len(presence.track_id) == 0


def test_who_vanishes_inside_is_still_treated_as_inside():
    _, _, presence = watched([1.0] * 10 + [None] * 20)
    assert presence.track_id.tolist() == [1]
    assert presence.unseen_s[0] == pytest.approx(2.0)


def test_who_vanishes_outside_is_in_no_zone_and_not_remembered_for_long():
    state, _, presence = watched([-1.0] * 3 + [None])
    assert len(presence.track_id) == 0
    state, _, _ = watched([-1.0] * 3 + [None] * 120)
    assert len(state.track_id) == 0


def test_who_is_not_seen_again_is_forgotten_after_the_time_out_and_not_before():
    _, events, _ = watched([1.0] * 10 + [None] * 60)
    assert events[-1] == (60, Crossing.FORGOTTEN, 9 * STEP_NS)


def test_dwell_counts_from_the_entry_to_the_last_sight():
    _, _, presence = watched([1.0] * 21 + [None] * 5)
    assert presence.dwell_s[0] == pytest.approx(2.0)


def test_occupancy_counts_the_lost_and_not_the_suspected():
    state = ZoneState.start(1)
    for i in range(10):
        here = [(1.0, 0.0), (2.0, 5.0)] if i < 8 else [(1.0, 0.0), (3.0, 9.0)]
        ids = [1, 2] if i < 8 else [1, 3]
        state, presence = watch_zones([ZONE], state, tracks(i * STEP_NS, here, ids=ids))
    assert presence.track_id.tolist() == [1, 2, 3]
    assert presence.occupancy(1).tolist() == [2]


def test_a_zone_looks_only_at_its_classes():
    _, events, presence = watched([1.0] * 10, classes=[1])
    assert not events and len(presence.track_id) == 0


def test_a_zone_in_pixels_looks_at_the_middle_of_the_lower_edge():
    zone = SiteZone(name="door", polygon=Polygon.of([(0, 0), (9, 0), (9, 9), (0, 9)], unit="px"))
    seen = tracks(0, [(99.0, 99.0)], box_px=[[4.0, -30.0, 6.0, 5.0]])
    _, presence = watch_zones([zone], ZoneState.start(1), seen)
    assert presence.track_id.tolist() == [1]


def test_frames_out_of_order_are_refused():
    state, _, _ = watched([1.0] * 3)
    with pytest.raises(UsageError, match="in order of capture"):
        watch_zones([ZONE], state, tracks(0, [(1.0, 0.0)]))


def test_a_state_of_other_zones_is_refused():
    with pytest.raises(UsageError, match="a new state to new zones"):
        watch_zones([ZONE, ZONE], ZoneState.start(1), tracks(0))


@pytest.mark.parametrize(
    "wrong", [{"name": ""}, {"hold_s": -1.0}, {"confidence": 1.0}, {"suspect_probability": 0.1}]
)
def test_a_zone_with_a_value_out_of_range_is_refused(wrong):
    with pytest.raises(UsageError, match="mend the zone"):
        SiteZone(**{"name": "pit", "polygon": HALF_PLANE} | wrong)


depths = st.lists(st.one_of(st.none(), st.floats(-3, 3, allow_nan=False)), max_size=40)


@settings(max_examples=50, deadline=None)
@given(depths)
def test_entries_and_ends_of_a_stay_alternate(walk):
    _, events, _ = watched(walk)
    kinds = [kind for _, kind, _ in events if kind is not Crossing.FORGOTTEN]
    assert all(a is not b for a, b in pairwise(kinds))


@settings(max_examples=50, deadline=None)
@given(depths, st.integers(0, 40))
def test_a_state_that_was_kept_and_taken_back_goes_on_the_same(walk, cut):
    cut = min(cut, len(walk))
    state, before, _ = watched(walk[:cut])
    kept = from_snapshot(ZoneState, snapshot(state))
    _, after, _ = watched(walk[cut:], state=kept, first=cut)
    assert before + after == watched(walk)[1]


@settings(max_examples=50, deadline=None)
@given(st.lists(st.floats(-3, 3, allow_nan=False), min_size=1, max_size=40))
def test_the_order_of_the_zones_changes_nothing_for_each(walk):
    inner = SiteZone(name="inner", polygon=Polygon.of([(1, -9), (9, -9), (9, 9), (1, 9)]))
    one, two = ZoneState.start(2), ZoneState.start(2)
    for i, x in enumerate(walk):
        seen = tracks(i * STEP_NS, [(x, 0.0)])
        one, a = watch_zones([ZONE, inner], one, seen)
        two, b = watch_zones([inner, ZONE], two, seen)
        assert sorted(a.zone.tolist()) == sorted((1 - b.zone).tolist())
        np.testing.assert_array_equal(one.is_in, two.is_in[::-1])
