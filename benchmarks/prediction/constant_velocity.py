"""Constant velocity: the baseline that any other prediction has to beat."""

from __future__ import annotations

import numpy as np

from benchmarks.prediction.filtering import MotionState, filter_history
from benchmarks.prediction.trajectories import Prediction, TrackHistory
from benchmarks.prediction.velocity_model import VelocityModel
from sightline.errors import UsageError
from sightline.records.windows import FloatArray

MAX_HORIZON_S = 30.0
"""Farthest prediction; beyond a few seconds people have turned, stopped or gone."""
MAX_HORIZONS = 256
"""Horizons of one prediction."""

CONSTANT_VELOCITY = VelocityModel(drift_m2_s3=0.020, position_sd_m=0.053)
"""Fitted to those who walk in ETH and Hotel by ``fit_velocity_model`` without sway, to two digits.

Not what ETH and Hotel are scored with: there each place is predicted with the constants of the
other."""


def predict_constant_velocity(
    history: TrackHistory, horizons_s: FloatArray, model: VelocityModel = CONSTANT_VELOCITY
) -> Prediction:
    """Carry each track on with its filtered velocity; its spread grows as the filter says.

    That simple model is hard to beat on people: Schöller et al. (2020), "What the constant
    velocity model can teach us about pedestrian motion prediction", IEEE RA-L 5(2).

    Args:
        history: n tracks.
        horizons_s: float64[k], s from now.
        model: its sway, if it has one, is predicted too.

    Raises:
        UsageError: if a horizon is not between 0 and ``MAX_HORIZON_S``, or the history too long.

    >>> walked = np.array([[[0.4 * i, 0.0] for i in range(8)]])
    >>> past = TrackHistory(time_s=np.arange(-7, 1)[None] * 0.4, position_m=walked)
    >>> predict_constant_velocity(past, np.array([2.0])).position_m.round(1).tolist()
    [[[4.8, 0.0]]]
    """
    check_horizons(horizons_s)
    state = filter_history(history, model)
    ahead_s = state.age_s[:, None] + horizons_s
    position, covariance = carried(
        state,
        cruise_s=ahead_s,
        sway_s=model.sway_reach_s(ahead_s),
        noise_m2=model.noise(ahead_s)[..., 0, 0],
    )
    return Prediction(
        horizons_s=horizons_s,
        position_m=position,
        covariance_m2=covariance,
        stands=np.zeros(len(history)),
    )


def carried(
    state: MotionState, *, cruise_s: FloatArray, sway_s: FloatArray, noise_m2: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Position p + cruise_s · c + sway_s · u and its covariance.

    Args:
        state: n tracks: position p, cruising velocity c, sway u.
        cruise_s: float64[n, k], for how long the cruising velocity is carried on.
        sway_s: float64[n, k], the same for the sway.
        noise_m2: float64[n, k], variance per axis that the way there adds.

    Returns:
        float64[n, k, 2] in m and float64[n, k, 2, 2] in m².
    """
    p, c, u = state.mean[:, None, :2], state.mean[:, None, 2:4], state.mean[:, None, 4:]
    position = p + cruise_s[:, :, None] * c + sway_s[:, :, None] * u
    weight = np.stack([np.ones_like(cruise_s), cruise_s, sway_s], axis=2)
    blocks = state.covariance.reshape(-1, 3, 2, 3, 2)
    blocks = np.broadcast_to(blocks, (len(position), *blocks.shape[1:]))
    covariance = np.einsum("nki,niajb,nkj->nkab", weight, blocks, weight, optimize=True)
    found: FloatArray = covariance + noise_m2[:, :, None, None] * np.eye(2)
    return position, found


def check_horizons(horizons_s: FloatArray) -> None:
    """Raise a UsageError unless all are in (0, ``MAX_HORIZON_S``] and not too many."""
    is_fine = horizons_s.ndim == 1 and 1 <= len(horizons_s) <= MAX_HORIZONS
    if not is_fine or not ((horizons_s > 0) & (horizons_s <= MAX_HORIZON_S)).all():
        raise UsageError(
            expected=f"1 to {MAX_HORIZONS} horizons in (0, {MAX_HORIZON_S}] s",
            got=str(horizons_s),
            where="prediction",
            action="ask for less",
        )
