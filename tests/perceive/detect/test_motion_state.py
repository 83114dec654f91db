import numpy as np
import pytest

from perceive.detect.detect_cases import frame, noisy, with_person, yard
from sightline.errors import LogError
from sightline.perceive.detect import MotionDetector, MotionSettings, RowPersonSize
from sightline.recorder.checkpoint import StateParts, pack_state, unpack_state

SIZE = RowPersonSize(at_top_px=50, at_bottom_px=50)
PICTURE = yard()


def walker(number):
    foot = (20 + 4 * number, 100)
    return frame(noisy(with_person(PICTURE, foot=foot, tall_px=50), number), number)


def same(one, other):
    return np.array_equal(one.box_px, other.box_px) and np.array_equal(one.score, other.score)


def test_equal_frames_give_equal_bytes():
    one, other = MotionDetector(size=SIZE), MotionDetector(size=SIZE)
    assert all(same(one.detect(walker(n)), other.detect(walker(n))) for n in range(30))


@pytest.mark.parametrize("cut", [0, 1, 12, 22])
def test_a_run_that_is_cut_and_resumed_answers_the_same(cut):
    whole, first = MotionDetector(size=SIZE), MotionDetector(size=SIZE)
    expected = [whole.detect(walker(n)) for n in range(30)]
    for number in range(cut):
        first.detect(walker(number))
    plain, arrays = first.snapshot()
    resumed = MotionDetector(size=SIZE)
    resumed.restore(plain, arrays)
    for number in range(cut, 30):
        assert same(resumed.detect(walker(number)), expected[number])
    assert resumed.counts == whole.counts


def test_the_snapshot_fits_into_a_checkpoint():
    detector = MotionDetector(size=SIZE)
    for number in range(12):
        detector.detect(walker(number))
    plain, arrays = detector.snapshot()
    parts = unpack_state(pack_state(StateParts(plain, arrays)))
    resumed = MotionDetector(size=SIZE)
    resumed.restore(parts.meta, parts.arrays)
    assert same(resumed.detect(walker(12)), detector.detect(walker(12)))


def test_a_snapshot_does_not_change_with_later_frames():
    detector = MotionDetector(size=SIZE)
    for number in range(5):
        detector.detect(walker(number))
    _, arrays = detector.snapshot()
    mean = arrays["mean"].copy()
    detector.detect(walker(5))
    assert np.array_equal(arrays["mean"], mean)


def test_a_snapshot_taken_between_changed_frames_remembers_since_when():
    one, other = MotionDetector(size=SIZE), MotionDetector(size=SIZE)
    for number in range(10):
        one.detect(walker(number))
    black = np.zeros_like(PICTURE)
    for number in range(10, 25):
        one.detect(frame(black, number))
    other.restore(*one.snapshot())
    for number in range(25, 32):
        one.detect(frame(black, number))
        other.detect(frame(black, number))
        assert one.report.condition == other.report.condition


def test_the_state_of_another_version_is_refused():
    plain, arrays = MotionDetector(size=SIZE).snapshot()
    other = MotionDetector(size=SIZE, settings=MotionSettings(least_visible=0.4))
    with pytest.raises(LogError, match="one of version"):
        other.restore(plain, arrays)


@pytest.mark.parametrize("name", ["care", "mean", "weight"])
def test_a_state_without_an_array_is_refused(name):
    detector = MotionDetector(size=SIZE)
    detector.detect(walker(0))
    plain, arrays = detector.snapshot()
    del arrays[name]
    with pytest.raises(LogError, match=name):
        MotionDetector(size=SIZE).restore(plain, arrays)


def test_a_snapshot_of_a_detector_that_saw_nothing_may_be_restored_into_one_that_did():
    used = MotionDetector(size=SIZE)
    for number in range(5):
        used.detect(walker(number))
    used.restore(*MotionDetector(size=SIZE).snapshot())
    new = MotionDetector(size=SIZE)
    assert all(same(used.detect(walker(n)), new.detect(walker(n))) for n in range(5, 15))


def test_arrays_of_another_size_than_the_frames_are_refused():
    detector = MotionDetector(size=SIZE)
    detector.detect(walker(0))
    plain, arrays = detector.snapshot()
    with pytest.raises(LogError, match="arrays for"):
        MotionDetector(size=SIZE).restore(plain | {"frame_size_px": [80, 60]}, arrays)


def test_after_a_reset_the_next_frame_is_the_background():
    detector = MotionDetector(size=SIZE)
    for number in range(10):
        detector.detect(walker(number))
    detector.reset()
    assert len(detector.detect(walker(10))) == 0
    assert detector.report.condition.value == "STARTED"
    assert len(detector.detect(walker(14))) > 0
