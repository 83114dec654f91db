"""How good predictions are: learnt in one place, tested in another, beside constant velocity."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.prediction import (
    Regions,
    VelocityModel,
    WalkingModel,
    calibrated,
    fit_velocity_model,
    learn_regions,
    predict_constant_velocity,
    predict_walking,
)
from benchmarks.prediction.calibration import LEVELS, track_weights
from benchmarks.prediction.scenes import (
    FUTURE_SAMPLES,
    GRID_S,
    HORIZONS_S,
    PAST_SAMPLES,
    STEP_S,
    Walks,
    read_pets,
    read_scenes,
)
from benchmarks.prediction.trajectories import Prediction, TrackHistory
from sightline.errors import UsageError
from sightline.records.windows import FloatArray, IntArray

REPORTED_S = (1.0, 2.0, 4.8)
FITTED_S = (0.8, 2.0, 4.8)
"""Horizons whose likelihood the constants are fitted by."""
METHODS = ("last_step", "constant_velocity", "walking")
"""The last step repeated; the filtered velocity kept; :func:`.predict_walking`."""
BASELINE = "constant_velocity"
"""The better of the two that keep a velocity: gains are over this one."""
WALKING_M_S = 0.4
"""Mean speed over the past above which a window counts as walking when constants are fitted."""
AREA_LEVEL = 0.9
RESAMPLES = 2000
_RESAMPLED = (
    "--published: where a scene has a *_10fps.txt its step is taken for 0.4 s, as papers do; for "
    "ETH it is 0.67 s in truth, so these errors are larger than those of the seconds named"
)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Learnt:
    """What one place or several taught: constants and, for each method, regions."""

    places: str
    constant_velocity: VelocityModel
    walking: WalkingModel
    regions: Mapping[str, Regions]


@dataclass(frozen=True, slots=True, kw_only=True)
class PredictionScore:
    """One method at one horizon in one place.

    Attributes:
        learnt: name of the places that taught; never the one that is tested.
        tested: name of the place.
        method: one of ``METHODS``.
        horizon_s: seconds ahead.
        windows: how many were predicted.
        tracks: of how many tracks they are.
        ade_m: average displacement error: mean distance over the samples, 0.4 s apart, up to the
            horizon, over windows.
        fde_m: final displacement error: mean distance at the horizon, over windows.
        track_fde_m: the same, every track weighing the same.
        held: by level, share of windows whose truth lay in the region.
        track_held: the same, every track weighing the same.
        area_m2: mean area of the 90 % region.
        gain_m: fde_m of constant velocity less that of this method; > 0 is better.
        gain_95_m: 95 % interval of it, by resampling tracks.
    """

    learnt: str
    tested: str
    method: str
    horizon_s: float
    windows: int
    tracks: int
    ade_m: float
    fde_m: float
    track_fde_m: float
    held: Mapping[float, float]
    track_held: Mapping[float, float]
    area_m2: float
    gain_m: float
    gain_95_m: tuple[float, float]


def evaluate_prediction(
    folder: Path, *, published: bool = False, pets: Path | None = None
) -> tuple[dict[str, Any], list[PredictionScore]]:
    """Score every scene below ``folder`` with what the others taught: a report, and the scores.

    Args:
        folder: of scenes such as ETH and Hotel.
        published: read the resampled file of ETH that papers report on.
        pets: folder of PETS 2009, if it is to be tested too; it teaches nothing.
    """
    elsewhere = [read_pets(pets)] if pets else []
    scores = cross_scores(read_scenes(folder, published=published), elsewhere)
    report = {
        "folder": str(folder),
        "published": published,
        "past_samples": PAST_SAMPLES,
        "future_samples": FUTURE_SAMPLES,
        "step_s": STEP_S,
        "scores": [_as_mapping(score) for score in scores],
        "notes": [_RESAMPLED] if published else [],
    }
    return report, scores


def _as_mapping(score: PredictionScore) -> dict[str, Any]:
    """Levels as ``"0.9"``, which is how JSON names numbers."""
    named = {
        name: {f"{level:g}": share for level, share in held.items()}
        for name, held in (("held", score.held), ("track_held", score.track_held))
    }
    return {**asdict(score), **named}


def learn(scenes: Sequence[Walks]) -> Learnt:
    """Fit constants and regions to the windows of one or more places.

    Args:
        scenes: with pasts of equally many samples. Their covariances are left out of account: how
            sure a position is, is fitted.

    Raises:
        UsageError: if nobody walks, or there are too few tracks for the regions.
    """
    walks = _together(scenes)
    constants = Learnt(
        places=walks.scene,
        constant_velocity=_fitted(walks, with_sway=False),
        walking=WalkingModel(velocity=_fitted(walks, with_sway=True)),
        regions={},
    )
    regions = {
        method: learn_regions(
            predict(method, walks.history, constants), walks.truth_m, walks.track_id, levels=LEVELS
        )
        for method in METHODS
    }
    return replace(constants, regions=regions)


def predict(method: str, history: TrackHistory, learnt: Learnt) -> Prediction:
    """Predict by one of ``METHODS`` at ``HORIZONS_S``; not calibrated."""
    match method:
        case "last_step":
            return _last_step(history)
        case "constant_velocity":
            return predict_constant_velocity(history, HORIZONS_S, learnt.constant_velocity)
        case "walking":
            return predict_walking(history, HORIZONS_S, learnt.walking)
    raise UsageError(
        expected=f"one of {METHODS}", got=method, where="predict", action="choose one of them"
    )


def score(learnt: Learnt, walks: Walks, *, seed: int = 0) -> list[PredictionScore]:
    """Every method at every reported horizon, on a place that taught nothing.

    Args:
        learnt: from other places.
        walks: to predict.
        seed: of the resampling of tracks for the interval of the gain.
    """
    draws = np.random.default_rng(seed)
    on_grid = np.isin(HORIZONS_S, GRID_S)
    weight = track_weights(walks.track_id)
    ahead = {m: calibrated(predict(m, walks.history, learnt), learnt.regions[m]) for m in METHODS}
    error = {m: np.linalg.norm(ahead[m].position_m - walks.truth_m, axis=2) for m in METHODS}
    found = []
    for horizon_s in REPORTED_S:
        k = _place_of(horizon_s)
        until = on_grid & (horizon_s + 1e-9 >= HORIZONS_S)
        for method in METHODS:
            final = error[method][:, k]
            gain = error[BASELINE][:, k] - final
            inside = {q: ahead[method].holds(walks.truth_m, level=q)[:, k] for q in LEVELS}
            found.append(
                PredictionScore(
                    learnt=learnt.places,
                    tested=walks.scene,
                    method=method,
                    horizon_s=horizon_s,
                    windows=len(walks),
                    tracks=len(np.unique(walks.track_id)),
                    ade_m=float(error[method][:, until].mean()),
                    fde_m=float(final.mean()),
                    track_fde_m=float(np.average(final, weights=weight)),
                    held={q: float(inside[q].mean()) for q in LEVELS},
                    track_held={q: float(np.average(inside[q], weights=weight)) for q in LEVELS},
                    area_m2=float(ahead[method].area_m2(level=AREA_LEVEL)[:, k].mean()),
                    gain_m=float(gain.mean()),
                    gain_95_m=_interval(gain, walks.track_id, draws),
                )
            )
    return found


def cross_scores(
    scenes: Sequence[Walks], elsewhere: Sequence[Walks] = (), *, seed: int = 0
) -> list[PredictionScore]:
    """Leave one scene out: each is predicted with what all others taught.

    Args:
        scenes: at least two.
        elsewhere: predicted with what all ``scenes`` taught; they teach nothing.
        seed: of the resampling of tracks.

    Raises:
        UsageError: if there are fewer than two scenes, or too few tracks in what is left.
    """
    if len(scenes) < 2:
        raise UsageError(
            expected="at least two scenes, one to learn from and one to predict",
            got=str([s.scene for s in scenes]),
            where="evaluation of predictions",
            action="point at a folder with several scenes",
        )
    scores = []
    for tested in scenes:
        scores += score(learn([s for s in scenes if s is not tested]), tested, seed=seed)
    if elsewhere:
        learnt = learn(scenes)
        for tested in elsewhere:
            scores += score(learnt, tested, seed=seed)
    return scores


def score_lines(scores: Sequence[PredictionScore]) -> list[str]:
    """A table, one line per score; shares as windows / tracks."""
    lines = [
        f"{'learnt':<10}{'tested':<8}{'method':<18}{'s':>4}{'ADE m':>8}{'FDE m':>8}{'track':>7}"
        + "".join(f"{f'{q:.0%} held':>14}" for q in LEVELS)
        + f"{'m² 90%':>8}  gain over {BASELINE}, 95 %"
    ]
    for s in scores:
        held = "".join(f"{f'{s.held[p]:.1%}/{s.track_held[p]:.1%}':>14}" for p in LEVELS)
        low, high = s.gain_95_m
        gain = "" if s.method == BASELINE else f"  {s.gain_m:+.3f} [{low:+.3f} {high:+.3f}]"
        lines.append(
            f"{s.learnt:<10}{s.tested:<8}{s.method:<18}{s.horizon_s:>4}{s.ade_m:>8.3f}"
            f"{s.fde_m:>8.3f}{s.track_fde_m:>7.3f}{held}{s.area_m2:>8.2f}{gain}"
        )
    counted = {s.tested: f"{s.tested}: {s.windows} windows of {s.tracks} tracks" for s in scores}
    return lines + list(counted.values())


def _last_step(history: TrackHistory) -> Prediction:
    """The step of the last 0.4 s repeated, its spread growing with the square of time."""
    position, time_s = history.position_m, history.time_s
    # A sample STEP_S ago, whatever the rate of the recording.
    before = int(np.argmin(np.abs(time_s[0] + STEP_S)))
    step_s = (time_s[:, -1] - time_s[:, before])[:, None]
    velocity = (position[:, -1] - position[:, before]) / step_s
    spread = HORIZONS_S[:, None, None] ** 2 * np.eye(2)
    return Prediction(
        horizons_s=HORIZONS_S,
        position_m=position[:, -1, None] + HORIZONS_S[:, None] * velocity[:, None],
        covariance_m2=np.broadcast_to(spread, (len(history), *spread.shape)),
        stands=np.zeros(len(history)),
    )


def _fitted(walks: Walks, *, with_sway: bool) -> VelocityModel:
    moved = np.linalg.norm(walks.history.position_m[:, -1] - walks.history.position_m[:, 0], axis=1)
    chosen = walks.only(moved > WALKING_M_S * -walks.history.time_s[:, 0])
    k = [_place_of(s) for s in FITTED_S]
    return fit_velocity_model(
        chosen.history, chosen.truth_m[:, k], HORIZONS_S[k], chosen.track_id, with_sway=with_sway
    )


def _place_of(horizon_s: float) -> int:
    return int(np.argmin(np.abs(HORIZONS_S - horizon_s)))


def _together(scenes: Sequence[Walks]) -> Walks:
    """As one, with ids that do not meet: those of different places are different people."""
    track_id, above = [], 0
    for walks in scenes:
        own = np.unique(walks.track_id, return_inverse=True)[1]
        track_id.append(own + above)
        above += int(own.max(initial=-1)) + 1
    return Walks(
        scene="+".join(walks.scene for walks in scenes),
        history=TrackHistory(
            time_s=np.concatenate([walks.history.time_s for walks in scenes]),
            position_m=np.concatenate([walks.history.position_m for walks in scenes]),
        ),
        truth_m=np.concatenate([walks.truth_m for walks in scenes]),
        track_id=np.concatenate(track_id),
    )


def _interval(
    gain: FloatArray, track_id: IntArray, draws: np.random.Generator
) -> tuple[float, float]:
    """95 % percentile interval of the mean over windows, resampling whole tracks."""
    _, which = np.unique(track_id, return_inverse=True)
    total, count = np.bincount(which, weights=gain), np.bincount(which).astype(np.float64)
    chosen = draws.integers(0, len(count), (RESAMPLES, len(count)))
    means = total[chosen].sum(axis=1) / count[chosen].sum(axis=1)
    low, high = np.percentile(means, [2.5, 97.5])
    return float(low), float(high)
