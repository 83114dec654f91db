"""Non-maximum suppression: of boxes that show the same thing, the surest one stays."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from numba import types

from sightline.perceive.compiled import kernel
from sightline.records.detections import ClassArray
from sightline.records.windows import FloatArray, IntArray

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
