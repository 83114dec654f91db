"""To vanish from a zone is not to leave it; who is seen on both sides of it was in it."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from assess.site.site_tracks import S, tracks
from sightline.assess.site import snapshot
from sightline.assess.site.zones import (
    MAX_LOST,
    Crossing,
    Polygon,
    SiteZone,
    ZoneState,
    emptied,
    watch_zones,
    zone_risk,
)

ZONE = SiteZone(
    name="pit",
    polygon=Polygon.of([(100, 0), (200, 0), (200, 200), (100, 200)], unit="px"),
    is_forbidden=True,
    margin=2.0,
)
PICTURE_PX = (300, 200)
STEP_NS = S // 10


def at(x, *, tall=40.0, foot=150.0):
    return [x - 6, foot - tall, x + 6, foot]


def watched(frames, *, zone=ZONE, picture_px=PICTURE_PX, step_ns=STEP_NS):
    """Frames of {track id: box}; the last presence, all kinds of events, and the state."""
    state, events = ZoneState.start(1), []
    for i, seen in enumerate(frames):
        boxes = np.array(list(seen.values()), float).reshape(-1, 4)
        here = tracks(i * step_ns, np.full((len(seen), 2), np.nan), ids=list(seen), box_px=boxes)
        state, presence = watch_zones([zone], state, here, picture_px=picture_px)
        events += [Crossing(e) for e in presence.event]
    return presence.track_id.tolist(), events, state


def test_who_vanished_in_a_forbidden_zone_is_there_an_hour_later():
    inside, _, _ = watched([{1: at(150)}] * 10 + [{}] * 360, step_ns=10 * S)
    assert inside == [1]


def first_seen(foot_px, box):
    """What is said of a track that is reported for the first time, by where it began."""
    here = tracks(S, [(np.nan, np.nan)], box_px=[box], first_foot_px=np.array([foot_px], float))
    _, presence = watch_zones([ZONE], ZoneState.start(1), here, picture_px=PICTURE_PX)
    return [Crossing(e) for e in presence.event], presence.track_id.tolist()


@pytest.mark.parametrize("began_x", [40, 110, 190])
def test_who_was_before_or_in_a_zone_before_they_were_a_track_has_passed_it(began_x):
    assert first_seen((began_x, 150), at(260)) == ([Crossing.PASSED], [1])


@pytest.mark.parametrize("began_x", [np.nan, 255, 290])
def test_who_began_on_the_side_where_they_are_has_not(began_x):
    assert first_seen((began_x, 150), at(260)) == ([], [])


def test_who_was_not_seen_for_a_while_and_is_on_the_other_side_then_was_in_it():
    inside, events, _ = watched([{1: at(80)}] * 5 + [{}] * 20 + [{1: at(220)}])
    assert (inside, events) == ([1], [Crossing.PASSED])


def test_where_somebody_was_seen_long_ago_is_not_remembered():
    _, _, state = watched([{1: at(80)}] * 5 + [{}] * 200)
    assert state.track_id.tolist() == []


def test_what_is_never_forgotten_can_be_kept_in_a_checkpoint():
    _, _, state = watched([{1: at(150)}] * 10)
    _, presence = watch_zones([ZONE], state, tracks(S * 10))
    risk = zone_risk([ZONE], presence, tracks(S * 10))
    assert len(risk) == 1
    json.dumps([snapshot(state), snapshot(risk)], allow_nan=False)


def test_who_vanished_in_another_zone_is_forgotten_after_a_minute():
    zone = SiteZone(name="hall", polygon=ZONE.polygon, max_occupancy=3)
    inside, events, _ = watched([{1: at(150)}] * 10 + [{}] * 70, zone=zone, step_ns=S)
    assert inside == []
    assert events[-1] is Crossing.FORGOTTEN


def test_a_zone_may_say_after_what_time_it_forgets():
    zone = SiteZone(name="pit", polygon=ZONE.polygon, is_forbidden=True, lost_timeout_s=5.0)
    inside, _, _ = watched([{1: at(150)}] * 10 + [{}] * 10, zone=zone, step_ns=S)
    assert inside == []


def test_who_is_found_again_near_by_and_leaves_has_left():
    walk = [{2: at(x)} for x in range(155, 240, 5)]
    inside, events, _ = watched([{1: at(150)}] * 10 + [{}] * 50 + walk + [{2: at(240)}] * 10)
    assert inside == []
    assert Crossing.FOUND in events


def test_somebody_who_appears_elsewhere_in_the_zone_does_not_stand_for_who_was_lost():
    walk = [{2: at(x)} for x in range(195, 240, 5)]
    inside, _, _ = watched([{1: at(115)}] * 10 + [{}] * 50 + walk + [{2: at(240)}] * 10)
    assert inside == [1]


def test_somebody_who_walks_in_and_out_does_not_stand_for_who_was_lost():
    walk = [{2: at(x)} for x in range(60, 240, 5)]
    inside, _, _ = watched([{1: at(150)}] * 10 + [{}] * 50 + walk + [{2: at(240)}] * 10)
    assert inside == [1]


def test_of_two_who_were_lost_one_who_leaves_leaves_the_other():
    both = [{1: at(130), 2: at(160)}] * 10
    walk = [{3: at(x)} for x in range(160, 240, 5)]
    inside, _, _ = watched(both + [{}] * 50 + walk + [{3: at(240)}] * 10)
    assert inside == [1]


def test_who_passes_a_zone_between_two_sights_was_in_it():
    inside, events, _ = watched([{1: at(60)}, {1: at(80)}, {1: at(240)}])
    assert inside == [1]
    assert events == [Crossing.PASSED]


def test_who_has_passed_through_is_gone_after_the_hold_time():
    inside, _, _ = watched([{1: at(80)}] + [{1: at(240)}] * 10)
    assert inside == []


def test_who_walks_along_a_zone_has_not_passed_through_it():
    inside, events, _ = watched([{1: at(x)} for x in range(10, 95, 5)])
    assert inside == [] and events == []


def test_who_walks_out_of_the_picture_is_gone():
    zone = SiteZone(
        name="pit",
        polygon=Polygon.of([(150, 0), (300, 0), (300, 200), (150, 200)], unit="px"),
        is_forbidden=True,
    )
    walk = [{1: [x - 6, 110, min(x + 6, 300), 150]} for x in range(200, 303, 3)]
    inside, _, _ = watched([*walk, {}], zone=zone)
    assert inside == []


def test_who_vanishes_at_the_edge_of_the_picture_while_standing_is_there():
    zone = SiteZone(
        name="pit",
        polygon=Polygon.of([(150, 0), (300, 0), (300, 200), (150, 200)], unit="px"),
        is_forbidden=True,
    )
    inside, _, _ = watched([{1: [290, 110, 300, 150]}] * 20 + [{}] * 20, zone=zone)
    assert inside == [1]


def test_an_operators_word_ends_who_is_not_seen_and_nobody_else():
    _, _, state = watched([{1: at(130), 2: at(160)}] * 10 + [{2: at(160)}] * 10)
    assert emptied(state).track_id.tolist() == [2]


def test_the_lost_are_bounded_and_the_zone_stays_taken():
    # One after the other, each too far from the one before to be them.
    frames = [{n: at(150, foot=5 + 190 * (n % 2))} for n in range(1, MAX_LOST + 50)]
    inside, _, state = watched(frames)
    assert len(inside) >= 1
    assert len(state.track_id) <= MAX_LOST + 1


@given(st.lists(st.floats(0, 300), min_size=2, max_size=2), st.floats(1, 199))
def test_a_way_meets_the_border_where_it_has_points_on_both_sides_of_it(ends, y):
    start, end = np.array([[ends[0], y]]), np.array([[ends[1], y]])
    share = np.linspace(0, 1, 2001)[:, None]
    is_inside = ZONE.polygon.contains(start + share * (end - start))
    low, high = sorted(ends)
    found = ZONE.polygon.meets_border(start, end)[0]
    if is_inside.any() and not is_inside.all():
        assert found
    assert found == (low < high and (low <= 100 <= high or low <= 200 <= high))


@pytest.mark.parametrize("missing", [0, 1])
def test_a_way_of_which_an_end_is_not_known_crosses_nothing(missing):
    ends = [np.array([[50.0, 50.0]]), np.array([[250.0, 50.0]])]
    ends[missing][:] = np.nan
    assert not ZONE.polygon.meets_border(*ends).any()
