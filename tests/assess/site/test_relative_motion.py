"""Distance, closest approach and time to collision of two footprints, with their uncertainty."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sightline.assess.site.machines import RelativeMotion, conflict_probability

SPREAD = np.diag([0.04, 0.04, 0.09, 0.09])


def pair(position, velocity, *, covariance=None, half=(2.0, 1.0), radius=0.3):
    return RelativeMotion(
        position_m=np.array([position], float),
        velocity_m_s=np.array([velocity], float),
        covariance=np.zeros((1, 4, 4)) if covariance is None else np.asarray(covariance)[None],
        half_size_m=np.array([half], float),
        radius_m=np.array([radius]),
    )


def drawn(position, velocity, covariance, n=20_000, seed=3):
    """The pair ``n`` times, as it may be."""
    states = np.random.default_rng(seed).multivariate_normal([*position, *velocity], covariance, n)
    return RelativeMotion(
        position_m=states[:, :2],
        velocity_m_s=states[:, 2:],
        covariance=np.zeros((n, 4, 4)),
        half_size_m=np.tile([2.0, 1.0], (n, 1)),
        radius_m=np.full(n, 0.3),
    )


def test_the_separation_is_that_of_the_footprints_not_of_the_centres():
    assert pair((5.0, 0.0), (0, 0)).separation_m()[0][0] == pytest.approx(2.7)


def test_the_separation_at_a_corner_is_the_diagonal():
    assert pair((5.0, 5.0), (0, 0)).separation_m()[0][0] == pytest.approx(5.0 - 0.3)


def test_overlapping_footprints_have_a_negative_separation():
    assert pair((1.9, 0.0), (0, 0)).separation_m()[0][0] == pytest.approx(-0.4)


def test_the_uncertainty_of_the_separation_agrees_with_monte_carlo():
    _, std_m = pair((5.0, 3.0), (0, 0), covariance=SPREAD).separation_m()
    sampled = drawn((5.0, 3.0), (0, 0), SPREAD).separation_m()[0].std()
    assert std_m[0] == pytest.approx(sampled, rel=0.03)


def test_the_time_to_collision_head_on():
    time_s, _ = pair((12.3, 0.0), (-5.0, 0.0)).time_to_distance(np.zeros(1))
    assert time_s[0] == pytest.approx(2.0)


def test_who_passes_by_never_collides():
    time_s, std_s = pair((12.3, 3.0), (-5.0, 0.0)).time_to_distance(np.zeros(1))
    assert time_s[0] == np.inf and np.isnan(std_s[0])


def test_who_walks_away_never_collides():
    assert pair((12.3, 0.0), (5.0, 0.0)).time_to_distance(np.zeros(1))[0][0] == np.inf


def test_footprints_that_touch_already_collide_at_once():
    assert pair((1.0, 0.0), (5.0, 0.0)).time_to_distance(np.zeros(1))[0][0] == 0.0


def test_the_uncertainty_of_the_time_to_collision_agrees_with_monte_carlo():
    _, std_s = pair((12.3, 0.2), (-5.0, 0.0), covariance=SPREAD).time_to_distance(np.zeros(1))
    sampled, _ = drawn((12.3, 0.2), (-5.0, 0.0), SPREAD).time_to_distance(np.zeros(20_000))
    assert std_s[0] == pytest.approx(sampled[np.isfinite(sampled)].std(), rel=0.1)


def test_an_unknown_position_gives_no_number():
    unknown = pair((np.nan, 0.0), (0, 0))
    assert np.isnan(unknown.separation_m()[0][0])


numbers = st.floats(-20, 20, allow_nan=False)
speeds = st.floats(-8, 8, allow_nan=False)


@settings(max_examples=200, deadline=None)
@given(numbers, numbers, speeds, speeds)
def test_at_the_time_to_collision_the_footprints_touch(x, y, vx, vy):
    motion = pair((x, y), (vx, vy))
    time_s, _ = motion.time_to_distance(np.zeros(1))
    if np.isfinite(time_s[0]) and 0 < time_s[0] < 1e3:
        then = pair((x + vx * time_s[0], y + vy * time_s[0]), (vx, vy))
        assert then.separation_m()[0][0] == pytest.approx(0.0, abs=1e-6)


@pytest.mark.parametrize(
    ("position", "velocity"),
    [
        ((12.0, 0.0), (-5.0, 0.0)),
        ((12.0, 2.0), (-5.0, 0.0)),
        ((8.0, -5.0), (-4.0, 2.0)),
        ((9.0, 4.0), (-3.0, 0.2)),
        ((-8.0, 0.5), (-5.0, 0.0)),
    ],
)
def test_the_probability_of_a_conflict_agrees_with_monte_carlo(position, velocity):
    limit, horizon = np.array([0.5]), np.array([2.5])
    motion = pair(position, velocity, covariance=SPREAD)
    found = conflict_probability(motion, limit_m=limit, horizon_s=horizon)[0]
    reached_s, _ = drawn(position, velocity, SPREAD).time_to_distance(np.full(20_000, 0.5))
    assert found == pytest.approx((reached_s <= 2.5).mean(), abs=0.06)


def test_the_probability_grows_with_the_horizon():
    motion = pair((12.0, 1.0), (-5.0, 0.0), covariance=SPREAD)
    found = conflict_probability(
        motion, limit_m=np.array([0.5]), horizon_s=np.array([[0.5], [1.5], [2.5], [9.0]])
    )[:, 0]
    assert np.all(np.diff(found) >= 0) and found[0] < 0.01 and found[-1] > 0.8
