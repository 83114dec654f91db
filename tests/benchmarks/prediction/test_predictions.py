"""Where walkers are predicted, and how sure that is."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.prediction import (
    VelocityModel,
    WalkingModel,
    predict_constant_velocity,
    predict_walking,
)
from benchmarks.prediction.constant_velocity import MAX_HORIZON_S, MAX_HORIZONS
from benchmarks.prediction.filtering import MAX_HISTORY_SAMPLES, filter_history
from benchmarks.prediction.trajectories import TrackHistory
from sightline.errors import UsageError
from tests.benchmarks.prediction.walker_cases import (
    AHEAD_S,
    PAST_S,
    history_of,
    random_walkers,
    straight,
)

METHODS = [predict_constant_velocity, predict_walking]
MODEL = VelocityModel(drift_m2_s3=0.02, sway_sd_m_s=0.1, position_sd_m=0.05)
NO_PRIOR = 1e4
"""Prior on the first velocity, in m/s, so wide that it draws nothing to zero."""
metres = st.floats(-30, 30)
paths = st.lists(st.tuples(st.floats(-2, 2), st.floats(-2, 2)), min_size=8, max_size=8)

every_method = pytest.mark.parametrize("method", METHODS, ids=["constant_velocity", "walking"])


@given(vx=st.floats(-2, 2), vy=st.floats(-2, 2), x=metres, y=metres)
def test_a_straight_walker_is_predicted_exactly(vx, vy, x, y):
    wide = VelocityModel(drift_m2_s3=0.02, cruise_sd_m_s=NO_PRIOR, position_sd_m=0.05)
    ahead = predict_constant_velocity(history_of([straight((vx, vy), (x, y))]), AHEAD_S, wide)
    truth = straight((vx, vy), (x, y), AHEAD_S)
    assert np.allclose(ahead.position_m[0], truth, atol=1e-3)


def test_a_brisk_straight_walker_is_predicted_to_walk_on():
    ahead = predict_walking(history_of([straight((1.4, 0.0))]), AHEAD_S)
    assert np.allclose(ahead.position_m[0], straight((1.4, 0.0), time_s=AHEAD_S), atol=0.1)
    assert ahead.stands[0] < 0.01


def test_somebody_who_stands_is_predicted_to_stay():
    ahead = predict_walking(history_of([straight((0.0, 0.0), (3.0, 4.0))]), AHEAD_S)
    assert np.allclose(ahead.position_m[0], [3.0, 4.0], atol=1e-9)
    assert ahead.stands[0] > 0.95


def test_a_crawl_is_not_carried_on_as_constant_velocity_would():
    crawl = history_of([straight((0.2, 0.0))])
    kept = predict_constant_velocity(crawl, AHEAD_S).position_m[0, -1, 0]
    assert predict_walking(crawl, AHEAD_S).position_m[0, -1, 0] < 0.5 * kept


def test_who_may_walk_or_stand_is_less_sure_along_the_way_than_across_it():
    ahead = predict_walking(history_of([straight((0.42, 0.0))]), AHEAD_S)
    assert 0.2 < ahead.stands[0] < 0.8
    along, across = ahead.covariance_m2[0, -1].diagonal()
    assert along > 1.5 * across


def test_what_can_crawl_is_carried_on_where_the_model_says_so():
    model = WalkingModel(velocity=MODEL, slowest_walk_m_s=0.0)
    crawl = history_of([straight((0.2, 0.0))])
    ahead = predict_walking(crawl, AHEAD_S, model)
    assert ahead.stands.tolist() == [0.0]
    assert np.allclose(
        ahead.position_m, predict_constant_velocity(crawl, AHEAD_S, MODEL).position_m
    )


@every_method
@given(path=paths)
def test_covariance_grows_with_the_horizon(method, path):
    ahead = method(history_of([path]), np.linspace(0.2, 6.0, 12))
    steps = np.diff(ahead.covariance_m2[0], axis=0)
    assert (np.linalg.eigvalsh(steps) > 0).all()


@every_method
@given(path=paths)
def test_covariances_are_symmetric_and_positive_definite(method, path):
    covariance = method(history_of([path]), AHEAD_S).covariance_m2
    assert np.allclose(covariance, covariance.swapaxes(2, 3), rtol=0, atol=1e-12)
    assert (np.linalg.eigvalsh(covariance) > 0).all()


@every_method
@given(path=paths, angle=st.floats(-np.pi, np.pi), x=metres, y=metres)
def test_predictions_turn_and_move_with_the_ground(method, path, angle, x, y):
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    plain = method(history_of([path]), AHEAD_S)
    moved = method(history_of([np.array(path) @ turn.T + [x, y]]), AHEAD_S)
    assert np.allclose(moved.position_m, plain.position_m @ turn.T + [x, y], atol=1e-8)
    assert np.allclose(moved.covariance_m2, turn @ plain.covariance_m2 @ turn.T, atol=1e-8)
    assert np.allclose(moved.stands, plain.stands)


@every_method
@settings(max_examples=30)
@given(seed=st.integers(0, 10_000))
def test_a_track_is_predicted_alike_alone_and_among_others(method, seed):
    draws = np.random.default_rng(seed)
    position = np.cumsum(draws.normal(0, 0.5, (5, 8, 2)), axis=1)
    time_s = np.tile(PAST_S, (5, 1))
    time_s[3:, : draws.integers(1, 7)] = np.nan  # two are younger, so covariances are not shared
    position[np.isnan(time_s)] = np.nan
    together = method(TrackHistory(time_s=time_s, position_m=position), AHEAD_S)
    for i in range(5):
        alone = method(
            TrackHistory(time_s=time_s[i : i + 1], position_m=position[i : i + 1]), AHEAD_S
        )
        assert np.allclose(alone.position_m[0], together.position_m[i])
        assert np.allclose(alone.covariance_m2[0], together.covariance_m2[i])


@every_method
def test_no_tracks_give_no_predictions(method):
    empty = TrackHistory(time_s=np.empty((0, 8)), position_m=np.empty((0, 8, 2)))
    ahead = method(empty, AHEAD_S)
    assert (len(ahead), ahead.position_m.shape) == (0, (0, 3, 2))


@every_method
def test_a_track_never_seen_is_predicted_nowhere_and_disturbs_nobody(method):
    walked = straight((1.0, 0.5))
    ahead = method(history_of([np.full((8, 2), np.nan), walked]), AHEAD_S)
    assert np.isnan(ahead.position_m[0]).all()
    alone = method(history_of([walked]), AHEAD_S)
    assert np.allclose(ahead.position_m[1], alone.position_m[0])


@every_method
def test_somebody_seen_once_is_predicted_to_stay_with_a_wide_region(method):
    once = method(history_of([[[2.0, 1.0]]], np.zeros(1)), np.array([1.0]))
    often = method(history_of([straight((0.0, 0.0), (2.0, 1.0))]), np.array([1.0]))
    assert np.allclose(once.position_m, [2.0, 1.0])
    assert np.trace(once.covariance_m2[0, 0]) > 3 * np.trace(often.covariance_m2[0, 0])


def test_a_track_last_seen_a_second_ago_is_carried_to_now_first():
    wide = VelocityModel(drift_m2_s3=0.02, cruise_sd_m_s=NO_PRIOR)
    lost = history_of([straight((1.5, 0.0), time_s=PAST_S - 1.0)], PAST_S - 1.0)
    ahead = predict_constant_velocity(lost, np.array([2.0]), wide)
    assert np.allclose(ahead.position_m[0, 0], [3.0, 0.0], atol=1e-3)
    fresh = predict_constant_velocity(history_of([straight((1.5, 0.0))]), np.array([2.0]), wide)
    assert ahead.covariance_m2[0, 0, 0, 0] > fresh.covariance_m2[0, 0, 0, 0]


def test_a_missed_sample_changes_a_straight_prediction_only_in_its_spread():
    wide = VelocityModel(drift_m2_s3=0.02, cruise_sd_m_s=NO_PRIOR)
    whole = straight((1.2, -0.3))
    gap = whole.copy()
    gap[5] = np.nan
    full, missed = (predict_constant_velocity(history_of([p]), AHEAD_S, wide) for p in (whole, gap))
    assert np.allclose(full.position_m, missed.position_m, atol=1e-3)
    assert (missed.covariance_m2[0, :, 0, 0] > full.covariance_m2[0, :, 0, 0]).all()


def test_a_sure_measurement_counts_more_than_an_unsure_one():
    walked = straight((1.0, 0.0))
    walked[-1, 1] += 0.5  # the last sample lies aside
    covariance = np.tile(0.01 * np.eye(2), (2, 8, 1, 1))
    covariance[1, -1] *= 100
    time_s, position = np.tile(PAST_S, (2, 1)), np.tile(walked, (2, 1, 1))
    history = TrackHistory(time_s=time_s, position_m=position, covariance_m2=covariance)
    aside = predict_constant_velocity(history, np.array([1.0])).position_m[:, 0, 1]
    assert aside[0] > 3 * aside[1] > 0


@pytest.mark.parametrize("factor", [1.0, 3.0])
def test_erratic_walkers_get_wider_regions_than_calm_ones(factor):
    history, _ = random_walkers(MODEL, n=400, seed=5, spread_factor=factor)
    model = WalkingModel(velocity=MODEL, slowest_walk_m_s=0.0)
    spread = predict_walking(history, AHEAD_S, model).covariance_m2[:, -1, 0, 0].mean()
    plain = predict_constant_velocity(history, AHEAD_S, MODEL).covariance_m2[:, -1, 0, 0].mean()
    if factor == 1.0:
        assert spread == pytest.approx(plain, rel=0.1)
    else:
        assert spread > 2 * plain


def test_a_calm_track_is_not_surer_for_being_sampled_ten_times_as_often():
    model = WalkingModel(velocity=MODEL)
    often_s = np.linspace(PAST_S[0], 0.0, 71)
    sparse = predict_walking(history_of([straight((1.3, 0.0))]), AHEAD_S, model)
    dense = predict_walking(
        history_of([straight((1.3, 0.0), time_s=often_s)], often_s), AHEAD_S, model
    )
    wide, narrow = sparse.covariance_m2[0, -1, 0, 0], dense.covariance_m2[0, -1, 0, 0]
    assert narrow > 0.6 * wide


@pytest.mark.parametrize("model", [MODEL, VelocityModel(drift_m2_s3=0.05)], ids=["sway", "plain"])
def test_simulated_walkers_lie_in_the_gaussian_region_as_often_as_stated(model):
    history, truth = random_walkers(model, n=4000, seed=1)
    distance = predict_constant_velocity(history, AHEAD_S, model).distance(truth)
    for level in (0.5, 0.9):
        inside = (distance <= np.sqrt(-2 * np.log(1 - level))).mean(axis=0)
        # Four standard errors of a share of 4000.
        assert np.allclose(inside, level, atol=4 * np.sqrt(level * (1 - level) / 4000))


def test_surprise_is_its_degrees_of_freedom_on_average_where_the_model_is_right():
    history, _ = random_walkers(MODEL, n=4000, seed=2)
    state = filter_history(history, MODEL)
    assert state.surprises.tolist() == [12.0] * 4000  # six samples after the second
    assert state.surprise.mean() == pytest.approx(12.0, abs=4 * np.sqrt(24 / 4000))


@given(first=st.floats(0.01, 3), second=st.floats(0.01, 3))
def test_two_steps_of_the_model_are_one_of_their_length(first, second):
    a, b, both = (np.array(s) for s in (first, second, first + second))
    after = MODEL.transition(b)
    assert np.allclose(after @ MODEL.transition(a), MODEL.transition(both))
    noise = after @ MODEL.noise(a) @ after.T + MODEL.noise(b)
    assert np.allclose(noise, MODEL.noise(both))


@every_method
@pytest.mark.parametrize(
    "horizons_s",
    [[0.0], [-1.0], [np.nan], [MAX_HORIZON_S + 1], [], [[1.0]], np.ones(MAX_HORIZONS + 1)],
    ids=["now", "past", "nan", "too_far", "none", "two_dimensions", "too_many"],
)
def test_horizons_out_of_bounds_are_refused(method, horizons_s):
    with pytest.raises(UsageError, match="horizons"):
        method(history_of([straight((1, 0))]), np.array(horizons_s, float))


@every_method
@pytest.mark.parametrize("samples", [0, MAX_HISTORY_SAMPLES + 1])
def test_histories_out_of_bounds_are_refused(method, samples):
    time_s = np.linspace(-4, 0, samples)
    with pytest.raises(UsageError, match="samples per track"):
        method(history_of(np.zeros((1, samples, 2)), time_s), AHEAD_S)


@pytest.mark.parametrize(
    "wrong",
    [
        {"drift_m2_s3": 0.0},
        {"drift_m2_s3": float("nan")},
        {"drift_m2_s3": 1.0, "sway_sd_m_s": -0.1},
        {"drift_m2_s3": 1.0, "sway_sd_m_s": float("inf")},
        {"drift_m2_s3": 1.0, "position_sd_m": 0.0},
    ],
)
def test_a_velocity_model_with_numbers_out_of_range_is_refused(wrong):
    with pytest.raises(UsageError, match="velocity model"):
        VelocityModel(**wrong)


@pytest.mark.parametrize(
    "wrong", [{"slowest_walk_m_s": -1.0}, {"prior_surprises": 0.0}, {"prior_surprises": np.nan}]
)
def test_a_walking_model_with_numbers_out_of_range_is_refused(wrong):
    with pytest.raises(UsageError, match="walking model"):
        WalkingModel(velocity=MODEL, **wrong)
