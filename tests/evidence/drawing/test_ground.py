"""Zones and the ground in a camera's picture."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sightline.assess.site.polygon import Polygon
from sightline.assess.site.zones import SiteZone
from sightline.evidence.drawing.ground import plan_view, projected_border, zone_outline
from sightline.evidence.drawing.marks import ellipse_points, put_line, unbroken
from sightline.records.camera import CameraModel, Pose
from sightline.records.lens import Lens

SIZE = (320, 240)


def tilted(height_m=3.0, down_rad=0.5):
    """A camera above the origin that looks along +y and down."""
    forward = np.array([0.0, np.cos(down_rad), -np.sin(down_rad)])
    right = np.array([1.0, 0.0, 0.0])
    rotation = np.array([right, np.cross(forward, right), forward])
    lens = Lens(focal_px=(260.0, 260.0), centre_px=(160.0, 120.0))
    pose = Pose(rotation=rotation, translation_m=-rotation @ [0.0, 0.0, height_m])
    return CameraModel.pinhole(image_size_px=SIZE, lens=lens, pose=pose)


def zone(vertices, unit="m"):
    return SiteZone(name="pit", polygon=Polygon.of(vertices, unit=unit))


def full_mask(outline, size_px=SIZE):
    mask = np.zeros(size_px[::-1], bool)
    x, y = outline.corner_px
    height, width = outline.mask.shape
    mask[y : y + height, x : x + width] = outline.mask > 0
    return mask


def test_a_border_on_the_ground_is_where_the_camera_projects_it():
    camera = tilted()
    square = Polygon.of([(-1, 4), (1, 4), (1, 6), (-1, 6)])
    border = projected_border(square, camera)
    corners = camera.pixel_from_ground(square.vertices)
    for corner in corners:
        assert np.linalg.norm(border - corner, axis=1).min() < 1e-9
    assert np.isfinite(border).all()


def test_a_zone_that_reaches_behind_the_camera_is_cut_and_not_folded_over():
    camera = tilted()
    outline = zone_outline(
        zone([(-1, -9), (1, -9), (1, 6), (-1, 6)]), camera, size_px=SIZE, scale=1.0
    )
    assert np.isnan(outline.border_px).any()
    middle = camera.ground_from_pixel(np.array([[160.5, 239.5], [160.5, 20.5]]))
    assert abs(middle[0, 0]) < 1  # the lowest row lies in the zone, the upper one beyond it
    mask = full_mask(outline)
    assert mask[239, 160]
    assert not mask[20, 160]


def test_a_zone_around_the_whole_view_fills_the_ground_and_not_the_sky():
    camera = tilted(down_rad=0.2)
    outline = zone_outline(
        zone([(-900, -900), (900, -900), (900, 900), (-900, 900)]),
        camera,
        size_px=SIZE,
        scale=1.0,
    )
    mask = full_mask(outline)
    x, y = np.meshgrid(np.arange(320) + 0.5, np.arange(240) + 0.5)
    ground = camera.ground_from_pixel(np.stack([x.ravel(), y.ravel()], axis=1))
    is_near = (np.abs(ground) < 890).all(axis=1).reshape(240, 320)
    assert mask[is_near].all()
    assert not mask[np.isnan(ground).any(axis=1).reshape(240, 320)].any()


def test_a_zone_out_of_sight_has_no_area_and_no_label():
    outline = zone_outline(
        zone([(-1, -9), (1, -9), (1, -6), (-1, -6)]), tilted(), size_px=SIZE, scale=1.0
    )
    assert not outline.mask.any()
    assert outline.label_px is None


def test_a_zone_in_pixels_scales_with_the_drawing():
    pixels = zone([(10, 20), (60, 20), (60, 80), (10, 80)], unit="px")
    outline = zone_outline(pixels, None, size_px=(640, 480), scale=2.0)
    assert np.array_equal(outline.border_px[0], [20, 40])
    assert full_mask(outline, (640, 480))[41:159, 21:119].all()


@settings(max_examples=25, deadline=None)
@given(
    x=st.floats(-4, 4), y=st.floats(1.5, 12), side=st.floats(0.3, 5), scale=st.sampled_from([1, 2])
)
def test_each_pixel_of_a_zone_shows_ground_inside_it(x, y, side, scale):
    camera = tilted()
    area = zone([(x, y), (x + side, y), (x + side, y + side), (x, y + side)])
    size = (SIZE[0] * scale, SIZE[1] * scale)
    mask = full_mask(zone_outline(area, camera, size_px=size, scale=scale), size)
    rows, columns = np.nonzero(mask)
    ground = camera.ground_from_pixel(np.stack([columns + 0.5, rows + 0.5], axis=1) / scale)
    assert area.polygon.contains(ground).all()


def test_the_horizon_does_not_stretch_the_ground_plan():
    view = plan_view(tilted(down_rad=0.2), [], size_px=(300, 300))
    assert view.px_per_m > 300 / 60


def test_zones_are_in_the_ground_plan_however_far_they_are():
    area = zone([(40, 60), (44, 60), (44, 64), (40, 64)])
    view = plan_view(tilted(), [area], size_px=(300, 200))
    pixels = view.pixels(area.polygon.vertices)
    assert ((pixels >= 0) & (pixels <= [300, 200])).all()


def test_an_ellipse_holds_its_share_of_a_normal_distribution():
    covariance = np.array([[2.0, 0.6], [0.6, 0.5]])
    border = ellipse_points(covariance, scale=2.0)
    distance = np.einsum("ki,ij,kj->k", border, np.linalg.inv(covariance), border)
    assert np.allclose(distance, 4.0)


@pytest.mark.parametrize("bad", [np.nan, np.inf, 1e9])
def test_a_line_is_broken_where_it_cannot_be_drawn(bad):
    points = np.array([[1.0, 1.0], [5.0, 5.0], [bad, 2.0], [9.0, 9.0], [9.0, 1.0]])
    assert [run.tolist() for run in unbroken(points)] == [points[:2].tolist(), points[3:].tolist()]
    image = np.zeros((12, 12, 3), np.uint8)
    put_line(image, points, (255, 255, 255))
    assert image[3, 3].all()
    assert not image[2, 11].any()
