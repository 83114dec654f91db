"""Regions learnt from some tracks, and what they promise of others."""

import numpy as np
import pytest

from benchmarks.prediction import (
    VelocityModel,
    WalkingModel,
    calibrated,
    fit_velocity_model,
    learn_regions,
    predict_constant_velocity,
    predict_walking,
)
from benchmarks.prediction.calibration import COVARIANCE_LEVEL, LEVELS, track_weights
from benchmarks.prediction.trajectories import Prediction, TrackHistory
from sightline.errors import UsageError
from tests.benchmarks.prediction.walker_cases import AHEAD_S, history_of, random_walkers, straight

TRUE = VelocityModel(drift_m2_s3=0.02, sway_sd_m_s=0.1, position_sd_m=0.05)
WRONG = VelocityModel(drift_m2_s3=0.002, position_sd_m=0.02)
"""Far too sure of itself."""


def learnt_from(walkers, model=WRONG, **options):
    """Regions of constant velocity, every walker a track."""
    history, truth = walkers
    ahead = predict_constant_velocity(history, AHEAD_S, model)
    return learn_regions(ahead, truth, np.arange(len(history)), **options)


def unit_predictions(distances, stands=None):
    """Predictions at 1 s of unit spread, and truths that far from them."""
    n = len(distances)
    ahead = Prediction(
        horizons_s=np.ones(1),
        position_m=np.zeros((n, 1, 2)),
        covariance_m2=np.tile(np.eye(2), (n, 1, 1, 1)),
        stands=np.zeros(n) if stands is None else np.asarray(stands, float),
    )
    return ahead, np.stack([np.asarray(distances, float), np.zeros(n)], axis=1)[:, None]


@pytest.mark.parametrize("level", LEVELS)
def test_regions_of_a_wrong_model_hold_others_of_the_same_kind_as_often_as_stated(level):
    regions = learnt_from(random_walkers(TRUE, n=2000, seed=1))
    history, truth = random_walkers(TRUE, n=2000, seed=2)
    ahead = calibrated(predict_constant_velocity(history, AHEAD_S, WRONG), regions)
    # Both the radii and the share are estimated from 2000.
    error = 4 * np.sqrt(2 * level * (1 - level) / 2000)
    assert np.allclose(ahead.holds(truth, level=level).mean(axis=0), level, atol=error)


def test_the_wrong_model_alone_does_not():
    history, truth = random_walkers(TRUE, n=2000, seed=2)
    distance = predict_constant_velocity(history, AHEAD_S, WRONG).distance(truth)
    assert ((distance <= np.sqrt(-2 * np.log(0.1))).mean(axis=0) < 0.8).all()


def test_walkers_are_held_as_stated_however_few_stand():
    model = WalkingModel(velocity=TRUE)
    walkers = [random_walkers(TRUE, n=1500, seed=s) for s in (3, 4)]
    ahead = [predict_walking(history, AHEAD_S, model) for history, _ in walkers]
    regions = learn_regions(ahead[0], walkers[0][1], np.arange(1500))
    held = calibrated(ahead[1], regions).holds(walkers[1][1], level=0.9).mean(axis=0)
    assert np.allclose(held, 0.9, atol=4 * np.sqrt(2 * 0.09 / 1500))


def test_calibration_leaves_the_means_as_they_are():
    history, _ = walkers = random_walkers(TRUE, n=100, seed=1)
    plain = predict_constant_velocity(history, AHEAD_S, WRONG)
    after = calibrated(plain, learnt_from(walkers))
    assert np.array_equal(after.position_m, plain.position_m)


def test_the_calibrated_covariance_has_the_stated_level_as_a_gaussian():
    history, _ = walkers = random_walkers(TRUE, n=100, seed=1)
    ahead = calibrated(predict_constant_velocity(history, AHEAD_S, WRONG), learnt_from(walkers))
    gaussian = np.sqrt(-2 * np.log(1 - COVARIANCE_LEVEL))
    assert np.allclose(ahead.radius_of(COVARIANCE_LEVEL), gaussian)


def test_higher_levels_have_larger_regions():
    history, _ = walkers = random_walkers(TRUE, n=100, seed=1)
    ahead = calibrated(predict_constant_velocity(history, AHEAD_S, WRONG), learnt_from(walkers))
    areas = [ahead.area_m2(level=level) for level in LEVELS]
    assert (np.diff(areas, axis=0) > 0).all()


def test_a_radius_is_the_order_statistic_of_split_conformal_prediction():
    ahead, truth = unit_predictions(range(1, 21))
    regions = learn_regions(ahead, truth, np.arange(20))
    # The smallest score that at least level · (20 + 1) of the 20 do not exceed.
    assert regions.radius[0, 0].tolist() == [11.0, 19.0, 20.0]


def test_a_track_counts_one_however_often_it_was_seen():
    distances, track_id = np.arange(1, 100), np.arange(99)
    once = learn_regions(*unit_predictions(distances), track_id)
    often = learn_regions(
        *unit_predictions(np.append(distances, np.full(1000, 99))),
        np.append(track_id, np.full(1000, 98)),
    )
    assert np.array_equal(once.radius, often.radius)


def test_weights_of_a_track_add_to_one():
    assert track_weights(np.array([7, 3, 7, 7, 7])).tolist() == [0.25, 1.0, 0.25, 0.25, 0.25]


def test_those_who_stand_have_radii_of_their_own():
    stands = np.repeat([0.0, 1.0], 99)
    distances = np.concatenate([np.arange(1, 100), np.arange(1, 100) / 10])
    ahead, truth = unit_predictions(distances, stands)
    regions = learn_regions(ahead, truth, np.arange(198))
    assert regions.tracks == (99, 99)
    assert np.allclose(regions.radius[:, 0, 1], [90.0, 9.0])


def test_too_few_who_stand_take_the_radii_of_all():
    stands = np.append(np.zeros(99), np.ones(3))
    distances = np.append(np.arange(1, 100), [0.1, 0.1, 0.1])
    ahead, truth = unit_predictions(distances, stands)
    regions = learn_regions(ahead, truth, np.arange(102))
    everyone = learn_regions(*unit_predictions(distances), np.arange(102))
    assert regions.tracks == (99, 3)
    assert np.array_equal(regions.radius[1], everyone.radius[0])


def test_radii_between_learnt_horizons_lie_between_theirs():
    history, _ = walkers = random_walkers(TRUE, n=100, seed=1)
    regions = learnt_from(walkers)
    asked = np.array([1.4])
    middle = calibrated(predict_constant_velocity(history, asked, WRONG), regions)
    plain = predict_constant_velocity(history, asked, WRONG)
    radius = np.sqrt(
        middle.area_m2(level=0.9) / np.pi / np.sqrt(np.linalg.det(plain.covariance_m2))
    )
    low, high = sorted(regions.radius[0, :2, 1])
    assert low < radius[0, 0] < high


def test_a_horizon_beyond_the_learnt_ones_is_refused():
    history, _ = walkers = random_walkers(TRUE, n=100, seed=1)
    far = predict_constant_velocity(history, np.array([6.0]), WRONG)
    with pytest.raises(UsageError, match=r"horizons up to 4\.8 s"):
        calibrated(far, learnt_from(walkers))


def test_too_few_tracks_for_a_level_are_refused():
    with pytest.raises(UsageError, match="at least 19 tracks"):
        learnt_from(random_walkers(TRUE, n=18, seed=1))


def test_nineteen_tracks_are_enough_for_95_per_cent():
    walkers = random_walkers(TRUE, n=19, seed=1)
    farthest = predict_constant_velocity(walkers[0], AHEAD_S, WRONG).distance(walkers[1]).max(0)
    assert np.array_equal(learnt_from(walkers).radius[0, :, -1], farthest)


@pytest.mark.parametrize("levels", [(0.5,), (), (0.95, 0.9), (0.9, 1.0), (0.0, 0.9), (0.9, 0.9)])
def test_levels_out_of_range_or_order_are_refused(levels):
    with pytest.raises(UsageError, match="ascending levels"):
        learnt_from(random_walkers(TRUE, n=30, seed=1), levels=levels)


def test_a_track_never_seen_teaches_nothing_and_says_so():
    history = history_of([np.full((8, 2), np.nan), *[straight((1, 0))] * 30])
    ahead = predict_constant_velocity(history, AHEAD_S)
    with pytest.raises(UsageError, match="finite predictions"):
        learn_regions(ahead, np.zeros((31, 3, 2)), np.arange(31))


def test_the_constants_of_simulated_walkers_are_found_again():
    plain = VelocityModel(drift_m2_s3=0.03, position_sd_m=0.06)
    history, truth = random_walkers(plain, n=1500, seed=8)
    found = fit_velocity_model(history, truth, AHEAD_S, np.arange(1500), with_sway=False)
    assert found.drift_m2_s3 == pytest.approx(0.03, rel=0.1)
    assert found.position_sd_m == pytest.approx(0.06, rel=0.15)
    assert found.sway_sd_m_s == 0.0


def test_walkers_who_sway_are_fitted_better_with_sway():
    swaying = VelocityModel(drift_m2_s3=0.01, sway_sd_m_s=0.3, position_sd_m=0.03)
    history, truth = random_walkers(swaying, n=800, seed=9)
    unseen, later = random_walkers(swaying, n=800, seed=10)
    error = []
    for with_sway in (False, True):
        found = fit_velocity_model(history, truth, AHEAD_S, np.arange(800), with_sway=with_sway)
        ahead = predict_constant_velocity(unseen, AHEAD_S, found)
        error.append(np.linalg.norm(ahead.position_m - later, axis=2).mean())
    assert error[1] < error[0]


def test_the_same_tracks_fit_the_same_constants():
    history, truth = random_walkers(TRUE, n=50, seed=9)
    first, second = (
        fit_velocity_model(history, truth, AHEAD_S, np.arange(50), with_sway=True) for _ in "ab"
    )
    assert first == second


def test_a_track_teaches_once_however_often_it_was_seen():
    history, truth = random_walkers(TRUE, n=50, seed=9)
    once = fit_velocity_model(history, truth, AHEAD_S, np.arange(50), with_sway=False)
    row = np.append(np.arange(50), np.zeros(200, int))
    again = TrackHistory(time_s=history.time_s[row], position_m=history.position_m[row])
    often = fit_velocity_model(again, truth[row], AHEAD_S, row, with_sway=False)
    assert often.drift_m2_s3 == pytest.approx(once.drift_m2_s3, rel=1e-3)


def test_nothing_to_fit_to_is_refused():
    empty = history_of(np.empty((0, 8, 2)))
    with pytest.raises(UsageError, match="at least one track"):
        fit_velocity_model(empty, np.empty((0, 3, 2)), AHEAD_S, np.empty(0, int), with_sway=False)
