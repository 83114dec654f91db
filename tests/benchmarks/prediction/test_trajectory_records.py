"""What histories and predictions refuse, and what predictions answer."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.prediction.trajectories import Prediction, TrackHistory
from sightline.errors import UsageError

TIMES_S = np.array([[-0.8, -0.4, 0.0]])
PLACES_M = np.zeros((1, 3, 2))
NAN = np.nan


def prediction(**changes):
    """Two tracks, one horizon, two levels."""
    return Prediction(
        **{
            "horizons_s": np.ones(1),
            "position_m": np.zeros((2, 1, 2)),
            "covariance_m2": np.tile(np.diag([4.0, 1.0]), (2, 1, 1, 1)),
            "stands": np.zeros(2),
            "levels": (0.5, 0.9),
            "radius": np.tile([1.0, 2.0], (2, 1, 1)),
            **changes,
        }
    )


def test_a_history_knows_its_tracks_and_samples():
    history = TrackHistory(time_s=TIMES_S, position_m=PLACES_M)
    assert (len(history), history.samples) == (1, 3)


def test_missing_times_and_places_are_not_seen():
    time_s = np.array([[NAN, -0.4, 0.0], [-0.8, -0.4, 0.0]])
    position = np.zeros((2, 3, 2))
    position[1, 1, 1] = NAN
    history = TrackHistory(time_s=time_s, position_m=position)
    assert history.is_seen.tolist() == [[False, True, True], [True, False, True]]


@pytest.mark.parametrize("n, h", [(0, 3), (2, 0), (0, 0)])
def test_empty_histories_are_histories(n, h):
    history = TrackHistory(
        time_s=np.empty((n, h)),
        position_m=np.empty((n, h, 2)),
        covariance_m2=np.empty((n, h, 2, 2)),
    )
    assert history.is_seen.shape == (n, h)


@pytest.mark.parametrize(
    "times",
    [
        [-0.4, -0.8, 0.0],
        [-0.4, NAN, -0.8],
        [-0.8, -0.4, 0.1],
        [NAN, NAN, 0.1],
    ],
    ids=["falls", "falls_over_a_gap", "ahead_of_now", "only_ahead_of_now"],
)
def test_times_that_fall_or_lie_ahead_are_refused(times):
    good = [-0.8, -0.4, 0.0]
    with pytest.raises(UsageError, match="row 1: expected times ascending"):
        TrackHistory(time_s=np.array([good, times]), position_m=np.zeros((2, 3, 2)))


@given(st.lists(st.floats(-10, 0), min_size=2, max_size=6))
def test_times_are_taken_exactly_where_they_are_sorted(times):
    def build():
        TrackHistory(time_s=np.array([times]), position_m=np.zeros((1, len(times), 2)))

    if times == sorted(times):
        build()
    else:
        with pytest.raises(UsageError):
            build()


@pytest.mark.parametrize(
    "changes, where",
    [
        ({"time_s": np.zeros(3)}, "time_s"),
        ({"position_m": np.zeros((1, 3, 3))}, "position_m"),
        ({"position_m": np.zeros((1, 2, 2))}, "position_m"),
        ({"covariance_m2": np.ones((1, 3))}, "covariance_m2"),
    ],
)
def test_history_shapes_that_do_not_fit_are_refused(changes, where):
    with pytest.raises(UsageError, match=where):
        TrackHistory(**{"time_s": TIMES_S, "position_m": PLACES_M, **changes})


@pytest.mark.parametrize(
    "covariance",
    [np.zeros((2, 2)), -np.eye(2), np.full((2, 2), NAN), [[1.0, 2.0], [2.0, 1.0]]],
    ids=["zero", "negative", "nan", "indefinite"],
)
def test_a_seen_position_needs_a_positive_definite_covariance(covariance):
    covariances = np.tile(np.eye(2), (1, 3, 1, 1))
    covariances[0, 1] = covariance
    with pytest.raises(UsageError, match="row 0, sample 1"):
        TrackHistory(time_s=TIMES_S, position_m=PLACES_M, covariance_m2=covariances)


def test_a_position_that_was_not_seen_needs_no_covariance():
    covariances = np.tile(np.eye(2), (1, 3, 1, 1))
    position = PLACES_M.copy()
    covariances[0, 0], position[0, 0] = NAN, NAN
    history = TrackHistory(time_s=TIMES_S, position_m=position, covariance_m2=covariances)
    assert history.is_seen.tolist() == [[False, True, True]]


def test_distances_are_in_standard_deviations_of_their_direction():
    along, across = prediction().distance([[[2.0, 0.0]], [[0.0, 2.0]]])
    assert (along.tolist(), across.tolist()) == ([1.0], [2.0])


def test_a_region_holds_its_edge_and_nothing_beyond():
    points = [[[4.0, 0.0]], [[4.1, 0.0]]]
    assert prediction().holds(points, level=0.9).tolist() == [[True], [False]]


def test_the_area_of_a_region_is_that_of_its_ellipse():
    assert np.allclose(prediction().area_m2(level=0.9), np.pi * 2**2 * 2 * 1)


@pytest.mark.parametrize("level", [0.95, 0.0])
def test_a_level_that_was_not_calibrated_is_refused(level):
    with pytest.raises(UsageError, match="calibrated levels"):
        prediction().holds(np.zeros((2, 1, 2)), level=level)


def test_a_prediction_without_calibration_has_no_regions():
    plain = prediction(levels=(), radius=None)
    with pytest.raises(UsageError, match="calibrate"):
        plain.area_m2(level=0.9)


@pytest.mark.parametrize(
    "changes, where",
    [
        ({"position_m": np.zeros((2, 2, 2))}, "position_m"),
        ({"covariance_m2": np.zeros((2, 1, 2))}, "covariance_m2"),
        ({"stands": np.zeros(3)}, "position_m"),
        ({"radius": np.zeros((2, 1, 3))}, "radius"),
        ({"radius": None}, "radius"),
    ],
)
def test_prediction_shapes_that_do_not_fit_are_refused(changes, where):
    with pytest.raises(UsageError, match=where):
        prediction(**changes)
