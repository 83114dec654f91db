import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from perceive.detect.reference_suppression import box_overlap
from perceive.detect.reference_suppression import suppress as plain_suppress
from sightline.perceive.detect.detector import MAX_CANDIDATES, suppress
from sightline.perceive.detect.onnx_detector import PAD_LEVEL, Letterbox

SIDE = st.integers(1, 3000)


@given(st.tuples(SIDE, SIDE), st.tuples(SIDE, SIDE), st.sampled_from(["keep_aspect", "stretch"]))
def test_a_box_survives_the_way_there_and_back(image_px, input_px, how):
    placing = getattr(Letterbox, how)(image_px=image_px, input_px=input_px)
    width_px, height_px = image_px
    boxes = np.array([[0, 0, width_px, height_px], [0.3, 0.1, width_px * 0.7, height_px * 0.9]])
    scale = np.array(placing.inside_px) / image_px
    in_input = boxes * [*scale, *scale] + [*placing.offset_px, *placing.offset_px]
    assert placing.to_image(in_input) == pytest.approx(boxes, rel=1e-9, abs=1e-9)


@given(st.tuples(SIDE, SIDE), st.tuples(SIDE, SIDE))
def test_the_image_lies_inside_the_input(image_px, input_px):
    placing = Letterbox.keep_aspect(image_px=image_px, input_px=input_px)
    for axis in range(2):
        assert placing.inside_px[axis] >= 1
        assert placing.offset_px[axis] >= 0
        assert placing.offset_px[axis] + placing.inside_px[axis] <= input_px[axis]


def test_a_mark_is_found_where_the_inverse_says():
    image = np.zeros((90, 200, 3), np.uint8)
    image[30:60, 40:120] = 255
    placing = Letterbox.keep_aspect(image_px=(200, 90), input_px=(128, 96))
    placed = placing.place(image)
    rows, columns = np.nonzero((placed > 128).all(axis=2))
    seen = np.array([[columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]], float)
    assert placing.to_image(seen)[0] == pytest.approx([40, 30, 120, 60], abs=1.6)


def test_what_is_not_image_is_grey():
    placing = Letterbox.keep_aspect(image_px=(100, 50), input_px=(100, 100))
    placed = placing.place(np.zeros((50, 100, 3), np.uint8))
    assert (placed[:25] == PAD_LEVEL).all()
    assert (placed[75:] == PAD_LEVEL).all()
    assert not placed[25:75].any()


@pytest.mark.parametrize("seed", range(8))
def test_suppression_agrees_with_its_specification(seed):
    rng = np.random.default_rng(seed)
    corner = rng.integers(0, 60, (200, 2)).astype(float)
    boxes = np.concatenate([corner, corner + rng.integers(0, 40, (200, 2))], axis=1)
    scores = rng.integers(0, 20, 200) / 20
    classes = rng.integers(0, 3, 200).astype(np.int32)
    rules = {"max_overlap": rng.uniform(0.0, 0.9), "most": int(rng.integers(5, 100))}
    kept = suppress(boxes, scores, classes, **rules)
    assert kept.tolist() == plain_suppress(boxes, scores, classes, **rules).tolist()
    assert len(kept) > 1


def test_boxes_of_different_classes_do_not_suppress_each_other():
    boxes = np.array([[0.0, 0, 10, 10]] * 2)
    kept = suppress(
        boxes, np.array([0.9, 0.8]), np.array([0, 1], np.int32), max_overlap=0.5, most=9
    )
    assert kept.tolist() == [0, 1]


def test_equal_scores_stay_in_order():
    boxes = np.array([[0.0, 0, 10, 10], [50, 0, 60, 10], [0, 50, 10, 60]])
    kept = suppress(boxes, np.full(3, 0.5), np.zeros(3, np.int32), max_overlap=0.5, most=2)
    assert kept.tolist() == [0, 1]


def test_of_too_many_boxes_the_surest_are_compared():
    count = MAX_CANDIDATES + 10
    left = np.arange(count, dtype=float) * 20
    boxes = np.stack([left, np.zeros(count), left + 10, np.full(count, 10.0)], axis=1)
    scores = np.linspace(0.1, 0.9, count)
    kept = suppress(boxes, scores, np.zeros(count, np.int32), max_overlap=0.5, most=count)
    assert len(kept) == MAX_CANDIDATES
    assert kept.min() == 10


def test_boxes_without_area_overlap_nothing():
    assert box_overlap(np.zeros(4), np.zeros((2, 4))).tolist() == [0, 0]
