"""What one picture tells about its camera: exposure, contrast, sharpness and edge directions."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from sightline.records.frames import Image
from sightline.records.windows import FloatArray

ROWS, COLUMNS = 6, 8
"""Blocks of the picture in which contrast and sharpness are measured."""

_LONGEST_SIDE_PX = 320
_LEAST_SIDE_PX = 48  # of the fine picture: below it a block is too small to say anything
_DARK_LEVEL = 25  # 0.10 of full scale
_CLIPPED_LEVEL = 250  # 0.98 of full scale
_BRIGHTNESS_FLOOR = 16.0
"""Added to brightness before anything is divided by it: black of limited-range video."""
_EDGE_CONTRAST = 0.02
"""Least change of brightness per pixel of an edge, in parts of the picture's brightness."""
_SOBEL_GAIN = 8.0  # of a 3 x 3 Sobel operator on a slope of one level per pixel

Directions = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PictureMeasures:
    """Measures of one picture. Contrast, sharpness and edges do not change with the light's gain.

    Attributes:
        fine: uint8[h, w], grey, means of 2^k x 2^k pixels; the longer side at most 320.
        dark_share: of the pixels of ``fine`` at or below 25, 0 to 1.
        clipped_share: of those at or above 250, 0 to 1.
        contrast: float64[6, 8], standard deviation over brightness of each block, with ``fine``
            halved once more.
        sharpness: float64[6, 8], variance of the Laplacian over squared brightness.
        directions: float32[2, h // 2, w // 2], x and y of the unit vector across each edge, from
            dark to bright; 0 where there is no edge.
    """

    fine: Image
    dark_share: float
    clipped_share: float
    contrast: FloatArray
    sharpness: FloatArray
    directions: Directions


def measure_picture(pixels: Image) -> PictureMeasures | None:
    """Measure a picture; None where it is too small for that (below about 48 px).

    Args:
        pixels: uint8[height, width, 3] (blue, green, red) or uint8[height, width].
    """
    if min(pixels.shape[:2]) < _LEAST_SIDE_PX:
        return None
    fine = shrunk(pixels)
    if min(fine.shape) < _LEAST_SIDE_PX:
        return None
    coarse = _halved(fine)
    level = coarse.astype(np.int32)
    brightness = _block_means(level)
    variance = np.maximum(_block_means(level * level) - brightness**2, 0.0)
    laplacian = cv2.Laplacian(fine, cv2.CV_16S).astype(np.int32)
    weight = brightness + _BRIGHTNESS_FLOOR
    return PictureMeasures(
        fine=fine,
        dark_share=float(np.count_nonzero(fine <= _DARK_LEVEL) / fine.size),
        clipped_share=float(np.count_nonzero(fine >= _CLIPPED_LEVEL) / fine.size),
        contrast=np.sqrt(variance) / weight,
        # The mean of a Laplacian is nil, so its mean square is its variance.
        sharpness=_block_means(laplacian * laplacian) / weight**2,
        directions=_edge_directions(coarse, mean_level=float(brightness.mean())),
    )


def shrunk(pixels: Image) -> Image:
    """uint8[h, w], grey, halved until the longer side is at most 320; odd edges are cut.

    Halving by means of four pixels is exact and fast, unlike resizing by any other factor.
    """
    picture = pixels
    while max(picture.shape[:2]) > _LONGEST_SIDE_PX and min(picture.shape[:2]) > 1:
        picture = _halved(picture)
    if picture.ndim == 3:
        return np.asarray(cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY), np.uint8)
    return picture


def _halved(picture: Image) -> Image:
    height, width = picture.shape[0] // 2, picture.shape[1] // 2
    even = picture[: 2 * height, : 2 * width]
    return np.asarray(cv2.resize(even, (width, height), interpolation=cv2.INTER_AREA), np.uint8)


def _block_means(values: npt.NDArray[np.int32]) -> FloatArray:
    """float64[6, 8]; what is left over at the right and lower edge is not looked at.

    Sums of integers: exact, so the same on each machine. A column of a block stays in 32 bits.
    """
    high, wide = values.shape[0] // ROWS, values.shape[1] // COLUMNS
    even = values[: high * ROWS, : wide * COLUMNS]
    columns = even.reshape(ROWS, high, -1).sum(axis=1, dtype=np.int32)
    sums = columns.reshape(ROWS, COLUMNS, wide).sum(axis=2, dtype=np.int64)
    return np.asarray(sums / (high * wide), np.float64)


def _edge_directions(coarse: Image, *, mean_level: float) -> Directions:
    # Smoothed: an edge that trembles by a pixel or two keeps its direction in place.
    smooth = cv2.GaussianBlur(coarse, (5, 5), 1.0)
    directions = np.empty((2, *coarse.shape), np.float32)
    cv2.Sobel(smooth, cv2.CV_32F, 1, 0, dst=directions[0])
    cv2.Sobel(smooth, cv2.CV_32F, 0, 1, dst=directions[1])
    # Not cv2.magnitude: its last bit depends on where the array lies in memory.
    size = np.sqrt(directions[0] ** 2 + directions[1] ** 2)
    least = _SOBEL_GAIN * _EDGE_CONTRAST * (mean_level + _BRIGHTNESS_FLOOR)
    directions *= np.divide(1.0, size, out=np.zeros_like(size), where=size >= least)
    return directions
