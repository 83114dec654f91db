"""The plane on which things move: the ground in metres where a camera model is, else the image."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np

from sightline.perceive.tracking.box_kernels import boxes_of, usable
from sightline.perceive.tracking.settings import TrackerSettings
from sightline.records import Detections
from sightline.records.detections import ClassArray
from sightline.records.windows import FloatArray


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
    """Detections that can be tracked, as points on the plane; all arrays C-contiguous.

    Attributes:
        box_px: float64[n, 4].
        score: float64[n].
        class_id: int32[n].
        position: float64[n, 2], where they stand, in plane units.
        covariance: float64[n, 2, 2] of it.
        log_size: float64[n, 2], logarithm of width and height in px.
        refused: how many detections cannot be tracked, by why: ``not_finite``, ``no_area``,
            ``off_plane`` (above the horizon).
    """

    box_px: FloatArray
    score: FloatArray
    class_id: ClassArray
    position: FloatArray
    covariance: FloatArray
    log_size: FloatArray
    refused: Mapping[str, int]

    def __len__(self) -> int:
        return len(self.score)

    def with_noise(self, covariance: FloatArray) -> Sightings:
        """The same, each less sure by ``covariance`` (float64[2, 2])."""
        return replace(self, covariance=self.covariance + covariance)


def sightings(
    detections: Detections, camera: CameraGeometry | None, settings: TrackerSettings
) -> Sightings:
    """Detections as points where they touch the plane; those that count."""
    box_px, score, class_id, foot_px, spread_px, log_size, not_finite, no_area = usable(
        np.ascontiguousarray(detections.box_px, np.float64),
        np.ascontiguousarray(detections.score, np.float64),
        np.ascontiguousarray(detections.class_id, np.int32),
        settings.low_score,
        settings.side_sd,
        settings.foot_sd,
    )
    refused = {"not_finite": not_finite, "no_area": no_area}
    if camera is None or not len(score):
        return Sightings(
            box_px=box_px,
            score=score,
            class_id=class_id,
            position=foot_px,
            covariance=spread_px,
            log_size=log_size,
            refused=refused,
        )
    position = camera.ground_from_pixel(foot_px)
    covariance = camera.ground_covariance(foot_px, spread_px)
    on_plane = np.isfinite(position).all(axis=1) & np.isfinite(covariance).all(axis=(1, 2))
    # Boolean indexing also makes what the camera gave contiguous.
    return Sightings(
        box_px=box_px[on_plane],
        score=score[on_plane],
        class_id=class_id[on_plane],
        position=position[on_plane],
        covariance=covariance[on_plane],
        log_size=log_size[on_plane],
        refused=refused | {"off_plane": len(score) - int(on_plane.sum())},
    )


def boxes_on_plane(
    state: FloatArray, log_size: FloatArray, camera: CameraGeometry | None
) -> FloatArray:
    """float64[n, 4] boxes in px of things of this size there (float64[n, 2] or [n, 4], x and y
    first); NaN out of sight.
    """
    if camera is None:
        return boxes_of(state, log_size)
    foot_px = camera.pixel_from_ground(state[:, :2])
    return boxes_of(np.ascontiguousarray(foot_px, np.float64), log_size)
