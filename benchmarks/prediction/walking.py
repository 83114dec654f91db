"""People walk or stand: they hardly ever go at a crawl, and so a crawl is not carried on."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import ndtr

from benchmarks.prediction.constant_velocity import carried, check_horizons
from benchmarks.prediction.filtering import MotionState, filter_history
from benchmarks.prediction.trajectories import Prediction, TrackHistory
from benchmarks.prediction.velocity_model import VelocityModel
from sightline.errors import UsageError
from sightline.records.windows import FloatArray


@dataclass(frozen=True, slots=True, kw_only=True)
class WalkingModel:
    """The constants of :func:`predict_walking`.

    Attributes:
        velocity: how velocities change.
        slowest_walk_m_s: slower than this is standing. Half of the 0.8 m/s of slow pedestrians
            for which crossings are built (free walking: 1.34 ± 0.26 m/s, Weidmann 1993,
            "Transporttechnik der Fussgänger"). 0 for what can crawl, such as vehicles.
        prior_surprises: weight of the model against a track's own past when its spread is
            judged, in degrees of freedom, two per sample and ``EVIDENCE_S``; > 0.

    Raises:
        UsageError: if a number is out of range.
    """

    velocity: VelocityModel
    slowest_walk_m_s: float = 0.4
    prior_surprises: float = 8.0

    def __post_init__(self) -> None:
        if not (0 <= self.slowest_walk_m_s < np.inf and 0 < self.prior_surprises < np.inf):
            raise UsageError(
                expected="slowest_walk_m_s at least 0, prior_surprises above 0, both finite",
                got=f"{self.slowest_walk_m_s}, {self.prior_surprises}",
                where="walking model",
                action="mend them, or leave them out",
            )


WALKING = WalkingModel(
    velocity=VelocityModel(
        drift_m2_s3=0.014, sway_sd_m_s=0.11, sway_memory_s=1.0, position_sd_m=0.046
    )
)
"""Fitted to those who walk in ETH and Hotel by ``fit_velocity_model``, to two digits."""


def predict_walking(
    history: TrackHistory, horizons_s: FloatArray, model: WalkingModel = WALKING
) -> Prediction:
    """Predict people by two hypotheses, weighed by each track's own past.

    1. *Walks*: the cruising velocity is kept, the sway about it dies out.
    2. *Stands*: there is no cruising velocity; all motion seen is sway and dies out.

    The weight of the second is the probability that the true cruising speed is below
    ``slowest_walk_m_s``, from the filter's mean and spread. The two Gaussians are merged into one
    of the same mean and covariance. Then the covariance is multiplied by how surprising the
    track's own past was, (prior + surprise) / (prior + its degrees of freedom): the posterior
    mean of a variance with an inverse-gamma prior, up to a constant. So an erratic child, or a
    jittery camera, gets wider regions than a model fitted elsewhere would give.

    Does not know: goals, walls, other people, traffic lights.

    Args:
        history: n tracks; one to four seconds at two or more samples per second serve best.
        horizons_s: float64[k], s from now, at most ``MAX_HORIZON_S``.
        model: the constants.

    Raises:
        UsageError: if a horizon is out of bounds, or the history too long.

    >>> crawled = np.array([[[0.04 * i, 0.0] for i in range(8)]])
    >>> past = TrackHistory(time_s=np.arange(-7, 1)[None] * 0.4, position_m=crawled)
    >>> ahead = predict_walking(past, np.array([4.8]))
    >>> bool(ahead.stands[0] > 0.9), bool(ahead.position_m[0, 0, 0] < 0.28 + 0.2)
    (True, True)
    """
    check_horizons(horizons_s)
    state = filter_history(history, model.velocity)
    ahead_s = state.age_s[:, None] + horizons_s
    sway_s = model.velocity.sway_reach_s(ahead_s)
    walk, walk_spread = carried(
        state,
        cruise_s=ahead_s,
        sway_s=sway_s,
        noise_m2=model.velocity.noise(ahead_s)[..., 0, 0],
    )
    stand, stand_spread = carried(
        state, cruise_s=sway_s, sway_s=sway_s, noise_m2=model.velocity.sway_noise_m2(ahead_s)
    )
    stands = _standing(state, model.slowest_walk_m_s)
    p = stands[:, None, None]
    apart = walk - stand
    between = (p * (1 - p))[..., None] * apart[..., :, None] * apart[..., None, :]
    covariance = (1 - p)[..., None] * walk_spread + p[..., None] * stand_spread + between
    prior = model.prior_surprises
    surprising = (prior + state.surprise) / (prior + state.surprises)
    return Prediction(
        horizons_s=horizons_s,
        position_m=(1 - p) * walk + p * stand,
        covariance_m2=covariance * surprising[:, None, None, None],
        stands=stands,
    )


def _standing(state: MotionState, slowest_walk_m_s: float) -> FloatArray:
    """float64[n], probability that the cruising speed is below ``slowest_walk_m_s``.

    The speed is taken as normal about the root of the mean square; the exact law (Rice's) agrees
    closely once a track has been seen for a second.
    """
    if slowest_walk_m_s <= 0:
        return np.zeros(len(state.mean))
    variance = (state.covariance[:, 2, 2] + state.covariance[:, 3, 3]) / 2
    speed = np.sqrt((state.mean[:, 2:4] ** 2).sum(axis=1) + variance)
    found: FloatArray = ndtr((slowest_walk_m_s - speed) / np.sqrt(variance))
    return found
