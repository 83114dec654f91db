"""What the suppression kernel computes, written to be read: the specification, slow and plain."""

from __future__ import annotations

import numpy as np

from sightline.perceive.detect.suppression import MAX_CANDIDATES, box_overlap
from sightline.records.detections import ClassArray
from sightline.records.windows import FloatArray, IntArray


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
