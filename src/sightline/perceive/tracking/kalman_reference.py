"""The plain specification of :mod:`.kalman`: the same in NumPy, for all tracks at once.

State of a track: position and velocity on the plane, (x, y, vx, vy), with covariance. Size: the
logarithms of width and height, each a scalar filter of its own.
"""

from __future__ import annotations

import numpy as np

from sightline.records.windows import FloatArray


def predict(
    state: FloatArray, covariance: FloatArray, acceleration: FloatArray, dt_s: float
) -> tuple[FloatArray, FloatArray]:
    """State and covariance ``dt_s`` later under white-noise acceleration.

    Bar-Shalom, Li & Kirubarajan, "Estimation with Applications to Tracking and Navigation", 2001,
    6.2.2 (continuous white-noise acceleration model).

    Args:
        state: float64[n, 4].
        covariance: float64[n, 4, 4].
        acceleration: float64[n], spread of the acceleration in plane units.
        dt_s: elapsed time.
    """
    transition = np.eye(4)
    transition[0, 2] = transition[1, 3] = dt_s
    noise = np.zeros((4, 4))
    for axis in (0, 1):
        noise[axis, axis] = dt_s**3 / 3
        noise[axis, axis + 2] = noise[axis + 2, axis] = dt_s**2 / 2
        noise[axis + 2, axis + 2] = dt_s
    grown = transition @ covariance @ transition.T + (acceleration**2)[:, None, None] * noise
    return state @ transition.T, grown


def update(
    state: FloatArray, covariance: FloatArray, position: FloatArray, spread: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """State and covariance after each track was seen at ``position``.

    Kalman's update in Joseph's form, which stays symmetric and positive.

    Args:
        state: float64[n, 4].
        covariance: float64[n, 4, 4].
        position: float64[n, 2].
        spread: float64[n, 2, 2], covariance of ``position``.
    """
    innovation = covariance[:, :2, :2] + spread
    gain = covariance[:, :, :2] @ np.linalg.inv(innovation)
    seen = state + np.einsum("nij,nj->ni", gain, position - state[:, :2])
    left = np.broadcast_to(np.eye(4), covariance.shape).copy()
    left[:, :, :2] -= gain
    surer = left @ covariance @ left.transpose(0, 2, 1) + gain @ spread @ gain.transpose(0, 2, 1)
    return seen, (surer + surer.transpose(0, 2, 1)) / 2


def costs(
    state: FloatArray,
    covariance: FloatArray,
    log_size: FloatArray,
    size_variance: FloatArray,
    box_px: FloatArray,
    *,
    position: FloatArray,
    spread: FloatArray,
    seen_log_size: FloatArray,
    seen_box_px: FloatArray,
    size_sd: float,
    gate: float,
    size_gate: float,
    overlap_weight: float,
) -> FloatArray:
    """float64[n, m], cost of every track being every sighting; inf where it cannot be.

    Twice the negative log likelihood of the sighting under the track, up to a constant: the squared
    Mahalanobis distance plus the log determinant of its covariance (without it, a track that was
    lost long ago, and could be anywhere, would win over one just seen), half the squared
    differences in log size, and ``overlap_weight`` for the share of the boxes that do not overlap.
    """
    residual = position[None] - state[:, None, :2]
    innovation = covariance[:, None, :2, :2] + spread[None]
    determinant = np.linalg.det(innovation)
    distance = np.einsum("nmi,nmij,nmj->nm", residual, np.linalg.inv(innovation), residual)
    size = (seen_log_size[None] - log_size[:, None]) ** 2 / (size_variance[:, None] + size_sd**2)
    found: FloatArray = distance + np.log(determinant) + size.sum(axis=2) / 2
    found += overlap_weight * (1 - overlap(box_px, seen_box_px))
    found[(distance > gate) | (size[:, :, 1] > size_gate**2)] = np.inf
    return found


def overlap(a_px: FloatArray, b_px: FloatArray) -> FloatArray:
    """float64[n, m], intersection over union of boxes float64[n, 4] and float64[m, 4]; NaN is 0."""
    low = np.maximum(a_px[:, None, :2], b_px[None, :, :2])
    high = np.minimum(a_px[:, None, 2:], b_px[None, :, 2:])
    shared = np.clip(high - low, 0, None).prod(axis=2)
    area_a = (a_px[:, 2:] - a_px[:, :2]).prod(axis=1)
    area_b = (b_px[:, 2:] - b_px[:, :2]).prod(axis=1)
    found: FloatArray = np.nan_to_num(shared / (area_a[:, None] + area_b[None] - shared), nan=0.0)
    return found
