"""What the motion detector works on: smaller frames, and the size of people in them."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from perceive.detect.detect_cases import DATA, yard
from sightline.perceive.detect import CameraPersonSize, RowPersonSize
from sightline.perceive.detect.people import height_map
from sightline.perceive.detect.regions import reduced
from sightline.records.camera import CameraModel, Pose
from sightline.records.lens import Lens
from sightline.sense.camera_files import load_camera

SIDE = st.integers(1, 300)


@given(SIDE, SIDE, st.floats(0.01, 1.0), st.sampled_from([(), (3,)]))
def test_a_reduced_image_has_the_size_asked_for(width_px, height_px, scale, channels):
    size_px = max(1, round(width_px * scale)), max(1, round(height_px * scale))
    image = np.full((height_px, width_px, *channels), 77, np.uint8)
    small = reduced(image, size_px)
    assert small.shape == (size_px[1], size_px[0], *channels)
    assert (small == 77).all()


def test_an_image_of_that_size_is_left_alone():
    picture = yard()
    assert reduced(picture, (picture.shape[1], picture.shape[0])) is picture


@pytest.mark.parametrize("size_px", [(300, 225), (123, 92), (40, 30)])
def test_what_is_where_stays_there(size_px):
    picture = np.zeros((600, 800, 3), np.uint8)
    picture[200:400, 160:240] = 255
    rows, columns = np.nonzero(reduced(picture, size_px)[:, :, 0] > 127)
    scale = 800 / size_px[0]
    found = np.array([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]) * scale
    assert found == pytest.approx([160, 200, 240, 400], abs=0.75 * scale)


def test_detail_finer_than_the_small_image_is_averaged():
    stripes = np.zeros((240, 320), np.uint8)
    stripes[:, ::2] = 200
    assert np.ptp(reduced(stripes, (70, 52))) == 0


def tilted_camera(*, roll_rad):
    """6 m above the ground, tilted down by 35° and to the side."""
    tilt_rad = np.deg2rad(35.0)
    forward = np.array([0.0, np.cos(tilt_rad), -np.sin(tilt_rad)])
    right = np.array([np.cos(roll_rad), 0.0, 0.0]) + np.sin(roll_rad) * np.cross(
        forward, [1.0, 0.0, 0.0]
    )
    rotation = np.stack([right, np.cross(forward, right), forward])
    pose = Pose(rotation=rotation, translation_m=-rotation @ np.array([0.0, 0.0, 6.0]))
    lens = Lens(focal_px=(500.0, 500.0), centre_px=(320.0, 240.0))
    return CameraModel.pinhole(image_size_px=(640, 480), lens=lens, pose=pose)


def asked_everywhere(size, *, frame_size_px, work_size_px):
    """The map without a grid: its specification."""
    width_px, height_px = work_size_px
    y, x = np.mgrid[0:height_px, 0:width_px]
    scale = frame_size_px[1] / height_px
    feet = np.column_stack([(x.ravel() + 0.5) * frame_size_px[0] / width_px, y.ravel() * scale])
    return size.heights_px(feet, frame_size_px=frame_size_px).reshape(y.shape) / scale


@pytest.mark.parametrize("roll_rad", [0.0, 0.15])
def test_heights_between_the_points_of_the_grid_are_those_of_the_camera(roll_rad):
    size = CameraPersonSize(camera=tilted_camera(roll_rad=roll_rad))
    sizes = {"frame_size_px": (640, 480), "work_size_px": (320, 240)}
    found = height_map(size, **sizes)[:240]
    assert found.max() > 40
    assert np.abs(found - asked_everywhere(size, **sizes)).max() < 0.1


def test_heights_between_the_points_of_the_grid_are_right_under_a_real_camera():
    path = DATA / "pets2009_s2l1" / "camera_view_001.xml"
    if not path.is_file():
        pytest.skip(f"no calibration at {path}")
    size = CameraPersonSize(camera=load_camera(path))
    sizes = {"frame_size_px": (480, 360), "work_size_px": (480, 360)}
    found, known = height_map(size, **sizes)[:360], asked_everywhere(size, **sizes)
    assert np.abs(found - known).max() < 0.1


def test_heights_by_row_are_exact():
    size = RowPersonSize(at_top_px=-40, at_bottom_px=200)
    sizes = {"frame_size_px": (640, 480), "work_size_px": (160, 120)}
    found, known = height_map(size, **sizes)[:120], asked_everywhere(size, **sizes)
    assert found[100:] == pytest.approx(known[100:], abs=1e-4)
    assert not found[:8].any()
