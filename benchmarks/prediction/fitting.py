"""The constants of a velocity model from tracks that were followed to the end."""

from __future__ import annotations

import numpy as np
from scipy.optimize import minimize

from benchmarks.prediction.calibration import track_weights
from benchmarks.prediction.constant_velocity import predict_constant_velocity
from benchmarks.prediction.trajectories import TrackHistory
from benchmarks.prediction.velocity_model import VelocityModel
from sightline.errors import UsageError
from sightline.records.windows import FloatArray, IntArray

MAX_EVALUATIONS = 1000
START = VelocityModel(drift_m2_s3=0.03, sway_sd_m_s=0.15, sway_memory_s=1.0, position_sd_m=0.05)
"""Where the search begins. The memory of the sway is not searched: it is one stride, about a
second. The likelihood hardly knows it (a drift and a long sway look alike), and what it would
choose differs from place to place."""
_STEP = 0.5


def fit_velocity_model(
    history: TrackHistory,
    truth_m: FloatArray,
    horizons_s: FloatArray,
    track_id: IntArray,
    *,
    with_sway: bool,
) -> VelocityModel:
    """Maximum likelihood of what came after, every track weighing the same.

    The likelihood is that of the Gaussian predictions at the given horizons, not of the next
    sample: a model is wanted that is right seconds ahead. Found by Nelder & Mead's simplex over
    the logarithms of the constants from a fixed start, so the same data give the same model.

    Give it those who walk: a model for those who stand is the second hypothesis of
    :func:`.predict_walking` and has no constants of its own.

    Args:
        history: n pasts.
        truth_m: float64[n, k, 2], where they were at the horizons.
        horizons_s: float64[k].
        track_id: int64[n], which track each is of.
        with_sway: False for the constant-velocity model.

    Raises:
        UsageError: if there is nothing to fit to.
    """
    if not len(history):
        raise UsageError(
            expected="at least one track",
            got="none",
            where="fit_velocity_model",
            action="record people who walk",
        )
    weight = track_weights(track_id)
    weight = weight / weight.sum()

    def model_of(logarithms: FloatArray) -> VelocityModel:
        drift, position, *sway = (float(value) for value in np.exp(logarithms))
        return VelocityModel(
            drift_m2_s3=drift,
            position_sd_m=position,
            sway_sd_m_s=sway[0] if sway else 0.0,
            sway_memory_s=START.sway_memory_s,
        )

    def cost(logarithms: FloatArray) -> float:
        ahead = predict_constant_velocity(history, horizons_s, model_of(logarithms))
        spread = np.linalg.det(ahead.covariance_m2)
        each = np.log(spread) + ahead.distance(truth_m) ** 2
        return float((weight[:, None] * each).sum())

    start = [START.drift_m2_s3, START.position_sd_m]
    start += [START.sway_sd_m_s] if with_sway else []
    begin = np.log(start)
    simplex = np.vstack([begin, begin + _STEP * np.eye(len(begin))])
    found = minimize(
        cost,
        begin,
        method="Nelder-Mead",
        options={
            "initial_simplex": simplex,
            "maxfev": MAX_EVALUATIONS,
            "xatol": 1e-2,
            "fatol": 1e-5,
        },
    )
    return model_of(found.x)
