"""Regions that hold what they promise: split conformal prediction on tracks of another place."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import log, sqrt

import numpy as np

from benchmarks.prediction.trajectories import Prediction
from sightline.errors import UsageError
from sightline.records.windows import FloatArray, IntArray

LEVELS = (0.5, 0.9, 0.95)
COVARIANCE_LEVEL = 0.9
"""The level at which the calibrated covariance, taken as a Gaussian's, is right: the tail is what
a safety margin is made of, and the distances have heavier tails than a Gaussian."""
WALKS, STANDS = 0, 1


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Regions:
    """Mahalanobis radii within which the truth was found on calibration tracks.

    Attributes:
        horizons_s: float64[k], ascending.
        levels: ascending, with ``COVARIANCE_LEVEL`` among them.
        radius: float64[2, k, levels]; the first row for those who walk, the second for those who
            stand (probability of standing at least 1/2).
        tracks: (walking, standing) tracks they were learnt from.
    """

    horizons_s: FloatArray
    levels: tuple[float, ...]
    radius: FloatArray
    tracks: tuple[int, int]


def learn_regions(
    prediction: Prediction,
    truth_m: FloatArray,
    track_id: IntArray,
    *,
    levels: tuple[float, ...] = LEVELS,
) -> Regions:
    """Radii from predictions whose outcome is known.

    Split conformal prediction (Vovk, Gammerman & Shafer 2005; Lei et al. 2018), by group
    (Mondrian: walks, stands) and horizon, with the Mahalanobis distance as score. Windows of one
    track are not independent, so each *track* counts one, however many windows it has; the radius
    of a level is the smallest whose share of T tracks reaches level · (T + 1) / T. For a new
    track from the same kind of place the region then holds the truth with at least that
    probability, on average over tracks. Another kind of place voids that promise.

    A group with too few tracks for the highest level takes the radii of all tracks together.

    Args:
        prediction: n predictions, made without having seen these tracks.
        truth_m: float64[n, k, 2], where they were.
        track_id: int64[n], which track each is of.
        levels: to learn, ascending, between 0 and 1, with ``COVARIANCE_LEVEL`` among them.

    Raises:
        UsageError: if a level is out of range, there are too few tracks for the highest (19 for
            0.95), or a prediction or an outcome is not finite.
    """
    ascends = tuple(sorted(set(levels))) == levels
    if COVARIANCE_LEVEL not in levels or not ascends or not 0 < levels[0] <= levels[-1] < 1:
        raise UsageError(
            expected=f"ascending levels between 0 and 1, {COVARIANCE_LEVEL} among them",
            got=str(levels),
            where="learn_regions",
            action=f"leave them out for {LEVELS}",
        )
    needed = int(np.ceil(levels[-1] / (1 - levels[-1]) - 1e-9))
    total = len(np.unique(track_id))
    if total < needed:
        raise UsageError(
            expected=f"at least {needed} tracks for the region of {levels[-1]:.0%}",
            got=str(total),
            where="learn_regions",
            action="record more tracks, or learn lower levels only",
        )
    distance = prediction.distance(truth_m)
    if not np.isfinite(distance).all():
        raise UsageError(
            expected="finite predictions and outcomes",
            got=f"{int((~np.isfinite(distance)).any(axis=1).sum())} tracks that are not",
            where="learn_regions",
            action="leave out tracks that were never seen, or not seen to the last horizon",
        )
    group = (prediction.stands >= 0.5).astype(int)
    everyone = _radii(distance, track_id, levels)
    radius, tracks = [], []
    for chosen in (group == WALKS, group == STANDS):
        tracks.append(len(np.unique(track_id[chosen])))
        own = tracks[-1] >= needed
        radius.append(_radii(distance[chosen], track_id[chosen], levels) if own else everyone)
    return Regions(
        horizons_s=prediction.horizons_s,
        levels=levels,
        radius=np.stack(radius),
        tracks=(tracks[WALKS], tracks[STANDS]),
    )


def calibrated(prediction: Prediction, regions: Regions) -> Prediction:
    """The same means, with covariances and radii that hold what they say.

    Between the horizons of ``regions`` radii are interpolated; before the first its radius is
    used.

    Raises:
        UsageError: if a horizon lies beyond the last of ``regions``.
    """
    asked = prediction.horizons_s
    if len(asked) and asked.max() > regions.horizons_s[-1] + 1e-9:
        raise UsageError(
            expected=f"horizons up to {regions.horizons_s[-1]} s, as calibrated",
            got=f"{asked.max()} s",
            where="calibrated",
            action="learn regions for that horizon, or use the prediction without",
        )
    at_level = [
        [np.interp(asked, regions.horizons_s, radius[:, i]) for i in range(len(regions.levels))]
        for radius in regions.radius
    ]
    group = (prediction.stands >= 0.5).astype(int)
    radius = np.asarray(at_level).transpose(0, 2, 1)[group]
    learnt = radius[:, :, regions.levels.index(COVARIANCE_LEVEL)]
    gaussian = sqrt(-2 * log(1 - COVARIANCE_LEVEL))  # of a Gaussian in two dimensions
    scale = learnt / gaussian
    return replace(
        prediction,
        covariance_m2=prediction.covariance_m2 * scale[:, :, None, None] ** 2,
        levels=regions.levels,
        radius=radius / scale[:, :, None],
    )


def track_weights(track_id: IntArray) -> FloatArray:
    """float64[n], 1 over the number of rows of the same track: every track weighs 1."""
    _, which, count = np.unique(track_id, return_inverse=True, return_counts=True)
    found: FloatArray = 1.0 / count[which]
    return found


def _radii(distance: FloatArray, track_id: IntArray, levels: tuple[float, ...]) -> FloatArray:
    """float64[k, levels], weighted quantiles of float64[n, k], one more track at infinity."""
    weight = track_weights(track_id)
    order = np.argsort(distance, axis=0, kind="stable")
    reached = np.cumsum(weight[order], axis=0) / (weight.sum() + 1)
    found = np.empty((distance.shape[1], len(levels)))
    for i, level in enumerate(levels):
        # The first score at which enough of the weight is reached; rounding must not skip one.
        first = np.argmax(reached >= level - 1e-9, axis=0)
        found[:, i] = np.take_along_axis(distance, order, axis=0)[first, range(len(first))]
    return found
