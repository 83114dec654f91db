"""Random cameras over a site, and points that they see well."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st

from sightline.records.camera import CameraModel, Pose
from sightline.records.lens import Lens

WIDTH_PX, HEIGHT_PX = 1280, 720


def looking(*, height_m: float, pan_rad: float, tilt_rad: float, roll_rad: float = 0.0) -> Pose:
    """A camera above the origin; tilt 0 looks at the horizon, π/2 straight down."""
    forward = np.array(
        [
            np.cos(tilt_rad) * np.cos(pan_rad),
            np.cos(tilt_rad) * np.sin(pan_rad),
            -np.sin(tilt_rad),
        ]
    )
    right = np.array([np.sin(pan_rad), -np.cos(pan_rad), 0.0])
    down = np.cross(forward, right)
    roll = np.array(
        [
            [np.cos(roll_rad), -np.sin(roll_rad), 0],
            [np.sin(roll_rad), np.cos(roll_rad), 0],
            [0, 0, 1],
        ]
    )
    rotation = roll @ np.stack([right, down, forward])
    return Pose(rotation=rotation, translation_m=rotation @ [0.0, 0.0, -height_m])


def yard_camera(*, tilt_rad: float = 0.5, lens: Lens | None = None) -> CameraModel:
    return CameraModel.pinhole(
        image_size_px=(WIDTH_PX, HEIGHT_PX),
        lens=lens or Lens(focal_px=(1000.0, 1010.0), centre_px=(640.0, 360.0)),
        pose=looking(height_m=6.0, pan_rad=0.3, tilt_rad=tilt_rad),
    )


def _number(low: float, high: float) -> st.SearchStrategy[float]:
    return st.floats(low, high, allow_nan=False, allow_infinity=False)


@st.composite
def lenses(draw: st.DrawFn) -> Lens:
    """From a tele lens to about 90° wide, with the distortion that real ones of them have."""
    focal_px = draw(_number(700, 3000))
    half_diagonal = np.hypot(WIDTH_PX, HEIGHT_PX) / 2 / focal_px
    kind = draw(st.sampled_from(["none", "brown", "tsai"]))
    coefficients: tuple[float, ...] = ()
    if kind == "tsai":
        # Shift at the corner of the image, as a share of the distance from the centre.
        coefficients = (draw(_number(-0.15, 0.3)) / half_diagonal**2,)
    elif kind == "brown":
        k1 = draw(_number(-0.06, 0.12)) / half_diagonal**2
        k2 = draw(_number(-0.005, 0.02)) / half_diagonal**4
        tangential = draw(_number(-1e-3, 1e-3)), draw(_number(-1e-3, 1e-3))
        coefficients = (k1, k2, *tangential, 0.0)
    return Lens(
        focal_px=(focal_px, focal_px * draw(_number(0.9, 1.1))),
        centre_px=(draw(_number(600, 680)), draw(_number(330, 390))),
        distortion=kind,
        coefficients=coefficients,
    )


@st.composite
def full_cameras(draw: st.DrawFn) -> CameraModel:
    pose = looking(
        height_m=draw(_number(2.0, 30.0)),
        pan_rad=draw(_number(-3.0, 3.0)),
        tilt_rad=draw(_number(0.15, 1.5)),
        roll_rad=draw(_number(-0.2, 0.2)),
    )
    return CameraModel.pinhole(image_size_px=(WIDTH_PX, HEIGHT_PX), lens=draw(lenses()), pose=pose)


@st.composite
def cameras(draw: st.DrawFn) -> CameraModel:
    """Full cameras, and homographies made from full cameras without distortion."""
    camera = draw(full_cameras())
    if draw(st.booleans()):
        return camera
    lens = Lens(focal_px=camera.lens.focal_px, centre_px=camera.lens.centre_px)
    intrinsic = np.array(
        [
            [lens.focal_px[0], 0, lens.centre_px[0]],
            [0, lens.focal_px[1], lens.centre_px[1]],
            [0, 0, 1],
        ]
    )
    return CameraModel(
        image_size_px=camera.image_size_px,
        ground_from_image=camera.ground_from_image @ np.linalg.inv(intrinsic),
    )


def grid_px(camera: CameraModel, columns: int = 9, rows: int = 7) -> np.ndarray:
    """float64[n, 2], points spread over the image."""
    width_px, height_px = camera.image_size_px
    x, y = np.meshgrid(np.linspace(0, width_px, columns), np.linspace(0, height_px, rows))
    return np.column_stack([x.ravel(), y.ravel()])


def well_seen_px(camera: CameraModel) -> np.ndarray:
    """Those of the grid within 300 m on the ground, where metres and pixels both mean something."""
    pixels = grid_px(camera)
    ground = camera.ground_from_pixel(pixels)
    origin = np.zeros(2) if camera.pose is None else camera.pose.position_m[:2]
    return pixels[np.linalg.norm(ground - origin, axis=1) < 300]
