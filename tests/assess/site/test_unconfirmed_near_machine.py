"""What is no track yet, where a machine would have to stop for somebody."""

import numpy as np
import pytest

from assess.site.site_tracks import CLASSES, S, tracks
from sightline.assess.site import RiskCode
from sightline.assess.site.machines import Braking, Headings, MachineRule, unconfirmed_risk
from sightline.records import Unconfirmed

# At 5 m/s it stands after 7.5 m: its front would then be at 9.5.
RULE = MachineRule(
    machine_class="vehicle",
    length_m=4.0,
    width_m=2.0,
    braking=Braking(response_s=0.4, least_deceleration_m_s2=2.5),
)
MACHINE = tracks(at=[(0.0, 0.0)], velocity=[(5.0, 0.0)], classes=[1], ids=[7])


def seen(*things):
    """Things (x, y, evidence, second of the newest sighting, sightings, class)."""
    x, y, evidence, second, sightings, classes = zip(*things, strict=True)
    return Unconfirmed(
        seen_ns=np.array(second) * S,
        sightings=np.array(sightings),
        box_px=np.zeros((len(x), 4)),
        class_id=np.array(classes, np.int32),
        class_names=CLASSES,
        evidence=np.array(evidence),
        ground_m=np.stack([x, y], axis=1),
        ground_covariance=np.tile(0.01 * np.eye(2), (len(x), 1, 1)),
    )


def doubts(*things, machines=MACHINE, **rest):
    """(machine, subject, evidence) of each doubt."""
    found = unconfirmed_risk(seen(*things), machines, RULE, event_ns=0, **rest)
    assert found.has(RiskCode.UNCONFIRMED_NEAR_MACHINE).all()
    return list(
        zip(found.other.tolist(), found.subject.tolist(), found.value.tolist(), strict=True)
    )


def test_what_was_seen_twice_where_the_machine_would_have_to_stop_is_a_doubt():
    assert doubts((8.0, 0.0, 0.6, 0, 2, 0), (8.5, 0.0, 0.4, 0, 2, 0)) == [(7, -1, 0.6)]


def test_what_jumps_about_before_the_machine_is_a_doubt():
    assert doubts((5.0, 0.0, 0.3, 0, 1, 0), (9.0, 0.0, 0.3, 1, 1, 0)) == [(7, -1, 0.3)]


@pytest.mark.parametrize(
    "thing",
    [
        (8.0, 0.0, 0.6, 0, 1, 0),
        (12.0, 0.0, 0.6, 0, 2, 0),
        (8.0, 3.0, 0.6, 0, 2, 0),
        (-5.0, 0.0, 0.6, 0, 2, 0),
        (8.0, 0.0, 0.6, 0, 2, 1),
        (np.nan, np.nan, 0.6, 0, 2, 0),
    ],
    ids=["seen once", "far enough ahead", "beside", "behind", "no person", "nobody knows where"],
)
def test_nothing_else_is(thing):
    assert doubts(thing) == []


def test_of_two_things_only_those_before_the_machine_count_as_one():
    assert doubts((8.0, 0.0, 0.3, 0, 1, 0), (30.0, 0.0, 0.3, 1, 1, 0)) == []


def test_each_machine_has_the_doubts_that_lie_before_it():
    two = tracks(at=[(0.0, 0.0), (0.0, 50.0)], velocity=[(5.0, 0.0)] * 2, classes=[1, 1])
    things = [(8.0, 50.0, 0.6, 0, 2, 0), (8.0, 20.0, 0.9, 0, 2, 0)]
    assert doubts(*things, machines=two) == [(2, -1, 0.6)]


def test_known_headings_count_and_people_who_are_tracks_do_not():
    both = tracks(at=[(8.0, 0.0), (0.0, 0.0)], velocity=[(0, 0), (0, 0)], classes=[0, 1])
    north = Headings(heading_rad=np.array([0.0, np.pi / 2]), std_rad=np.zeros(2))
    assert doubts((0.0, 3.0, 0.6, 0, 2, 0), machines=both, headings=north) == [(2, -1, 0.6)]
    assert doubts((3.0, 0.0, 0.6, 0, 2, 0), machines=both, headings=north) == []


def test_without_a_machine_in_sight_there_is_no_doubt():
    assert doubts((8.0, 0.0, 0.6, 0, 2, 0), machines=tracks(at=[(0.0, 0.0)])) == []
