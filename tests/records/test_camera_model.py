"""Cameras over the ground: exact both ways, no ground above the horizon, heights, scale."""

from __future__ import annotations

import json

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from records.camera_cases import cameras, full_cameras, grid_px, looking, well_seen_px, yard_camera
from sightline.errors import UsageError
from sightline.records.camera import CameraModel, Pose, tsai_camera
from sightline.records.lens import Lens


@settings(max_examples=200, deadline=None)
@given(camera=cameras())
def test_pixels_survive_the_way_to_the_ground_and_back(camera):
    pixels = well_seen_px(camera)
    found = camera.pixel_from_ground(camera.ground_from_pixel(pixels))
    np.testing.assert_allclose(found, pixels, atol=1e-6)


@settings(max_examples=200, deadline=None)
@given(camera=cameras())
def test_ground_points_survive_the_way_to_the_image_and_back(camera):
    ground = camera.ground_from_pixel(well_seen_px(camera))
    found = camera.ground_from_pixel(camera.pixel_from_ground(ground))
    np.testing.assert_allclose(found, ground, atol=1e-6)


@settings(max_examples=100, deadline=None)
@given(camera=full_cameras())
def test_the_ground_is_the_world_at_height_zero(camera):
    ground = camera.ground_from_pixel(well_seen_px(camera))
    world = np.column_stack([ground, np.zeros(len(ground))])
    by_world = camera.pixel_from_world(world)
    np.testing.assert_allclose(by_world, camera.pixel_from_ground(ground), atol=1e-6)


@settings(max_examples=100, deadline=None)
@given(camera=full_cameras())
def test_every_pixel_with_ground_looks_down_and_every_other_up(camera):
    pixels = grid_px(camera)
    rays = np.column_stack([camera.lens.ray_from_pixel(pixels), np.ones(len(pixels))])
    slope = (rays @ camera.pose.rotation)[:, 2]  # the rays' z in the world
    has_ground = np.isfinite(camera.ground_from_pixel(pixels)).all(axis=1)
    is_clear = np.abs(slope) > 1e-9
    assert (has_ground == (slope < 0))[is_clear].all()


@settings(max_examples=100, deadline=None)
@given(camera=full_cameras(), height_m=st.floats(0.3, 4.0))
def test_a_height_survives_the_way_to_the_image_and_back(camera, height_m):
    ground = camera.ground_from_pixel(well_seen_px(camera))
    foot = camera.pixel_from_ground(ground)
    head = camera.pixel_from_world(np.column_stack([ground, np.full(len(ground), height_m)]))
    is_seen = np.isfinite(head).all(axis=1)
    found = camera.height_m(foot[is_seen], head[is_seen])
    # Straight below the camera the vertical is a point in the image and has no length.
    offset = np.linalg.norm(ground - camera.pose.position_m[:2], axis=1)[is_seen]
    np.testing.assert_allclose(found[offset > 0.1], height_m, atol=1e-6)


def test_the_projection_is_that_of_opencv():
    coefficients = (-0.2, 0.05, 0.001, -0.0005, 0.0)
    lens = Lens(
        focal_px=(900.0, 910.0),
        centre_px=(640.0, 360.0),
        distortion="brown",
        coefficients=coefficients,
    )
    camera = yard_camera(lens=lens)
    points = np.column_stack(
        [camera.ground_from_pixel(np.array([[600.0, 300.0], [200.0, 700.0]])), [1.0, 2.0]]
    )
    matrix = np.array([[900.0, 0, 640], [0, 910.0, 360], [0, 0, 1]])
    rotation_vector, _ = cv2.Rodrigues(camera.pose.rotation)
    theirs, _ = cv2.projectPoints(
        points, rotation_vector, camera.pose.translation_m, matrix, np.array(coefficients)
    )
    np.testing.assert_allclose(camera.pixel_from_world(points), theirs.reshape(-1, 2), atol=1e-8)


def test_the_foot_of_the_optical_axis_lies_where_trigonometry_says():
    camera = yard_camera(tilt_rad=0.5)
    ground = camera.ground_from_pixel(np.array([[640.0, 360.0]]))
    distance_m = 6.0 / np.tan(0.5)
    expected = [distance_m * np.cos(0.3), distance_m * np.sin(0.3)]
    np.testing.assert_allclose(ground[0], expected, atol=1e-9)


def test_things_to_the_right_on_the_ground_are_to_the_right_in_the_image():
    camera = CameraModel.pinhole(
        image_size_px=(1280, 720),
        lens=Lens(focal_px=(1000.0, 1000.0), centre_px=(640.0, 360.0)),
        pose=looking(height_m=5.0, pan_rad=0.0, tilt_rad=0.4),  # looks along +x, so y is left
    )
    left, right = camera.pixel_from_ground(np.array([[12.0, 1.0], [12.0, -1.0]]))
    assert left[0] < 640 < right[0]


def test_there_is_no_ground_at_or_above_the_horizon():
    camera = yard_camera(tilt_rad=0.2)
    horizon_px = 360.0 - 1010.0 * np.tan(0.2)
    rows = horizon_px + np.array([-200.0, -1.0, 1.0, 200.0])
    ground = camera.ground_from_pixel(np.column_stack([np.full(4, 640.0), rows]))
    assert np.isfinite(ground).all(axis=1).tolist() == [False, False, True, True]


def test_what_is_behind_the_camera_has_no_pixel():
    camera = yard_camera()  # looks at azimuth 0.3
    behind = np.array([[-20 * np.cos(0.3), -20 * np.sin(0.3)]])
    assert np.isnan(camera.pixel_from_ground(behind)).all()
    assert np.isnan(camera.pixel_from_world(np.array([[*behind[0], 1.0]]))).all()


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_a_homography_knows_its_horizon_whatever_its_sign(sign):
    full = yard_camera(tilt_rad=0.2)
    intrinsic = np.array([[1000.0, 0, 640], [0, 1010.0, 360], [0, 0, 1]])
    matrix = sign * full.ground_from_image @ np.linalg.inv(intrinsic)
    plain = CameraModel.homography(matrix, image_size_px=(1280, 720))
    pixels = grid_px(full)
    np.testing.assert_allclose(
        plain.ground_from_pixel(pixels), full.ground_from_pixel(pixels), rtol=1e-9
    )


def test_the_box_of_a_person_grows_with_nearness():
    camera = yard_camera(tilt_rad=0.3)
    near, far = camera.image_height_px(np.array([[640.0, 700.0], [640.0, 300.0]]), 1.75)
    assert near > 2 * far > 0


def test_a_box_height_is_the_rows_from_foot_to_head():
    camera = yard_camera(tilt_rad=0.3)
    foot = np.array([[500.0, 500.0]])
    ground = camera.ground_from_pixel(foot)
    head = camera.pixel_from_world(np.column_stack([ground, [1.8]]))
    assert camera.image_height_px(foot, 1.8)[0] == pytest.approx(500.0 - head[0, 1])


def test_a_foot_above_the_horizon_has_no_height():
    camera = yard_camera(tilt_rad=0.2)
    assert np.isnan(camera.image_height_px(np.array([[640.0, 10.0]]), 1.75)).all()


@pytest.mark.parametrize("ask", ["pixel_from_world", "image_height_px", "height_m"])
def test_a_homography_says_that_it_knows_no_heights(ask):
    camera = CameraModel.homography(np.diag([0.01, 0.01, 1.0]), image_size_px=(640, 480))
    arguments = {
        "pixel_from_world": (np.zeros((1, 3)),),
        "image_height_px": (np.zeros((1, 2)), 1.75),
        "height_m": (np.zeros((1, 2)), np.zeros((1, 2))),
    }[ask]
    with pytest.raises(UsageError, match="nothing above the ground"):
        getattr(camera, ask)(*arguments)


@settings(max_examples=50, deadline=None)
@given(camera=cameras(), factor=st.sampled_from([0.25, 0.625, 1.6, 2.0]))
def test_a_resized_picture_shows_the_same_ground(camera, factor):
    pixels = well_seen_px(camera)
    ground = camera.scaled(factor).ground_from_pixel(pixels * factor)
    np.testing.assert_allclose(ground, camera.ground_from_pixel(pixels), rtol=1e-6, atol=1e-6)


def test_scaling_scales_the_image_size():
    assert yard_camera().scaled(0.625).image_size_px == (800, 450)


@pytest.mark.parametrize("factor", [0.0, -1.0, float("nan"), float("inf"), 1e-6])
def test_a_factor_that_leaves_no_picture_is_refused(factor):
    with pytest.raises(UsageError, match="factor > 0"):
        yard_camera().scaled(factor)


@settings(max_examples=50, deadline=None)
@given(camera=cameras())
def test_a_model_survives_json_to_the_bit(camera):
    again = CameraModel.from_mapping(json.loads(json.dumps(camera.as_mapping())))
    pixels = grid_px(camera)
    assert again.digest == camera.digest
    np.testing.assert_array_equal(again.ground_from_pixel(pixels), camera.ground_from_pixel(pixels))


def test_the_digest_changes_with_any_number():
    plain = yard_camera().as_mapping()
    plain["translation_m"][2] += 1e-12
    assert CameraModel.from_mapping(plain).digest != yard_camera().digest


@pytest.mark.parametrize(
    "change", [{"format": 2}, {"kind": "fisheye"}, {"lens": None}, {"image_size_px": [1]}]
)
def test_a_mapping_of_something_else_is_refused(change):
    with pytest.raises(UsageError, match="expected a camera model of format 1"):
        CameraModel.from_mapping(yard_camera().as_mapping() | change)


def test_the_matrices_of_a_model_cannot_be_written_to():
    camera = yard_camera()
    with pytest.raises(ValueError, match="read-only"):
        camera.ground_from_image[0, 0] = 1.0
    with pytest.raises(ValueError, match="read-only"):
        camera.pose.rotation[0, 0] = 1.0


def test_a_rotation_in_degrees_or_mirrored_is_refused():
    for rotation in (np.eye(3) * 57.3, np.diag([1.0, 1.0, -1.0])):
        with pytest.raises(UsageError, match="orthonormal"):
            Pose(rotation=rotation, translation_m=np.zeros(3))


def test_a_camera_in_the_ground_plane_is_refused():
    with pytest.raises(UsageError, match="sees no ground"):
        CameraModel.pinhole(
            image_size_px=(640, 480),
            lens=Lens(focal_px=(500.0, 500.0), centre_px=(320.0, 240.0)),
            pose=looking(height_m=0.0, pan_rad=0.0, tilt_rad=0.3),
        )


@pytest.mark.parametrize("matrix", [np.ones((3, 3)), np.full((3, 3), np.nan), np.eye(2)])
def test_a_matrix_that_maps_nothing_is_refused(matrix):
    with pytest.raises(UsageError):
        CameraModel.homography(matrix, image_size_px=(640, 480))


def test_a_single_point_without_its_own_row_is_refused():
    with pytest.raises(UsageError, match=r"xy_px float64\[n, 2\]"):
        yard_camera().ground_from_pixel(np.array([1.0, 2.0]))


def test_pixels_outside_the_image_or_missing_are_not_in_it():
    pixels = np.array([[0, 0], [1280, 720], [1281, 5], [-1, 5], [np.nan, 5]], float)
    assert yard_camera().is_in_image(pixels).tolist() == [True, True, False, False, False]


def test_tsais_angles_turn_about_x_then_y_then_z():
    angles = (1.9, -0.4, 0.2)
    camera = tsai_camera(
        image_size_px=(768, 576),
        focal_mm=5.0,
        pixel_width_mm=0.005,
        pixel_height_mm=0.005,
        width_factor=1.0,
        centre_px=(384.0, 288.0),
        kappa1_per_mm2=0.004,
        rotation_rad=angles,
        translation_mm=(100.0, 200.0, 30_000.0),
    )
    about = [cv2.Rodrigues(np.eye(3)[i] * angles[i])[0] for i in range(3)]
    np.testing.assert_allclose(camera.pose.rotation, about[2] @ about[1] @ about[0], atol=1e-12)


def test_tsais_distortion_is_in_millimetres_on_the_sensor():
    camera = tsai_camera(
        image_size_px=(768, 576),
        focal_mm=5.0,
        pixel_width_mm=0.004,
        pixel_height_mm=0.005,
        width_factor=1.1,
        centre_px=(384.0, 288.0),
        kappa1_per_mm2=0.01,
        rotation_rad=(np.pi, 0.0, 0.0),
        translation_mm=(0.0, 0.0, 10_000.0),
    )
    sensor_mm = 200 * 0.004 / 1.1
    undistorted_mm = sensor_mm * (1 + 0.01 * sensor_mm**2)
    ground = camera.ground_from_pixel(np.array([[584.0, 288.0]]))
    assert ground[0, 0] == pytest.approx(10.0 * undistorted_mm / 5.0)
