"""What the motion detector says of itself, and what it must not take for ground."""

from dataclasses import replace

import numpy as np
import pytest

from perceive.detect.detect_cases import FRAME_NS, frame, noisy, with_person, yard
from sightline.perceive.detect import MotionDetector, MotionSettings, RowPersonSize
from sightline.records.detections import DoubtCode

TALL_PX = 50.0
SIZE = RowPersonSize(at_top_px=TALL_PX, at_bottom_px=TALL_PX)
PICTURE = yard()


def person(picture=PICTURE, *, foot=(80, 100)):
    return with_person(picture, foot=foot, tall_px=TALL_PX)


def lit(picture, gain):
    return np.clip(picture * gain, 0, 255).astype(np.uint8)


def looked(pictures, *, detector=None, start=0, **rest):
    """The answers to pictures that come one after the other, and the detector."""
    detector = detector or MotionDetector(size=SIZE, **rest)
    return [detector.detect(frame(noisy(p, n), n)) for n, p in enumerate(pictures, start)], detector


def test_every_answer_says_since_when_the_view_is_unproven():
    found, _ = looked([PICTURE] * 5)
    assert {one.doubt.code for one in found} == {DoubtCode.VIEW_UNPROVEN}
    assert {one.doubt.since_ns for one in found} == {0}


def test_a_picture_that_cannot_be_compared_is_no_sight():
    found, _ = looked([PICTURE] * 5 + [np.zeros_like(PICTURE)] * 3)
    assert [one.is_sight for one in found] == [True] * 5 + [False] * 3
    assert found[-1].doubt.since_ns == 5 * FRAME_NS


def test_a_view_that_was_learnt_after_a_change_is_unproven_since_then():
    found, _ = looked([PICTURE] * 5 + [255 - yard(seed=2)] * 30)
    assert found[-1].doubt.code is DoubtCode.VIEW_UNPROVEN
    assert found[-1].doubt.since_ns == 25 * FRAME_NS


def test_a_view_that_comes_back_is_known_again():
    dark = [np.zeros_like(PICTURE)] * 40
    found, _ = looked([PICTURE] * 5 + dark + [PICTURE] * 10 + [person()])
    assert found[-1].doubt.since_ns == 0
    assert len(found[-1]) == 1


def test_who_came_while_it_was_dark_is_seen_when_the_light_is_back():
    dark = [np.zeros_like(PICTURE)] * 40
    found, _ = looked([PICTURE] * 5 + dark + [person()] * 20)
    assert len(found[-1]) == 1


@pytest.mark.parametrize("gain", [0.4, 0.7, 1.5])
def test_who_steps_in_as_the_light_changes_is_seen(gain):
    before = [lit(PICTURE, gain)] * 10
    found, _ = looked(before + [person()] * 20)
    assert [len(one) for one in found[-10:]] == [1] * 10


def test_light_on_the_ground_is_nobody():
    rough = np.random.default_rng(3).normal(100, 15, (*PICTURE.shape[:2], 1)).repeat(3, axis=2)
    ground = rough.astype(np.uint8)
    lamp = ground.copy()
    lamp[50:100, 60:90] = lit(ground[50:100, 60:90], 1.6)
    found, detector = looked([ground] * 10 + [lamp] * 10)
    assert detector.report.lights > 0
    assert [len(one) for one in found[10:]] == [0] * 10


def test_somebody_in_the_light_of_a_lamp_is_seen():
    lamp = PICTURE.copy()
    lamp[40:110, 50:110] = lit(PICTURE[40:110, 50:110], 1.35)
    found, _ = looked([PICTURE] * 10 + [person(lamp)] * 10)
    assert all(len(one) >= 1 for one in found[10:])


def test_of_two_who_stand_the_one_who_stays_is_seen():
    both = person(person(foot=(50, 100)), foot=(110, 100))
    found, _ = looked([PICTURE] * 10 + [both] * 200 + [person(foot=(50, 100))] * 200)
    assert len(found[-1]) == 1


def test_where_the_view_began_empty_nothing_is_a_hole_that_somebody_left():
    rough = yard(seed=4)
    found, detector = looked([rough] * 10 + [person(rough)] * 30, starts_empty=True)
    assert detector.report.ghosts == 0
    assert [len(one) for one in found[10:]] == [1] * 30


def test_a_view_in_which_a_person_may_drown_in_noise_says_that_it_is_dark():
    dark = lit(PICTURE, 0.16)
    found, _ = looked([dark] * 5)
    assert {one.doubt.code for one in found} == {DoubtCode.VIEW_DARK}
    assert {one.doubt.since_ns for one in found} == {0}
    assert all(one.is_sight for one in found)


def test_a_detector_that_found_as_much_as_it_may_report_says_so():
    settings = MotionSettings(most_objects=1)
    found, _ = looked([PICTURE] * 5 + [person()], settings=settings)
    assert [one.doubt.code for one in found[4:]] == [DoubtCode.VIEW_UNPROVEN, DoubtCode.AT_BOUND]
    assert len(found[-1]) == 1


def test_a_view_that_gets_light_is_dark_no_more():
    found, _ = looked([lit(PICTURE, 0.25)] * 3 + [lit(PICTURE, 1.0)] * 300)
    assert found[-1].doubt.code is DoubtCode.VIEW_UNPROVEN


def after_a_word(detector, pictures, *, start, empty_ns):
    """The answers to pictures after somebody has said that the one of ``empty_ns`` is empty."""
    frames = [frame(noisy(p, n), n) for n, p in enumerate(pictures, start)]
    return [detector.detect(replace(one, empty_ns=empty_ns)) for one in frames]


def test_what_stands_there_when_somebody_says_that_the_view_is_empty_is_ground():
    found, detector = looked([PICTURE] * 5 + [person()] * 15)
    assert len(found[-1]) == 1
    found = after_a_word(detector, [person()] * 5, start=20, empty_ns=19 * FRAME_NS)
    assert {len(one) for one in found} == {0}
    assert {one.doubt.since_ns for one in found} == {19 * FRAME_NS}


def test_who_comes_after_the_word_is_seen_and_what_has_gone_leaves_a_hole_that_is_said():
    _, detector = looked([PICTURE] * 5 + [person()] * 15)
    both = person(person(), foot=(120, 100))
    found = after_a_word(detector, [both, both, PICTURE], start=20, empty_ns=19 * FRAME_NS)
    assert [len(one) for one in found] == [1, 1, 1]


def test_the_word_about_a_changed_view_begins_it_at_once():
    other = 255 - yard(seed=2)
    found, detector = looked([PICTURE] * 5 + [other] * 3)
    assert not found[-1].is_sight
    found = after_a_word(detector, [other, person(other)], start=8, empty_ns=7 * FRAME_NS)
    assert [one.is_sight for one in found] == [True, True]
    assert [len(one) for one in found] == [0, 1]


def test_a_word_from_before_the_first_frame_of_a_detector_is_not_about_it():
    found = after_a_word(MotionDetector(size=SIZE), [PICTURE] * 3, start=20, empty_ns=5)
    assert {one.doubt.since_ns for one in found} == {20 * FRAME_NS}


def test_a_snapshot_keeps_the_view_before_this_one():
    pictures = [PICTURE] * 5 + [np.zeros_like(PICTURE)] * 40
    _, one = looked(pictures)
    other = MotionDetector(size=SIZE)
    other.restore(*one.snapshot())
    for detector in (one, other):
        found, _ = looked([person()] * 20, detector=detector, start=45)
        assert len(found[-1]) == 1
        assert found[-1].doubt.since_ns == 0
