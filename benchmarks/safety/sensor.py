"""A simulated camera and its detector: late, noisy, and not always there."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from sightline.records import Detections
from sightline.records.camera import CameraModel, Pose
from sightline.records.detections import BoolArray, ClassArray
from sightline.records.lens import Lens
from sightline.records.windows import FloatArray

CLASSES = ("person", "vehicle")
PERSON, VEHICLE = 0, 1
IMAGE_SIZE_PX = (1920, 1080)
_FOCAL_PX = 1000.0
_HEIGHT_M = np.array([1.7, 2.5])
_WIDTH_PER_HEIGHT = np.array([0.4, 1.2])


@dataclass(frozen=True, slots=True, kw_only=True)
class SensorModel:
    """How things on the ground become detections.

    A box stands upright on the point of the ground where its thing is: for a vehicle on its
    middle, as a beacon on its roof shows it. What the edge of the picture and what stands before
    it would hide is seen as well; nothing is detected that is not there.

    Attributes:
        period_s: time between two pictures.
        latency_s: from a picture to the answer about it.
        dropped: share of the pictures that never arrive, each by chance.
        missed: share of the things in a picture that are not detected, each by chance.
        foot_sd: standard deviation of the lower edge of a box, in box heights, each picture anew.
        side_sd: of the middle of a box, in box heights.
        score: range of the confidences, uniform.
    """

    period_s: float = 1 / 15
    latency_s: float = 0.15
    dropped: float = 0.3
    missed: float = 0.1
    foot_sd: float = 0.07
    side_sd: float = 0.05
    score: tuple[float, float] = (0.7, 0.95)

    def detect(
        self,
        stream: str,
        capture_ns: int,
        *,
        camera: CameraModel,
        ground_m: FloatArray,
        class_id: ClassArray,
        is_visible: BoolArray,
        random: np.random.Generator,
    ) -> Detections | None:
        """The detections of float64[n, 2] things on the ground; None: the picture was dropped.

        The same number of random draws is made whatever happens, so that two runs from one seed
        see the same until they differ in what is there to see.
        """
        n = len(ground_m)
        is_dropped = random.random() < self.dropped
        is_missed = random.random(n) < self.missed
        noise = random.standard_normal((n, 2))
        score = random.uniform(*self.score, n)
        if is_dropped:
            return None
        kind = class_id
        foot = camera.pixel_from_ground(ground_m)
        head = camera.pixel_from_world(np.column_stack([ground_m, _HEIGHT_M[kind]]))
        height = foot[:, 1] - head[:, 1]
        middle = foot[:, 0] + self.side_sd * height * noise[:, 0]
        lower = foot[:, 1] + self.foot_sd * height * noise[:, 1]
        half_width = _WIDTH_PER_HEIGHT[kind] * height / 2
        box = np.stack([middle - half_width, lower - height, middle + half_width, lower], axis=1)
        is_seen = is_visible & ~is_missed
        return Detections.of(
            stream,
            capture_ns,
            box_px=box[is_seen],
            score=score[is_seen],
            class_id=kind[is_seen],
            class_names=CLASSES,
        )


def mast_camera(
    camera_m: tuple[float, float, float], looks_at_m: tuple[float, float]
) -> CameraModel:
    """A pinhole camera on a mast, level, that looks at a point of the ground.

    >>> camera = mast_camera((0.0, -30.0, 15.0), (5.0, 0.0))
    >>> camera.pixel_from_ground(np.array([[5.0, 0.0]])).round(6).tolist()
    [[960.0, 540.0]]
    """
    forward = np.array([*looks_at_m, 0.0]) - np.array(camera_m)
    forward /= np.linalg.norm(forward)
    right = np.array([forward[1], -forward[0], 0.0]) / math.hypot(forward[0], forward[1])
    rotation = np.stack([right, np.cross(forward, right), forward])
    width_px, height_px = IMAGE_SIZE_PX
    return CameraModel.pinhole(
        image_size_px=IMAGE_SIZE_PX,
        lens=Lens(focal_px=(_FOCAL_PX, _FOCAL_PX), centre_px=(width_px / 2, height_px / 2)),
        pose=Pose(rotation=rotation, translation_m=-rotation @ np.array(camera_m)),
    )
