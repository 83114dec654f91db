"""The plane on which things move: the ground in metres where a camera model is, else the image.

Without a camera model the camera's own motion is part of what is seen, so it is here too. The loops
are specified in ``tests/perceive/tracking/reference_boxes.py`` and ``reference_kalman.py``.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
from numba import types

from sightline.perceive.compiled import inner_loop, kernel
from sightline.perceive.tracking.settings import TrackerSettings
from sightline.records import Detections
from sightline.records.detections import ClassArray
from sightline.records.windows import FloatArray, IntArray

_V = types.Array(types.float64, 1, "C", readonly=True)
_M = types.Array(types.float64, 2, "C", readonly=True)
_C = types.Array(types.int32, 1, "C", readonly=True)
_F = types.float64


@inner_loop
def evidence_of(score: float, sure_score: float, at_0: float, at_sure: float) -> float:
    """Evidence that a detection of this score is of a thing: see ``TrackerSettings``."""
    if score >= sure_score:
        return 1.0
    return at_0 + (at_sure - at_0) * score / sure_score


@kernel(_M, _V, _C, _F, _F, _F, _F, _F)
def usable(  # noqa: PLR0917 - compiled functions take no keywords
    box_px: FloatArray,
    score: FloatArray,
    class_id: ClassArray,
    side_sd: float,
    foot_sd: float,
    sure_score: float,
    at_0: float,
    at_sure: float,
) -> tuple[
    FloatArray, FloatArray, FloatArray, ClassArray, FloatArray, FloatArray, FloatArray, int, int
]:
    """``reference_boxes.usable``."""
    m = len(score)
    kept_box = np.empty((m, 4))
    kept_score = np.empty(m)
    evidence = np.empty(m)
    kept_class = np.empty(m, np.int32)
    foot_px = np.empty((m, 2))
    spread_px = np.zeros((m, 2, 2))
    log_size = np.empty((m, 2))
    not_finite = no_area = kept = 0
    for j in range(m):
        left, top, right, bottom = box_px[j, 0], box_px[j, 1], box_px[j, 2], box_px[j, 3]
        if not (
            math.isfinite(left)
            and math.isfinite(top)
            and math.isfinite(right)
            and math.isfinite(bottom)
            and math.isfinite(score[j])
        ):
            not_finite += 1
            continue
        if not (right > left and bottom > top):
            no_area += 1
            continue
        height = bottom - top
        kept_box[kept, 0], kept_box[kept, 1] = left, top
        kept_box[kept, 2], kept_box[kept, 3] = right, bottom
        kept_score[kept] = score[j]
        evidence[kept] = evidence_of(score[j], sure_score, at_0, at_sure)
        kept_class[kept] = class_id[j]
        foot_px[kept, 0] = (left + right) / 2
        foot_px[kept, 1] = bottom
        spread_px[kept, 0, 0] = (side_sd * height) ** 2
        spread_px[kept, 1, 1] = (foot_sd * height) ** 2
        log_size[kept, 0] = math.log(right - left)
        log_size[kept, 1] = math.log(height)
        kept += 1
    return (
        kept_box[:kept],
        kept_score[:kept],
        evidence[:kept],
        kept_class[:kept],
        foot_px[:kept],
        spread_px[:kept],
        log_size[:kept],
        not_finite,
        no_area,
    )


@kernel(_M, _M)
def boxes_of(foot_px: FloatArray, log_size: FloatArray) -> FloatArray:
    """``reference_boxes.boxes_of``."""
    n = len(log_size)
    box_px = np.empty((n, 4))
    for i in range(n):
        half = math.exp(log_size[i, 0]) / 2
        box_px[i, 0] = foot_px[i, 0] - half
        box_px[i, 1] = foot_px[i, 1] - math.exp(log_size[i, 1])
        box_px[i, 2] = foot_px[i, 0] + half
        box_px[i, 3] = foot_px[i, 1]
    return box_px


# --- detections as points on the plane ------------------------------------------------------------


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
        evidence: float64[n], 0 to 1: how much each says for a thing.
        class_id: int32[n].
        position: float64[n, 2], where they stand, in plane units.
        covariance: float64[n, 2, 2] of it.
        log_size: float64[n, 2], logarithm of width and height in px.
        refused: how many detections cannot be tracked, by why: ``not_finite``, ``no_area``,
            ``off_plane`` (above the horizon).
    """

    box_px: FloatArray
    score: FloatArray
    evidence: FloatArray
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
    """Detections as points where they touch the plane."""
    box_px, score, evidence, class_id, foot_px, spread_px, log_size, not_finite, no_area = usable(
        np.ascontiguousarray(detections.box_px, np.float64),
        np.ascontiguousarray(detections.score, np.float64),
        np.ascontiguousarray(detections.class_id, np.int32),
        settings.side_sd,
        settings.foot_sd,
        settings.sure_score,
        *settings.weak_evidence,
    )
    refused = {"not_finite": not_finite, "no_area": no_area}
    if camera is None or not len(score):
        return Sightings(
            box_px=box_px,
            score=score,
            evidence=evidence,
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
        evidence=evidence[on_plane],
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


# --- how the camera itself moved, from what all tracks have in common -----------------------------
#
# Without a camera model nothing says that the camera stands still. When it turns or shakes, every
# track is off by the same shift, and the mean of what they are off tells it, the better the more
# there are. How much the camera moves is learned from the same numbers: what the mean varies more
# than chance lets it (covariance matching: Mehra, "Approaches to adaptive filtering", 1972). A
# camera on a mast has none of that, and nothing is taken from its tracks.

MIN_TRACKS = 3
"""Of fewer, one that turns would pass for the camera."""
RECENT_S = 0.3
"""Tracks seen within it count: the others have drifted by themselves."""

_T = types.Array(types.float64, 3, "C", readonly=True)
_I = types.Array(types.int64, 1, "C", readonly=True)
_FREEDOM = 4.0
_ROUNDS = 3


@kernel(_M, _T, _I, _I, types.int64, _M, _T, _I)
def common_shift(  # noqa: PLR0917 - compiled functions take no keywords
    state: FloatArray,
    covariance: FloatArray,
    track_id: IntArray,
    seen_ns: IntArray,
    now_ns: int,
    position: FloatArray,
    spread: FloatArray,
    matched: IntArray,
) -> FloatArray:
    """``reference_kalman.common_shift``."""
    off = np.empty((2, len(matched)))
    variance = np.empty((2, len(matched)))
    n = 0
    for j in range(len(matched)):
        i = matched[j]
        if i < 0 or track_id[i] == 0 or (now_ns - seen_ns[i]) / 1e9 > RECENT_S:
            continue
        for axis in range(2):
            off[axis, n] = position[j, axis] - state[i, axis]
            variance[axis, n] = covariance[i, axis, axis] + spread[j, axis, axis]
        n += 1
    found = np.full((2, 2), np.nan)
    if n < MIN_TRACKS:
        return found
    for axis in range(2):
        centre = float(np.median(off[axis, :n]))
        weights = 0.0
        for _ in range(_ROUNDS):
            total = weights = 0.0
            for k in range(n):
                d = off[axis, k] - centre
                weight = 1 / (variance[axis, k] + d * d / _FREEDOM)
                total += weight * off[axis, k]
                weights += weight
            centre = total / weights
        found[0, axis] = centre
        found[1, axis] = 1 / weights
    return found


@dataclass(slots=True)
class CameraMotion:
    """How much a camera moves between frames, as learned so far; everything in px, x and y.

    Attributes:
        variance_px2: variance of its shift from frame to frame.
        share: how much of a measured shift is the camera's; 0 where noise is the larger part.

    >>> motion = CameraMotion.none()
    >>> for shift_px in (0.5, -0.5, 9.0, -9.0):
    ...     motion.learn((shift_px, 0.0), (1.0, 1.0), dt_s=0.1, memory_s=1.0)
    >>> motion.is_moving, motion.share[1]
    (True, 0.0)
    """

    variance_px2: tuple[float, float]
    share: tuple[float, float]

    @classmethod
    def none(cls) -> CameraMotion:
        """A camera that stands still, for all that is known."""
        return cls(variance_px2=(0.0, 0.0), share=(0.0, 0.0))

    @property
    def is_moving(self) -> bool:
        """Whether it moves more than what can be measured."""
        return self.share != (0.0, 0.0)

    def learn(
        self,
        shift_px: tuple[float, float],
        noise_px2: tuple[float, float],
        *,
        dt_s: float,
        memory_s: float,
    ) -> None:
        """Take in a measured shift and the variance of that measurement."""
        (x, y), (noise_x, noise_y) = self.variance_px2, noise_px2
        fresh = 1 - math.exp(-dt_s / memory_s)
        x = max(x + fresh * (shift_px[0] * shift_px[0] - noise_x - x), 0.0)
        y = max(y + fresh * (shift_px[1] * shift_px[1] - noise_y - y), 0.0)
        self.variance_px2 = (x, y)
        self.share = (
            x / (x + noise_x) if x > noise_x else 0.0,
            y / (y + noise_y) if y > noise_y else 0.0,
        )
