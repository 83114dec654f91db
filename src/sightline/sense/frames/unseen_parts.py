"""Parts of a picture that show nothing of what is before them, while the rest goes on.

A damaged decoder or a buffer that is half updated leaves a part standing still; tape, dirt, a leaf
or a cloth before the lens makes one flat. Who comes into such a part is seen by nobody. Two things
that a part usually shows tell of both:

* its *noise*: no two pictures of a live sensor are alike in any part. A part that repeats itself
  while others do not has stopped;
* its *texture*: what is in focus keeps its contrast in any light. A part that had some and has none
  left is covered, dazzled or without light.

Where a camera shows no noise (an encoder repeats what does not move) or a part no texture, nothing
is said: a picture without either cannot tell.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from sightline.records.frames import Image
from sightline.records.windows import FloatArray

PART_ROWS, PART_COLUMNS = 12, 16
"""Parts of a picture: less than half as wide and high as what hides somebody should be."""

_SAMPLED_PX = 160
"""Of so many pixels along the longer side at least the noise is looked at, each as it came."""
_LEAST_PICTURES = 20
"""Pictures until it is known what a part usually shows."""
_RISE = 0.02
"""Share by which the least change of a part rises to the newest, a picture."""
_SLOW_RISE = 0.002
"""The same of its least contrast: somebody who stands there has texture, the ground may have none.
"""
_LEAST_NOISE_LEVELS = 0.5
"""Mean change from picture to picture without which there is no noise to miss, in grey levels."""
_STOPPED = 0.1
"""A part that changes by less than this share of its least has stopped. A copy changes by 0."""
_OTHER_LEVELS = 4.0
"""A part that is so much brighter or darker than when it stopped has not, in grey levels."""
_GOES_ON = -1.0
_CLIPPED_LEVELS = (8.0, 247.0)
"""Beyond these noise is cut off, in grey levels."""
_LEAST_CONTRAST = 0.05  # as of the picture in `usual_view`: WMO-No. 8, 9.1
_LOST_CONTRAST = 0.25
_MOST_CONTRAST = 2 * _LEAST_CONTRAST
"""More usual contrast than this is not asked to be there: somebody may have stood there for long,
and the ground behind them has less."""
_BRIGHTNESS_FLOOR = 16.0
_LEAST_COVER = 0.1
"""Share of the picture that is covered at least: people and things of one colour hide less."""
_LIT = 0.75
"""Quantile that tells of a picture what is not covered: more is for the picture as a whole."""

BoolGrid = npt.NDArray[np.bool_]
"""bool[12, 16], the first row at the top of the picture, the first column at its left."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PartMeasures:
    """Of each part of one picture, float64[12, 16].

    Attributes:
        level: mean brightness, 0 to 255.
        contrast: standard deviation over brightness.
    """

    level: FloatArray
    contrast: FloatArray


class UnseenParts:
    """Watches the parts of one camera's pictures; a function of the pictures so far.

    Args:
        looks_for_still: whether parts that have stopped are looked for.
        looks_for_flat: whether parts that have lost their texture are.

    >>> rng = np.random.default_rng(1)
    >>> ground = rng.integers(60, 180, (96, 128))
    >>> parts = UnseenParts()
    >>> for _ in range(30):
    ...     live = np.clip(ground + rng.normal(0, 3, ground.shape), 0, 255).astype(np.uint8)
    ...     found = parts.update(live, live)
    >>> bool(found.any())
    False
    >>> stuck = np.clip(ground + rng.normal(0, 3, ground.shape), 0, 255).astype(np.uint8)
    >>> stuck[48:] = live[48:]
    >>> parts.update(stuck, stuck).any(axis=1).astype(int).tolist()
    [0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1]
    """

    def __init__(self, *, looks_for_still: bool = True, looks_for_flat: bool = True) -> None:
        self._looks_for_still = looks_for_still
        self._looks_for_flat = looks_for_flat
        self.forget()

    def forget(self) -> None:
        """Begin anew with the next picture."""
        grid = (PART_ROWS, PART_COLUMNS)
        self._before: Image = np.zeros((0, 0), np.uint8)
        self._least_change = np.zeros(grid)
        self._stopped_level = np.full(grid, _GOES_ON)
        """Brightness of what has stopped; -1: it has not."""
        self._least_contrast = np.zeros(grid)
        self._seen = np.zeros((2, *grid), np.int64)
        """Pictures from which the change and the texture of each part are known."""

    def update(self, pixels: Image, fine: Image) -> BoolGrid:
        """bool[12, 16]: which parts of the next picture show nothing of what is before them.

        A picture that is the same as the one before says nothing new about any part.

        Args:
            pixels: uint8[height, width, 3] or uint8[height, width]: means would have no noise.
            fine: uint8[h, w], grey, of it, as of ``PictureMeasures``; at least 48 px high and wide.
        """
        sampled = _sampled(pixels)
        if sampled.shape != self._before.shape:
            self.forget()
            self._before = sampled
        change = _part_means(np.asarray(cv2.absdiff(sampled, self._before)))
        measured = _measured(fine)
        is_stopped = self._stopped(change, measured.level)
        is_lost = self._lost(measured)
        self._before = sampled
        found: BoolGrid = is_stopped | is_lost
        self._learn(change, measured, found)
        return found

    def snapshot(self) -> dict[str, npt.NDArray[np.generic]]:
        """State as arrays."""
        return {
            "part_before": self._before.copy(),
            "part_levels": np.stack(
                [self._least_change, self._stopped_level, self._least_contrast]
            ),
            "part_seen": self._seen.copy(),
        }

    def restore(self, arrays: Mapping[str, npt.NDArray[np.generic]]) -> None:
        """Inverse of :meth:`snapshot`."""
        self._before = arrays["part_before"].astype(np.uint8)
        levels = arrays["part_levels"].astype(np.float64)
        self._least_change, self._stopped_level, self._least_contrast = levels
        self._seen = arrays["part_seen"].astype(np.int64)

    def _stopped(self, change: FloatArray, level: FloatArray) -> BoolGrid:
        """Which parts repeat what they showed, while the picture as a whole does not."""
        was_stopped: BoolGrid = self._stopped_level != _GOES_ON
        if not self._looks_for_still or not change.any():
            return was_stopped
        is_known = self._seen[0] >= _LEAST_PICTURES
        # Where something moved all the time the change was more than noise: the picture's counts.
        usual = float(np.median(self._least_change))
        if np.count_nonzero(is_known) * 2 < is_known.size or usual < _LEAST_NOISE_LEVELS:
            return np.zeros_like(was_stopped)
        low, high = _CLIPPED_LEVELS
        is_still = change < _STOPPED * np.minimum(self._least_change, usual)
        is_still &= is_known & (level > low) & (level < high)
        is_other = was_stopped & (np.abs(level - self._stopped_level) > _OTHER_LEVELS)
        is_stopped: BoolGrid = is_still & ~is_other
        self._seen[0][is_other] = 0
        self._stopped_level = np.where(
            is_stopped, np.where(was_stopped, self._stopped_level, level), _GOES_ON
        )
        return is_stopped

    def _lost(self, measured: PartMeasures) -> BoolGrid:
        """Which parts had texture and have none left, or no light, while others have."""
        if not self._looks_for_flat:
            return np.zeros(measured.level.shape, np.bool_)
        usual = self._least_contrast
        is_known: BoolGrid = (self._seen[1] >= _LEAST_PICTURES) & (usual >= _LEAST_CONTRAST)
        if not is_known.any():
            return np.zeros_like(is_known)
        # By night and in fog all parts have less, and that is the picture's and not theirs.
        kept = min(1.0, float(np.quantile(measured.contrast[is_known] / usual[is_known], _LIT)))
        is_flat = measured.contrast < _LOST_CONTRAST * kept * np.minimum(usual, _MOST_CONTRAST)
        black = _CLIPPED_LEVELS[0]
        is_black = (measured.level <= black) & (np.quantile(measured.level, _LIT) >= 3 * black)
        found: BoolGrid = is_known & (is_flat | is_black)
        if np.count_nonzero(found) < _LEAST_COVER * found.size:
            return np.zeros_like(found)
        return found

    def _learn(self, change: FloatArray, measured: PartMeasures, is_unseen: BoolGrid) -> None:
        """Take what is seen for usual; what shows nothing never becomes so by itself."""
        if change.any():
            self._least_change = self._followed(0, self._least_change, change, _RISE, is_unseen)
        self._least_contrast = self._followed(
            1, self._least_contrast, measured.contrast, _SLOW_RISE, is_unseen
        )

    def _followed(
        self, row: int, least: FloatArray, newest: FloatArray, rise: float, is_unseen: BoolGrid
    ) -> FloatArray:
        """float64[12, 16]: the least so far, rising slowly; where nothing is seen as it was."""
        is_first = self._seen[row] == 0
        followed = np.where(is_first, newest, np.minimum(newest, least + rise * (newest - least)))
        self._seen[row] += ~is_unseen
        return np.where(is_unseen, least, followed)


def packed(parts: BoolGrid) -> str:
    """48 hex digits, row by row; "" where no part is true.

    >>> first = np.zeros((PART_ROWS, PART_COLUMNS), np.bool_)
    >>> packed(first)
    ''
    >>> first[0, 0] = True
    >>> packed(first)[:4], bool((unpacked(packed(first)) == first).all())
    ('8000', True)
    """
    return np.packbits(parts).tobytes().hex() if parts.any() else ""


def unpacked(text: str) -> BoolGrid:
    """Inverse of :func:`packed`.

    Raises:
        ValueError: if it is none of its texts.
    """
    if not text:
        return np.zeros((PART_ROWS, PART_COLUMNS), np.bool_)
    bits = np.unpackbits(np.frombuffer(bytes.fromhex(text), np.uint8))
    found: BoolGrid = bits.reshape(PART_ROWS, PART_COLUMNS).astype(np.bool_)
    return found


def _edges(length: int, parts: int) -> npt.NDArray[np.int64]:
    """Where each part begins."""
    found: npt.NDArray[np.int64] = np.arange(parts) * length // parts
    return found


def _part_sums(values: npt.NDArray[np.int32]) -> npt.NDArray[np.int64]:
    """int64[12, 16]: sums of integers, the same on each machine."""
    height, width = values.shape
    rows = np.add.reduceat(values, _edges(height, PART_ROWS), axis=0)
    found: npt.NDArray[np.int64] = np.add.reduceat(
        rows, _edges(width, PART_COLUMNS), axis=1, dtype=np.int64
    )
    return found


def _part_sizes(height: int, width: int) -> FloatArray:
    high = np.diff(np.append(_edges(height, PART_ROWS), height))
    wide = np.diff(np.append(_edges(width, PART_COLUMNS), width))
    return np.asarray(np.outer(high, wide), np.float64)


def _part_means(picture: npt.NDArray[Any]) -> FloatArray:
    return np.asarray(_part_sums(picture.astype(np.int32)) / _part_sizes(*picture.shape))


def _sampled(pixels: Image) -> Image:
    """uint8[h, w], pixels at even distances; of coloured ones the green."""
    step = max(1, max(pixels.shape[:2]) // _SAMPLED_PX)
    one = pixels if pixels.ndim == 2 else pixels[:, :, 1]
    return np.ascontiguousarray(one[step // 2 :: step, step // 2 :: step])


def _measured(fine: Image) -> PartMeasures:
    height, width = fine.shape[0] // 2, fine.shape[1] // 2
    even = fine[: 2 * height, : 2 * width]
    coarse = cv2.resize(even, (width, height), interpolation=cv2.INTER_AREA)
    values = np.asarray(coarse, np.int32)
    level, square = _part_means(values), _part_means(values * values)
    deviation = np.sqrt(np.maximum(square - level**2, 0.0))
    return PartMeasures(level=level, contrast=deviation / (level + _BRIGHTNESS_FLOOR))
