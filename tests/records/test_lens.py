"""Distortion: exact both ways, the same as OpenCV's, and no answer where there is none."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings

from records.camera_cases import HEIGHT_PX, WIDTH_PX, lenses
from sightline.errors import UsageError
from sightline.records.lens import Lens

CORNERS_AND_MIDDLE = np.array(
    [[0, 0], [WIDTH_PX, 0], [0, HEIGHT_PX], [WIDTH_PX, HEIGHT_PX], [640, 360], [1000, 200]], float
)


def lens_of(distortion, *coefficients):
    return Lens(
        focal_px=(800.0, 820.0),
        centre_px=(640.0, 360.0),
        distortion=distortion,
        coefficients=coefficients,
    )


@settings(max_examples=200, deadline=None)
@given(lens=lenses())
def test_pixels_survive_the_way_to_rays_and_back(lens):
    rays = lens.ray_from_pixel(CORNERS_AND_MIDDLE)
    assert np.isfinite(rays).all()
    np.testing.assert_allclose(lens.pixel_from_ray(rays), CORNERS_AND_MIDDLE, atol=1e-6)


@settings(max_examples=100, deadline=None)
@given(lens=lenses())
def test_the_jacobian_is_the_central_difference(lens):
    step_px = 1e-3
    for axis in (0, 1):
        shift = np.zeros(2)
        shift[axis] = step_px
        after = lens.ray_from_pixel(CORNERS_AND_MIDDLE + shift)
        before = lens.ray_from_pixel(CORNERS_AND_MIDDLE - shift)
        expected = (after - before) / (2 * step_px)
        found = lens.ray_jacobian(CORNERS_AND_MIDDLE)[:, :, axis]
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-9)


def test_browns_polynomial_is_that_of_opencv():
    coefficients = (-0.21, 0.06, 0.0007, -0.0011, -0.004)
    lens = lens_of("brown", *coefficients)
    rays = np.random.default_rng(1).uniform(-0.6, 0.6, (50, 2))
    matrix = np.array([[800.0, 0, 640], [0, 820.0, 360], [0, 0, 1]])
    points = np.column_stack([rays, np.ones(50)])
    theirs, _ = cv2.projectPoints(points, np.zeros(3), np.zeros(3), matrix, np.array(coefficients))
    np.testing.assert_allclose(lens.pixel_from_ray(rays), theirs.reshape(-1, 2), atol=1e-9)


def test_tsais_polynomial_goes_from_distorted_to_undistorted():
    ray = lens_of("tsai", 0.2).ray_from_pixel(np.array([[640.0 + 400.0, 360.0]]))
    assert ray[0, 0] == pytest.approx(0.5 * (1 + 0.2 * 0.5**2))


def test_a_tsai_lens_has_no_answer_beyond_its_fold():
    lens = lens_of("tsai", -0.5)  # folds at r_d = sqrt(1 / 1.5) = 0.816, r_u = 0.544
    pixels = np.array([[640 + 0.81 * 800, 360], [640 + 0.82 * 800, 360]])
    assert np.isfinite(lens.ray_from_pixel(pixels)).all(axis=1).tolist() == [True, False]
    found = lens.pixel_from_ray(np.array([[0.54, 0.0], [0.55, 0.0]]))
    assert np.isfinite(found).all(axis=1).tolist() == [True, False]


def test_a_point_far_outside_the_view_does_not_fold_back_into_the_image():
    lens = lens_of("brown", -0.3, 0.0, 0.0, 0.0, 0.0)  # r (1 - 0.3 r²) rises up to r = 1.054
    found = lens.pixel_from_ray(np.array([[1.0, 0.0], [1.8, 0.0]]))
    assert np.isfinite(found).all(axis=1).tolist() == [True, False]


def test_a_pixel_no_ray_reaches_has_no_ray():
    lens = lens_of("brown", -0.3, 0.0, 0.0, 0.0, 0.0)  # reaches r_d = 0.703
    found = lens.ray_from_pixel(np.array([[640 + 0.70 * 800, 360], [640 + 0.71 * 800, 360]]))
    assert np.isfinite(found).all(axis=1).tolist() == [True, False]


def test_a_missing_pixel_stays_missing():
    pixels = np.array([[np.nan, 3.0], [640.0, 360.0]])
    for lens in (lens_of("none"), lens_of("tsai", 0.1), lens_of("brown", 0.1, 0, 0, 0, 0)):
        rays = lens.ray_from_pixel(pixels)
        assert np.isnan(rays[0]).any()
        assert rays[1].tolist() == [0.0, 0.0]


def test_no_pixels_give_no_rays():
    for lens in (lens_of("none"), lens_of("tsai", 0.1), lens_of("brown", 0.1, 0, 0, 0, 0)):
        assert lens.ray_from_pixel(np.empty((0, 2))).shape == (0, 2)
        assert lens.pixel_from_ray(np.empty((0, 2))).shape == (0, 2)
        assert lens.ray_jacobian(np.empty((0, 2))).shape == (0, 2, 2)


@pytest.mark.parametrize(
    ("focal_px", "distortion", "coefficients"),
    [
        ((0.0, 800.0), "none", ()),
        ((800.0, float("nan")), "none", ()),
        ((800.0, 800.0), "none", (0.1,)),
        ((800.0, 800.0), "brown", (0.1, 0.0)),
        ((800.0, 800.0), "fisheye", ()),
        ((800.0, 800.0), "tsai", (float("inf"),)),
    ],
)
def test_a_lens_that_cannot_be_is_refused(focal_px, distortion, coefficients):
    with pytest.raises(UsageError, match="lens: expected two focal lengths > 0"):
        Lens(
            focal_px=focal_px,
            centre_px=(0.0, 0.0),
            distortion=distortion,
            coefficients=coefficients,
        )
