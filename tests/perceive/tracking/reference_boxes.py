"""The plain specification of :mod:`.motion_plane`: the same in NumPy."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from sightline.records.windows import FloatArray

ClassArray = npt.NDArray[np.int32]


def usable(
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
    """Detections that can be tracked, and where they stand in the image.

    Args:
        box_px: float64[m, 4], left, top, right, bottom.
        score: float64[m].
        class_id: int32[m].
        side_sd: standard deviation of the middle of a box, in box heights.
        foot_sd: the same of its lower edge.
        sure_score: see :func:`evidence_of`, as the next two.
        at_0: evidence of score 0.
        at_sure: evidence just below ``sure_score``.

    Returns:
        Box, score, evidence and class of the k that can be used; the middle of their lower edge,
        float64[k, 2], and its covariance, float64[k, 2, 2]; the logarithm of width and height,
        float64[k, 2]; how many had a number that is not finite, and no area.
    """
    is_finite = np.isfinite(box_px).all(axis=1) & np.isfinite(score)
    has_area = (box_px[:, 2] > box_px[:, 0]) & (box_px[:, 3] > box_px[:, 1])
    counted = is_finite & has_area
    box = box_px[counted]
    size_px = box[:, 2:] - box[:, :2]
    spread_px = np.zeros((len(box), 2, 2))
    spread_px[:, 0, 0] = (side_sd * size_px[:, 1]) ** 2
    spread_px[:, 1, 1] = (foot_sd * size_px[:, 1]) ** 2
    foot_px = np.stack([(box[:, 0] + box[:, 2]) / 2, box[:, 3]], axis=1)
    not_finite, no_area = int((~is_finite).sum()), int((is_finite & ~has_area).sum())
    return (
        box, score[counted], evidence_of(score[counted], sure_score, at_0, at_sure),
        class_id[counted], foot_px, spread_px, np.log(size_px), not_finite,
        no_area,
    )  # fmt: skip


def evidence_of(score: FloatArray, sure_score: float, at_0: float, at_sure: float) -> FloatArray:
    """How much detections of these scores say for a thing, 0 to 1."""
    weak = at_0 + (at_sure - at_0) * score / sure_score
    found: FloatArray = np.where(score >= sure_score, 1.0, weak)
    return found


def boxes_of(foot_px: FloatArray, log_size: FloatArray) -> FloatArray:
    """float64[n, 4] boxes of this size on these feet, the first two columns of ``foot_px``."""
    size_px = np.exp(log_size)
    half_px = size_px[:, 0] / 2
    x, y = foot_px[:, 0], foot_px[:, 1]
    found: FloatArray = np.stack([x - half_px, y - size_px[:, 1], x + half_px, y], axis=1)
    return found
