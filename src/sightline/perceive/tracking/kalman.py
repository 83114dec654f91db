"""Compiled loops of the tracker; specified in :mod:`.kalman_reference`."""

from __future__ import annotations

import math

import numpy as np
from numba import types

from sightline.perceive.compiled import inner_loop, kernel
from sightline.records.windows import FloatArray, IntArray

_V = types.Array(types.float64, 1, "C", readonly=True)
_M = types.Array(types.float64, 2, "C", readonly=True)
_T = types.Array(types.float64, 3, "C", readonly=True)
_M_OUT = types.Array(types.float64, 2, "C")
_T_OUT = types.Array(types.float64, 3, "C")
_I = types.Array(types.int64, 1, "C", readonly=True)
_F = types.float64


@kernel(_M_OUT, _T_OUT, _V, _F)
def predict_in_place(
    state: FloatArray, covariance: FloatArray, acceleration: FloatArray, dt_s: float
) -> None:
    """:func:`.kalman_reference.predict`, written into its arguments."""
    q_pos = dt_s * dt_s * dt_s / 3
    q_mix = dt_s * dt_s / 2
    for i in range(len(state)):
        state[i, 0] += dt_s * state[i, 2]
        state[i, 1] += dt_s * state[i, 3]
        p = covariance[i]
        # F P: rows of position take up rows of velocity; then the same for columns.
        for column in range(4):
            p[0, column] += dt_s * p[2, column]
            p[1, column] += dt_s * p[3, column]
        for row in range(4):
            p[row, 0] += dt_s * p[row, 2]
            p[row, 1] += dt_s * p[row, 3]
        power = acceleration[i] * acceleration[i]
        for axis in range(2):
            p[axis, axis] += power * q_pos
            p[axis, axis + 2] += power * q_mix
            p[axis + 2, axis] += power * q_mix
            p[axis + 2, axis + 2] += power * dt_s


@inner_loop
def _update(
    state: FloatArray, covariance: FloatArray, position: FloatArray, spread: FloatArray
) -> None:
    """One track: float64[4], [4, 4], [2] and [2, 2]."""
    p = covariance
    s00 = p[0, 0] + spread[0, 0]
    s01 = p[0, 1] + spread[0, 1]
    s11 = p[1, 1] + spread[1, 1]
    determinant = s00 * s11 - s01 * s01
    gain = np.empty((4, 2))
    left = np.eye(4)
    half = np.empty((4, 4))
    for row in range(4):
        gain[row, 0] = (p[row, 0] * s11 - p[row, 1] * s01) / determinant
        gain[row, 1] = (p[row, 1] * s00 - p[row, 0] * s01) / determinant
    dx = position[0] - state[0]
    dy = position[1] - state[1]
    for row in range(4):
        state[row] += gain[row, 0] * dx + gain[row, 1] * dy
        left[row, 0] -= gain[row, 0]
        left[row, 1] -= gain[row, 1]
    for row in range(4):
        for column in range(4):
            total = 0.0
            for k in range(4):
                total += left[row, k] * p[k, column]
            half[row, column] = total
    for row in range(4):
        for column in range(row, 4):
            total = 0.0
            for k in range(4):
                total += half[row, k] * left[column, k]
            for a in range(2):
                for b in range(2):
                    total += gain[row, a] * spread[a, b] * gain[column, b]
            p[row, column] = total
            p[column, row] = total


@kernel(_M_OUT, _T_OUT, _M, _T)
def update_in_place(
    state: FloatArray, covariance: FloatArray, position: FloatArray, spread: FloatArray
) -> None:
    """:func:`.kalman_reference.update`, written into its arguments."""
    for i in range(len(state)):
        _update(state[i], covariance[i], position[i], spread[i])


@kernel(_M_OUT, _T_OUT, _M_OUT, _M_OUT, _M, _T, _M, _I, _F)
def take_in_place(  # noqa: PLR0917 - compiled functions take no keywords
    state: FloatArray,
    covariance: FloatArray,
    log_size: FloatArray,
    size_variance: FloatArray,
    position: FloatArray,
    spread: FloatArray,
    seen_log_size: FloatArray,
    track: IntArray,
    size_sd: float,
) -> None:
    """Filter each sighting into its track (-1: none): position and size."""
    for j in range(len(track)):
        i = track[j]
        if i < 0:
            continue
        _update(state[i], covariance[i], position[j], spread[j])
        for k in range(2):
            gain = size_variance[i, k] / (size_variance[i, k] + size_sd * size_sd)
            log_size[i, k] += gain * (seen_log_size[j, k] - log_size[i, k])
            size_variance[i, k] *= 1 - gain


@inner_loop
def _overlap(a: FloatArray, i: int, b: FloatArray, j: int) -> float:
    width = min(a[i, 2], b[j, 2]) - max(a[i, 0], b[j, 0])
    height = min(a[i, 3], b[j, 3]) - max(a[i, 1], b[j, 1])
    if not (width > 0 and height > 0):  # NaN too
        return 0.0
    shared = width * height
    area_a = (a[i, 2] - a[i, 0]) * (a[i, 3] - a[i, 1])
    area_b = (b[j, 2] - b[j, 0]) * (b[j, 3] - b[j, 1])
    return float(shared / (area_a + area_b - shared))


@kernel(_M, _T, _M, _M, _M, _M, _T, _M, _M, _F, _F, _F, _F)
def costs(  # noqa: PLR0917 - compiled functions take no keywords
    state: FloatArray,
    covariance: FloatArray,
    log_size: FloatArray,
    size_variance: FloatArray,
    box_px: FloatArray,
    position: FloatArray,
    spread: FloatArray,
    seen_log_size: FloatArray,
    seen_box_px: FloatArray,
    size_sd: float,
    gate: float,
    size_gate: float,
    overlap_weight: float,
) -> FloatArray:
    """:func:`.kalman_reference.costs`; what is far away is left before the logarithm."""
    n, m = len(state), len(position)
    found = np.full((n, m), np.inf)
    for i in range(n):
        v_width = size_variance[i, 0] + size_sd * size_sd
        v_height = size_variance[i, 1] + size_sd * size_sd
        for j in range(m):
            dx = position[j, 0] - state[i, 0]
            dy = position[j, 1] - state[i, 1]
            s00 = covariance[i, 0, 0] + spread[j, 0, 0]
            s11 = covariance[i, 1, 1] + spread[j, 1, 1]
            # Of a positive definite matrix the distance is at least that along either axis.
            if dx * dx > gate * s00 or dy * dy > gate * s11:
                continue
            s01 = covariance[i, 0, 1] + spread[j, 0, 1]
            determinant = s00 * s11 - s01 * s01
            distance = (dx * dx * s11 - 2 * dx * dy * s01 + dy * dy * s00) / determinant
            if not distance <= gate:
                continue
            d_height = seen_log_size[j, 1] - log_size[i, 1]
            height = d_height * d_height / v_height
            if not height <= size_gate * size_gate:
                continue
            d_width = seen_log_size[j, 0] - log_size[i, 0]
            width = d_width * d_width / v_width
            overlapping = _overlap(box_px, i, seen_box_px, j)
            found[i, j] = (
                distance
                + math.log(determinant)
                + (width + height) / 2
                + overlap_weight * (1 - overlapping)
            )
    return found
