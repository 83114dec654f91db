"""A homography from marked points: exact, honest about its fit, refused when undetermined."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from records.camera_cases import full_cameras, yard_camera
from sightline.errors import UsageError
from sightline.records.camera import CameraModel, DegeneratePoints, homography_from_points
from sightline.records.lens import Lens

SQUARE_PX = [[100, 100], [500, 120], [600, 450], [40, 470]]
SQUARE_M = [[0, 10], [5, 10], [5, 0], [0, 0]]


def mapped(matrix, points):
    homogeneous = np.column_stack([points, np.ones(len(points))]) @ matrix.T
    return homogeneous[:, :2] / homogeneous[:, 2:]


@settings(max_examples=100, deadline=None)
@given(camera=full_cameras(), more=st.lists(st.tuples(st.floats(0, 1280), st.floats(400, 720))))
def test_the_homography_of_a_camera_is_found_from_points_it_sees(camera, more):
    lens = Lens(focal_px=camera.lens.focal_px, centre_px=camera.lens.centre_px)
    camera = CameraModel.pinhole(image_size_px=camera.image_size_px, lens=lens, pose=camera.pose)
    corners = [(0, 400), (1280, 400), (1280, 720), (0, 720)]
    pixels = np.array(corners + more, float)
    ground = camera.ground_from_pixel(pixels)
    assume((np.linalg.norm(ground, axis=1) < 100).all())
    fit = homography_from_points(pixels, ground)
    np.testing.assert_allclose(mapped(fit.ground_from_pixel, pixels), ground, atol=1e-6)
    assert fit.rms_residual_m < 1e-6


def test_four_points_are_met_exactly():
    fit = homography_from_points(SQUARE_PX, SQUARE_M)
    np.testing.assert_allclose(mapped(fit.ground_from_pixel, SQUARE_PX), SQUARE_M, atol=1e-9)


def test_a_wrong_fifth_point_shows_in_the_residual():
    camera = yard_camera()
    pixels = np.array([[100.0, 500], [1100, 450], [1200, 700], [60, 690], [640, 600]])
    ground = camera.ground_from_pixel(pixels)
    ground[4] += [0.5, 0.0]
    fit = homography_from_points(pixels, ground)
    assert 0.02 < fit.rms_residual_m < 0.5
    assert fit.residual_m.shape == (5,)


def test_noise_in_many_points_averages_out():
    camera = yard_camera()
    rng = np.random.default_rng(5)
    pixels = rng.uniform([0, 300], [1280, 720], (100, 2))
    truth = camera.ground_from_pixel(pixels)
    fit = homography_from_points(pixels, truth + rng.normal(0, 0.05, truth.shape))
    assert np.abs(mapped(fit.ground_from_pixel, pixels) - truth).mean() < 0.03


def test_the_answer_does_not_depend_on_the_units():
    in_mm = homography_from_points(SQUARE_PX, np.array(SQUARE_M) * 1000.0)
    in_m = homography_from_points(SQUARE_PX, SQUARE_M)
    probe = [[300.0, 300.0]]
    np.testing.assert_allclose(
        mapped(in_mm.ground_from_pixel, probe) / 1000.0,
        mapped(in_m.ground_from_pixel, probe),
        rtol=1e-9,
    )


@pytest.mark.parametrize(
    ("pixels", "ground"),
    [
        pytest.param([[0, 0], [1, 1], [2, 2], [3, 3]], SQUARE_M, id="pixels on a line"),
        pytest.param(SQUARE_PX, [[0, 0], [1, 1], [2, 2], [3, 3]], id="ground on a line"),
        pytest.param([[0, 0], [50, 0], [100, 0], [50, 80]], SQUARE_M, id="three on a line"),
        pytest.param(SQUARE_PX, [[0, 0], [1, 0], [2, 0], [1, 5]], id="three on a ground line"),
        pytest.param([[5, 5]] * 4, SQUARE_M, id="one point four times"),
        pytest.param(SQUARE_PX[:3] + SQUARE_PX[:1], SQUARE_M, id="a point twice"),
        pytest.param(SQUARE_PX[:3], SQUARE_M[:3], id="three points"),
        pytest.param(SQUARE_PX, SQUARE_M[:3], id="a ground point missing"),
        pytest.param(SQUARE_PX, [SQUARE_M[i] for i in (1, 0, 2, 3)], id="two swapped"),
    ],
)
def test_points_that_determine_nothing_are_refused(pixels, ground):
    with pytest.raises(DegeneratePoints):
        homography_from_points(pixels, ground)


@settings(max_examples=50, deadline=None)
@given(
    direction=st.floats(0, 6.28),
    along=st.lists(st.floats(-1000, 1000), min_size=4, max_size=10),
)
def test_points_on_any_line_are_refused(direction, along):
    line = np.outer(along, [np.cos(direction), np.sin(direction)]) + np.array([640, 360])
    ground = np.random.default_rng(0).uniform(0, 10, (len(along), 2))
    with pytest.raises(DegeneratePoints):
        homography_from_points(line, ground)


def test_a_missing_point_is_refused():
    with pytest.raises(UsageError, match=r"ground \[n, 2\], finite"):
        homography_from_points(SQUARE_PX, [[0, float("nan")], *SQUARE_M[1:]])


def test_the_refusal_survives_the_way_between_processes():
    with pytest.raises(DegeneratePoints) as caught:
        homography_from_points([[0, 0]] * 4, SQUARE_M)
    again = pickle.loads(pickle.dumps(caught.value))
    assert isinstance(again, DegeneratePoints)
    assert str(again) == str(caught.value)
