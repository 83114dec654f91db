"""A background that learns: per pixel a mixture of Gaussians whose every number can be saved."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import exp, log
from typing import Any

import numpy as np
import numpy.typing as npt

from sightline.errors import LogError, UsageError
from sightline.perceive.detect.background_kernel import MODES, observe_pixels
from sightline.records.frames import Image

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
        hold_s: the same where something was detected, s: a person may stand this long.
        forget_s: the same where the background was found to be what is wrong, s.
        follow_s: time constant with which a mode follows small changes of its own level, s:
            daylight changes slowly. Not where something was detected, or the background would
            take on the colour of whoever stands there.
    """

    match_sigmas: float = 4.0
    noise_levels: float = 3.0
    first_noise_levels: float = 6.0
    most_noise_levels: float = 10.0
    background_share: float = 0.9
    shadow_floor: float = 0.5
    adapt_s: float = 10.0
    hold_s: float = 60.0
    forget_s: float = 0.5
    follow_s: float = 10.0

    def __post_init__(self) -> None:
        levels = (self.noise_levels, self.first_noise_levels, self.most_noise_levels)
        is_usable = (
            0 < levels[0] <= levels[1] <= levels[2]
            and 0 < self.background_share < 1
            and 0 < self.shadow_floor <= 1
            and min(self.match_sigmas, self.adapt_s, self.hold_s, self.forget_s, self.follow_s) > 0
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

    Not for moving cameras, nor for scenes whose light jumps as a whole: see :mod:`.exposure`.

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
        rates = [s.rate(t, elapsed_s) for t in (s.adapt_s, s.hold_s, s.forget_s)]
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
