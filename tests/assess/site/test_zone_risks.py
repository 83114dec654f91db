"""Risks of zones: each code with what was measured, and nothing where all is well."""

import numpy as np
import pytest

from assess.site.site_tracks import S, tracks
from sightline.assess.site import RiskCode
from sightline.assess.site.zones import Polygon, SiteZone, ZoneState, watch_zones, zone_risk
from sightline.errors import UsageError
from sightline.perceive.tracking import Tracker
from sightline.records import Detections, Unconfirmed

AREA = Polygon.of([(0, -50), (50, -50), (50, 50), (0, 50)])


def risks(frames, **rules):
    """The risks after the last of some frames, as (code, subject, value, threshold)."""
    zones, state = [SiteZone(name="pit", polygon=AREA, **rules)], ZoneState.start(1)
    for seen in frames:
        state, presence = watch_zones(zones, state, seen)
        found = zone_risk(zones, presence, seen)
    codes = tuple(RiskCode)
    return [
        (codes[c], s, v, t)
        for c, s, v, t in zip(
            found.code, found.subject.tolist(), found.value, found.threshold, strict=True
        )
    ]


def at_10_hz(*positions, **rest):
    return [
        tracks(i * S // 10, [] if x is None else [(x, 0.0)], **({} if x is None else rest))
        for i, x in enumerate(positions)
    ]


def test_somebody_in_a_forbidden_zone_is_said_at_the_first_sight():
    assert risks(at_10_hz(1.0), is_forbidden=True) == [(RiskCode.IN_FORBIDDEN_ZONE, 1, 1.0, 0.5)]


def test_somebody_outside_is_not_said():
    assert risks(at_10_hz(-1.0), is_forbidden=True) == []


def test_who_steps_out_is_said_until_the_exit_is_sure():
    frames = at_10_hz(1.0, 1.0, -1.0)
    assert [code for code, *_ in risks(frames, is_forbidden=True)] == [RiskCode.IN_FORBIDDEN_ZONE]


def test_who_vanishes_in_a_forbidden_zone_is_said_to_be_lost_there():
    (found,) = risks(at_10_hz(*[1.0] * 10, *[None] * 10), is_forbidden=True)
    never = pytest.approx(float("nan"), nan_ok=True)  # no time after which they are forgotten
    assert found == (RiskCode.LOST_IN_ZONE, 1, pytest.approx(1.0), never)


def test_nobody_is_lost_in_a_zone_that_is_allowed():
    assert risks(at_10_hz(*[1.0] * 10, None)) == []


def test_one_more_than_allowed_is_said_of_the_zone():
    frames = [tracks(i * S // 10, [(1, 0), (2, 0), (3, 0)]) for i in range(10)]
    assert risks(frames, max_occupancy=2) == [(RiskCode.ZONE_OCCUPANCY, -1, 3.0, 2.0)]
    assert risks(frames, max_occupancy=3) == []


def test_an_empty_allowance_is_exceeded_by_one():
    frames = at_10_hz(*[1.0] * 10)
    assert [code for code, *_ in risks(frames, max_occupancy=0)] == [RiskCode.ZONE_OCCUPANCY]


def test_who_stays_longer_than_allowed_is_said_with_the_time():
    frames = at_10_hz(*[1.0] * 21)
    assert risks(frames, max_dwell_s=1.5) == [(RiskCode.DWELL, 1, 2.0, 1.5)]
    assert risks(frames, max_dwell_s=2.0) == []


def test_who_is_surely_too_fast_is_said_with_the_speed():
    frames = at_10_hz(1.0, velocity=[(3.0, 4.0)], velocity_std_m_s=0.5)
    assert risks(frames, max_speed_m_s=4.0) == [(RiskCode.OVERSPEED, 1, 5.0, 4.0)]


def test_who_may_be_too_fast_is_not_said():
    frames = at_10_hz(1.0, velocity=[(3.0, 4.0)], velocity_std_m_s=5.0)
    assert risks(frames, max_speed_m_s=4.0) == []


def test_the_speed_of_who_is_not_seen_is_not_judged():
    frames = [*at_10_hz(1.0), tracks(S, [(1, 0)], velocity=[(9, 0)], unseen_s=[0.9])]
    assert risks(frames, max_speed_m_s=4.0) == []


def test_who_has_no_position_is_said_to_be_unlocated():
    (found,) = risks([tracks(0, [(np.nan, np.nan)])], is_forbidden=True)
    assert found[:2] == (RiskCode.UNLOCATED, 1)


def test_presence_and_tracks_of_different_frames_are_refused():
    zones = [SiteZone(name="pit", polygon=AREA)]
    _, presence = watch_zones(zones, ZoneState.start(1), tracks(0))
    with pytest.raises(UsageError, match="same frame"):
        zone_risk(zones, presence, tracks(1))


def test_the_order_of_the_tracks_does_not_show():
    zones = [SiteZone(name="pit", polygon=AREA, is_forbidden=True)]
    here, turned = tracks(0, [(1, 0), (2, 0)]), tracks(0, [(2, 0), (1, 0)], ids=[2, 1])
    found = [
        zone_risk(zones, watch_zones(zones, ZoneState.start(1), seen)[1], seen).reasons("v")
        for seen in (here, turned)
    ]
    assert found[0] == found[1]


def doubts(*things, **rules):
    """(zone, subject, value, threshold) of what is unconfirmed.

    Things are (x, evidence, class, sightings, frame of the newest).
    """
    zone = SiteZone(name="pit", polygon=AREA, **{"is_forbidden": True, **rules})
    x, evidence, classes, sightings, frame = (list(c) for c in zip(*things, strict=True))
    empty = tracks(0)
    found = zone_risk(
        [zone],
        watch_zones([zone], ZoneState.start(1), empty)[1],
        empty,
        Unconfirmed(
            seen_ns=np.array(frame) * S,
            sightings=np.array(sightings),
            box_px=np.zeros((len(x), 4)),
            class_id=np.array(classes, np.int32),
            class_names=empty.class_names,
            evidence=np.array(evidence),
            ground_m=np.array([(at, 0.0) for at in x]),
            ground_covariance=np.tile(0.01 * np.eye(2), (len(x), 1, 1)),
        ),
    )
    assert found.has(RiskCode.UNCONFIRMED_IN_ZONE).all()
    columns = (found.zone, found.subject, found.value, found.threshold)
    return list(zip(*(column.tolist() for column in columns), strict=True))


def test_what_is_no_track_yet_is_a_doubt_of_the_zone_with_the_most_evidence_of_it():
    things = [(1.0, 0.3, 0, 2, 0), (2.0, 0.6, 0, 2, 0), (-5.0, 0.9, 0, 2, 0)]
    assert doubts(*things) == [(0, -1, 0.6, 1.0)]


def test_what_jumps_about_in_a_zone_is_a_doubt_of_it():
    assert doubts((1.0, 0.3, 0, 1, 0), (30.0, 0.3, 0, 1, 1)) == [(0, -1, 0.3, 1.0)]


def test_what_was_seen_in_one_frame_is_no_doubt():
    assert doubts((1.0, 0.3, 0, 1, 0), (30.0, 0.3, 0, 1, 0)) == []


@pytest.mark.parametrize(
    ("thing", "rules"),
    [
        ((-1.0, 0.9, 0, 2, 0), {}),
        ((1.0, 0.9, 1, 2, 0), {}),
        ((1.0, 0.9, 0, 2, 0), {"is_forbidden": False}),
    ],
    ids=["outside", "of another class", "where anybody may be"],
)
def test_what_is_no_track_yet_is_no_doubt_elsewhere(thing, rules):
    assert doubts(thing, **rules) == []


@pytest.mark.parametrize("score", [0.3, 0.9])
def test_something_that_is_seen_anywhere_in_a_zone_in_every_frame_is_never_left_unsaid(score):
    area = Polygon.of([(0, 0), (4000, 0), (4000, 2000), (0, 2000)], unit="px")
    zones, tracker = [SiteZone(name="pit", polygon=area, is_forbidden=True)], Tracker("yard")
    state, rng, said = ZoneState.start(1), np.random.default_rng(4), []
    for frame in range(40):
        x, y = rng.uniform(100, 3900), rng.uniform(200, 1900)
        box_px = [[x - 20, y - 100, x + 20, y]]
        seen = tracker.update(Detections.of("yard", frame * S // 10, box_px=box_px, score=[score]))
        state, presence = watch_zones(zones, state, seen)
        said.append(len(zone_risk(zones, presence, seen, tracker.unconfirmed)) > 0)
    assert said == [False] + [True] * 39
