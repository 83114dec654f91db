"""How tall people appear to a fixed camera, learnt from who moves through its picture.

One person alone is one region of foreground, from head to foot. Where many such regions stood,
their height as a function of the row of their feet is the perspective of the camera. Whatever else
moves (groups, vehicles, pieces of people, branches) is of no height or of many, so it is outvoted.

All lengths here are shares of the picture's height.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from sightline.errors import LogError
from sightline.records.windows import FloatArray

ROWS, COLUMNS, DEPTH = 24, 32, 4
"""Places of the picture by rows and columns, and regions remembered per place, the newest. Each
place counts once, so that whoever stands still says no more than whoever walks by."""
UPRIGHT = (1.7, 4.5)
"""Height over width of one person who stands or walks: a stride is 0.6 of the height, somebody
seen from the side 0.22. Two beside each other are wider."""
ALONE, LEAST_PIECE = 0.25, 0.1
"""Within so many of a region's heights around it there is nothing else that has this share of its
pixels: the two may be pieces of one person."""
LEAST_PLACES = 8
"""Places at which somebody must have been seen: half a walk through the picture."""
LEAST_UPRIGHT = 0.5
"""Share of the regions that must be upright at all: otherwise what moves here is not people."""
LEAST_AGREED, NEAR = 0.5, 0.25
"""Share of the upright regions that must be of the height learnt, and by which share they may
differ from it: people differ by a tenth, and feet or heads are sometimes not seen."""
SPREAD = 0.12
"""Standard deviation of the heights of single people about the line, as a share."""
GIVEN_AT = (0.25, 1.0)
"""A given line counts as ``LEAST_PLACES`` places at these rows together: it decides where nobody
was seen, and is outvoted where it contradicts what was."""
TOP_SHARE, TOP_SPREAD = 0.25, 0.5
"""Without a given line: people at the top of the picture are expected to be this share of the
height of those seen, within so much. It matters only where all were seen at one depth."""
CONTRADICTS = 1.25
"""A given line is wrong if people are taller or less tall than it says by this factor: more than
the heights that are tried for one place."""
MOST_RATIO = 3.0
"""What was learnt is used within this factor of what was given: children are half as tall as grown
people, and a size that was read off the camera's other stream is off by two or three."""
_ROUNDS = 20
_ODD = -1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class HeightLine:
    """Heights of people, linear in the row of their feet, in shares of the picture's height.

    Attributes:
        at_top: at the upper edge; may be negative, then nobody stands there.
        at_bottom: at the lower edge.
    """

    at_top: float
    at_bottom: float

    def heights(self, row: FloatArray) -> FloatArray:
        """float64 like ``row`` (0 at the upper edge, 1 at the lower), 0 where nobody stands."""
        found: FloatArray = self.at_top + row * (self.at_bottom - self.at_top)
        return np.maximum(found, 0.0)


class SizeLearner:
    """Remembers how tall single people appeared, by place; bounded, and no more than arrays.

    Source: the idea of calibrating a camera by the people it sees (Lv, Zhao & Nevatia 2006,
    "Camera calibration from video of a walking human"), reduced to what placing silhouettes needs.
    The line is an M-estimate with Cauchy's weights, from a start by Theil & Sen.

    >>> learner = SizeLearner()
    >>> for x in range(20, 300, 10):  # somebody walks down the picture and grows
    ...     foot = 60 + x / 2
    ...     is_new = learner.see(np.array([[x, foot * 2 / 3, x + foot / 9, foot, 99]]), (240, 320))
    >>> line = learner.line()
    >>> round(240 * line.at_top), round(240 * line.at_bottom)
    (0, 80)
    """

    def __init__(self) -> None:
        shape = (ROWS, COLUMNS, DEPTH)
        self._height = np.zeros(shape, np.float32)  # 0: nothing yet, negative: not upright
        self._foot = np.zeros(shape, np.float32)
        self._next = np.zeros(shape[:2], np.uint8)

    def see(self, extent: FloatArray, shape: tuple[int, int], *, least_px: int = 1) -> bool:
        """Remember those regions of one picture that are whole and alone.

        Args:
            extent: float64[n, 5], left, top, right, bottom and number of pixels of every region.
            least_px: regions of fewer pixels are noise; but they may be pieces of somebody.
            shape: (height, width) of the picture, px.

        Returns:
            Whether there was any.
        """
        height_px, width_px = shape
        left, top, right, bottom, pixels = extent.T
        tall, wide = bottom - top, right - left
        around = ALONE * tall[:, None]
        is_near = (
            (left[:, None] - around < right)
            & (left < right[:, None] + around)
            & (top[:, None] - around < bottom)
            & (top < bottom[:, None] + around)
            & (pixels >= LEAST_PIECE * pixels[:, None])
        )
        is_whole = (left > 1) & (top > 1) & (right < width_px - 1) & (bottom < height_px - 1)
        is_upright = (tall >= UPRIGHT[0] * wide) & (tall <= UPRIGHT[1] * wide)
        row = np.minimum(bottom / height_px * ROWS, ROWS - 1).astype(np.int64)
        column = np.minimum((left + right) / 2 / width_px * COLUMNS, COLUMNS - 1).astype(np.int64)
        is_alone = is_near.sum(axis=1) == 1
        alone = np.flatnonzero(is_whole & is_alone & (pixels >= least_px)).tolist()
        for i in alone:
            at = int(row[i]), int(column[i])
            oldest = int(self._next[at])
            self._height[(*at, oldest)] = tall[i] / height_px if is_upright[i] else _ODD
            self._foot[(*at, oldest)] = bottom[i] / height_px
            self._next[at] = (oldest + 1) % DEPTH
        return len(alone) > 0

    def line(self, given: HeightLine | None = None) -> HeightLine | None:
        """What was learnt; None while people were seen at too few places, or what moves here is
        not of one height.

        Args:
            given: what was expected before anything was seen; it counts for a few places.
        """
        known = self._height != 0
        weight = known / np.maximum(known.sum(axis=2, keepdims=True), 1)
        is_upright = self._height > 0
        if (
            np.count_nonzero(is_upright.any(axis=2)) < LEAST_PLACES
            or weight[is_upright].sum() < LEAST_UPRIGHT * weight.sum()
        ):
            return None
        row = self._foot[is_upright].astype(np.float64)
        height = self._height[is_upright].astype(np.float64)
        weight = weight[is_upright]
        line = _fitted(row, height, weight, given)
        expected = line.heights(row)
        is_agreed = np.abs(height - expected) <= NEAR * expected
        places = np.zeros(is_upright.shape, np.bool_)
        places[is_upright] = is_agreed
        if (
            np.count_nonzero(places.any(axis=2)) < LEAST_PLACES
            or weight[is_agreed].sum() < LEAST_AGREED * weight.sum()
        ):
            return None
        return line

    def is_well_known(self) -> bool:
        """Whether people were seen at three times as many places as it takes to learn anything."""
        return bool(np.count_nonzero((self._height > 0).any(axis=2)) >= 3 * LEAST_PLACES)

    def contradicts(self, given: HeightLine) -> bool:
        """Whether half of the upright regions are of another height than ``given`` says."""
        is_upright = self._height > 0
        known = self._height != 0
        weight = (known / np.maximum(known.sum(axis=2, keepdims=True), 1))[is_upright]
        expected = given.heights(self._foot[is_upright].astype(np.float64))
        ratio = self._height[is_upright] / np.maximum(expected, np.finfo(np.float64).tiny)
        if not len(ratio):
            return False
        return not 1 / CONTRADICTS <= _weighted_median(ratio, weight) <= CONTRADICTS

    def arrays(self) -> dict[str, npt.NDArray[Any]]:
        """Copies of all there is to know; see :meth:`restore`."""
        return {"height": self._height.copy(), "foot": self._foot.copy(), "next": self._next.copy()}

    def restore(self, arrays: Mapping[str, npt.NDArray[Any]]) -> None:
        """Become the learner whose :meth:`arrays` these are.

        Raises:
            LogError: if an array is missing or of another shape.
        """
        shapes = {name: array.shape for name, array in self.arrays().items()}
        if {name: np.shape(array) for name, array in arrays.items()} != shapes:
            raise LogError(
                expected=f"the arrays of learnt sizes, of shapes {shapes}",
                got=", ".join(f"{name} {np.shape(array)}" for name, array in arrays.items()),
                where="sizes of people, restore",
                action="delete the checkpoint; the detector starts again from the next frame",
            )
        self._height = np.array(arrays["height"], np.float32)
        self._foot = np.array(arrays["foot"], np.float32)
        self._next = np.array(arrays["next"], np.uint8) % DEPTH


def _fitted(
    row: FloatArray, height: FloatArray, weight: FloatArray, given: HeightLine | None
) -> HeightLine:
    """The line through float64[n] heights at float64[n] rows that few of them can move."""
    middle = _weighted_median(height, weight)
    spread = np.full(len(row), SPREAD)  # shares of the height expected
    slope = _start_slope(row, height, weight)
    start = _weighted_median(height - slope * row, weight)
    starts = [HeightLine(at_top=start, at_bottom=start + slope)]
    if given is None:
        expected = starts[0].heights(np.zeros(1))
        more = np.zeros(1), np.array([TOP_SHARE * middle]), np.ones(1)
        more_spread = TOP_SPREAD * middle / np.maximum(expected, NEAR * middle)
    else:
        at = np.array(GIVEN_AT)
        more = at, given.heights(at), np.full(len(at), LEAST_PLACES / len(at))
        more_spread = np.full(2, SPREAD)
        starts.append(given)
    row, height, weight = (
        np.concatenate([one, other]) for one, other in zip((row, height, weight), more, strict=True)
    )
    spread = np.concatenate([spread, more_spread])
    found = [_refined(line, row, height, weight, spread, least=NEAR * middle) for line in starts]
    return min(found, key=lambda one: one[1])[0]


def _refined(
    line: HeightLine,
    row: FloatArray,
    height: FloatArray,
    weight: FloatArray,
    spread: FloatArray,
    *,
    least: float,
) -> tuple[HeightLine, float]:
    """The line near ``line`` of least misfit, by weights again and again, and that misfit."""
    for _ in range(_ROUNDS):
        sd = spread * np.maximum(line.heights(row), least)
        w = weight / (sd**2 + (height - line.heights(row)) ** 2)
        mean_row, mean_height = np.average(row, weights=w), np.average(height, weights=w)
        off = row - mean_row
        slope = float(np.sum(w * off * (height - mean_height)) / np.sum(w * off * off))
        start = float(mean_height - slope * mean_row)
        line = HeightLine(at_top=start, at_bottom=start + slope)
    sd = spread * np.maximum(line.heights(row), least)
    misfit = np.log1p(((height - line.heights(row)) / sd) ** 2)
    return line, float(np.sum(weight * misfit))


def _start_slope(row: FloatArray, height: FloatArray, weight: FloatArray) -> float:
    """Median of the slopes between the median heights of any two of ``ROWS`` rows."""
    band = np.minimum(row * ROWS, ROWS - 1).astype(np.int64)
    bands = np.unique(band)
    mass = np.array([weight[band == one].sum() for one in bands])
    at = np.array([_weighted_median(row[band == one], weight[band == one]) for one in bands])
    tall = np.array([_weighted_median(height[band == one], weight[band == one]) for one in bands])
    low, high = np.triu_indices(len(bands), 1)
    apart = at[high] - at[low]
    is_apart = apart > 0
    if not is_apart.any():
        return 0.0
    slopes = (tall[high] - tall[low])[is_apart] / apart[is_apart]
    return _weighted_median(slopes, (mass[high] * mass[low] * apart)[is_apart])


def _weighted_median(values: FloatArray, weight: FloatArray) -> float:
    order = np.argsort(values, kind="stable")
    half = np.searchsorted(np.cumsum(weight[order]), weight.sum() / 2)
    return float(values[order[min(int(half), len(values) - 1)]])
