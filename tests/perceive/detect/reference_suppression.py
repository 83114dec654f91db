"""What the suppression kernel computes, written to be read: the specification, slow and plain."""

from __future__ import annotations

import numpy as np

from sightline.perceive.detect.detector import MAX_CANDIDATES
from sightline.records.detections import ClassArray
from sightline.records.windows import FloatArray, IntArray


def box_overlap(box: FloatArray, others: FloatArray) -> FloatArray:
    """float64[n], intersection over union of float64[4] with float64[n, 4]; 0 without area.

    >>> box_overlap(np.array([0.0, 0, 2, 2]), np.array([[0.0, 0, 2, 1], [5, 5, 6, 6]])).tolist()
    [0.5, 0.0]
    """
    low = np.maximum(box[:2], others[:, :2])
    high = np.minimum(box[2:], others[:, 2:])
    shared = np.prod(np.maximum(high - low, 0.0), axis=1)
    own = np.prod(np.maximum(box[2:] - box[:2], 0.0))
    theirs = np.prod(np.maximum(others[:, 2:] - others[:, :2], 0.0), axis=1)
    union = own + theirs - shared
    found: FloatArray = np.divide(shared, union, out=np.zeros_like(shared), where=union > 0)
    return found


def suppress(
    box_px: FloatArray, score: FloatArray, class_id: ClassArray, *, max_overlap: float, most: int
) -> IntArray:
    """The surest box stays and drives away those like it; then the surest of the rest."""
    waiting = np.argsort(-score, kind="stable")[:MAX_CANDIDATES]
    kept: list[int] = []
    while len(waiting) and len(kept) < most:
        best, waiting = int(waiting[0]), waiting[1:]
        kept.append(best)
        is_same = class_id[waiting] == class_id[best]
        is_like = box_overlap(box_px[best], box_px[waiting]) > max_overlap
        waiting = waiting[~(is_same & is_like)]
    return np.array(kept, np.int64)
