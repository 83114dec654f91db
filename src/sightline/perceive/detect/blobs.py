"""Cleaning the foreground, and connected regions of it for scenes in which sizes are unknown."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from sightline.perceive.detect.background_kernel import BACKGROUND, FOREGROUND, SHADOW
from sightline.records.windows import FloatArray

OwnerImage = npt.NDArray[np.int32]
"""int32[h, w], number of the object a pixel belongs to, -1 for none."""

MAJORITY = 5
"""A pixel is foreground if it and its eight neighbours are so in their majority."""

_JOIN = np.ones((5, 5), np.uint8)  # joins what is apart by up to four pixels


def clean(labels: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """Remove what is too small to be anything: a majority vote over 3 x 3 pixels.

    Args:
        labels: uint8[h, w], 0 background, 1 shadow, 2 foreground.

    Returns:
        The same, where a pixel is foreground by the vote, else shadow if it was, and otherwise
        background. Outside the image there is nothing.

    >>> speck = np.zeros((5, 5), np.uint8)
    >>> speck[2, 2] = 2
    >>> int(clean(speck).max())
    0
    """
    is_foreground = (labels == FOREGROUND).view(np.uint8)
    votes = cv2.boxFilter(
        is_foreground, -1, (3, 3), normalize=False, borderType=cv2.BORDER_CONSTANT
    )
    cleaned = np.where(labels == SHADOW, np.uint8(SHADOW), np.uint8(BACKGROUND))
    cleaned[votes >= MAJORITY] = FOREGROUND
    return cleaned


def connected_blobs(
    cleaned: npt.NDArray[np.uint8], *, least_px: int, most: int
) -> tuple[FloatArray, OwnerImage]:
    """Regions of foreground, joined over gaps of up to four pixels; the largest first.

    Args:
        cleaned: uint8[h, w], 2 foreground.
        least_px: smaller regions are noise, in px.
        most: no more than this many.

    Returns:
        float64[n, 5], left, top, right, bottom and number of pixels, and the owner of each pixel.
    """
    joined = cv2.morphologyEx((cleaned == FOREGROUND).view(np.uint8), cv2.MORPH_CLOSE, _JOIN)
    _, region, stats, _ = cv2.connectedComponentsWithStats(joined, connectivity=8)
    area = stats[1:, cv2.CC_STAT_AREA]
    order = np.argsort(-area, kind="stable")
    kept = order[area[order] >= least_px][:most]
    number = np.full(len(stats), -1, np.int32)
    number[kept + 1] = np.arange(len(kept), dtype=np.int32)
    left, top, wide, tall = (stats[1:, i][kept].astype(np.float64) for i in range(4))
    extent = np.column_stack([left, top, left + wide, top + tall, area[kept].astype(np.float64)])
    return extent, np.ascontiguousarray(number[region])
