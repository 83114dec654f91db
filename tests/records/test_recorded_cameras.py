"""Published calibrations against what is known of the people in the pictures."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from sightline.sense.camera_files import load_camera, parse_camera

DATA = Path(os.environ.get("SIGHTLINE_DATA", Path(__file__).parents[3] / "shared" / "data"))
PETS = DATA / "pets2009_s2l1"
ETH = DATA / "eth_ucy" / "ETH"
PETS_FRAMES_PER_S = 10
needs_pets = pytest.mark.skipif(not PETS.is_dir(), reason=f"no PETS 2009 under {DATA}")
needs_eth = pytest.mark.skipif(not ETH.is_dir(), reason=f"no ETH and Hotel under {DATA}")
SIZES = {"seq_eth": (640, 480), "seq_hotel": (720, 576)}


@pytest.fixture(scope="module")
def pets():
    """The camera; frame, id, foot and head of each true box."""
    camera = load_camera(PETS / "camera_view_001.xml")
    rows = np.loadtxt(PETS / "gt_frames_1_400.txt", delimiter=",")
    x_px = rows[:, 2] + rows[:, 4] / 2
    head = np.column_stack([x_px, rows[:, 3]])
    foot = np.column_stack([x_px, rows[:, 3] + rows[:, 5]])
    return camera, rows[:, 0], rows[:, 1], foot, head


def eth_scene(name, order="row_column"):
    """The camera; positions on the ground in metres."""
    form = {
        "kind": "homography",
        "image_size_px": SIZES[name],
        "ground_from_pixel": np.loadtxt(ETH / name / "H.txt").tolist(),
        "pixel_order": order,
    }
    camera = parse_camera(form, where=name)
    return camera, np.loadtxt(ETH / name / "obsmat.txt")[:, [2, 4]]


@needs_pets
def test_people_in_pets_are_as_tall_as_people(pets):
    camera, _, ids, foot, head = pets
    heights = camera.height_m(foot, head)
    medians = np.array([np.median(heights[ids == i]) for i in np.unique(ids)])
    assert (medians > 1.5).all()
    assert (medians < 1.95).all()
    assert 1.65 < np.median(heights) < 1.85


@needs_pets
def test_people_in_pets_walk_as_fast_as_people(pets):
    camera, frames, ids, foot, _ = pets
    ground = camera.ground_from_pixel(foot)
    speeds = []
    for i in np.unique(ids):
        order = np.argsort(frames[ids == i])
        frame, path = frames[ids == i][order], ground[ids == i][order]
        is_a_second = frame[PETS_FRAMES_PER_S:] - frame[:-PETS_FRAMES_PER_S] == PETS_FRAMES_PER_S
        moved = np.linalg.norm(path[PETS_FRAMES_PER_S:] - path[:-PETS_FRAMES_PER_S], axis=1)
        speeds.append(moved[is_a_second])
    speeds = np.concatenate(speeds)
    assert 1.0 < np.median(speeds) < 1.7
    assert np.percentile(speeds, 95) < 2.5


@needs_pets
def test_people_in_pets_are_on_the_site(pets):
    camera, _, _, foot, _ = pets
    ground = camera.ground_from_pixel(foot)
    assert np.isfinite(ground).all()
    assert (np.ptp(ground, axis=0) < 40).all()
    assert (np.linalg.norm(ground - camera.pose.position_m[:2], axis=1) < 60).all()


@needs_pets
def test_the_pets_camera_stands_on_a_mast_above_the_ground(pets):
    assert 4 < pets[0].pose.position_m[2] < 12


@needs_pets
def test_the_smaller_video_of_pets_shows_the_same_places(pets):
    camera, _, _, foot, _ = pets
    small = camera.scaled(480 / 768)
    assert small.image_size_px == (480, 360)
    np.testing.assert_allclose(
        small.ground_from_pixel(foot * 0.625), camera.ground_from_pixel(foot), atol=1e-6
    )


@needs_pets
def test_pixels_of_pets_survive_the_way_to_the_ground_and_back(pets):
    camera, _, _, foot, _ = pets
    again = camera.pixel_from_ground(camera.ground_from_pixel(foot))
    np.testing.assert_allclose(again, foot, atol=1e-6)


@needs_eth
@pytest.mark.parametrize("name", SIZES)
def test_positions_of_eth_survive_the_way_to_the_image_and_back(name):
    camera, ground = eth_scene(name)
    again = camera.ground_from_pixel(camera.pixel_from_ground(ground))
    np.testing.assert_allclose(again, ground, atol=1e-6)


@needs_eth
@pytest.mark.parametrize("name", SIZES)
def test_positions_of_eth_were_marked_at_whole_pixels(name):
    camera, ground = eth_scene(name)
    index = camera.pixel_from_ground(ground) - 0.5
    np.testing.assert_allclose(index, np.rint(index), atol=1e-4)


@needs_eth
@pytest.mark.parametrize("name", SIZES)
def test_positions_of_eth_lie_in_the_image(name):
    camera, ground = eth_scene(name)
    assert camera.is_in_image(camera.pixel_from_ground(ground)).mean() > 0.99


@needs_eth
def test_with_rows_and_columns_exchanged_hotel_leaves_the_image():
    camera, ground = eth_scene("seq_hotel", order="column_row")
    assert camera.is_in_image(camera.pixel_from_ground(ground)).mean() < 0.9


@needs_eth
@pytest.mark.parametrize(("order", "most"), [("row_column", 0.0), ("column_row", 1.0)])
def test_people_of_eth_walk_through_walls_only_with_rows_and_columns_exchanged(order, most):
    cv2 = pytest.importorskip("cv2")
    camera, ground = eth_scene("seq_eth", order=order)
    walls = cv2.imread(str(ETH / "seq_eth" / "map.png"), cv2.IMREAD_GRAYSCALE)
    index = np.floor(camera.pixel_from_ground(ground)).astype(int)
    share = np.mean(walls[index[:, 1].clip(0, 479), index[:, 0].clip(0, 639)] > 0)
    assert share <= most
    assert (share > 0.01) == (order == "column_row")
