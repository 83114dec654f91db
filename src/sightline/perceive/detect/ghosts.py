"""Ghosts: foreground where the background is what is wrong.

Something that was there when the model began, or was taken up by it, leaves a hole when it goes.
The hole looks like an object of the same shape. But the edge is in the background's picture then,
and not in the image.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from numba import types

from sightline.perceive.compiled import kernel

_IMAGE = types.Array(types.uint8, 3, "C", readonly=True)
_PICTURE = types.Array(types.float32, 3, "A", readonly=True)
_OWNER = types.Array(types.int32, 2, "C", readonly=True)
_OUT = types.Array(types.float64, 2, "C")


@kernel(_IMAGE, _PICTURE, _OWNER, _OUT)
def contour_contrast(
    image: npt.NDArray[np.uint8],
    picture: npt.NDArray[np.float32],
    owner: npt.NDArray[np.int32],
    contrast: npt.NDArray[np.float64],
) -> None:
    """Contrast along the contour of each object, in the image and in the background.

    A pixel is on the contour if one of its four neighbours belongs to no object. Contrast is the
    sum of absolute central differences over both directions and all channels. Source: the test of
    removed against left objects of Connell et al. (2004), "Detection and tracking in the IBM
    PeopleVision system".

    Args:
        image: uint8[h, w, 3].
        picture: float32[h, w, 3], the background.
        owner: int32[h, w], number of the object, -1 for none.
        contrast: float64[n, 2], filled with the sums for image and background.
    """
    height, width = owner.shape
    contrast[:] = 0.0
    for y in range(1, height - 1):
        for x in range(1, width - 1):
            own = owner[y, x]
            if own < 0:
                continue
            is_inside = (
                owner[y - 1, x] >= 0
                and owner[y + 1, x] >= 0
                and owner[y, x - 1] >= 0
                and owner[y, x + 1] >= 0
            )
            if is_inside:
                continue
            for c in range(3):
                contrast[own, 0] += abs(
                    np.float64(image[y + 1, x, c]) - np.float64(image[y - 1, x, c])
                ) + abs(np.float64(image[y, x + 1, c]) - np.float64(image[y, x - 1, c]))
                contrast[own, 1] += abs(
                    np.float64(picture[y + 1, x, c]) - np.float64(picture[y - 1, x, c])
                ) + abs(np.float64(picture[y, x + 1, c]) - np.float64(picture[y, x - 1, c]))
