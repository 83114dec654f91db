"""What every detector is, and what is done with boxes before they leave one."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
from numba import types

from sightline.errors import SightlineError, UsageError
from sightline.perceive.compiled import kernel
from sightline.records.detections import ClassArray, Detections
from sightline.records.frames import Frame
from sightline.records.windows import FloatArray, IntArray

DIGEST_BYTES = 16


class Detector(Protocol):
    """Looks at frames of one camera (or of many, where it keeps no state).

    What ``detect`` returns is finite, lies in the image and has scores from 0 to 1. A detector
    that cannot answer raises :class:`DetectorFailed`; it never guesses.
    """

    @property
    def name(self) -> str:
        """What it is, for people: ``motion``, ``onnx``, ``replayed``."""

    @property
    def version(self) -> str:
        """32 hex digits over all that decides its answers: settings, weights, program."""

    def detect(self, frame: Frame) -> Detections:
        """What is seen in ``frame``."""

    def detect_batch(self, frames: Sequence[Frame]) -> list[Detections]:
        """The same for several frames, in their order; one failure fails them all."""


class DetectorFailed(SightlineError):
    """A detector ran and has no answer that may be used."""

    exit_code = 70


class NotFiniteOutput(DetectorFailed):
    """A model put out NaN or infinity."""


def version_digest(parts: Mapping[str, Any]) -> str:
    """32 hex digits over a JSON-ready mapping; the order of keys does not matter.

    >>> version_digest({"a": 1, "b": 2}) == version_digest({"b": 2, "a": 1})
    True
    """
    text = json.dumps(parts, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.blake2b(text.encode(), digest_size=DIGEST_BYTES).hexdigest()


# --- the last check before boxes leave a detector -------------------------------------------------


class BoxReason(StrEnum):
    """Why a box was refused or changed."""

    NOT_FINITE = "BOX_NOT_FINITE"
    """A coordinate or the score is NaN or infinite. Refused."""
    NO_AREA = "BOX_NO_AREA"
    """Right is not beyond left, or bottom not beyond top. Refused."""
    OUTSIDE_IMAGE = "BOX_OUTSIDE_IMAGE"
    """No part lies in the image. Refused."""
    SCORE_RANGE = "BOX_SCORE_RANGE"
    """The score is below 0 or above 1. Refused."""
    CLIPPED = "BOX_CLIPPED"
    """It reached beyond the image. Cut to it, and kept."""
    BELOW_MIN_SCORE = "BOX_BELOW_MIN_SCORE"
    """Its score is below what the detector is told to report. Left aside."""
    AT_BOUND = "BOX_AT_BOUND"
    """As many as may be reported were found, so there may have been more. Once per frame."""


_BY_NUMBER = tuple(BoxReason)[:5]


def admit_boxes(
    frame: Frame,
    *,
    box_px: FloatArray,
    score: FloatArray,
    class_id: ClassArray,
    class_names: tuple[str, ...],
) -> tuple[Detections, Counter[str]]:
    """Detections from raw boxes, and how many were refused or cut, by reason.

    Args:
        frame: what the boxes were seen in.
        box_px: float64[n, 4], left, top, right, bottom in px of the frame.
        score: float64[n].
        class_id: int32[n].
        class_names: names of the classes.

    Raises:
        UsageError: if a class has no name.

    >>> frame = Frame(stream="yard", index=0, capture_ns=0, received_ns=0,
    ...               pixels=np.zeros((50, 100, 3), np.uint8))
    >>> seen, refused = admit_boxes(frame, box_px=np.array([[90., 10, 120, 30], [5, 5, 5, 9]]),
    ...     score=np.array([0.9, 0.8]), class_id=np.zeros(2, np.int32), class_names=("person",))
    >>> seen.box_px.tolist(), sorted(refused.items())
    ([[90.0, 10.0, 100.0, 30.0]], [('BOX_CLIPPED', 1), ('BOX_NO_AREA', 1)])
    """
    boxes = np.asarray(box_px, np.float64).reshape(-1, 4)
    scores = np.asarray(score, np.float64).reshape(-1)
    classes = np.asarray(class_id, np.int32).reshape(-1)
    if len(classes) and not 0 <= classes.min() <= classes.max() < len(class_names):
        raise UsageError(
            expected=f"class ids 0 to {len(class_names) - 1}",
            got=f"{classes.min()} to {classes.max()}",
            where=f"detections of stream {frame.stream} in frame {frame.index}",
            action="give a name for every class the detector knows",
        )
    size = np.array([frame.width_px, frame.height_px] * 2, np.float64)
    with np.errstate(invalid="ignore"):
        clipped = np.clip(boxes, 0.0, size)
        reasons = np.select(
            [
                ~(np.isfinite(boxes).all(axis=1) & np.isfinite(scores)),
                ~_has_area(boxes),
                ~_has_area(clipped),
                ~((scores >= 0) & (scores <= 1)),
                (clipped != boxes).any(axis=1),
            ],
            [1, 2, 3, 4, 5],
            0,
        )
    keep = (reasons == 0) | (reasons == 5)
    counts = np.bincount(reasons, minlength=6)[1:]
    refused = Counter({str(r): int(n) for r, n in zip(_BY_NUMBER, counts, strict=True) if n})
    seen = Detections(
        stream=frame.stream,
        capture_ns=frame.capture_ns,
        box_px=clipped[keep],
        score=scores[keep],
        class_id=classes[keep],
        class_names=class_names,
    )
    return seen, refused


def _has_area(boxes: FloatArray) -> npt.NDArray[np.bool_]:
    found: npt.NDArray[np.bool_] = (boxes[:, 2] > boxes[:, 0]) & (boxes[:, 3] > boxes[:, 1])
    return found


# --- non-maximum suppression ----------------------------------------------------------------------

MAX_CANDIDATES = 4096
"""Boxes compared with each other; of more, the surest are. Bounds the time of one frame."""

_BOXES = types.Array(types.float64, 2, "C", readonly=True)
_CLASSES = types.Array(types.int32, 1, "C", readonly=True)


def suppress(
    box_px: FloatArray, score: FloatArray, class_id: ClassArray, *, max_overlap: float, most: int
) -> IntArray:
    """Which boxes stay, the surest first; equal scores in the order given.

    A box gives way to a surer one of the same class that it overlaps by more than
    ``max_overlap``, if that one stays itself.

    Args:
        box_px: float64[n, 4], left, top, right, bottom.
        score: float64[n], finite.
        class_id: int32[n].
        max_overlap: intersection over union, 0 to 1.
        most: at most this many stay.

    Returns:
        int64[m] rows.

    >>> boxes = np.array([[0.0, 0, 10, 10], [1, 0, 11, 10], [0, 0, 10, 10]])
    >>> suppress(boxes, np.array([0.8, 0.9, 0.7]), np.array([0, 0, 1], np.int32),
    ...          max_overlap=0.5, most=10).tolist()
    [1, 2]
    """
    order = np.argsort(-score, kind="stable")[:MAX_CANDIDATES]
    stays = _surest(
        np.ascontiguousarray(box_px[order], np.float64),
        np.ascontiguousarray(class_id[order], np.int32),
        max_overlap,
        most,
    )
    found: IntArray = order[stays].astype(np.int64)
    return found


@kernel(_BOXES, _CLASSES, types.float64, types.int64)
def _surest(
    box_px: FloatArray, class_id: ClassArray, max_overlap: float, most: int
) -> npt.NDArray[np.int64]:
    """Rows that stay of boxes ordered by score; each is compared with those kept before it."""
    kept = np.empty(min(len(box_px), most), np.int64)
    count = 0
    for i in range(len(box_px)):
        if count >= most:
            break
        left, top, right, bottom = box_px[i]
        area = max(right - left, 0.0) * max(bottom - top, 0.0)
        is_like = False
        for k in range(count):
            j = kept[k]
            if class_id[j] != class_id[i]:
                continue
            wide = min(right, box_px[j, 2]) - max(left, box_px[j, 0])
            high = min(bottom, box_px[j, 3]) - max(top, box_px[j, 1])
            if wide > 0.0 and high > 0.0:
                shared = wide * high
                other = max(box_px[j, 2] - box_px[j, 0], 0.0) * max(
                    box_px[j, 3] - box_px[j, 1], 0.0
                )
                if shared / (other + area - shared) > max_overlap:
                    is_like = True
                    break
        if not is_like:
            kept[count] = i
            count += 1
    return kept[:count]
