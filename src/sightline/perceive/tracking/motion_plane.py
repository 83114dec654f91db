"""The plane on which things move: the ground in metres where a camera model is, else the image."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from sightline.perceive.tracking.settings import TrackerSettings
from sightline.records.windows import FloatArray

BoolArray = npt.NDArray[np.bool_]


class CameraGeometry(Protocol):
    """What the tracker asks of a camera model; ``records.camera.CameraModel`` has it."""

    def ground_from_pixel(self, xy_px: FloatArray) -> FloatArray:
        """float64[n, 2] metres of float64[n, 2] pixels; NaN where there is no ground."""
        ...

    def pixel_from_ground(self, xy_m: FloatArray) -> FloatArray:
        """float64[n, 2] pixels of float64[n, 2] metres; NaN behind the camera."""
        ...

    def ground_covariance(self, xy_px: FloatArray, covariance_px: FloatArray) -> FloatArray:
        """float64[n, 2, 2] m² of float64[n, 2, 2] px²."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Sightings:
    """Detections as points on the plane.

    Attributes:
        position: float64[n, 2], where they stand, in plane units.
        covariance: float64[n, 2, 2] of it.
        log_size: float64[n, 2], logarithm of width and height in px.
        unit_per_m: float64[n], plane units per metre there: 1, or pixels.
        is_on_plane: bool[n]; False above the horizon.
    """

    position: FloatArray
    covariance: FloatArray
    log_size: FloatArray
    unit_per_m: FloatArray
    is_on_plane: BoolArray


def sightings(
    box_px: FloatArray, camera: CameraGeometry | None, settings: TrackerSettings
) -> Sightings:
    """Boxes (float64[n, 4], left, top, right, bottom) as points where they touch the plane."""
    size_px = box_px[:, 2:] - box_px[:, :2]
    height_px = size_px[:, 1]
    foot_px = np.stack([(box_px[:, 0] + box_px[:, 2]) / 2, box_px[:, 3]], axis=1)
    spread_px = np.zeros((len(box_px), 2, 2))
    spread_px[:, 0, 0] = (settings.side_sd * height_px) ** 2
    spread_px[:, 1, 1] = (settings.foot_sd * height_px) ** 2
    if camera is None:
        position, covariance = foot_px, spread_px
        unit_per_m = height_px / settings.assumed_height_m
    else:
        position = camera.ground_from_pixel(foot_px)
        covariance = camera.ground_covariance(foot_px, spread_px)
        unit_per_m = np.ones(len(box_px))
    finite: BoolArray = np.asarray(
        np.isfinite(position).all(axis=1) & np.isfinite(covariance).all(axis=(1, 2))
    )
    return Sightings(
        position=position,
        covariance=covariance,
        log_size=np.log(size_px),
        unit_per_m=unit_per_m,
        is_on_plane=finite,
    )


def predicted_boxes(
    position: FloatArray, log_size: FloatArray, camera: CameraGeometry | None
) -> FloatArray:
    """float64[n, 4] boxes in px of things at ``position`` with this size; NaN out of sight."""
    foot_px = position if camera is None else camera.pixel_from_ground(position)
    size_px = np.exp(log_size)
    half_px = size_px[:, 0] / 2
    found: FloatArray = np.stack(
        [foot_px[:, 0] - half_px, foot_px[:, 1] - size_px[:, 1], foot_px[:, 0] + half_px,
         foot_px[:, 1]], axis=1,
    )  # fmt: skip
    return found
