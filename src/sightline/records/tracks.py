"""Tracks: the things of one stream followed over time, as structs of arrays."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sightline.errors import UsageError
from sightline.records.detections import BoolArray, ClassArray
from sightline.records.windows import FloatArray, IntArray


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Tracks:
    """The tracks of one stream at one capture time; n of them, ascending by id.

    Attributes:
        stream: name of the camera. Ids mean nothing outside it.
        capture_ns: capture time of the frame, UTC ns.
        track_id: int64[n], from 1, counted per stream and never used again.
        box_px: float64[n, 4], left, top, right, bottom; as in ``Detections``.
        score: float64[n], confidence of the last detection, 0 to 1.
        class_id: int32[n].
        class_names: names of the classes.
        unseen_s: float64[n], time since the last detection; 0 when seen in this frame.
        age_s: float64[n], time since the first detection.
        ground_m: float64[n, 2], x and y on the ground plane of the camera model, in metres; NaN
            where there is no camera model.
        velocity_m_s: float64[n, 2], on the ground plane; NaN where there is no camera model.
        ground_covariance: float64[n, 4, 4] of (x, y, vx, vy), in m², m²/s and m²/s²; NaN where
            there is no camera model.
        first_foot_px: float64[n, 2], x and y in the picture of the lower edge of its first
            detection, which was before it became a track.
        first_ground_m: float64[n, 2], where that was on the ground; NaN where there is no camera
            model.

    >>> Tracks.none("yard", 0).track_id.shape
    (0,)
    """

    stream: str
    capture_ns: int
    track_id: IntArray
    box_px: FloatArray
    score: FloatArray
    class_id: ClassArray
    class_names: tuple[str, ...]
    unseen_s: FloatArray
    age_s: FloatArray
    ground_m: FloatArray
    velocity_m_s: FloatArray
    ground_covariance: FloatArray
    first_foot_px: FloatArray
    first_ground_m: FloatArray

    def __post_init__(self) -> None:
        n = len(self.track_id)
        shapes: dict[str, tuple[npt.NDArray[np.generic], tuple[int, ...]]] = {
            "box_px": (self.box_px, (n, 4)),
            "score": (self.score, (n,)),
            "class_id": (self.class_id, (n,)),
            "unseen_s": (self.unseen_s, (n,)),
            "age_s": (self.age_s, (n,)),
            "ground_m": (self.ground_m, (n, 2)),
            "velocity_m_s": (self.velocity_m_s, (n, 2)),
            "ground_covariance": (self.ground_covariance, (n, 4, 4)),
            "first_foot_px": (self.first_foot_px, (n, 2)),
            "first_ground_m": (self.first_ground_m, (n, 2)),
        }
        for name, (array, shape) in shapes.items():
            if array.shape != shape:
                raise UsageError(
                    expected=f"{name} of shape {list(shape)}, as there are {n} ids",
                    got=str(list(array.shape)),
                    where=f"tracks of stream {self.stream} at {self.capture_ns}",
                    action="give one row per track",
                )

    @classmethod
    def none(
        cls, stream: str, capture_ns: int, class_names: tuple[str, ...] = ("person",)
    ) -> Tracks:
        """No track at all."""
        return cls(
            stream=stream,
            capture_ns=capture_ns,
            track_id=np.empty(0, np.int64),
            box_px=np.empty((0, 4)),
            score=np.empty(0),
            class_id=np.empty(0, np.int32),
            class_names=class_names,
            unseen_s=np.empty(0),
            age_s=np.empty(0),
            ground_m=np.empty((0, 2)),
            velocity_m_s=np.empty((0, 2)),
            ground_covariance=np.empty((0, 4, 4)),
            first_foot_px=np.empty((0, 2)),
            first_ground_m=np.empty((0, 2)),
        )

    def __len__(self) -> int:
        return len(self.track_id)

    def only(self, keep: BoolArray) -> Tracks:
        """Those for which ``keep`` (bool[n]) is true, in the same order."""
        return Tracks(
            stream=self.stream,
            capture_ns=self.capture_ns,
            track_id=self.track_id[keep],
            box_px=self.box_px[keep],
            score=self.score[keep],
            class_id=self.class_id[keep],
            class_names=self.class_names,
            unseen_s=self.unseen_s[keep],
            age_s=self.age_s[keep],
            ground_m=self.ground_m[keep],
            velocity_m_s=self.velocity_m_s[keep],
            ground_covariance=self.ground_covariance[keep],
            first_foot_px=self.first_foot_px[keep],
            first_ground_m=self.first_ground_m[keep],
        )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Unconfirmed:
    """What was seen in one stream and is no track yet, for want of evidence: n things at one time.

    Where one sighting may be the next of several things, each of these explanations is a row.

    Attributes:
        seen_ns: int64[n], capture time of the newest sighting, UTC ns.
        sightings: int64[n], how many there are. A sighting that may be the next of several things
            counts as the least that all of them say: of two that lie anywhere, each is one.
        box_px: float64[n, 4], left, top, right, bottom; as in ``Detections``.
        class_id: int32[n].
        class_names: names of the classes.
        evidence: float64[n], share of what makes a track of it, above 0 and below 1.
        ground_m: float64[n, 2], x and y on the ground plane of the camera model, in metres; NaN
            where there is no camera model.
        ground_covariance: float64[n, 2, 2] of (x, y), in m²; NaN where there is no camera model.

    >>> len(Unconfirmed.none())
    0
    """

    seen_ns: IntArray
    sightings: IntArray
    box_px: FloatArray
    class_id: ClassArray
    class_names: tuple[str, ...]
    evidence: FloatArray
    ground_m: FloatArray
    ground_covariance: FloatArray

    @classmethod
    def none(cls) -> Unconfirmed:
        """Nothing."""
        return cls(
            seen_ns=np.empty(0, np.int64),
            sightings=np.empty(0, np.int64),
            box_px=np.empty((0, 4)),
            class_id=np.empty(0, np.int32),
            class_names=(),
            evidence=np.empty(0),
            ground_m=np.empty((0, 2)),
            ground_covariance=np.empty((0, 2, 2)),
        )

    def __len__(self) -> int:
        return len(self.evidence)
