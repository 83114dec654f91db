"""Light that changes everywhere at once: clouds, automatic exposure, a lamp switched on."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from sightline.records.frames import Image

GRID_PX = 8
"""Every eighth pixel both ways is compared: thousands of samples, and no time."""
DARK_LEVELS = 10.0
"""Pixels darker than this say nothing about a ratio."""
LEAST_SAMPLES = 32
SATURATED_LEVEL = 250
UNCHANGED = 0.03
"""A gain within this of 1 is left alone: the model follows it by itself."""


def light_gain(image: Image, picture: npt.NDArray[np.float32]) -> float:
    """How many times brighter the image is than the background, as a whole.

    The median over pixels of the ratio, which foreground on up to half of the picture does not
    move far.

    Args:
        image: uint8[h, w, 3].
        picture: float32[h, w, 3], the background.

    Returns:
        > 0, or NaN where fewer than ``LEAST_SAMPLES`` sampled pixels of the background are
        bright enough.

    >>> ground = np.full((64, 64, 3), 100, np.float32)
    >>> round(light_gain(np.full((64, 64, 3), 80, np.uint8), ground), 3)
    0.8
    """
    seen = image[::GRID_PX, ::GRID_PX].sum(axis=2, dtype=np.float32)
    known = picture[::GRID_PX, ::GRID_PX].sum(axis=2, dtype=np.float32)
    is_bright = known > DARK_LEVELS * image.shape[2]
    if np.count_nonzero(is_bright) < LEAST_SAMPLES:
        return float("nan")
    return float(np.median(seen[is_bright] / known[is_bright]))


def undo_gain(image: Image, picture: npt.NDArray[np.float32], gain: float) -> Image:
    """The image as it would be with the light of the background; uint8[h, w, 3].

    A gain within ``UNCHANGED`` of 1 gives the same image back. A saturated value says only "at
    least this much", so there the background's own level is taken if it is within reach.

    Args:
        image: uint8[h, w, 3].
        picture: float32[h, w, 3], the background.
        gain: from :func:`light_gain`, > 0.

    >>> sky = np.full((1, 1, 3), 252, np.float32)
    >>> undo_gain(np.array([[[255, 255, 120]]], np.uint8), sky, 1.2).tolist()
    [[[252, 252, 100]]]
    """
    if abs(gain - 1.0) <= UNCHANGED:
        return image
    levels = np.clip(np.rint(np.arange(256) / gain), 0, 255).astype(np.uint8)
    found: Image = cv2.LUT(image, levels).astype(np.uint8, copy=False)
    if gain > 1.0:
        at = np.nonzero(image >= SATURATED_LEVEL)
        found[at] = np.maximum(found[at], np.rint(picture[at]).astype(np.uint8))
    return found
