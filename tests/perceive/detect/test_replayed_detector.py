import numpy as np
import pytest

from perceive.detect.detect_cases import frame, yard
from sightline.errors import UsageError
from sightline.perceive.detect import ReplayedDetector
from sightline.records import Detections


def columns(**changes):
    plain = {
        "frame_index": np.array([3, 1, 3]),
        "box_px": np.array([[0.0, 0, 5, 9], [1, 1, 4, 8], [9, 9, 20, 30]]),
        "score": np.array([0.9, 0.8, 0.7]),
    }
    return plain | changes


def test_rows_are_found_by_frame_index():
    detector = ReplayedDetector.from_columns(**columns())
    seen = [detector.detect(frame(yard(), index)) for index in range(5)]
    assert [len(found) for found in seen] == [0, 1, 0, 2, 0]
    assert seen[3].score.tolist() == [0.9, 0.7]
    assert detector.missing == 3


def test_answers_carry_the_stream_and_time_of_the_frame():
    detector = ReplayedDetector.from_columns(**columns())
    seen = detector.detect(frame(yard(), 3, stream="gate", capture_ns=77))
    assert (seen.stream, seen.capture_ns) == ("gate", 77)


def test_rows_are_found_by_capture_time():
    at_noon = Detections.of("yard", 0, box_px=[[0, 0, 5, 9]], score=[0.5])
    detector = ReplayedDetector({12_000: at_noon}, by="capture_ns")
    assert len(detector.detect(frame(yard(), 0, capture_ns=12_000))) == 1
    assert len(detector.detect(frame(yard(), 0, capture_ns=12_001))) == 0


def test_an_empty_table_answers_with_nothing():
    detector = ReplayedDetector.from_columns(
        frame_index=np.empty(0, int), box_px=np.empty((0, 4)), score=np.empty(0)
    )
    assert len(detector.detect(frame(yard()))) == 0


@pytest.mark.parametrize(
    "wrong",
    [
        {"score": np.array([0.9, np.nan, 0.7])},
        {"score": np.array([0.9, 1.2, 0.7])},
        {"frame_index": np.array([3, -1, 3])},
        {"frame_index": np.array([3, 1])},
        {"box_px": np.array([[0.0, 0, 5, 9], [4, 1, 4, 8], [9, 9, 20, 30]])},
        {"class_id": np.array([0, 1, 0], np.int32)},
    ],
)
def test_rows_that_cannot_be_are_refused(wrong):
    with pytest.raises(UsageError, match="replayed detections"):
        ReplayedDetector.from_columns(**columns(**wrong))


def test_tables_of_different_class_names_are_refused():
    table = {
        n: Detections.of("", 0, box_px=[], score=[], class_names=(name,))
        for n, name in enumerate(("person", "vehicle"))
    }
    with pytest.raises(UsageError, match="same class names"):
        ReplayedDetector(table, by="index")


def test_the_version_follows_from_the_table():
    one, same = (ReplayedDetector.from_columns(**columns()) for _ in range(2))
    other = ReplayedDetector.from_columns(**columns(score=np.array([0.9, 0.8, 0.6])))
    assert one.version == same.version != other.version
