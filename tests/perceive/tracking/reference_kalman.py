"""The plain specification of :mod:`.kalman`: the same in NumPy, for all tracks at once.

State of a track: position and velocity on the plane, (x, y, vx, vy), with covariance. Size: the
logarithms of width and height, each a scalar filter of its own.
"""

from __future__ import annotations

import numpy as np
from scipy.optimize import linear_sum_assignment

from sightline.perceive.tracking.kalman import MAY_BE_FASTER, WALKS_WITHIN
from sightline.perceive.tracking.motion_plane import MIN_TRACKS, RECENT_S
from sightline.records.windows import FloatArray, IntArray

_FAR = 1e6
"""Stands for an impossible pair: above the sum of any costs."""


def predict(
    state: FloatArray,
    covariance: FloatArray,
    log_size: FloatArray,
    size_variance: FloatArray,
    dt_s: float,
    acceleration_m_s2: float,
    acceleration_share: float,
    assumed_height_m: float,
    size_drift: float,
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """State, covariance and variance of size ``dt_s`` later under white-noise acceleration.

    Bar-Shalom, Li & Kirubarajan, "Estimation with Applications to Tracking and Navigation", 2001,
    6.2.2 (continuous white-noise acceleration model).

    Args:
        state: float64[n, 4].
        covariance: float64[n, 4, 4].
        log_size: float64[n, 2].
        size_variance: float64[n, 2].
        dt_s: elapsed time.
        acceleration_m_s2: spread of the acceleration; at least
        acceleration_share: of what the own speed is above 4 m/s.
        assumed_height_m: what makes a box height metres on a plane in pixels; 0 where the plane is
            in metres.
        size_drift: change of log sizes, per square root of a second.
    """
    unit_per_m = np.ones(len(state))
    if assumed_height_m > 0:
        unit_per_m = np.exp(log_size[:, 1]) / assumed_height_m
    transition = np.eye(4)
    transition[0, 2] = transition[1, 3] = dt_s
    noise = np.zeros((4, 4))
    for axis in (0, 1):
        noise[axis, axis] = dt_s**3 / 3
        noise[axis, axis + 2] = noise[axis + 2, axis] = dt_s**2 / 2
        noise[axis + 2, axis + 2] = dt_s
    speed = np.hypot(state[:, 2], state[:, 3])
    faster = speed - 4.0 * unit_per_m
    power = np.maximum(acceleration_m_s2 * unit_per_m, acceleration_share * faster) ** 2
    grown = transition @ covariance @ transition.T + power[:, None, None] * noise
    return state @ transition.T, grown, size_variance + size_drift**2 * dt_s


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


def hardly_walkers(
    track_id: IntArray,
    hits: IntArray,
    state: FloatArray,
    covariance: FloatArray,
    position: FloatArray,
    spread: FloatArray,
    matched: IntArray,
) -> IntArray:
    """int64[k]: sightings that are the second of something new, hardly as a walker's.

    Args:
        track_id, hits, state, covariance: of n tracks, predicted; id 0 for what is new.
        position, spread: of m sightings, float64[m, 2] and [m, 2, 2].
        matched: int64[m], the track of each, -1 for none.
    """
    second = np.flatnonzero(matched >= 0)
    second = second[(hits[matched[second]] == 1) & (track_id[matched[second]] == 0)]
    off = position[second] - state[matched[second], :2]
    around = covariance[matched[second], :2, :2] + spread[second]
    distance = np.einsum("na,na->n", off, np.linalg.solve(around, off[..., None])[..., 0])
    found: IntArray = second[distance > MAY_BE_FASTER]
    return found


def start_from_two(
    state: FloatArray,
    covariance: FloatArray,
    log_size: FloatArray,
    *,
    position: FloatArray,
    spread: FloatArray,
    dt_s: float,
    start_speed_m_s: float,
    assumed_height_m: float,
    walks_within: float = WALKS_WITHIN,
) -> FloatArray:
    """float64[4, 4], the covariance of a track before it is seen for the second time.

    How fast something new moves is not known, only that walkers are the most common. So it is
    taken for one, unless the second sighting lies beyond ``walks_within``. Then the spread of its
    speed is what the two sightings show beyond what their own noise explains, and at least that of
    walkers: an empirical prior, so that the update takes the speed from the sightings.

    Args:
        state: float64[4], predicted.
        covariance: float64[4, 4] of it.
        log_size: float64[2].
        position: float64[2], the second sighting.
        spread: float64[2, 2] of it; the first is as far off.
        dt_s: between them.
        start_speed_m_s: spread of the speed of walkers.
        assumed_height_m: see :func:`predict`.
        walks_within: squared Mahalanobis distance.
    """
    off = position - state[:2]
    if off @ np.linalg.solve(covariance[:2, :2] + spread, off) <= walks_within:
        return covariance
    unit_per_m = 1.0
    if assumed_height_m > 0:
        unit_per_m = np.exp(log_size[1]) / assumed_height_m
    moved = (off**2).sum() - 2 * np.trace(spread)
    more = max(moved / dt_s**2 - (start_speed_m_s * unit_per_m) ** 2, 0.0)
    both = np.kron([[dt_s**2, dt_s], [dt_s, 1.0]], np.eye(2))
    found: FloatArray = covariance + more * both
    return found


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
    new_cost: float,
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
    likely = distance + np.log(determinant / np.linalg.det(spread))
    size = (seen_log_size[None] - log_size[:, None]) ** 2 / (size_variance[:, None] + size_sd**2)
    found: FloatArray = likely + size.sum(axis=2) / 2
    found += overlap_weight * (1 - overlap(box_px, seen_box_px))
    found[(distance > gate) | (likely > new_cost) | (size[:, :, 1] > size_gate**2)] = np.inf
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


def common_shift(
    state: FloatArray,
    covariance: FloatArray,
    track_id: IntArray,
    seen_ns: IntArray,
    now_ns: int,
    position: FloatArray,
    spread: FloatArray,
    matched: IntArray,
) -> FloatArray:
    """float64[2, 2], by how much confirmed tracks seen lately are off in x and y, and its variance.

    A mean weighted by variance, and robust: with the weights of Student's t with four degrees of
    freedom, iterated three times from the median (Lange, Little & Taylor, 1989). NaN for fewer than
    three tracks.

    Args:
        state: float64[n, 4].
        covariance: float64[n, 4, 4].
        track_id: int64[n], 0 until confirmed.
        seen_ns: int64[n].
        now_ns: capture time.
        position: float64[m, 2].
        spread: float64[m, 2, 2].
        matched: int64[m], the track of each sighting, -1 for none.
    """
    columns = np.flatnonzero(matched >= 0)
    counts = track_id[matched[columns]] > 0
    counts &= (now_ns - seen_ns[matched[columns]]) / 1e9 <= RECENT_S
    columns = columns[counts]
    rows = matched[columns]
    if len(rows) < MIN_TRACKS:
        return np.full((2, 2), np.nan)
    off = position[columns] - state[rows, :2]
    both = covariance[rows, :2, :2] + spread[columns]
    variance = both.diagonal(axis1=1, axis2=2)
    centre = np.median(off, axis=0)
    for _ in range(3):
        weight = 1 / (variance + (off - centre) ** 2 / 4)
        centre = (weight * off).sum(axis=0) / weight.sum(axis=0)
    return np.stack([centre, 1 / weight.sum(axis=0)])


def assign_in_rounds(
    cost: FloatArray, track_id: IntArray, score: FloatArray, high_score: float
) -> IntArray:
    """int64[m], the track of each detection, -1 for none; three rounds.

    Confirmed tracks (with an id) with scores of at least ``high_score``, confirmed tracks with
    lower ones, tracks to be confirmed with all; each with what the rounds before left over.

    Args:
        cost: float64[n, m], inf for what is impossible.
        track_id: int64[n], 0 until confirmed.
        score: float64[m].
        high_score: the least that is high.
    """
    found = np.full(len(score), -1, np.int64)
    is_confirmed, is_high = track_id > 0, score >= high_score
    for rows_in, columns_in in (
        (is_confirmed, is_high),
        (is_confirmed, ~is_high),
        (~is_confirmed, is_high | ~is_high),
    ):
        rows = np.setdiff1d(np.flatnonzero(rows_in), found)
        columns = np.flatnonzero(columns_in & (found < 0))
        part = cost[np.ix_(rows, columns)]
        a, b = linear_sum_assignment(np.where(np.isfinite(part), part, _FAR))
        is_possible = np.isfinite(part[a, b])
        found[columns[b[is_possible]]] = rows[a[is_possible]]
    return found
