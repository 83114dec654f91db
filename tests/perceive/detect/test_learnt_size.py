"""The size of people is learnt from who walks alone; what else moves teaches nothing wrong."""

import numpy as np
import pytest

from perceive.detect.detect_cases import frame, noisy, overlap, with_person, yard
from sightline.errors import LogError
from sightline.perceive.detect import MotionDetector, MotionSettings, RowPersonSize
from sightline.perceive.detect.learnt_size import HeightLine, SizeLearner

SHAPE = (360, 480)
TRUE = HeightLine(at_top=0.03, at_bottom=0.25)


def region(x, foot, *, tall, wide):
    return [x - wide / 2, foot - tall, x + wide / 2, foot, 0.6 * tall * wide]


def person(rng, *, rows=(100, 340), share=1.0):
    """Somebody alone, of about the usual height, somewhere on the ground."""
    foot = rng.uniform(*rows)
    tall = SHAPE[0] * float(TRUE.heights(np.array(foot / SHAPE[0]))) * share * rng.normal(1, 0.07)
    return region(rng.uniform(40, 440), foot, tall=tall, wide=rng.uniform(0.28, 0.5) * tall)


def learnt(*regions, given=None, learner=None):
    learner = learner or SizeLearner()
    for one in regions:
        learner.see(np.array([one]), SHAPE)
    return learner.line(given)


def assert_true(line, *, within, rows=(100, 340)):
    at = np.linspace(*rows, 5) / SHAPE[0]
    assert np.abs(line.heights(at) / TRUE.heights(at) - 1).max() < within


@pytest.mark.parametrize("seed", range(5))
def test_heights_are_learnt_from_who_walks_alone(seed):
    rng = np.random.default_rng(seed)
    assert_true(learnt(*(person(rng) for _ in range(40))), within=0.1)


@pytest.mark.parametrize("seed", range(5))
def test_a_third_of_pieces_and_pairs_moves_little(seed):
    rng = np.random.default_rng(seed)
    singles = [person(rng) for _ in range(40)]
    others = [person(rng, share=rng.choice([0.5, 1.6])) for _ in range(20)]
    assert_true(learnt(*singles, *others), within=0.15)


def test_vehicles_teach_no_size_of_people():
    rng = np.random.default_rng(1)
    assert learnt(*(region(x, 200, tall=40, wide=90) for x in rng.uniform(60, 400, 60))) is None


def test_what_is_of_no_height_teaches_nothing():
    rng = np.random.default_rng(1)
    tall = np.exp(rng.uniform(np.log(8), np.log(120), 80))
    at = rng.uniform((40, 130), (440, 340), (80, 2))
    assert (
        learnt(*(region(x, y, tall=t, wide=t / 3) for (x, y), t in zip(at, tall, strict=True)))
        is None
    )


def test_whoever_stands_still_says_no_more_than_one_place():
    assert learnt(*[region(200, 200, tall=60, wide=20)] * 100) is None


def test_two_beside_each_other_are_no_single_people():
    learner = SizeLearner()
    for x in range(40, 440, 10):
        pair = [region(x, 200, tall=60, wide=20), region(x + 15, 200, tall=60, wide=20)]
        assert not learner.see(np.array(pair), SHAPE)


def test_a_given_size_that_contradicts_what_moves_is_outvoted():
    rng = np.random.default_rng(2)
    given = HeightLine(at_top=0.11, at_bottom=0.4)
    assert_true(learnt(*(person(rng) for _ in range(60)), given=given), within=0.12)


def test_a_given_size_decides_where_nobody_was_seen():
    rng = np.random.default_rng(3)
    line = learnt(*(person(rng, rows=(300, 340)) for _ in range(40)), given=TRUE)
    assert_true(line, within=0.12)


def test_arrays_of_another_shape_are_refused():
    with pytest.raises(LogError):
        SizeLearner().restore({"height": np.zeros(3)})


# --- in the detector ------------------------------------------------------------------------------

PICTURE = yard(width_px=320, height_px=240)
TALL_PX = 60


def drawn(*feet, index, tall_px=TALL_PX):
    pixels = PICTURE
    for foot in feet:
        pixels = with_person(pixels, foot=foot, tall_px=tall_px)
    return frame(noisy(pixels, index), index)


def that_saw_a_walker(**options):
    """A detector before which somebody alone has walked through the picture."""
    detector = MotionDetector(**options)
    for index in range(5):
        detector.detect(drawn(index=index))
    for index in range(5, 55):
        detector.detect(drawn((20 + 5 * index, 150 + index), index=index))
    return detector


def boxes_of(*feet):
    return [np.array([x - 10, y - TALL_PX, x + 10, y]) for x, y in feet]


@pytest.mark.parametrize("given", [None, (35, 35), (110, 110)])
def test_a_pair_is_two_people_once_their_size_is_learnt(given):
    size = None if given is None else RowPersonSize(at_top_px=given[0], at_bottom_px=given[1])
    pair = (150, 180), (172, 180)
    seen = that_saw_a_walker(size=size).detect(drawn(*pair, index=60))
    assert len(seen) == 2
    for box in boxes_of(*pair):
        assert max(overlap(box, one) for one in seen.box_px) > 0.6


def test_without_learning_the_size_given_holds():
    size = RowPersonSize(at_top_px=110, at_bottom_px=110)
    detector = that_saw_a_walker(size=size, settings=MotionSettings(learns_size=False))
    seen = detector.detect(drawn((150, 180), (172, 180), index=60))
    assert not any(overlap(box, one) > 0.6 for box in boxes_of((150, 180)) for one in seen.box_px)


@pytest.mark.parametrize("given", [None, (60, 60)])
@pytest.mark.parametrize("walker_px", [30, 110])
def test_a_size_learnt_from_others_loses_nobody(given, walker_px):
    # Children, or riders, have walked here; then somebody of the size given comes.
    size = None if given is None else RowPersonSize(at_top_px=given[0], at_bottom_px=given[1])
    detector = MotionDetector(size=size)
    for index in range(5):
        detector.detect(drawn(index=index))
    for index in range(5, 55):
        detector.detect(drawn((20 + 5 * index, 150 + index), index=index, tall_px=walker_px))
    seen = detector.detect(drawn((150, 180), index=60))
    covered = np.zeros(PICTURE.shape[:2], bool)
    for left, top, right, bottom in seen.box_px.astype(int):
        covered[top:bottom, left:right] = True
    assert covered[125:178, 146:154].mean() > 0.8


def test_a_size_given_that_does_not_fit_is_said_with_one_that_does():
    detector = MotionDetector(size=RowPersonSize(at_top_px=110, at_bottom_px=110))
    said = []
    for index in range(160):  # to and fro, as somebody may who fetches things
        x, y = 20 + (9 * index) % 280, 130 + index % 90
        said.append(detector.detect(drawn((x, y), index=index + 5)).advice if index else "")
    (advice,) = [text for text in said if text]
    assert advice.endswith("not [110, 110]")
    low, high = (float(one) for one in advice.split("[")[1].split("]")[0].split(","))
    assert low + 0.75 * (high - low) == pytest.approx(TALL_PX, rel=0.1)


def test_a_size_given_that_fits_is_not_talked_about():
    detector = MotionDetector(size=RowPersonSize(at_top_px=TALL_PX, at_bottom_px=TALL_PX))
    for index in range(100):
        x, y = 20 + (9 * index) % 280, 130 + index % 90
        feet = [(x, y)] if index else []
        assert detector.detect(drawn(*feet, index=index)).advice == ""
