"""Compiled loops of the tracker's filter.

They are specified in ``tests/perceive/tracking/reference_kalman.py``.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
from numba import types

from sightline.perceive.compiled import inner_loop, kernel
from sightline.records.windows import FloatArray, IntArray

ClassArray = npt.NDArray[np.int32]

STEADY_M_S = 4.0
"""What drives among people keeps its speed about as well as they do."""
WALKS_WITHIN = 9.21
"""Squared Mahalanobis distance up to which a sighting that nothing was matched with is a walker's,
if it is the second of something new: who walks is seen further away once in a hundred times
(chi-square, two degrees)."""
MAY_BE_FASTER = 3.5
"""The same from which a matched one may be something faster's as well. What is nearer, and faster
all the same, is followed as a walker until its speed is known."""


_V = types.Array(types.float64, 1, "C", readonly=True)
_M = types.Array(types.float64, 2, "C", readonly=True)
_T = types.Array(types.float64, 3, "C", readonly=True)
_V_OUT = types.Array(types.float64, 1, "C")
_M_OUT = types.Array(types.float64, 2, "C")
_T_OUT = types.Array(types.float64, 3, "C")
_I = types.Array(types.int64, 1, "C", readonly=True)
_I_OUT = types.Array(types.int64, 1, "C")
_C = types.Array(types.int32, 1, "C", readonly=True)
_F = types.float64
_N = types.int64
_B = types.boolean


@kernel(_M_OUT, _T_OUT, _M, _M_OUT, _F, _F, _F, _F, _F)
def predict_in_place(  # noqa: PLR0917 - compiled functions take no keywords
    state: FloatArray,
    covariance: FloatArray,
    log_size: FloatArray,
    size_variance: FloatArray,
    dt_s: float,
    acceleration_m_s2: float,
    acceleration_share: float,
    assumed_height_m: float,
    size_drift: float,
) -> None:
    """``reference_kalman.predict``, written into its arguments."""
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
        unit_per_m = 1.0
        if assumed_height_m > 0:
            unit_per_m = math.exp(log_size[i, 1]) / assumed_height_m
        speed = math.sqrt(state[i, 2] * state[i, 2] + state[i, 3] * state[i, 3])
        faster = speed - STEADY_M_S * unit_per_m
        spread = max(acceleration_m_s2 * unit_per_m, acceleration_share * faster)
        power = spread * spread
        for axis in range(2):
            p[axis, axis] += power * q_pos
            p[axis, axis + 2] += power * q_mix
            p[axis + 2, axis] += power * q_mix
            p[axis + 2, axis + 2] += power * dt_s
            size_variance[i, axis] += size_drift * size_drift * dt_s


@inner_loop
def update_one(
    state: FloatArray, p: FloatArray, position: FloatArray, spread: FloatArray, gain: FloatArray
) -> None:
    """One track: float64[4], [4, 4], [2] and [2, 2]; ``gain`` is float64[4, 4] to work in.

    Joseph's form, (I - K H) P (I - K H)' + K R K', where H picks the first two of the state: each
    product with I - K H only takes away what the gain says of the first two rows or columns.
    """
    s00 = p[0, 0] + spread[0, 0]
    s01 = p[0, 1] + spread[0, 1]
    s11 = p[1, 1] + spread[1, 1]
    determinant = s00 * s11 - s01 * s01
    dx = position[0] - state[0]
    dy = position[1] - state[1]
    for row in range(4):
        gain[row, 0] = (p[row, 0] * s11 - p[row, 1] * s01) / determinant
        gain[row, 1] = (p[row, 1] * s00 - p[row, 0] * s01) / determinant
        gain[row, 2] = gain[row, 0] * spread[0, 0] + gain[row, 1] * spread[1, 0]
        gain[row, 3] = gain[row, 0] * spread[0, 1] + gain[row, 1] * spread[1, 1]
        state[row] += gain[row, 0] * dx + gain[row, 1] * dy
    for column in range(4):
        first, second = p[0, column], p[1, column]
        for row in range(4):
            p[row, column] -= gain[row, 0] * first + gain[row, 1] * second
    for row in range(4):
        first, second = p[row, 0], p[row, 1]
        for column in range(row, 4):
            total = p[row, column] - first * gain[column, 0] - second * gain[column, 1]
            total += gain[row, 2] * gain[column, 0] + gain[row, 3] * gain[column, 1]
            p[row, column] = total
    for row in range(4):
        for column in range(row):
            p[row, column] = p[column, row]


@inner_loop
def _distance(state: FloatArray, p: FloatArray, position: FloatArray, spread: FloatArray) -> float:
    """Squared Mahalanobis distance of one sighting from where a track is taken to be."""
    dx = position[0] - state[0]
    dy = position[1] - state[1]
    s00 = p[0, 0] + spread[0, 0]
    s01 = p[0, 1] + spread[0, 1]
    s11 = p[1, 1] + spread[1, 1]
    return float((dx * dx * s11 - 2 * dx * dy * s01 + dy * dy * s00) / (s00 * s11 - s01 * s01))


@kernel(_I, _I, _M, _T, _M, _T, _I)
def hardly_walkers(  # noqa: PLR0917 - compiled functions take no keywords
    track_id: IntArray,
    hits: IntArray,
    state: FloatArray,
    covariance: FloatArray,
    position: FloatArray,
    spread: FloatArray,
    matched: IntArray,
) -> IntArray:
    """``reference_kalman.hardly_walkers``."""
    found = np.empty(len(matched), np.int64)
    n = 0
    for j in range(len(matched)):
        i = matched[j]
        if i < 0 or hits[i] != 1 or track_id[i] > 0:
            continue
        if _distance(state[i], covariance[i], position[j], spread[j]) > MAY_BE_FASTER:
            found[n] = j
            n += 1
    return found[:n]


@inner_loop
def start_from_two(  # noqa: PLR0917 - compiled functions take no keywords
    state: FloatArray,
    p: FloatArray,
    log_height: float,
    position: FloatArray,
    spread: FloatArray,
    dt_s: float,
    start_speed_m_s: float,
    assumed_height_m: float,
    walks_within: float,
) -> None:
    """``reference_kalman.start_from_two`` of one track and one sighting, in place."""
    dx = position[0] - state[0]
    dy = position[1] - state[1]
    if _distance(state, p, position, spread) <= walks_within:
        return
    start = start_speed_m_s
    if assumed_height_m > 0:
        start *= math.exp(log_height) / assumed_height_m
    noise = 2 * (spread[0, 0] + spread[1, 1])
    more = (dx * dx + dy * dy - noise) / (dt_s * dt_s) - start * start
    if more > 0:
        for axis in range(2):
            p[axis, axis] += dt_s * dt_s * more
            p[axis, axis + 2] += dt_s * more
            p[axis + 2, axis] += dt_s * more
            p[axis + 2, axis + 2] += more


@inner_loop
def take_size(
    log_size: FloatArray, variance: FloatArray, seen_log_size: FloatArray, size_sd: float
) -> None:
    """One track, float64[2] each: width and height are filtered each by itself."""
    for k in range(2):
        share = variance[k] / (variance[k] + size_sd * size_sd)
        log_size[k] += share * (seen_log_size[k] - log_size[k])
        variance[k] *= 1 - share


@kernel(_M_OUT, _T_OUT, _M, _T)
def update_in_place(
    state: FloatArray, covariance: FloatArray, position: FloatArray, spread: FloatArray
) -> None:
    """``reference_kalman.update``, written into its arguments."""
    gain = np.empty((4, 4))
    for i in range(len(state)):
        update_one(state[i], covariance[i], position[i], spread[i], gain)


@kernel(
    _M_OUT, _T_OUT, _M_OUT, _M_OUT, _I_OUT, _V_OUT, _V_OUT, _I_OUT, _I_OUT,
    _M, _T, _M, _V, _V, _I, _F, _F, _F, _F, _N,
)  # fmt: skip
def take_in_place(  # noqa: PLR0917 - compiled functions take no keywords
    state: FloatArray,
    covariance: FloatArray,
    log_size: FloatArray,
    size_variance: FloatArray,
    hits: IntArray,
    evidence: FloatArray,
    score: FloatArray,
    seen_ns: IntArray,
    sighting: IntArray,
    position: FloatArray,
    spread: FloatArray,
    seen_log_size: FloatArray,
    seen_evidence: FloatArray,
    seen_score: FloatArray,
    matched: IntArray,
    size_sd: float,
    start_speed_m_s: float,
    assumed_height_m: float,
    walks_within: float,
    now_ns: int,
) -> None:
    """Filter each sighting into its track (``matched``, -1: none): position, size and the rest."""
    gain = np.empty((4, 4))
    for j in range(len(matched)):
        i = matched[j]
        if i < 0:
            continue
        if hits[i] == 1:
            start_from_two(
                state[i], covariance[i], log_size[i, 1], position[j], spread[j],
                (now_ns - seen_ns[i]) / 1e9, start_speed_m_s, assumed_height_m,
                walks_within,
            )  # fmt: skip
        update_one(state[i], covariance[i], position[j], spread[j], gain)
        take_size(log_size[i], size_variance[i], seen_log_size[j], size_sd)
        hits[i] += 1
        evidence[i] += seen_evidence[j]
        score[i] = seen_score[j]
        seen_ns[i] = now_ns
        sighting[i] = j


@inner_loop
def _overlap(a: FloatArray, b: FloatArray) -> float:
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    if not (width > 0 and height > 0):  # NaN too
        return 0.0
    shared = width * height
    area_a = (a[2] - a[0]) * (a[3] - a[1])
    area_b = (b[2] - b[0]) * (b[3] - b[1])
    return float(shared / (area_a + area_b - shared))


@kernel(_M, _T, _M, _M, _M, _I, _M, _T, _M, _M, _C, _B, _F, _F, _F, _F, _F)
def possible_pairs(  # noqa: PLR0915, PLR0917 - one loop; compiled functions take no keywords
    state: FloatArray,
    covariance: FloatArray,
    log_size: FloatArray,
    size_variance: FloatArray,
    box_px: FloatArray,
    class_id: IntArray,
    position: FloatArray,
    spread: FloatArray,
    seen_log_size: FloatArray,
    seen_box_px: FloatArray,
    seen_class_id: ClassArray,
    by_class: bool,
    size_sd: float,
    gate: float,
    new_cost: float,
    size_gate: float,
    overlap_weight: float,
) -> tuple[IntArray, IntArray, FloatArray]:
    """What is finite of ``reference_kalman.costs``: int64[k], int64[k], float64[k].

    Track, sighting and cost of each pair, in no particular order. Sightings are sorted along x, so
    that each track only meets those within its gate there.
    """
    n, m = len(state), len(position)
    along_x = np.argsort(position[:, 0], kind="mergesort")
    x, y, v_x, v_y = np.empty(m), np.empty(m), np.empty(m), np.empty(m)
    widest = 0.0
    for k in range(m):
        j = along_x[k]
        x[k], y[k] = position[j, 0], position[j, 1]
        v_x[k], v_y[k] = spread[j, 0, 0], spread[j, 1, 1]
        widest = max(widest, v_x[k])
    room = 4 * (n + m)
    track = np.empty(room, np.int64)
    seen = np.empty(room, np.int64)
    cost = np.empty(room)
    pairs = 0
    nearest = min(gate, new_cost)  # beyond it a pair costs more than something new
    for i in range(n):
        v_width = size_variance[i, 0] + size_sd * size_sd
        v_height = size_variance[i, 1] + size_sd * size_sd
        x_i, y_i = state[i, 0], state[i, 1]
        p00, p01, p11 = covariance[i, 0, 0], covariance[i, 0, 1], covariance[i, 1, 1]
        # Rounded outwards: the gate itself is below.
        reach = 1.000001 * math.sqrt(nearest * (p00 + widest))
        for k in range(np.searchsorted(x, x_i - reach), m):
            dx = x[k] - x_i
            if dx > reach:
                break
            dy = y[k] - y_i
            s00 = p00 + v_x[k]
            s11 = p11 + v_y[k]
            # Of a positive definite matrix the distance is at least that along either axis.
            if (dx * dx > nearest * s00) | (dy * dy > nearest * s11):
                continue
            j = along_x[k]
            if by_class and class_id[i] != seen_class_id[j]:
                continue
            s01 = p01 + spread[j, 0, 1]
            determinant = s00 * s11 - s01 * s01
            distance = (dx * dx * s11 - 2 * dx * dy * s01 + dy * dy * s00) / determinant
            if not distance <= nearest:
                continue
            d_height = seen_log_size[j, 1] - log_size[i, 1]
            height = d_height * d_height / v_height
            if not height <= size_gate * size_gate:
                continue
            own = spread[j, 0, 0] * spread[j, 1, 1] - spread[j, 0, 1] * spread[j, 0, 1]
            wider = math.log(determinant / own)
            if distance + wider > new_cost:
                continue
            d_width = seen_log_size[j, 0] - log_size[i, 0]
            width = d_width * d_width / v_width
            if pairs == room:
                room *= 2
                track = np.concatenate((track, np.empty(pairs, np.int64)))
                seen = np.concatenate((seen, np.empty(pairs, np.int64)))
                cost = np.concatenate((cost, np.empty(pairs)))
            overlapping = _overlap(box_px[i], seen_box_px[j])
            track[pairs], seen[pairs] = i, j
            cost[pairs] = (
                distance + wider + (width + height) / 2 + overlap_weight * (1 - overlapping)
            )
            pairs += 1
    return track[:pairs], seen[:pairs], cost[:pairs]
