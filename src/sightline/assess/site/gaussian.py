"""Probabilities of normally distributed measures, and first-order propagation into one."""

from __future__ import annotations

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
