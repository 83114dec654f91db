import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from perceive.detect.detect_cases import frame, yard
from sightline.errors import UsageError
from sightline.perceive.detect.detector import admit_boxes

NUMBER = st.one_of(
    st.floats(-500, 500), st.sampled_from([np.nan, np.inf, -np.inf, 0.0, 160.0, 120.0])
)
SCORE = st.one_of(st.floats(0, 1), st.sampled_from([np.nan, np.inf, -0.1, 1.1]))


def admit(boxes, scores):
    return admit_boxes(
        frame(yard()),
        box_px=np.array(boxes, np.float64).reshape(-1, 4),
        score=np.array(scores, np.float64),
        class_id=np.zeros(len(scores), np.int32),
        class_names=("person",),
    )


@pytest.mark.parametrize(
    ("box", "score", "reason"),
    [
        ([np.nan, 0, 10, 10], 0.5, "BOX_NOT_FINITE"),
        ([0, 0, 10, 10], np.nan, "BOX_NOT_FINITE"),
        ([0, 0, np.inf, 10], 0.5, "BOX_NOT_FINITE"),
        ([10, 10, 10, 20], 0.5, "BOX_NO_AREA"),
        ([20, 10, 10, 20], 0.5, "BOX_NO_AREA"),
        ([200, 10, 220, 20], 0.5, "BOX_OUTSIDE_IMAGE"),
        ([160, 10, 170, 20], 0.5, "BOX_OUTSIDE_IMAGE"),
        ([0, 0, 10, 10], 1.5, "BOX_SCORE_RANGE"),
    ],
)
def test_what_is_no_box_is_refused_with_its_reason(box, score, reason):
    seen, refused = admit([box], [score])
    assert len(seen) == 0
    assert refused == {reason: 1}


def test_a_box_in_the_image_is_kept_as_it_is():
    seen, refused = admit([[1.5, 2, 30, 40]], [0.5])
    assert seen.box_px.tolist() == [[1.5, 2, 30, 40]]
    assert not refused


def test_a_box_beyond_the_image_is_cut_to_it():
    seen, refused = admit([[-5, 100, 30, 140]], [0.5])
    assert seen.box_px.tolist() == [[0, 100, 30, 120]]
    assert refused == {"BOX_CLIPPED": 1}


@given(st.lists(st.tuples(st.tuples(*[NUMBER] * 4), SCORE), max_size=20))
def test_what_leaves_is_always_usable_and_every_box_is_accounted_for(rows):
    seen, refused = admit([box for box, _ in rows], [score for _, score in rows])
    left, top, right, bottom = seen.box_px.T
    assert np.isfinite(seen.box_px).all()
    assert (left >= 0).all()
    assert (top >= 0).all()
    assert (right > left).all()
    assert (bottom > top).all()
    assert (right <= 160).all()
    assert (bottom <= 120).all()
    assert ((seen.score >= 0) & (seen.score <= 1)).all()
    assert len(seen) + refused.total() - refused["BOX_CLIPPED"] == len(rows)


def test_a_class_without_a_name_is_an_error():
    with pytest.raises(UsageError, match="class ids 0 to 0"):
        admit_boxes(
            frame(yard()),
            box_px=np.array([[0.0, 0, 10, 10]]),
            score=np.array([0.5]),
            class_id=np.array([1], np.int32),
            class_names=("person",),
        )
