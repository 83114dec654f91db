"""The stated spread on the ground against samples, differences and the horizon."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings

from records.camera_cases import cameras, well_seen_px, yard_camera
from sightline.errors import UsageError
from sightline.records.camera import CameraModel
from sightline.records.lens import Lens

SAMPLES = 200_000
SPREAD_PX2 = np.array([[4.0, 1.5], [1.5, 9.0]])
WIDE = Lens(
    focal_px=(800.0, 810.0), centre_px=(640.0, 360.0), distortion="tsai", coefficients=(0.15,)
)


def sampled_covariance(camera, pixel, spread_px2, seed=7):
    draws = np.random.default_rng(seed).multivariate_normal(pixel, spread_px2, SAMPLES)
    return np.cov(camera.ground_from_pixel(draws).T)


@pytest.mark.parametrize("pixel", [[640.0, 600.0], [100.0, 500.0], [1200.0, 450.0]])
@pytest.mark.parametrize("lens", [None, WIDE], ids=["no distortion", "tsai"])
def test_the_covariance_is_that_of_samples(lens, pixel):
    camera = yard_camera(lens=lens)
    found = camera.ground_covariance(np.array([pixel]), SPREAD_PX2[None])[0]
    expected = sampled_covariance(camera, pixel, SPREAD_PX2)
    np.testing.assert_allclose(found, expected, rtol=0.02, atol=0.01 * np.trace(expected))


def test_the_covariance_of_a_homography_is_that_of_samples():
    matrix = np.array([[0.02, 0.001, -5.0], [0.0004, 0.03, -6.0], [1e-5, 4e-4, 0.4]])
    camera = CameraModel.homography(matrix, image_size_px=(640, 480))
    found = camera.ground_covariance(np.array([[300.0, 200.0]]), SPREAD_PX2[None])[0]
    expected = sampled_covariance(camera, [300.0, 200.0], SPREAD_PX2)
    np.testing.assert_allclose(found, expected, rtol=0.02, atol=0.01 * np.trace(expected))


def test_near_the_horizon_the_true_spread_is_larger_by_what_is_documented():
    camera = yard_camera(tilt_rad=0.2)
    horizon_px = 360.0 - 1010.0 * np.tan(0.2)
    pixel = np.array([640.0, horizon_px + 50.0])
    spread = np.diag([1e-6, 25.0])  # a tenth of the distance to the horizon
    stated = camera.ground_covariance(pixel[None], spread[None])[0]
    true = sampled_covariance(camera, pixel, spread)
    assert np.sqrt(np.trace(true) / np.trace(stated)) == pytest.approx(1.04, abs=0.02)


@settings(max_examples=100, deadline=None)
@given(camera=cameras())
def test_the_jacobian_is_the_central_difference(camera):
    pixels = well_seen_px(camera)
    step_px = 1e-4
    for axis in (0, 1):
        shift = np.zeros(2)
        shift[axis] = step_px
        after = camera.ground_from_pixel(pixels + shift)
        expected = (after - camera.ground_from_pixel(pixels - shift)) / (2 * step_px)
        found = camera.ground_jacobian(pixels)[:, :, axis]
        scale = np.abs(expected).max(axis=1, keepdims=True) + 1e-9
        is_known = np.isfinite(expected).all(axis=1)  # a step may leave the invertible disc
        np.testing.assert_allclose(
            (found / scale)[is_known], (expected / scale)[is_known], atol=1e-3
        )


@settings(max_examples=100, deadline=None)
@given(camera=cameras())
def test_every_covariance_is_symmetric_and_not_negative(camera):
    pixels = well_seen_px(camera)
    found = camera.ground_covariance(pixels, np.broadcast_to(SPREAD_PX2, (len(pixels), 2, 2)))
    np.testing.assert_array_equal(found, found.transpose(0, 2, 1))
    eigenvalues = np.linalg.eigvalsh(found)
    assert (eigenvalues >= -1e-9 * np.abs(eigenvalues).max(axis=1, keepdims=True)).all()


def test_the_far_is_less_certain_than_the_near_and_most_along_the_line_of_sight():
    camera = yard_camera(tilt_rad=0.3)
    pixels = np.array([[640.0, 700.0], [640.0, 200.0]])
    near, far = camera.ground_covariance(pixels, np.broadcast_to(np.eye(2), (2, 2, 2)))
    assert np.trace(far) > 10 * np.trace(near)
    sight = camera.ground_from_pixel(pixels[1:])[0] - camera.pose.position_m[:2]
    along = sight / np.linalg.norm(sight)
    assert along @ far @ along == pytest.approx(np.linalg.eigvalsh(far).max(), rel=1e-3)


def test_above_the_horizon_nothing_is_stated():
    camera = yard_camera(tilt_rad=0.2)
    assert np.isnan(camera.ground_covariance(np.array([[640.0, 10.0]]), SPREAD_PX2[None])).all()


def test_one_covariance_for_two_pixels_is_refused():
    with pytest.raises(UsageError, match="one 2 x 2 matrix per pixel"):
        yard_camera().ground_covariance(np.zeros((2, 2)), SPREAD_PX2[None])
