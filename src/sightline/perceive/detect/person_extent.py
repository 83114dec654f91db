"""From a placed silhouette to a box: the foreground around it says where a person ends."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from numba import types

from sightline.perceive.compiled import kernel
from sightline.perceive.detect.background_kernel import FOREGROUND, SHADOW

REACH_HALF, REACH_ABOVE, REACH_BELOW = 0.3, 1.12, 0.1
"""Foreground this far around a silhouette, in heights, may belong to its person."""
ELLIPSE_HALF, ELLIPSE_UP = 0.17, 0.5
"""Half axes of the ellipse that measures nearness, in heights."""
TAIL = 0.01
"""Share of a person's pixels beyond each edge of its box: stray pixels move nothing."""

SHADOW_HALF, SHADOW_BELOW = 0.16, 0.06
"""Darkened pixels this near the axis and not further below the foot, in heights, are clothes and
shoes: inside a silhouette accepted on stronger evidence, a shadow's colour is no doubt any more."""
LEAST_WIDTH, MOST_WIDTH = 0.3, 0.5
"""Width of an upright person's box, in heights: shoulders and arms; a long stride."""
LEAST_SHOWN = 0.8
"""If less than this share of the height was seen, the box is completed to the whole person."""

_LABELS = types.Array(types.uint8, 2, "C", readonly=True)
_F8_IN = types.Array(types.float64, 2, "C", readonly=True)
_OWNER = types.Array(types.int32, 2, "C")
_F8_OUT = types.Array(types.float64, 2, "C")


@kernel(_LABELS, _LABELS, _F8_IN, _OWNER, _F8_OUT)
def measure_people(
    cleaned: npt.NDArray[np.uint8],
    labels: npt.NDArray[np.uint8],
    people: npt.NDArray[np.float64],
    owner: npt.NDArray[np.int32],
    extent: npt.NDArray[np.float64],
) -> None:
    """Give each pixel to the nearest person it may belong to, and measure each person's pixels.

    What placed a person was the cleaned foreground; what measures it is also the weaker evidence
    around: foreground that the cleaning removed, and shadow within the body.

    Args:
        cleaned: uint8[h, w], 2 foreground.
        labels: uint8[h, w], before cleaning: 0 background, 1 shadow, 2 foreground.
        people: float64[n, 4], x, y of the foot and height in px first.
        owner: int32[h, w], filled with the person each pixel belongs to, -1 for none.
        extent: float64[n, 5], filled with left, top, right, bottom in px and number of pixels.
            Without any pixel, all four are the foot.
    """
    height, width = labels.shape
    nearness = np.full((height, width), np.inf)
    owner[:] = -1
    for i in range(len(people)):
        x, y, tall = people[i, 0], people[i, 1], people[i, 2]
        for row in range(
            max(0, int(y - REACH_ABOVE * tall)), min(height, int(y + REACH_BELOW * tall) + 1)
        ):
            down = row + 0.5 - y
            for column in range(
                max(0, int(x - REACH_HALF * tall)), min(width, int(x + REACH_HALF * tall) + 1)
            ):
                aside = column + 0.5 - x
                is_body = (
                    cleaned[row, column] == FOREGROUND
                    or labels[row, column] == FOREGROUND
                    or (
                        labels[row, column] == SHADOW
                        and abs(aside) <= SHADOW_HALF * tall
                        and -tall <= down <= SHADOW_BELOW * tall
                    )
                )
                if is_body:
                    across = aside / (ELLIPSE_HALF * tall)
                    along = (down + 0.5 * tall) / (ELLIPSE_UP * tall)
                    far = across * across + along * along
                    if far < nearness[row, column]:
                        nearness[row, column] = far
                        owner[row, column] = i
    for i in range(len(people)):
        x, y, tall = people[i, 0], people[i, 1], people[i, 2]
        top = max(0, int(y - REACH_ABOVE * tall))
        bottom = min(height, int(y + REACH_BELOW * tall) + 1)
        left = max(0, int(x - REACH_HALF * tall))
        right = min(width, int(x + REACH_HALF * tall) + 1)
        in_row = np.zeros(max(bottom - top, 0), np.int64)
        in_column = np.zeros(max(right - left, 0), np.int64)
        pixels = 0
        for row in range(top, bottom):
            for column in range(left, right):
                if owner[row, column] == i:
                    in_row[row - top] += 1
                    in_column[column - left] += 1
                    pixels += 1
        extent[i, 4] = pixels
        if pixels == 0:
            extent[i, 0], extent[i, 1], extent[i, 2], extent[i, 3] = x, y, x, y
            continue
        tail = TAIL * pixels
        for axis in range(2):
            counts, start = (in_column, left) if axis == 0 else (in_row, top)
            seen, first = 0.0, 0
            while seen + counts[first] <= tail:
                seen += counts[first]
                first += 1
            seen, last = 0.0, len(counts) - 1
            while seen + counts[last] <= tail:
                seen += counts[last]
                last -= 1
            extent[i, axis] = start + first
            extent[i, axis + 2] = start + last + 1


def person_boxes(
    people: npt.NDArray[np.float64], extent: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    """float64[n, 4], left, top, right, bottom in px: what was seen, completed to a person.

    Somebody half hidden gets the box of the whole body, as trackers and the ground position need
    it; the width is kept within that of an upright person.

    >>> person_boxes(np.array([[50.0, 100, 60, 0.5]]), np.array([[45.0, 41, 55, 70, 200]]))
    array([[ 41.,  40.,  59., 100.]])
    """
    x, foot, tall = people[:, 0], people[:, 1], people[:, 2]
    left, top, right, bottom = extent[:, :4].T
    is_hidden = bottom - top < LEAST_SHOWN * tall
    top = np.where(is_hidden, np.minimum(top, foot - tall), top)
    bottom = np.where(is_hidden, np.maximum(bottom, foot), bottom)
    wide = right - left
    half = np.clip(wide, LEAST_WIDTH * (bottom - top), MOST_WIDTH * (bottom - top)) / 2
    # Too narrow: around what was seen. Too wide: around the axis, as one side is not the body.
    middle = np.where(wide > 2 * half, x, (left + right) / 2)
    return np.stack([middle - half, top, middle + half, bottom], axis=1)
