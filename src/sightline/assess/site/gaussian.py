"""Measures with normal errors: probabilities, first-order propagation, speed over ground."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.special import ndtr

from sightline.records.windows import FloatArray


def probability_above(mean: FloatArray, std: FloatArray, limit: npt.ArrayLike) -> FloatArray:
    """float64[n]: probability that N(mean, std²) is at or above ``limit``.

    A standard deviation of 0, or a NaN one where nothing is known of it, means certainty: 1 or 0.
    NaN where the mean is NaN.

    >>> probability_above(np.array([1.0, 2.0]), np.array([1.0, 0.0]), 1.0).tolist()
    [0.5, 1.0]
    """
    excess = mean - np.asarray(limit, np.float64)
    is_spread = std > 0
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        score = excess / np.where(is_spread, std, 1.0)
        certain = np.where(np.isnan(excess), np.nan, np.where(excess >= 0, 1.0, 0.0))
    found: FloatArray = np.where(is_spread, ndtr(score), certain)
    return found


def std_along(covariance: FloatArray, gradient: FloatArray) -> FloatArray:
    """float64[n]: sqrt(gᵀ Σ g), first order, of float64[n, d, d] and float64[n, d].

    Rounding may leave a variance just below 0; it counts as 0.
    """
    variance = np.einsum("ni,nij,nj->n", gradient, covariance, gradient)
    found: FloatArray = np.sqrt(np.maximum(variance, 0.0))
    return found


def largest_std(covariance: FloatArray) -> FloatArray:
    """float64[n]: the standard deviation in the direction where it is largest.

    Args:
        covariance: float64[n, 2, 2], symmetric.
    """
    half_trace = (covariance[:, 0, 0] + covariance[:, 1, 1]) / 2
    half_difference = (covariance[:, 0, 0] - covariance[:, 1, 1]) / 2
    largest = half_trace + np.hypot(half_difference, covariance[:, 0, 1])
    found: FloatArray = np.sqrt(np.maximum(largest, 0.0))
    return found


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
