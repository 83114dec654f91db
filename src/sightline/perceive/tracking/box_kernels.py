"""Compiled loops between boxes in the image and what the tracker holds.

Specified in ``tests/perceive/tracking/reference_boxes.py``.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
from numba import types

from sightline.perceive.compiled import kernel
from sightline.records.windows import FloatArray

ClassArray = npt.NDArray[np.int32]

_V = types.Array(types.float64, 1, "C", readonly=True)
_M = types.Array(types.float64, 2, "C", readonly=True)
_C = types.Array(types.int32, 1, "C", readonly=True)
_F = types.float64


@kernel(_M, _V, _C, _F, _F, _F)
def usable(  # noqa: PLR0917 - compiled functions take no keywords
    box_px: FloatArray,
    score: FloatArray,
    class_id: ClassArray,
    low_score: float,
    side_sd: float,
    foot_sd: float,
) -> tuple[FloatArray, FloatArray, ClassArray, FloatArray, FloatArray, FloatArray, int, int]:
    """``reference_boxes.usable``."""
    m = len(score)
    kept_box = np.empty((m, 4))
    kept_score = np.empty(m)
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
        if score[j] < low_score:
            continue
        height = bottom - top
        kept_box[kept, 0], kept_box[kept, 1] = left, top
        kept_box[kept, 2], kept_box[kept, 3] = right, bottom
        kept_score[kept] = score[j]
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
