"""What a machine needs to stop."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sightline.assess.site import Speed
from sightline.assess.site.machines import Braking, MachineRule
from sightline.errors import UsageError

TRUCK = Braking(response_s=0.3, least_deceleration_m_s2=2.0)
speeds = st.floats(0, 20, allow_nan=False)


def test_the_way_is_that_of_the_reaction_and_of_the_brake():
    way_m = TRUCK.stopping_distance_m(np.array([4.0]), sensing_latency_s=0.2)[0]
    assert way_m == pytest.approx(4.0 * 0.5 + 16.0 / 4.0)


def test_a_machine_that_stands_needs_no_way():
    assert TRUCK.stopping_distance_m(np.array([0.0]), sensing_latency_s=0.2)[0] == 0.0


@given(speeds, st.floats(0, 2), st.floats(0, 3), st.floats(0.5, 6))
def test_the_way_agrees_with_small_steps_of_a_machine_that_speeds_up_and_brakes(
    speed, latency_s, acceleration, deceleration
):
    brakes = Braking(
        response_s=0.3,
        least_deceleration_m_s2=deceleration,
        acceleration_m_s2=acceleration,
    )
    v, x, t, dt = speed, 0.0, 0.0, 1e-3
    while v > 0 or t < latency_s + 0.3:
        after = v + acceleration * dt if t < latency_s + 0.3 else max(v - deceleration * dt, 0.0)
        x, v, t = x + (v + after) / 2 * dt, after, t + dt
    found = brakes.stopping_distance_m(np.array([speed]), sensing_latency_s=latency_s)[0]
    assert found == pytest.approx(x, abs=0.1, rel=1e-3)


@given(speeds, speeds)
def test_a_faster_machine_needs_no_less(a, b):
    way_m = TRUCK.stopping_distance_m(np.array(sorted([a, b])), sensing_latency_s=0.2)
    assert way_m[0] <= way_m[1]


def test_a_machine_at_its_top_speed_does_not_speed_up():
    brakes = Braking(
        response_s=0.3, least_deceleration_m_s2=2.0, acceleration_m_s2=2.0, top_speed_m_s=4.0
    )
    same = [
        b.stopping_distance_m(np.array([4.0]), sensing_latency_s=0.2)[0] for b in (brakes, TRUCK)
    ]
    assert same[0] == same[1]


def test_a_machine_seen_above_its_top_speed_is_taken_as_seen():
    brakes = Braking(response_s=0.3, least_deceleration_m_s2=2.0, top_speed_m_s=4.0)
    assert brakes.sped_up_m_s(np.array([6.0]), 1.0)[0] == 6.0


@pytest.mark.parametrize(
    "wrong",
    [
        {"response_s": -0.1},
        {"least_deceleration_m_s2": 0.0},
        {"margin_m": float("inf")},
        {"acceleration_m_s2": -1.0},
        {"top_speed_m_s": 0.0},
        {"response_s": float("nan")},
    ],
)
def test_values_out_of_range_are_refused(wrong):
    with pytest.raises(UsageError, match="documentation"):
        Braking(**{"response_s": 0.3, "least_deceleration_m_s2": 2.0} | wrong)


@pytest.mark.parametrize(
    "wrong", [{"machine_class": ""}, {"length_m": 0.0}, {"probability": 1.0}, {"clearance_m": -1.0}]
)
def test_a_machine_rule_out_of_range_is_refused(wrong):
    right = {"machine_class": "truck", "length_m": 4.0, "width_m": 2.0, "braking": TRUCK}
    with pytest.raises(UsageError, match="mend the rule"):
        MachineRule(**right | wrong)


def test_the_probability_of_a_speed_agrees_with_monte_carlo():
    covariance = np.array([[0.5, 0.2], [0.2, 0.3]])
    drawn = np.random.default_rng(1).multivariate_normal([6.0, 2.0], covariance, 100_000)
    share = (np.hypot(*drawn.T) >= 6.5).mean()
    speed = Speed.of(np.array([[6.0, 2.0]]), covariance[None])
    assert speed.probability_above(6.5)[0] == pytest.approx(share, abs=0.03)


def test_an_unknown_velocity_has_no_speed():
    assert np.isnan(Speed.of(np.full((1, 2), np.nan), np.eye(2)[None]).mean_m_s[0])
