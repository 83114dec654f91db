"""What a camera usually shows: texture, sharpness and edges of its picture, in blocks.

Each picture is measured on a shrunk copy; means over capture time that forget exponentially are
what it is compared with.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated

import cv2
import numpy as np
import numpy.typing as npt
from pydantic import AfterValidator

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


FLAT_CONTRAST = 0.05
"""Contrast below which nothing can be told apart (WMO-No. 8, 9.1)."""

_KEPT_QUANTILE = 0.75
_LOST_CONTRAST = 0.25  # of the usual level
_LEAST_TEXTURED = ROWS * COLUMNS // 8
_LASTING = 0.5
"""Length of a mean direction beyond which an edge lasts: it was there most of the time."""
_LEAST_LASTING_SHARE = 0.005
_LEAST_AGREEMENT = 0.2
"""Usual agreement that is clearly above the 0 of chance."""
_LEAST_GAIN = 0.1
"""Part of the usual agreement by which a shift must be better than none."""
_SMALLEST = 1e-9  # keeps the logarithm of an even block finite
_REFERENCE_STEP_S = 1.0
"""How often the reference takes a picture: it is slow, and its transform costs."""
_LONGEST_STEP_S = 1.0
"""Time one frame may count for, so that the first one after an outage does not weigh most."""


class UsualView:
    """Means over capture time that forget exponentially.

    During the first time constant they are plain means of what was seen so far.

    Args:
        level_s: time constant of contrast, sharpness and agreement.
        reference_s: time constant of the edges.
        learn_s: how long to watch before there is a usual level.
    """

    def __init__(self, *, level_s: float, reference_s: float, learn_s: float) -> None:
        self._level_s = level_s
        self._reference_s = reference_s
        self._learn_s = learn_s
        self.forget()

    def forget(self) -> None:
        """Begin anew."""
        self._watched_s = 0.0
        self._log_contrast = np.zeros((ROWS, COLUMNS))
        self._log_sharpness = np.zeros((ROWS, COLUMNS))
        self._agreement = 0.0
        self._unseen_s = 0.0  # watched since the reference took its last picture
        self._reference: Directions = np.zeros((2, 0, 0), np.float32)
        self._lasting: npt.NDArray[np.complex64] | None = None

    @property
    def is_learnt(self) -> bool:
        """Whether it was watched for ``learn_s``."""
        return self._watched_s >= self._learn_s

    @property
    def usual_agreement(self) -> float:
        """Usual agreement of edges; NaN until learnt, and where it is hardly above chance."""
        is_usable = self.is_learnt and self._agreement >= _LEAST_AGREEMENT
        return self._agreement if is_usable else float("nan")

    def flat_share(self, seen: PictureMeasures) -> float:
        """Share of the usually textured blocks that have lost their texture, 0 to 1.

        Before a level is learnt: share of all blocks without texture. NaN where the view usually
        has hardly any texture.
        """
        is_flat = seen.contrast < FLAT_CONTRAST
        if not self.is_learnt:
            return float(is_flat.mean())
        is_textured = self._is_textured()
        if np.count_nonzero(is_textured) < _LEAST_TEXTURED:
            return float("nan")
        is_lost = is_flat | (seen.contrast < _LOST_CONTRAST * np.exp(self._log_contrast))
        return float(is_lost[is_textured].mean())

    def sharpness_ratio(self, seen: PictureMeasures) -> float:
        """Sharpness over its usual level; NaN as above.

        Of the usually sharper half of the textured blocks (the others hold more noise than
        detail) the upper quartile: a bad focus takes detail everywhere, a thing that leaves only
        where it was.
        """
        is_textured = self._is_textured()
        if not self.is_learnt or np.count_nonzero(is_textured) < _LEAST_TEXTURED:
            return float("nan")
        usual = self._log_sharpness[is_textured]
        log_ratio = np.log(seen.sharpness[is_textured] + _SMALLEST) - usual
        return float(np.exp(np.quantile(log_ratio[usual >= np.median(usual)], _KEPT_QUANTILE)))

    def edges_in_place(self, seen: PictureMeasures) -> tuple[float, float]:
        """How well the edges agree with the lasting ones, and how far the picture has shifted.

        Orientation correlation: the cross-correlation, over all shifts, of the unit vectors
        across the edges, by the Fourier transform.

        Returns:
            Agreement: mean cosine at no shift, weighted by how lasting the edges are; 1: all in
            place, 0: as by chance; NaN where there are hardly any lasting edges. Shift: length of
            the shift with the best agreement, in parts of the picture's longer side; 0 where none
            is clearly better than no shift; NaN where the view is not recognised at any shift, or
            its usual agreement is not known.
        """
        if self._lasting is None or self._reference.shape != seen.directions.shape:
            return float("nan"), float("nan")
        shape = seen.directions.shape[1:]
        spectrum = (np.fft.rfft2(seen.directions) * self._lasting).sum(axis=0)
        along = np.fft.irfft2(spectrum, s=shape)
        agreement, best = float(along[0, 0]), int(along.argmax())
        usual, found = self.usual_agreement, float(along.flat[best])
        # Not below half the usual, where chance begins to be as near: else it is another view.
        if not found >= usual / 2:
            return agreement, float("nan")
        # Along a straight edge every shift is as good as none (the aperture problem).
        if found - agreement < _LEAST_GAIN * usual:
            return agreement, 0.0
        down, right = divmod(best, shape[1])
        down, right = min(down, shape[0] - down), min(right, shape[1] - right)
        return agreement, math.hypot(down, right) / max(shape)

    def learn(self, seen: PictureMeasures, *, agreement: float, passed_s: float) -> None:
        """Let a picture of a camera that is well count as usual.

        Args:
            seen: the picture.
            agreement: its :meth:`edges_in_place`.
            passed_s: capture time since the one before.
        """
        step_s = min(max(passed_s, 0.0), _LONGEST_STEP_S)
        self._watched_s = min(self._watched_s + step_s, max(self._level_s, self._reference_s))
        share = _share(step_s, min(self._watched_s, self._level_s))
        self._log_contrast += share * (np.log(seen.contrast + _SMALLEST) - self._log_contrast)
        self._log_sharpness += share * (np.log(seen.sharpness + _SMALLEST) - self._log_sharpness)
        if np.isfinite(agreement):
            self._agreement += share * (agreement - self._agreement)
        self._unseen_s += step_s
        if self._reference.shape != seen.directions.shape:
            self._reference = seen.directions.copy()
        elif self._unseen_s >= _REFERENCE_STEP_S:
            share = _share(self._unseen_s, min(self._watched_s, self._reference_s))
            self._reference += np.float32(share) * (seen.directions - self._reference)
        else:
            return
        self._unseen_s = 0.0
        self._find_lasting()

    def snapshot(self) -> dict[str, npt.NDArray[np.generic]]:
        """State as arrays."""
        return {
            "levels": np.array([self._watched_s, self._unseen_s, self._agreement]),
            "log_contrast": self._log_contrast.copy(),
            "log_sharpness": self._log_sharpness.copy(),
            "reference": self._reference.copy(),
        }

    def restore(self, arrays: Mapping[str, npt.NDArray[np.generic]]) -> None:
        """Inverse of :meth:`snapshot`."""
        levels = arrays["levels"].astype(np.float64).tolist()
        self._watched_s, self._unseen_s, self._agreement = levels
        self._log_contrast = arrays["log_contrast"].astype(np.float64)
        self._log_sharpness = arrays["log_sharpness"].astype(np.float64)
        self._reference = arrays["reference"].astype(np.float32)
        self._find_lasting()

    def _find_lasting(self) -> None:
        """Follow the reference with what is computed from it."""
        weight = np.sqrt(self._reference[0] ** 2 + self._reference[1] ** 2)
        is_lasting = weight >= _LASTING
        self._lasting = None
        if np.count_nonzero(is_lasting) > _LEAST_LASTING_SHARE * weight.size:
            # The reference's own length is the weight already.
            spectrum: npt.NDArray[np.complex64] = np.conj(
                np.fft.rfft2(self._reference * is_lasting)
            )
            self._lasting = spectrum / np.float32(weight[is_lasting].sum())

    def _is_textured(self) -> npt.NDArray[np.bool_]:
        return np.asarray(self._log_contrast >= np.log(FLAT_CONTRAST))


def _share(step_s: float, over_s: float) -> float:
    """Weight of the newest in a mean over ``over_s``; all of it where there is nothing yet."""
    return step_s / over_s if over_s > 0 else 1.0


# --- the print of a view --------------------------------------------------------------------------
# The print of a view: so little of a picture that it fits a line, and enough to tell its camera.
#
# ``sightline init`` writes one beside each camera; a run that is given another camera's pictures
# can then say so. It is made of edges, which stay where they are by night and in the sun: somebody
# who walks by, or another light, hardly changes it, while another place has its edges elsewhere.

_LEVELS = 7  # to each side of none: one hex digit, 1 to f
_LEAST_MEAN = 0.02
"""Length of the mean direction of edges in some block, below which a picture has no edges."""
_DIGITS = 2 * ROWS * COLUMNS
"""A digit for each of x and y of each block; 8: none."""


def _as_written(text: str) -> str:
    if not re.fullmatch(rf"[1-9a-f]{{{_DIGITS}}}", text):
        raise ValueError(f"the {_DIGITS} digits that `sightline init` writes of a camera")
    return text


ViewPrint = Annotated[str, AfterValidator(_as_written)]
"""A print as text, in a pipeline file."""


def view_print(pixels: Image) -> str | None:
    """The mean direction across the edges in each of 6 x 8 blocks, as 96 hex digits.

    Args:
        pixels: uint8[height, width, 3] (blue, green, red) or uint8[height, width].

    Returns:
        None where the picture is too small (below about 48 px) or has hardly an edge.

    >>> view_print(np.zeros((120, 160), np.uint8)) is None
    True
    """
    seen = measure_picture(pixels)
    if seen is None:
        return None
    means = np.stack([_means_of_blocks(part) for part in seen.directions])
    longest = float(np.abs(means).max())
    if longest < _LEAST_MEAN:
        return None
    digits = np.rint(means / longest * _LEVELS).astype(int) + _LEVELS + 1
    return "".join(f"{digit:x}" for digit in digits.ravel().tolist())


def likeness(one: str, other: str) -> float:
    """How alike two views are by their prints: 1 the same, about 0 two places, -1 the opposite.

    >>> likeness("f8" * 48, "f8" * 48), likeness("f8" * 48, "8f" * 48)
    (1.0, 0.0)
    """
    a, b = _directions(one), _directions(other)
    size = float(np.linalg.norm(a) * np.linalg.norm(b))
    return round(float(a @ b) / size, 6) if size else 0.0


def _directions(text: str) -> FloatArray:
    return np.array([int(digit, 16) - _LEVELS - 1 for digit in text], np.float64)


def _means_of_blocks(values: npt.NDArray[np.float32]) -> FloatArray:
    """float64[6, 8]; what is left over at the right and lower edge is not looked at."""
    high, wide = values.shape[0] // ROWS, values.shape[1] // COLUMNS
    even = values[: high * ROWS, : wide * COLUMNS]
    return np.asarray(even.reshape(ROWS, high, COLUMNS, wide).mean(axis=(1, 3)), np.float64)
