"""The last check before boxes leave a detector: what cannot be a box is refused, and counted."""

from __future__ import annotations

from collections import Counter
from enum import StrEnum

import numpy as np
import numpy.typing as npt

from sightline.errors import UsageError
from sightline.records.detections import ClassArray, Detections
from sightline.records.frames import Frame
from sightline.records.windows import FloatArray


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
