"""A background that learns: per pixel a mixture of Gaussians, and light that changes as a whole."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import exp, log
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from numba import types

from sightline.errors import LogError, UsageError
from sightline.perceive.compiled import inner_loop, kernel
from sightline.records.frames import Image

MODES = 3
"""Gaussians per pixel: what is there, what comes and goes (leaves, tape), what is new."""

BACKGROUND, SHADOW, FOREGROUND = 0, 1, 2
"""What a pixel shows; values of a label image."""

_ONE = np.float32(1.0)
_ZERO = np.float32(0.0)

_F4 = npt.NDArray[np.float32]

_IMAGE = types.Array(types.uint8, 3, "C", readonly=True)
_CARE = types.Array(types.uint8, 2, "C", readonly=True)
_F4_IN = types.Array(types.float32, 1, "C", readonly=True)
_F4_3D = types.Array(types.float32, 3, "C")
_F4_4D = types.Array(types.float32, 4, "C")
_LABELS = types.Array(types.uint8, 2, "C")


@inner_loop
def _is_shadow(
    pixel: tuple[np.float32, np.float32, np.float32],
    mean: _F4,
    variance: _F4,
    weight: _F4,
    numbers: _F4,
) -> bool:
    """Whether a pixel is a darker version of a background mode; arrays of this pixel's modes."""
    match, share, shadow_floor = numbers[0], numbers[4], numbers[5]
    b, g, r = pixel
    before = _ZERO
    for k in range(MODES):
        if weight[k] <= _ZERO or before >= share:
            return False
        mb, mg, mr = mean[k, 0], mean[k, 1], mean[k, 2]
        along = b * mb + g * mg + r * mr
        whole = mb * mb + mg * mg + mr * mr
        if along < whole and along >= shadow_floor * whole and whole > _ZERO:
            light = along / whole
            db, dg, dr = b - light * mb, g - light * mg, r - light * mr
            aside = db * db + dg * dg + dr * dr
            if aside < match * variance[k] * light * light:
                return True
        before += weight[k]
    return False


@inner_loop
def _add_mode(  # noqa: PLR0917 - numba takes no keyword-only arguments
    pixel: tuple[np.float32, np.float32, np.float32],
    rate: np.float32,
    first: np.float32,
    mean: _F4,
    variance: _F4,
    weight: _F4,
) -> int:
    """Start a mode in the first free place, or in that of the least; where it is."""
    k = MODES - 1
    for j in range(MODES - 1, -1, -1):
        if weight[j] <= _ZERO:
            k = j
    weight[k] = rate
    mean[k, 0], mean[k, 1], mean[k, 2] = pixel
    variance[k] = first
    total = _ZERO
    for j in range(MODES):
        total += weight[j]
    for j in range(MODES):
        weight[j] /= total
    return k


@inner_loop
def _move_up(k: int, mean: _F4, variance: _F4, weight: _F4) -> None:
    """Move mode ``k`` before those that it outweighs."""
    while k > 0 and weight[k] > weight[k - 1]:
        for c in range(3):
            mean[k, c], mean[k - 1, c] = mean[k - 1, c], mean[k, c]
        variance[k], variance[k - 1] = variance[k - 1], variance[k]
        weight[k], weight[k - 1] = weight[k - 1], weight[k]
        k -= 1


@kernel(_IMAGE, _CARE, _F4_4D, _F4_3D, _F4_3D, _F4_IN, _F4_IN, _F4_IN, _LABELS)
def observe_pixels(  # noqa: PLR0917 - numba takes no keyword-only arguments
    image: npt.NDArray[np.uint8],
    care: npt.NDArray[np.uint8],
    mean: _F4,
    variance: _F4,
    weight: _F4,
    rates: _F4,
    follow: _F4,
    numbers: _F4,
    labels: npt.NDArray[np.uint8],
) -> None:
    """Label every pixel and update its modes in place; see the reference for the rules."""
    match, first, least, most, share = numbers[0], numbers[1], numbers[2], numbers[3], numbers[4]
    for y in range(image.shape[0]):
        for x in range(image.shape[1]):
            b = np.float32(image[y, x, 0])
            g = np.float32(image[y, x, 1])
            r = np.float32(image[y, x, 2])
            rate = rates[care[y, x]]
            hit = -1
            distance = _ZERO
            is_background = False
            before = _ZERO
            for k in range(MODES):
                if weight[y, x, k] <= _ZERO:
                    break
                db, dg, dr = b - mean[y, x, k, 0], g - mean[y, x, k, 1], r - mean[y, x, k, 2]
                distance = db * db + dg * dg + dr * dr
                if distance < match * variance[y, x, k]:
                    hit = k
                    is_background = before < share
                    break
                before += weight[y, x, k]

            if is_background:
                labels[y, x] = BACKGROUND
            elif _is_shadow((b, g, r), mean[y, x], variance[y, x], weight[y, x], numbers):
                labels[y, x] = SHADOW
            else:
                labels[y, x] = FOREGROUND

            for k in range(MODES):
                weight[y, x, k] *= _ONE - rate
            if hit >= 0:
                weight[y, x, hit] += rate
                step = min(_ONE, max(rate, follow[care[y, x]]) / weight[y, x, hit])
                mean[y, x, hit, 0] += step * (b - mean[y, x, hit, 0])
                mean[y, x, hit, 1] += step * (g - mean[y, x, hit, 1])
                mean[y, x, hit, 2] += step * (r - mean[y, x, hit, 2])
                spread = variance[y, x, hit] + step * (distance - variance[y, x, hit])
                variance[y, x, hit] = min(max(spread, least), most)
            elif rate > _ZERO:
                hit = _add_mode((b, g, r), rate, first, mean[y, x], variance[y, x], weight[y, x])
            if hit > 0:
                _move_up(hit, mean[y, x], variance[y, x], weight[y, x])


# --- the model ------------------------------------------------------------------------------------

LabelImage = npt.NDArray[np.uint8]
"""uint8[height, width]: BACKGROUND, SHADOW or FOREGROUND."""

CareImage = npt.NDArray[np.uint8]
"""uint8[height, width]: how fast each pixel takes up what it sees: ADAPT, HOLD or FORGET."""

ADAPT, HOLD, FORGET = 0, 1, 2

MAX_STEP_S = 1.0
"""Time one frame may teach, s. After a gap, what stands there is no more settled than that."""

CHANNELS = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class BackgroundSettings:
    """How the background is told from what is in front of it.

    Attributes:
        match_sigmas: a pixel belongs to a mode within this many standard deviations.
        noise_levels: least standard deviation of one channel, in grey levels of 0 to 255:
            what sensor and compression do to a pixel that shows the same thing.
        first_noise_levels: standard deviation assumed for a mode seen once.
        most_noise_levels: the largest; more would let a mode swallow everything.
        background_share: the modes seen most often, up to this share of the time, are background.
        shadow_floor: a shadow leaves at least this share of the light, 0 to 1; 1: no shadows.
        adapt_s: time after which something new that nobody recognised becomes background, s.
            Where something was detected nothing ever does: a person may stand for any time.
        forget_s: the same where the background was found to be what is wrong, s.
        follow_s: time constant with which a mode follows small changes of its own level, s:
            daylight changes slowly. Where something was detected, the background would take on the
            colour of whoever stands there: it follows the light of the whole picture instead.
    """

    match_sigmas: float = 4.0
    noise_levels: float = 3.0
    first_noise_levels: float = 6.0
    most_noise_levels: float = 10.0
    background_share: float = 0.9
    shadow_floor: float = 0.5
    adapt_s: float = 10.0
    forget_s: float = 0.5
    follow_s: float = 10.0

    def __post_init__(self) -> None:
        levels = (self.noise_levels, self.first_noise_levels, self.most_noise_levels)
        is_usable = (
            0 < levels[0] <= levels[1] <= levels[2]
            and 0 < self.background_share < 1
            and 0 < self.shadow_floor <= 1
            and min(self.match_sigmas, self.adapt_s, self.forget_s, self.follow_s) > 0
        )
        if not is_usable:
            raise UsageError(
                expected="times and sigmas > 0, 0 < noise <= first <= most, shares within 0 to 1",
                got=str(self),
                where="background settings",
                action="correct the value that is out of range",
            )

    def rate(self, becomes_background_s: float, elapsed_s: float) -> float:
        """Weight that one frame gives to what it shows.

        A new mode seen for time t weighs 1 - exp(-t / τ). It is background once the others weigh
        less than ``background_share``; τ is such that this happens at ``becomes_background_s``.
        """
        return _share(-becomes_background_s / log(self.background_share), elapsed_s)


def _share(tau_s: float, elapsed_s: float) -> float:
    """What an exponential average with time constant ``tau_s`` gives to the newest value."""
    return 1.0 - exp(-min(max(elapsed_s, 0.0), MAX_STEP_S) / tau_s)


class BackgroundModel:
    """What each pixel shows when nothing is in front of it, and how much it varies.

    Source: Stauffer & Grimson (1999), "Adaptive background mixture models for real-time
    tracking"; shadows: Prati et al. (2003), "Detecting moving shadows", after Horprasert et al.
    (1999). Own here: rates follow from capture time, differ by pixel, and the state is plain
    arrays (OpenCV's models cannot be written down).

    Not for moving cameras, nor for scenes whose light jumps as a whole: see :func:`light_gain`.

    >>> model = BackgroundModel(BackgroundSettings())
    >>> road = np.full((4, 5, 3), 120, np.uint8)
    >>> for _ in range(20):
    ...     labels = model.observe(road, elapsed_s=0.1)
    >>> walker = road.copy()
    >>> walker[:, 2] = 20
    >>> model.observe(walker, elapsed_s=0.1)[0].tolist()
    [0, 0, 2, 0, 0]
    """

    def __init__(self, settings: BackgroundSettings) -> None:
        self._settings = settings
        self._frames = 0
        self._mean = np.empty((0, 0, MODES, CHANNELS), np.float32)
        self._variance = np.empty((0, 0, MODES), np.float32)
        self._weight = np.empty((0, 0, MODES), np.float32)

    @property
    def frames(self) -> int:
        """Frames seen since the start or the last reset."""
        return self._frames

    @property
    def shape(self) -> tuple[int, int]:
        """(height, width) of the frames seen; (0, 0) before the first."""
        return self._weight.shape[0], self._weight.shape[1]

    @property
    def picture(self) -> npt.NDArray[np.float32]:
        """float32[height, width, 3], the likeliest background; a view, not to be written to."""
        return self._mean[:, :, 0]

    def reset(self) -> None:
        """Forget everything; the next frame is the background."""
        self._frames = 0

    def observe(
        self,
        image: Image,
        *,
        elapsed_s: float,
        care: CareImage | None = None,
        has_colour: bool = True,
    ) -> LabelImage:
        """Tell foreground from background, then learn from the image.

        Args:
            image: uint8[height, width, 3].
            elapsed_s: capture time since the image before, s.
            care: uint8[height, width], ADAPT, HOLD or FORGET; None: ADAPT everywhere.
            has_colour: False for three equal channels. A shadow is told by its colour, and in
                grey whatever is darker would be one; so then nothing is.

        Returns:
            uint8[height, width], 0 background, 1 shadow, 2 foreground.

        Raises:
            UsageError: if the image is of another size than those before; reset first.
        """
        if self._frames == 0:
            self._start(image)
        if image.shape != (*self.shape, CHANNELS):
            raise UsageError(
                expected=f"uint8[{self.shape[0]}, {self.shape[1]}, 3]",
                got=f"{image.dtype}{list(image.shape)}",
                where="background model",
                action="reset the model before frames of another size",
            )
        s = self._settings
        self._frames += 1
        rates = [s.rate(s.adapt_s, elapsed_s), 0.0, s.rate(s.forget_s, elapsed_s)]
        # A few frames are averaged in full; later ones by their share of follow_s.
        follow = max(1.0 / self._frames, _share(s.follow_s, elapsed_s))
        labels = np.empty(self.shape, np.uint8)
        observe_pixels(
            np.ascontiguousarray(image),
            np.zeros(self.shape, np.uint8) if care is None else np.ascontiguousarray(care),
            self._mean,
            self._variance,
            self._weight,
            np.array(rates, np.float32),
            np.array([follow, 0.0, follow], np.float32),
            self._numbers(has_colour),
            labels,
        )
        return labels

    def compare(self, image: Image, *, has_colour: bool = True) -> LabelImage:
        """Tell foreground from background, and learn nothing; as :meth:`observe`."""
        held = np.full(self.shape, HOLD, np.uint8)
        frames = self._frames
        labels = self.observe(image, elapsed_s=0.0, care=held, has_colour=has_colour)
        self._frames = frames
        return labels

    def adopt(self, image: Image, where: npt.NDArray[np.bool_]) -> None:
        """Take ``image`` for the background where ``where`` is true, as if nothing else had ever
        been there.

        Args:
            image: uint8[height, width, 3], in the light of the background.
            where: bool[height, width].
        """
        self._mean[where], self._variance[where], self._weight[where] = 0.0, 0.0, 0.0
        self._mean[where, 0] = image[where]
        self._variance[where, 0] = CHANNELS * self._settings.first_noise_levels**2
        self._weight[where, 0] = 1.0

    def relight(self, gain: float, *, elapsed_s: float, where: npt.NDArray[np.bool_]) -> None:
        """Let places follow the light of the whole picture, as the others follow their own.

        Args:
            gain: light of the image against the background's, as :func:`light_gain` says.
            elapsed_s: capture time since the image before, s.
            where: bool[height, width].
        """
        self._mean[where] *= np.float32(
            1.0 + _share(self._settings.follow_s, elapsed_s) * (gain - 1.0)
        )

    def arrays(self) -> dict[str, npt.NDArray[Any]]:
        """Copies of all there is to know besides ``frames``; see :meth:`restore`."""
        return {
            "mean": self._mean.copy(),
            "variance": self._variance.copy(),
            "weight": self._weight.copy(),
        }

    def restore(self, frames: int, arrays: Mapping[str, npt.NDArray[Any]]) -> None:
        """Become the model that had seen ``frames`` and whose :meth:`arrays` these are.

        Raises:
            LogError: if an array is missing or of another shape.
        """
        try:
            mean, variance, weight = (
                np.array(arrays[name], np.float32, order="C")
                for name in ("mean", "variance", "weight")
            )
        except (KeyError, ValueError, TypeError) as error:
            raise _unusable(f"{type(error).__name__}: {error}") from error
        is_whole = (
            weight.ndim == 3
            and weight.shape[2] == MODES
            and variance.shape == weight.shape
            and mean.shape == (*weight.shape, CHANNELS)
        )
        if not is_whole:
            raise _unusable(f"shapes {mean.shape}, {variance.shape}, {weight.shape}")
        self._mean, self._variance, self._weight = mean, variance, weight
        self._frames = frames

    def _start(self, image: Image) -> None:
        height, width = image.shape[:2]
        self._mean = np.zeros((height, width, MODES, CHANNELS), np.float32)
        self._variance = np.zeros((height, width, MODES), np.float32)
        self._weight = np.zeros((height, width, MODES), np.float32)
        self._mean[:, :, 0] = image
        self._variance[:, :, 0] = CHANNELS * self._settings.first_noise_levels**2
        self._weight[:, :, 0] = 1.0

    def _numbers(self, has_colour: bool) -> npt.NDArray[np.float32]:
        """What the kernel needs, in its order."""
        s = self._settings
        return np.array(
            [
                s.match_sigmas**2,
                CHANNELS * s.first_noise_levels**2,
                CHANNELS * s.noise_levels**2,
                CHANNELS * s.most_noise_levels**2,
                s.background_share,
                s.shadow_floor if has_colour else 1.0,
            ],
            np.float32,
        )


def _unusable(got: str) -> LogError:
    return LogError(
        expected="the arrays of a background model",
        got=got,
        where="background model, restore",
        action="delete the checkpoint; the model starts again from the next frame",
    )


# --- light that changes everywhere at once --------------------------------------------------------

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


def brightness(picture: npt.NDArray[np.float32]) -> float:
    """Grey levels of the background as a whole, 0 to 255: the median over sampled pixels.

    >>> brightness(np.full((64, 64, 3), 20, np.float32))
    20.0
    """
    sampled = picture[::GRID_PX, ::GRID_PX]
    return float(np.median(sampled.sum(axis=2, dtype=np.float32)) / picture.shape[2])


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
