"""Parts on a belt, joined with what is seen of them: as of what has come, in any order."""

import math

import numpy as np
import pytest

from sightline.assess.parts import NS_PER_S, Belt, Line, LineLayout, Place, Trigger
from sightline.limits import Limits
from sightline.records.part import PartPicture

LAYOUT = LineLayout(
    stations={"top": Place(at_m=1.0, tolerance_m=0.1)}, serial=None, gate_m=2.0,
    deadline_ns=60 * NS_PER_S, min_gap_m=0.2, nominal_m_s=1.0, silent_ns=NS_PER_S, late_ns=0,
)  # fmt: skip


def s(seconds):
    return round(seconds * NS_PER_S)


def seen(at_s, *, index=0):
    return PartPicture(
        station="top", camera="top", index=index, digest="", capture_ns=s(at_s), code="",
        score=0.0, reject_from=1.0, review_from=1.0, box_px=(0.0,) * 4, novelty=0.0, likeness=0.0,
    )  # fmt: skip


def see(line, picture):
    line.see(picture, picture.capture_ns)


def moving(until_s, *, layout=LAYOUT, speed_m_s=1.0, **how):
    """A line whose belt has been read ten times a second."""
    line = Line(layout, **how)
    at = np.arange(0, until_s + 0.05, 0.1)
    line.belt.read((at * NS_PER_S).astype(np.int64), at * speed_m_s)
    return line


def test_a_picture_belongs_to_the_part_that_the_belt_has_carried_there():
    line = moving(3)
    line.trigger([Trigger(at_ns=s(0.5)), Trigger(at_ns=s(1.0))])
    see(line, seen(2.0, index=7))
    line.advance(s(3))
    assert [list(p.pictures) for p in line.open] == [[], ["top"]]


def test_a_picture_that_comes_before_its_trigger_is_told_waits_for_it():
    layout = LineLayout(**{n: getattr(LAYOUT, n) for n in LAYOUT.__slots__} | {"late_ns": s(1)})
    line = moving(3, layout=layout)
    see(line, seen(1.5))
    line.advance(s(2))
    line.trigger([Trigger(at_ns=s(0.5))])
    line.advance(s(3))
    assert [list(p.pictures) for p in line.open] == [["top"]]
    assert not line.left_aside


def test_a_second_picture_of_a_part_is_left_aside():
    line = moving(3)
    line.trigger([Trigger(at_ns=s(0.5))])
    see(line, seen(1.5, index=1))
    see(line, seen(1.55, index=2))
    line.advance(s(3))
    assert line.open[0].pictures["top"].index == 1
    assert line.left_aside == {"REPEATED_PICTURE": 1}


def test_a_picture_of_a_part_that_was_decided_without_it_is_counted_as_such():
    line = moving(3)
    line.trigger([Trigger(at_ns=s(0.5))])
    line.advance(s(2.9))
    (part,) = line.due(s(2.9))
    line.decided(part)
    see(line, seen(1.5))
    line.advance(s(3))
    assert line.left_aside == {"PICTURE_AFTER_DECISION": 1}
    assert part.marks == {"MISSING_PICTURE": 1.0}


def test_a_part_is_due_at_the_gate_and_not_before():
    line = moving(3)
    line.trigger([Trigger(at_ns=s(0.5))])
    line.advance(s(2.4))
    assert not line.due(s(2.4))
    line.advance(s(2.6))
    assert [p.number for p in line.due(s(2.6))] == [1]


def test_a_part_on_a_belt_that_stands_is_due_at_its_deadline():
    line = moving(80, speed_m_s=0.0)
    line.trigger([Trigger(at_ns=s(0.5))])
    line.advance(s(60))
    assert not line.due(s(60.4))
    assert line.due(s(60.5))


def test_at_the_bound_the_oldest_part_is_due_and_says_so():
    line = moving(3, limits=Limits(open_parts=2))
    line.trigger([Trigger(at_ns=s(at)) for at in (0.3, 0.6, 0.9)])
    line.advance(s(1))
    (part,) = line.due(s(1))
    assert (part.number, part.marks) == (1, {"TOO_MANY_PARTS": 3.0})


def test_at_the_bound_the_oldest_picture_counts_as_of_no_part():
    line = Line(LAYOUT, limits=Limits(waiting_pictures=2))
    for index in range(3):
        see(line, seen(5 + index, index=index))
    assert [one.index for one in line.orphans] == [0]


def test_serial_numbers_beyond_the_bound_are_forgotten():
    line = moving(9, limits=Limits(known_serials=1))
    at = [(0.3, "a"), (0.6, "b"), (0.9, "a"), (1.2, "a")]
    line.trigger([Trigger(at_ns=s(t), serial=name) for t, name in at])
    line.advance(s(3))
    assert ["DUPLICATE_SERIAL" in p.marks for p in line.open] == [False, False, False, True]


def test_a_belt_of_which_nothing_is_heard_goes_on_at_its_usual_speed_until_it_is():
    belt = Belt(most=100)
    belt.read(np.array([0, s(1)]), np.array([0.0, 1.0]))
    belt.guess(s(3), 1.0)
    assert belt.at(np.array([s(3)])).tolist() == [3.0]
    assert belt.is_guess(s(2))
    belt.read(np.array([s(2)]), np.array([1.5]))
    assert belt.at(np.array([s(3)])).tolist() == [1.5]
    assert not belt.is_guess(s(2))


def test_readings_of_a_belt_may_come_in_any_order():
    random = np.random.default_rng(0)
    at, way = np.arange(50) * NS_PER_S, np.cumsum(random.normal(size=50))
    ordered, mixed = Belt(most=100), Belt(most=100)
    ordered.read(at, way)
    for some in np.array_split(random.permutation(50), 7):
        mixed.read(at[some], way[some])
    asked = random.integers(0, 50 * NS_PER_S, 30)
    assert mixed.at(asked).tolist() == ordered.at(asked).tolist()


def test_a_line_that_is_restored_goes_on_as_it_would_have():
    whole = moving(3)
    whole.trigger([Trigger(at_ns=s(0.5), serial="a"), Trigger(at_ns=s(0.9), serial="b")])
    see(whole, seen(1.5))
    see(whole, seen(9.0))
    whole.advance(s(2))
    again = Line(LAYOUT)
    again.restore(*whole.snapshot())
    for line in (whole, again):
        line.advance(s(3))
    assert again.snapshot()[0] == whole.snapshot()[0]
    assert math.isclose(again.travel_m(again.open[0]), whole.travel_m(whole.open[0]))


@pytest.mark.parametrize("gap_m", [0.19, 0.21])
def test_a_trigger_within_the_least_gap_is_the_same_part(gap_m):
    line = moving(3)
    line.trigger([Trigger(at_ns=s(0.5)), Trigger(at_ns=s(0.5 + gap_m))])
    line.advance(s(1))
    assert len(line.open) == (1 if gap_m < 0.2 else 2)
