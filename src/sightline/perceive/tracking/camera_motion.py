"""How the camera itself moved, from what all tracks have in common.

Without a camera model nothing says that the camera stands still. When it turns or shakes, every
track is off by the same shift, and the mean of what they are off tells it, the better the more
there are. How much the camera moves is learned from the same numbers: what the mean varies more
than chance lets it (covariance matching: Mehra, "Approaches to adaptive filtering", 1972). A camera
on a mast has none of that, and nothing is taken from its tracks.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numba import types

from sightline.perceive.compiled import kernel
from sightline.records.windows import FloatArray, IntArray

MIN_TRACKS = 3
"""Of fewer, one that turns would pass for the camera."""
RECENT_S = 0.3
"""Tracks seen within it count: the others have drifted by themselves."""

_M = types.Array(types.float64, 2, "C", readonly=True)
_T = types.Array(types.float64, 3, "C", readonly=True)
_I = types.Array(types.int64, 1, "C", readonly=True)
_FREEDOM = 4.0
_ROUNDS = 3


@kernel(_M, _T, _I, _I, types.int64, _M, _T, _I)
def common_shift(  # noqa: PLR0917 - compiled functions take no keywords
    state: FloatArray,
    covariance: FloatArray,
    track_id: IntArray,
    seen_ns: IntArray,
    now_ns: int,
    position: FloatArray,
    spread: FloatArray,
    matched: IntArray,
) -> FloatArray:
    """``reference_kalman.common_shift``."""
    off = np.empty((2, len(matched)))
    variance = np.empty((2, len(matched)))
    n = 0
    for j in range(len(matched)):
        i = matched[j]
        if i < 0 or track_id[i] == 0 or (now_ns - seen_ns[i]) / 1e9 > RECENT_S:
            continue
        for axis in range(2):
            off[axis, n] = position[j, axis] - state[i, axis]
            variance[axis, n] = covariance[i, axis, axis] + spread[j, axis, axis]
        n += 1
    found = np.full((2, 2), np.nan)
    if n < MIN_TRACKS:
        return found
    for axis in range(2):
        centre = float(np.median(off[axis, :n]))
        weights = 0.0
        for _ in range(_ROUNDS):
            total = weights = 0.0
            for k in range(n):
                d = off[axis, k] - centre
                weight = 1 / (variance[axis, k] + d * d / _FREEDOM)
                total += weight * off[axis, k]
                weights += weight
            centre = total / weights
        found[0, axis] = centre
        found[1, axis] = 1 / weights
    return found


@dataclass(slots=True)
class CameraMotion:
    """How much a camera moves between frames, as learned so far; everything in px, x and y.

    Attributes:
        variance_px2: variance of its shift from frame to frame.
        share: how much of a measured shift is the camera's; 0 where noise is the larger part.

    >>> motion = CameraMotion.none()
    >>> for shift_px in (0.5, -0.5, 9.0, -9.0):
    ...     motion.learn((shift_px, 0.0), (1.0, 1.0), dt_s=0.1, memory_s=1.0)
    >>> motion.is_moving, motion.share[1]
    (True, 0.0)
    """

    variance_px2: tuple[float, float]
    share: tuple[float, float]

    @classmethod
    def none(cls) -> CameraMotion:
        """A camera that stands still, for all that is known."""
        return cls(variance_px2=(0.0, 0.0), share=(0.0, 0.0))

    @property
    def is_moving(self) -> bool:
        """Whether it moves more than what can be measured."""
        return self.share != (0.0, 0.0)

    def learn(
        self,
        shift_px: tuple[float, float],
        noise_px2: tuple[float, float],
        *,
        dt_s: float,
        memory_s: float,
    ) -> None:
        """Take in a measured shift and the variance of that measurement."""
        (x, y), (noise_x, noise_y) = self.variance_px2, noise_px2
        fresh = 1 - math.exp(-dt_s / memory_s)
        x = max(x + fresh * (shift_px[0] * shift_px[0] - noise_x - x), 0.0)
        y = max(y + fresh * (shift_px[1] * shift_px[1] - noise_y - y), 0.0)
        self.variance_px2 = (x, y)
        self.share = (
            x / (x + noise_x) if x > noise_x else 0.0,
            y / (y + noise_y) if y > noise_y else 0.0,
        )
