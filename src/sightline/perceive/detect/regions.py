"""Regions of a picture that stand out from its background: which they are, and what they are not.

A frame is made small, what is too little to be anything is removed, and the rest are regions. A
region may be a hole that something has left, or light on the ground: the picture and the background
together tell.
"""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt
from numba import types

from sightline.perceive.compiled import kernel
from sightline.perceive.detect.background import BACKGROUND, FOREGROUND, SHADOW
from sightline.records.frames import Image
from sightline.records.windows import FloatArray

# --- making large frames small without aliasing ---------------------------------------------------


def reduced(image: Image, size_px: tuple[int, int]) -> Image:
    """The image in another, smaller size: halved by averages of 2 x 2 px while that is not too
    small, then interpolated. OpenCV's area averages of any other factor take eight times as long.

    Args:
        image: uint8[h, w] or uint8[h, w, 3].
        size_px: (width, height), not larger than the image.

    Returns:
        uint8[height, width] or [height, width, 3]; the image itself if it has that size.

    >>> stripes = np.tile(np.array([0, 200], np.uint8), (12, 10))  # each a pixel wide
    >>> small = reduced(stripes, (8, 5))
    >>> small.shape, sorted(set(small.ravel().tolist()))
    ((5, 8), [100])
    """
    width_px, height_px = size_px
    while image.shape[1] >= 2 * width_px and image.shape[0] >= 2 * height_px:
        half_px = (image.shape[1] // 2, image.shape[0] // 2)
        image = cv2.resize(image, half_px, interpolation=cv2.INTER_AREA).astype(
            np.uint8, copy=False
        )
    if image.shape[:2] == (height_px, width_px):
        return image
    return cv2.resize(image, size_px, interpolation=cv2.INTER_LINEAR).astype(np.uint8, copy=False)


# --- cleaning, and connected regions where sizes are unknown --------------------------------------

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
    cleaned: npt.NDArray[np.uint8],
    *,
    least_px: int,
    most: int,
    least_tall_px: npt.NDArray[np.float32] | None = None,
) -> tuple[FloatArray, OwnerImage]:
    """Regions of foreground, joined over gaps of up to four pixels; the largest first.

    Args:
        cleaned: uint8[h, w], 2 foreground.
        least_px: smaller regions are noise, in px.
        most: no more than this many.
        least_tall_px: float32[h + 1 or more], lower regions are noise, by the row they stand on.

    Returns:
        float64[n, 5], left, top, right, bottom and number of pixels, and the owner of each pixel.
    """
    joined = cv2.morphologyEx((cleaned == FOREGROUND).view(np.uint8), cv2.MORPH_CLOSE, _JOIN)
    _, region, stats, _ = cv2.connectedComponentsWithStats(joined, connectivity=8)
    area = stats[1:, cv2.CC_STAT_AREA]
    order = np.argsort(-area, kind="stable")
    is_enough = area >= least_px
    if least_tall_px is not None:
        tall = stats[1:, cv2.CC_STAT_HEIGHT]
        is_enough &= tall >= least_tall_px[stats[1:, cv2.CC_STAT_TOP] + tall]
    kept = order[is_enough[order]][:most]
    number = np.full(len(stats), -1, np.int32)
    number[kept + 1] = np.arange(len(kept), dtype=np.int32)
    left, top, wide, tall = (stats[1:, i][kept].astype(np.float64) for i in range(4))
    extent = np.column_stack([left, top, left + wide, top + tall, area[kept].astype(np.float64)])
    return extent, np.ascontiguousarray(number[region])


# --- ghosts ---------------------------------------------------------------------------------------
#
# Something that was there when the model began, or was taken up by it, leaves a hole when it goes.
# The hole looks like an object of the same shape. But the edge is in the background's picture then,
# and not in the image.

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


# --- light ----------------------------------------------------------------------------------------
#
# A lamp or a patch of sun makes the ground brighter, and its texture is still there. A person hides
# it. Only fine texture counts: of coarse shapes a person has some, and they may agree by chance.

_FINE_PX = 5
"""Texture that is finer than this, in work px."""
_FINE_LEVELS = 2.0
"""Standard deviation of fine texture below which there is nothing to compare, in grey levels."""


_LEAST_SHADOW_AGREEMENT = 0.3
"""Below this what is as dark as a shadow is none: the ground's texture does not show in it."""
_MOST_BESIDE = 0.3
"""With more foreground beside it, in shares of its area, it is the shadow, or a part, of whoever is
seen there."""
_MOST_SHADOWS = 32
"""Regions of shadow looked at in one picture, the largest."""


def texture_agreement(
    image: Image, picture: npt.NDArray[np.float32], owner: OwnerImage, extent: FloatArray
) -> FloatArray:
    """float64[n], -1 to 1: how well an object's fine texture agrees with the background's there.

    NaN where either has none to speak of.

    Args:
        image: uint8[h, w, 3].
        picture: float32[h, w, 3], the background.
        owner: int32[h, w], number of the object, -1 for none.
        extent: float64[n, 5], left, top, right and bottom of each object first.
    """
    found = np.full(len(extent), np.nan)
    height, width = owner.shape
    for i, (left, top, right, bottom) in enumerate(extent[:, :4].astype(np.int64).tolist()):
        rows = slice(max(top - _FINE_PX, 0), min(bottom + _FINE_PX, height))
        columns = slice(max(left - _FINE_PX, 0), min(right + _FINE_PX, width))
        is_own = owner[rows, columns] == i
        if np.count_nonzero(is_own) < _FINE_PX * _FINE_PX:
            continue
        seen = _fine(image[rows, columns].astype(np.float32))[is_own]
        known = _fine(picture[rows, columns])[is_own]
        spread = float(seen.std()), float(known.std())
        if min(spread) >= _FINE_LEVELS:
            together = float(np.mean((seen - seen.mean()) * (known - known.mean())))
            found[i] = together / (spread[0] * spread[1])
    return found


def without_false_shadows(
    image: Image, picture: npt.NDArray[np.float32], labels: npt.NDArray[np.uint8], *, least_px: int
) -> npt.NDArray[np.uint8]:
    """The labels, with regions of shadow through which other texture than the ground's shows.

    By colour alone somebody in grey before grey ground is a shadow. But a shadow shows the ground.

    Args:
        image: uint8[h, w, 3].
        picture: float32[h, w, 3], the background.
        labels: uint8[h, w], 0 background, 1 shadow, 2 foreground.
        least_px: smaller regions are left as they are.

    Returns:
        ``labels`` itself, or a copy with such regions as foreground.
    """
    dark = np.where(labels == SHADOW, np.uint8(FOREGROUND), np.uint8(BACKGROUND))
    extent, owner = connected_blobs(clean(dark), least_px=least_px, most=_MOST_SHADOWS)
    if not len(extent):
        return labels
    agreement = texture_agreement(image, picture, owner, extent)
    is_alone = _foreground_around(clean(labels), extent) <= _MOST_BESIDE * extent[:, 4]
    is_body = np.append((agreement < _LEAST_SHADOW_AGREEMENT) & is_alone, False)  # False for NaN
    return np.where(is_body[owner] & (labels == SHADOW), np.uint8(FOREGROUND), labels)


def _foreground_around(cleaned: npt.NDArray[np.uint8], extent: FloatArray) -> FloatArray:
    """float64[n]: pixels of foreground in and around the box of each region."""
    found = np.zeros(len(extent))
    for i, (left, top, right, bottom) in enumerate(extent[:, :4].astype(np.int64).tolist()):
        rows = slice(max(top - _FINE_PX, 0), bottom + _FINE_PX)
        part = cleaned[rows, max(left - _FINE_PX, 0) : right + _FINE_PX]
        found[i] = np.count_nonzero(part == FOREGROUND)
    return found


def _fine(part: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    grey = np.ascontiguousarray(part.mean(axis=2))
    return (grey - cv2.blur(grey, (_FINE_PX, _FINE_PX))).astype(np.float32, copy=False)
