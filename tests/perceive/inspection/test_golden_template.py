"""Boards held against golden templates."""

import cv2
import numpy as np
import pytest

from perceive.inspection.board_cases import SIDE_PX, examples, marred, moved, template
from sightline.errors import UsageError
from sightline.perceive.inspection.golden_template import (
    BoardInspector,
    BoardSettings,
    differences,
    lay_onto,
    learn_boards,
)


@pytest.fixture(scope="module")
def inspector():
    return learn_boards(examples(24), BoardSettings(rounds=60))


@pytest.mark.parametrize(
    ("turn_deg", "zoom", "shift_px"),
    [
        (0.0, 1.0, (0.4, -0.7)),
        (0.0, 1.0, (3.3, -2.5)),
        (3.0, 1.02, (2.5, 1.5)),
        (25.0, 0.93, (4, 3)),
    ],
)
def test_a_template_is_laid_on_to_half_a_pixel_or_better(turn_deg, zoom, shift_px):
    board = template(3)
    seen = moved(board, turn_deg=turn_deg, zoom=zoom, shift_px=shift_px)
    laid = lay_onto(seen, board)
    truth = cv2.getRotationMatrix2D((SIDE_PX / 2, SIDE_PX / 2), turn_deg, zoom)
    truth[:, 2] += shift_px
    corners = np.array([[60.0, 60, 1], [180, 60, 1], [60, 180, 1], [180, 180, 1]])
    back = (corners[:, :2] - truth[:, 2]) @ np.linalg.inv(truth[:, :2]).T
    found = corners @ laid.matrix.T
    assert np.abs(found[:, :2] / found[:, 2:] - back).max() < 0.5


def test_another_board_does_not_fit(inspector):
    noise = np.random.default_rng(0).integers(0, 2, (SIDE_PX, SIDE_PX)).astype(np.uint8) * 255
    found = inspector.inspect(noise, template(3))
    assert not found.is_laid
    assert len(found.boxes) == 0


def test_a_plain_board_fits_a_plain_template():
    plain = np.full((64, 64), 255, np.uint8)
    assert lay_onto(plain, plain).correlation == 1.0


def test_an_edge_that_lies_a_pixel_elsewhere_is_no_defect(inspector):
    board = template(50)
    wider = cv2.erode(board, np.ones((2, 2), np.uint8))
    assert len(inspector.inspect(wider, board).boxes) == 0


def test_the_six_kinds_are_told_on_boards_that_were_not_learnt(inspector):
    right = said = 0
    for one in examples(12, begin=100):
        found = inspector.inspect(one.picture, one.template)
        said += len(found.kinds)
        for box, kind in zip(one.boxes, one.kinds, strict=True):
            middle = (box[:2] + box[2:]) / 2
            over = (found.boxes[:, :2] <= middle) & (middle <= found.boxes[:, 2:])
            right += bool((found.kinds[over.all(axis=1)] == kind).any())
    assert right >= 68  # of 72
    assert said <= 76


def test_copper_may_be_bright():
    dark = examples(20)
    bright = [
        type(one)(
            picture=255 - one.picture,
            template=255 - one.template,
            boxes=one.boxes,
            kinds=one.kinds,
        )
        for one in dark
    ]
    settings = BoardSettings(rounds=60)
    board, _, _ = marred(200)
    one = learn_boards(dark, settings).inspect(board, template(200))
    other = learn_boards(bright, settings).inspect(255 - board, 255 - template(200))
    assert len(one.kinds) >= 5
    assert sorted(one.kinds.tolist()) == sorted(other.kinds.tolist())


def test_boxes_are_in_pixels_of_the_picture_not_of_the_template(inspector):
    board, _, _ = marred(7)
    plain = inspector.inspect(board, template(7)).boxes
    aside = inspector.inspect(moved(board, shift_px=(9, 0)), template(7)).boxes
    gaps = np.abs(aside[:, None] - (plain + np.array([9, 0, 9, 0]))[None]).max(axis=2)
    assert np.median(gaps.min(axis=1)) < 1.5


def test_equal_boards_and_seed_give_equal_inspectors():
    settings = BoardSettings(rounds=10)
    one, other = (learn_boards(examples(10), settings).as_arrays() for _ in range(2))
    assert all(np.array_equal(one[name], other[name]) for name in one)


def test_an_inspector_of_boards_comes_back_from_its_arrays(inspector):
    again = BoardInspector.from_arrays(inspector.as_arrays())
    board, _, _ = marred(300)
    one, other = (i.inspect(board, template(300)) for i in (inspector, again))
    assert np.array_equal(one.boxes, other.boxes)
    assert np.array_equal(one.odds, other.odds)


def test_too_few_boards_are_refused():
    with pytest.raises(UsageError, match="at least 10 boards"):
        learn_boards(examples(9), BoardSettings())


def test_boards_without_a_difference_in_a_box_are_refused():
    plain = [
        type(one)(picture=one.template, template=one.template, boxes=one.boxes, kinds=one.kinds)
        for one in examples(10)
    ]
    with pytest.raises(UsageError, match="boxes around differences"):
        learn_boards(plain, BoardSettings())


def test_no_difference_has_features_of_nothing():
    found = differences(template(1), lay_onto(template(1), template(1)), BoardSettings())
    assert found.features.shape == (0, 26)


def test_what_a_template_does_not_show_is_no_difference():
    picture, cut = template(1), template(1)[:, : SIDE_PX - 60]
    laid = lay_onto(picture, cut)
    assert laid.correlation > 0.8
    found = differences(picture, laid, BoardSettings())
    assert not len(found.boxes)


def test_a_model_that_reads_other_features_is_refused(inspector):
    arrays = inspector.as_arrays()
    with pytest.raises(ValueError, match="21 features of a difference, not 26"):
        BoardInspector.from_arrays(arrays | {"head_mean": arrays["head_mean"][:21]})
