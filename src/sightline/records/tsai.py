"""Tsai's camera model, in the parameters of its published calibration files."""

from __future__ import annotations

from math import cos, sin

import numpy as np

from sightline.records.camera import CameraModel
from sightline.records.lens import Lens
from sightline.records.pose import Pose

MM_PER_M = 1000.0


def tsai_camera(
    *,
    image_size_px: tuple[int, int],
    focal_mm: float,
    pixel_width_mm: float,
    pixel_height_mm: float,
    width_factor: float,
    centre_px: tuple[float, float],
    kappa1_per_mm2: float,
    rotation_rad: tuple[float, float, float],
    translation_mm: tuple[float, float, float],
) -> CameraModel:
    """A full camera from Tsai's parameters.

    The chain, with the file's names in brackets (Tsai 1987, equations 1 to 9; Willson's
    implementation fixes the order of the angles):

    1. x_camera = R x_world + T; R = Rz(rz) · Ry(ry) · Rx(rx), angles (rx, ry, rz), T in mm.
    2. undistorted sensor point X_u = f x / z in mm, f [focal].
    3. X_u = X_d (1 + kappa1 r_d²), r_d² = X_d² + Y_d² in mm²: distorted gives undistorted.
    4. pixel x = sx X_d / dpx + Cx, y = Y_d / dpy + Cy, with dpx = dx · ncx / nfx.

    Args:
        image_size_px: (width, height) of the image that was calibrated.
        focal_mm: f, > 0.
        pixel_width_mm: dpx, effective width of a pixel in the frame grabber.
        pixel_height_mm: dpy, the same for its height.
        width_factor: sx, corrects dpx for the timing of the scan lines; no unit.
        centre_px: (Cx, Cy). Published files do not say whether the top-left pixel's centre or its
            corner is (0, 0); the numbers are taken as they are, half a pixel is the doubt.
        kappa1_per_mm2: > 0 for barrel distortion.
        rotation_rad: (rx, ry, rz).
        translation_mm: (tx, ty, tz).

    Raises:
        UsageError: if a focal length or pixel size is not positive, or a number not finite.

    >>> camera = tsai_camera(image_size_px=(768, 576), focal_mm=5.0, pixel_width_mm=0.005,
    ...     pixel_height_mm=0.005, width_factor=1.0, centre_px=(384.0, 288.0), kappa1_per_mm2=0.0,
    ...     rotation_rad=(np.pi, 0.0, 0.0), translation_mm=(0.0, 0.0, 10_000.0))
    >>> camera.ground_from_pixel(np.array([[484.0, 288.0]])).round(6).tolist()
    [[1.0, 0.0]]
    """
    (sin_x, sin_y, sin_z) = (sin(angle) for angle in rotation_rad)
    (cos_x, cos_y, cos_z) = (cos(angle) for angle in rotation_rad)
    about_x = np.array([[1, 0, 0], [0, cos_x, -sin_x], [0, sin_x, cos_x]])
    about_y = np.array([[cos_y, 0, sin_y], [0, 1, 0], [-sin_y, 0, cos_y]])
    about_z = np.array([[cos_z, -sin_z, 0], [sin_z, cos_z, 0], [0, 0, 1]])
    lens = Lens(
        focal_px=(width_factor * focal_mm / pixel_width_mm, focal_mm / pixel_height_mm),
        centre_px=centre_px,
        distortion="tsai",
        coefficients=(kappa1_per_mm2 * focal_mm**2,),
    )
    pose = Pose(
        rotation=about_z @ about_y @ about_x,
        translation_m=np.asarray(translation_mm) / MM_PER_M,
    )
    return CameraModel.pinhole(image_size_px=image_size_px, lens=lens, pose=pose)
