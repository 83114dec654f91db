"""What would have passed: how small, or how faint, a mark would have had to be.

Nothing is guessed. The picture is changed and looked at again: what is marked is taken away (of
several ways to fill its place, the one that scores lowest), then put back smaller, or fainter, and
the largest that still passes is found by halving. So what is said holds for this inspector, this
picture and this place; a step larger, 1/64 of the whole, was looked at and did not pass.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from sightline.perceive.inspection.floats import Floats
from sightline.perceive.inspection.simulated_defects import Mask
from sightline.records.frames import Image
from sightline.records.part import Box

_STEPS = 6
_MARGIN_PX, _AROUND_PX, _SOFT_PX = 4, 1, 2
"""Around the box in which a mark is looked for; around the mark that is taken away; and over which
what is filled in fades out."""
_GRAIN_PX = 1.5
"""Width over which a difference is averaged first: grain is no defect."""
_RING_PX, _PIECES = 6, 4
"""What surrounds a mark, and how many other pieces of the surface are tried in its place."""
_LEAST_SIDE_PX = 8
_FULL_RANGE = 255.0


@dataclass(frozen=True, slots=True, kw_only=True)
class WouldPass:
    """What of a mark would have passed.

    Attributes:
        box_px: of the mark, where it differs by half its greatest difference and more.
        size_px: its longest side.
        contrast: its median difference from what is there without it, 0 to 1 of the full range.
        without: score without it, ``passes_below`` what it must be below.
        passes_below: see there.
        size_passes_px: the longest side that passes at its contrast; 0: none.
        contrast_passes: the contrast that passes at its size; 0: none.
    """

    box_px: Box
    size_px: float
    contrast: float
    without: float
    passes_below: float
    size_passes_px: float
    contrast_passes: float

    @property
    def is_all(self) -> bool:
        """Whether the picture passes without it: else something else speaks against it, too."""
        return self.without < self.passes_below


def what_would_pass(
    picture: Image,
    box_px: Box,
    score: Callable[[Image], float],
    *,
    passes_below: float,
    fills: Sequence[Image] | None = None,
) -> WouldPass:
    """Make a mark smaller and fainter until the picture passes.

    Args:
        picture: uint8[h, w] or [h, w, 3] that does not pass.
        box_px: x1, y1, x2, y2 around the mark.
        score: of a picture of that shape; looked at about 17 times.
        passes_below: a picture with a lower score passes.
        fills: pictures of that shape that show what belongs in the box; None: what is around it.
    """
    box = _grown(box_px, *picture.shape[:2])
    whole = picture.astype(np.float32)
    expected = fills[0] if fills is not None else _filled(picture, _inside(box, picture))
    mark, contrast = _mark(whole - expected.astype(np.float32), box)
    away_px = np.asarray(cv2.distanceTransform((~mark).astype(np.uint8), cv2.DIST_L2, 5))
    share = np.clip(1 - (away_px - _AROUND_PX) / _SOFT_PX, 0, 1).astype(np.float32)
    ways = _around(picture, share > 0) if fills is None else fills
    if picture.ndim == 3:
        share = share[:, :, None]
    clean = [whole * (1 - share) + way.astype(np.float32) * share for way in ways]
    scores = [score(_picture(one)) for one in clean]
    best = int(np.argmin(scores))
    differs = whole - clean[best]
    inner = _bounds(mark)
    size_px = float(max(inner[2] - inner[0], inner[3] - inner[1]))
    middle = ((inner[0] + inner[2]) / 2, (inner[1] + inner[3]) / 2)

    def fainter(by: float) -> Image:
        return _picture(clean[best] + by * differs)

    def smaller(by: float) -> Image:
        matrix = np.array([[by, 0, middle[0] * (1 - by)], [0, by, middle[1] * (1 - by)]])
        shrunk = cv2.warpAffine(differs, matrix, picture.shape[1::-1])
        return _picture(clean[best] + np.asarray(shrunk, np.float32).reshape(differs.shape))

    sizes, contrasts = 0.0, 0.0
    if scores[best] < passes_below:
        sizes, contrasts = (
            _largest(lambda by, made=made: score(made(by)) < passes_below)  # type: ignore[misc]
            for made in (smaller, fainter)
        )
    return WouldPass(
        box_px=inner,
        size_px=size_px,
        contrast=contrast,
        without=scores[best],
        passes_below=passes_below,
        size_passes_px=sizes * size_px,
        contrast_passes=contrasts * contrast,
    )


def _largest(passes: Callable[[float], bool]) -> float:
    """The largest share found that passes, by halving; 0 passes and 1 does not."""
    low, high = 0.0, 1.0
    for _ in range(_STEPS):
        middle = (low + high) / 2
        low, high = (middle, high) if passes(middle) else (low, middle)
    return low


def _grown(box_px: Box, height_px: int, width_px: int) -> tuple[int, int, int, int]:
    """The box with a margin, of a least side, inside the picture."""
    found = []
    for low, high, most in (
        (box_px[0], box_px[2], width_px),
        (box_px[1], box_px[3], height_px),
    ):
        half = max(high - low, _LEAST_SIDE_PX) / 2 + _MARGIN_PX
        middle = (low + high) / 2
        found.append((max(round(middle - half), 0), min(round(middle + half), most)))
    return found[0][0], found[1][0], found[0][1], found[1][1]


def _inside(box: tuple[int, int, int, int], picture: Image) -> Mask:
    found = np.zeros(picture.shape[:2], np.bool_)
    found[box[1] : box[3], box[0] : box[2]] = True
    return found


def _bounds(mask: Mask) -> Box:
    rows, columns = np.nonzero(mask)
    return (
        float(columns.min()), float(rows.min()), float(columns.max() + 1), float(rows.max() + 1),
    )  # fmt: skip


def _filled(picture: Image, mask: Mask) -> Image:
    """The picture, filled from the edge of the mask."""
    return np.asarray(cv2.inpaint(picture, mask.astype(np.uint8), 3, cv2.INPAINT_TELEA), np.uint8)


def _around(picture: Image, mask: Mask) -> list[Image]:
    """The picture filled from the edge of the mask, and with other pieces of its surface there.

    The pieces are those whose surroundings fit best (after A. Efros, T. Leung, Texture Synthesis by
    Non-parametric Sampling, ICCV 1999).
    """
    found = [_filled(picture, mask)]
    x1, y1, x2, y2 = map(int, _bounds(mask))
    height, width = y2 - y1, x2 - x1
    r = _RING_PX
    wide = np.asarray(cv2.copyMakeBorder(picture, r, r, r, r, cv2.BORDER_REFLECT_101), np.float32)
    piece = wide[y1 : y2 + 2 * r, x1 : x2 + 2 * r]
    ring = np.ones(piece.shape, np.float32)
    ring[r:-r, r:-r] = 0
    misfit = np.asarray(cv2.matchTemplate(wide, piece, cv2.TM_SQDIFF, mask=ring))
    misfit[max(y1 - height + 1, 0) : y2, max(x1 - width + 1, 0) : x2] = np.inf  # shows the mark
    for _ in range(_PIECES):
        y, x = np.unravel_index(int(misfit.argmin()), misfit.shape)
        if not np.isfinite(misfit[y, x]):
            break
        found.append(np.roll(picture, (y1 - int(y), x1 - int(x)), axis=(0, 1)))
        misfit[max(y - 1, 0) : y + 2, max(x - 1, 0) : x + 2] = np.inf
    return found


def _mark(differs: Floats, box: tuple[int, int, int, int]) -> tuple[Mask, float]:
    """What differs by half the greatest difference in a box, and its median difference."""
    x1, y1, x2, y2 = box
    depth = np.abs(differs) if differs.ndim == 2 else np.abs(differs).mean(axis=2)
    smooth = np.asarray(cv2.GaussianBlur(depth, (0, 0), _GRAIN_PX), np.float32)[y1:y2, x1:x2]
    _, labels = cv2.connectedComponents((smooth >= smooth.max() / 2).astype(np.uint8))
    mark = np.zeros(depth.shape, np.bool_)
    mark[y1:y2, x1:x2] = labels == labels[np.unravel_index(int(smooth.argmax()), smooth.shape)]
    return mark, float(np.median(depth[mark])) / _FULL_RANGE


def _picture(values: Floats) -> Image:
    return np.clip(np.rint(values), 0, 255).astype(np.uint8)
