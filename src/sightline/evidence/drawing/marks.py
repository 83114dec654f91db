"""Marks on an image: text, lines, tinted areas. Each changes the image it is given, in place."""

from __future__ import annotations

from typing import Literal

import cv2
import numpy as np
import numpy.typing as npt

from sightline.evidence.drawing.palette import BODY_PX, Colour
from sightline.records.frames import Image
from sightline.records.windows import FloatArray

Weight = Literal[400, 600]

_FONT = "sans"  # Rubik, which OpenCV carries
_SHIFT = 4  # binary digits of subpixels
_FURTHEST_PX = 30_000.0
"""Beyond it OpenCV's fixed-point coordinates overflow; such a point is off any picture."""
_ELLIPSE_POINTS = 48


def text_width_px(text: str, *, size_px: int = BODY_PX, weight: Weight = 400) -> int:
    """Width of a line of text."""
    rect = cv2.getTextSize((0, 0), text, (0, 0), cv2.FontFace(_FONT), size_px, weight)
    return int(rect[2])


def put_text(
    image: Image,
    text: str,
    at_px: tuple[int, int],
    colour: Colour,
    *,
    size_px: int = BODY_PX,
    weight: Weight = 400,
    is_right: bool = False,
) -> int:
    """Write a line of text; its width in px.

    Args:
        image: uint8[height, width, 3].
        text: one line.
        at_px: (x, y) of the left end of the baseline; of the right end if ``is_right``.
        colour: blue, green, red.
        size_px, weight: of the font.
        is_right: whether the text ends at ``at_px``.
    """
    width = text_width_px(text, size_px=size_px, weight=weight)
    x, y = at_px
    start = (x - width if is_right else x, y)
    cv2.putText(image, text, start, colour, cv2.FontFace(_FONT), size_px, weight)
    return width


def fitted_text(text: str, width_px: int, *, size_px: int = BODY_PX) -> str:
    """The text, or its beginning and an ellipsis where it is wider than ``width_px``.

    >>> fitted_text("STALE_SIGHT", 500), fitted_text("STALE_SIGHT", 50)
    ('STALE_SIGHT', 'STAL…')
    """
    if text_width_px(text, size_px=size_px) <= width_px:
        return text
    while text and text_width_px(text + "…", size_px=size_px) > width_px:
        text = text[:-1]
    return text + "…"


def put_line(
    image: Image,
    points_px: FloatArray,
    colour: Colour,
    *,
    thickness_px: int = 1,
    is_closed: bool = False,
) -> None:
    """A smooth line through float64[k, 2] points; broken where a point is NaN or far away."""
    for run in unbroken(points_px, is_closed=is_closed):
        cv2.polylines(
            image, [_fixed(run)], False, colour, thickness_px, lineType=cv2.LINE_AA, shift=_SHIFT
        )


def unbroken(points_px: FloatArray, *, is_closed: bool = False) -> list[FloatArray]:
    """The runs of at least two points in a row that can be drawn."""
    points = np.asarray(points_px, np.float64)
    if is_closed and len(points):
        points = np.vstack([points, points[:1]])
    with np.errstate(invalid="ignore"):
        is_good = (np.abs(points) < _FURTHEST_PX).all(axis=1)
    edges = np.flatnonzero(np.diff(np.concatenate([[False], is_good, [False]]).astype(np.int8)))
    return [points[a:b] for a, b in zip(edges[::2], edges[1::2], strict=True) if b - a > 1]


def put_dashes(
    image: Image, points_px: FloatArray, colour: Colour, *, dash_px: float = 6.0
) -> None:
    """A dashed line through float64[k, 2] points."""
    for run in unbroken(points_px):
        steps = np.linalg.norm(np.diff(run, axis=0), axis=1)
        along = np.concatenate([[0.0], np.cumsum(steps)])
        # Bounded by the picture's diagonal: longer lines get longer dashes.
        dash = max(dash_px, float(along[-1]) / 400)
        starts = np.arange(0.0, along[-1], 2 * dash)
        for start in starts.tolist():
            ends = np.array([start, min(start + dash, float(along[-1]))])
            piece = np.column_stack([np.interp(ends, along, column) for column in run.T])
            put_line(image, piece, colour)


def put_dot(image: Image, at_px: FloatArray, colour: Colour, *, radius_px: float) -> None:
    """A filled circle at float64[2]; nothing where that is NaN or far away."""
    if not bool((np.abs(at_px) < _FURTHEST_PX).all()):
        return
    x, y = _fixed(at_px[None, :])[0, 0].tolist()
    cv2.circle(
        image, (x, y), round(radius_px * 2**_SHIFT), colour, -1, lineType=cv2.LINE_AA, shift=_SHIFT
    )


def put_arrow(image: Image, from_px: FloatArray, to_px: FloatArray, colour: Colour) -> None:
    """An arrow; nothing shorter than its head."""
    along = to_px - from_px
    length = float(np.linalg.norm(along))
    head_px = 6.0
    if not np.isfinite(length) or length < head_px:
        return
    unit = along / length
    across = np.array([-unit[1], unit[0]])
    put_line(image, np.array([from_px, to_px - unit * head_px / 2]), colour, thickness_px=2)
    head = np.array([to_px, to_px - unit * head_px + across * 3.5, to_px - unit * head_px])
    other = np.array([to_px, to_px - unit * head_px - across * 3.5, to_px - unit * head_px])
    for part in (head, other):
        fill_polygon(image, part, colour)


def fill_polygon(image: Image, points_px: FloatArray, colour: Colour | int) -> None:
    """A filled polygon of float64[k, 2] points; nothing if one of them is NaN or far away."""
    if bool((np.abs(points_px) < _FURTHEST_PX).all()):
        cv2.fillPoly(image, [_fixed(points_px)], colour, lineType=cv2.LINE_AA, shift=_SHIFT)


def blank(size_px: tuple[int, int], colour: Colour) -> Image:
    """uint8[height, width, 3] of one colour, for (width, height)."""
    image = np.empty((size_px[1], size_px[0], 3), np.uint8)
    fill_rect(image, (0, 0, *size_px), colour)
    return image


def fill_rect(image: Image, box_px: tuple[int, int, int, int], colour: Colour) -> None:
    """A filled rectangle: left, top, right, bottom, the last two exclusive."""
    left, top, right, bottom = box_px
    if left < right and top < bottom:
        # Several times as fast as assigning three numbers to a slice.
        cv2.rectangle(image, (left, top), (right - 1, bottom - 1), colour, -1)


def tint(
    image: Image,
    mask: npt.NDArray[np.uint8],
    corner_px: tuple[int, int],
    colour: Colour,
    *,
    share: float,
) -> None:
    """Mix a colour into the part of the image where ``mask`` (uint8[h, w]) is not 0.

    Args:
        image: uint8[height, width, 3].
        mask: lies inside the image.
        corner_px: (x, y) of the mask's top-left pixel.
        colour: blue, green, red.
        share: of the colour, 0 to 1.
    """
    x, y = corner_px
    height, width = mask.shape
    if not height or not width:
        return
    part = image[y : y + height, x : x + width]
    mixed = cv2.addWeighted(part, 1 - share, blank((width, height), colour), share, 0.0)
    cv2.copyTo(mixed, mask, part)


def ellipse_points(covariance: FloatArray, *, scale: float) -> FloatArray:
    """float64[k, 2], border of the ellipse xᵀ Σ⁻¹ x = scale² around 0; NaN for a NaN matrix.

    Args:
        covariance: float64[2, 2].
        scale: Mahalanobis distance of the border.

    >>> border = ellipse_points(np.diag([4.0, 1.0]), scale=1.0)
    >>> border.max(axis=0).round(2).tolist()
    [2.0, 1.0]
    """
    angle = np.linspace(0.0, 2 * np.pi, _ELLIPSE_POINTS)
    circle = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    if not np.isfinite(covariance).all():
        return np.full_like(circle, np.nan)
    values, vectors = np.linalg.eigh((covariance + covariance.T) / 2)
    root = vectors * np.sqrt(np.maximum(values, 0.0))
    found: FloatArray = scale * circle @ root.T
    return found


def _fixed(points_px: FloatArray) -> npt.NDArray[np.int32]:
    # A pixel's middle is its integer coordinate for OpenCV; for us its corner is.
    fixed: npt.NDArray[np.int32] = np.rint((points_px - 0.5) * 2**_SHIFT).astype(np.int32)
    return fixed.reshape(-1, 1, 2)
