"""Speed over ground with its uncertainty."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sightline.assess.site.gaussian import largest_std, probability_above, std_along
from sightline.records.windows import FloatArray


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Speed:
    """Speeds of n things.

    Attributes:
        mean_m_s: float64[n], the length of the velocity. Biased upwards while it is not large
            against ``std_m_s``: something that stands has a small speed, never 0.
        std_m_s: float64[n], along the velocity; the largest of any direction where it is 0.
    """

    mean_m_s: FloatArray
    std_m_s: FloatArray

    @classmethod
    def of(cls, velocity_m_s: FloatArray, covariance: FloatArray) -> Speed:
        """From float64[n, 2] in m/s and float64[n, 2, 2] in m²/s², first order.

        NaN velocities give NaN speeds. A NaN covariance gives a NaN standard deviation, which
        counts as none at all.

        >>> speed = Speed.of(np.array([[3.0, 4.0]]), np.eye(2)[None])
        >>> speed.mean_m_s.tolist(), speed.std_m_s.tolist()
        ([5.0], [1.0])
        """
        mean = np.hypot(velocity_m_s[:, 0], velocity_m_s[:, 1])
        moves = mean > 0
        direction = velocity_m_s / np.where(moves, mean, 1.0)[:, None]
        std = np.where(moves, std_along(covariance, direction), largest_std(covariance))
        return cls(mean_m_s=mean, std_m_s=std)

    def probability_above(self, limit_m_s: npt.ArrayLike) -> FloatArray:
        """float64[n]: probability of a speed at or above the limit."""
        return probability_above(self.mean_m_s, self.std_m_s, limit_m_s)
