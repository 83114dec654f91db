"""The present motion of tracks from their own past: a Kalman filter over all of them at once."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from benchmarks.prediction.trajectories import TrackHistory
from benchmarks.prediction.velocity_model import PARTS, VelocityModel
from sightline.errors import UsageError
from sightline.records.detections import BoolArray
from sightline.records.windows import FloatArray

MAX_HISTORY_SAMPLES = 128
"""Samples per track. The filter runs once over each, so this bounds its time."""
STATE = 2 * PARTS
EVIDENCE_S = 0.4
"""A sample this long after the last is a new piece of evidence on the spread. One that follows
sooner shares errors with its neighbour and counts in proportion, so that a fast or smoothed track,
which never surprises, does not pass for a sure one. It is the step of ETH and Hotel."""
_FIRST_SURPRISE = 2
"""The second sample sets the velocity; only the third can be a surprise."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class MotionState:
    """What the filter knows of n tracks at their last sample.

    Attributes:
        mean: float64[n, 6], position x, y, cruising velocity x, y, sway x, y, in m and m/s; NaN
            for a track never seen.
        covariance: float64[n, 6, 6], or float64[1, 6, 6] where all tracks share it.
        age_s: float64[n], time since the last sample, ≥ 0.
        surprise: float64[n], sum of the normalised innovations squared from the third sample on,
            each weighed by its time step, at most 1, in ``EVIDENCE_S``; as large as
            ``surprises`` on average where the model is right.
        surprises: float64[n], degrees of freedom of ``surprise``, two per weight.
    """

    mean: FloatArray
    covariance: FloatArray
    age_s: FloatArray
    surprise: FloatArray
    surprises: FloatArray


def filter_history(history: TrackHistory, model: VelocityModel) -> MotionState:
    """Run the Kalman filter of ``model`` over every track, oldest sample first.

    Exact for uneven and missing samples. Where all tracks have the same sample times and no
    covariances of their own the covariance is computed once for all.

    Raises:
        UsageError: if the history has more than ``MAX_HISTORY_SAMPLES`` samples, or none.
    """
    n, h = len(history), history.samples
    if not 1 <= h <= MAX_HISTORY_SAMPLES:
        raise UsageError(
            expected=f"1 to {MAX_HISTORY_SAMPLES} samples per track",
            got=str(h),
            where="filter_history",
            action="keep the newest, at the rate at which people move rather than the camera's",
        )
    seen, time_s = history.is_seen, history.time_s
    spread = _measured(history, model)
    if len(spread) == 1 and n and (seen == seen[0]).all() and (time_s == time_s[0])[seen].all():
        seen, time_s = seen[:1], time_s[:1]
    m = len(seen)
    prior = np.repeat(
        np.diag([0.0, 0.0, *(model.cruise_sd_m_s**2,) * 2, *(model.sway_sd_m_s**2,) * 2])[None],
        m,
        axis=0,
    )
    mean, covariance = np.full((n, STATE), np.nan), np.full((m, STATE, STATE), np.nan)
    last_s, count = np.full(m, np.nan), np.zeros(m)
    surprise, surprises = np.zeros(n), np.zeros(n)
    for i in range(h):
        now, noise = seen[:, i], spread[:, i]
        position = history.position_m[:, i]
        is_first, is_later = now & (count == 0), now & (count > 0)
        if is_later.any():
            step_s = np.where(is_later, time_s[:, i] - last_s, 0.0)
            ahead = _doubled(model.transition(step_s))
            expected = (ahead @ mean[:, :, None])[:, :, 0]
            wide = ahead @ covariance @ ahead.transpose(0, 2, 1) + _doubled(model.noise(step_s))
            innovation = (position - expected[:, :2])[:, :, None]
            inverse = _inverse(wide[:, :2, :2] + noise)
            gain = wide[:, :, :2] @ inverse
            unlikely = (innovation * (inverse @ innovation)).sum(axis=(1, 2))
            is_telling = is_later & (count >= _FIRST_SURPRISE)
            evidence = np.where(is_telling, np.minimum(step_s / EVIDENCE_S, 1.0), 0.0)
            surprise += evidence * np.where(is_telling, unlikely, 0.0)
            surprises += 2.0 * evidence
            mean = _where(is_later, expected + (gain @ innovation)[:, :, 0], mean)
            covariance = _where(is_later, wide - gain @ wide[:, :2, :], covariance)
        if is_first.any():
            start = np.zeros((n, STATE))
            start[:, :2] = position
            mean = _where(is_first, start, mean)
            begun = prior.copy()
            begun[:, :2, :2] = noise
            covariance = _where(is_first, begun, covariance)
        last_s = np.where(now, time_s[:, i], last_s)
        count = count + now
    return MotionState(
        mean=mean,
        covariance=(covariance + covariance.transpose(0, 2, 1)) / 2,
        age_s=np.broadcast_to(-last_s, (n,)).copy(),
        surprise=surprise,
        surprises=surprises,
    )


def _measured(history: TrackHistory, model: VelocityModel) -> FloatArray:
    if history.covariance_m2 is not None:
        return history.covariance_m2
    plain = model.position_sd_m**2 * np.eye(2)
    return np.broadcast_to(plain, (1, history.samples, 2, 2))


def _doubled(parts: FloatArray) -> FloatArray:
    """float64[m, 6, 6] of float64[m, 3, 3]: the same for x and y, which do not mix."""
    found = np.zeros((len(parts), STATE, STATE))
    found[:, 0::2, 0::2] = parts
    found[:, 1::2, 1::2] = parts
    return found


def _where(chosen: BoolArray, new: FloatArray, old: FloatArray) -> FloatArray:
    found: FloatArray = np.where(chosen.reshape(-1, *(1,) * (new.ndim - 1)), new, old)
    return found


def _inverse(matrix: FloatArray) -> FloatArray:
    a, b, d = matrix[:, 0, 0], matrix[:, 0, 1], matrix[:, 1, 1]
    adjugate = np.stack([np.stack([d, -b], axis=1), np.stack([-b, a], axis=1)], axis=1)
    found: FloatArray = adjugate / (a * d - b * b)[:, None, None]
    return found
