"""The compiled loops of the tracker agree with their plain specification."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linear_sum_assignment

from sightline.perceive.tracking import kalman, kalman_reference
from sightline.perceive.tracking.assignment import assign

seeds = st.integers(0, 2**32 - 1)


def positive(rng, n, size):
    root = rng.normal(size=(n, size, size))
    return root @ root.transpose(0, 2, 1) + 0.1 * np.eye(size)


def scene(seed):
    rng = np.random.default_rng(seed)
    n, m = rng.integers(1, 9, 2)
    low = rng.uniform(0, 50, (n + m, 2))
    boxes = np.concatenate([low, low + rng.uniform(1, 40, (n + m, 2))], axis=1)
    return {
        "state": rng.normal(0, 3, (n, 4)),
        "covariance": positive(rng, n, 4),
        "log_size": rng.normal(3, 0.3, (n, 2)),
        "size_variance": rng.uniform(0.01, 0.1, (n, 2)),
        "box_px": boxes[:n],
        "position": rng.normal(0, 3, (m, 2)),
        "spread": positive(rng, m, 2),
        "seen_log_size": rng.normal(3, 0.3, (m, 2)),
        "seen_box_px": boxes[n:],
    }


@settings(deadline=None)
@given(seeds, st.floats(0, 5))
def test_predictions_agree(seed, dt_s):
    made = scene(seed)
    acceleration = np.random.default_rng(seed).uniform(0, 3, len(made["state"]))
    expected = kalman_reference.predict(made["state"], made["covariance"], acceleration, dt_s)
    state, covariance = made["state"].copy(), made["covariance"].copy()
    kalman.predict_in_place(state, covariance, acceleration, dt_s)
    np.testing.assert_allclose(state, expected[0], rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(covariance, expected[1], rtol=1e-9, atol=1e-9)


@settings(deadline=None)
@given(seeds)
def test_updates_agree(seed):
    made = scene(seed)
    rng = np.random.default_rng(seed)
    n = len(made["state"])
    position, spread = rng.normal(size=(n, 2)), positive(rng, n, 2)
    expected = kalman_reference.update(made["state"], made["covariance"], position, spread)
    state, covariance = made["state"].copy(), made["covariance"].copy()
    kalman.update_in_place(state, covariance, position, spread)
    np.testing.assert_allclose(state, expected[0], rtol=1e-8, atol=1e-9)
    np.testing.assert_allclose(covariance, expected[1], rtol=1e-8, atol=1e-9)


@settings(deadline=None)
@given(seeds, st.floats(1, 100))
def test_costs_agree(seed, gate):
    made = scene(seed)
    numbers = {"size_sd": 0.15, "gate": gate, "size_gate": 4.0, "overlap_weight": 2.0}
    expected = kalman_reference.costs(**made, **numbers)
    found = kalman.costs(*made.values(), *numbers.values())
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-9)


@settings(deadline=None)
@given(seeds)
def test_an_update_makes_surer_and_stays_positive(seed):
    made = scene(seed)
    n = len(made["state"])
    covariance = made["covariance"].copy()
    kalman.update_in_place(
        made["state"].copy(), covariance, np.zeros((n, 2)), positive(np.random.default_rng(1), n, 2)
    )
    assert (np.linalg.eigvalsh(covariance) > 0).all()
    assert (np.linalg.eigvalsh(made["covariance"] - covariance) > -1e-9).all()


def sparse(seed):
    rng = np.random.default_rng(seed)
    n, m = rng.integers(0, 14, 2)
    cost = rng.uniform(0, 30, (n, m))
    cost[rng.random((n, m)) < rng.uniform(0, 1)] = np.inf
    return cost


def pairs_and_total(cost, rows, columns):
    finite = np.isfinite(cost[rows, columns])
    return finite.sum(), cost[rows, columns][finite].sum()


@settings(max_examples=300, deadline=None)
@given(seeds)
def test_assignments_are_as_many_and_as_cheap_as_scipy_s(seed):
    cost = sparse(seed)
    match = assign(cost)
    rows = np.flatnonzero(match >= 0)
    found = pairs_and_total(cost, rows, match[rows])
    expected = pairs_and_total(cost, *linear_sum_assignment(np.where(np.isinf(cost), 1e6, cost)))
    assert found[0] == expected[0]
    assert found[1] == pytest.approx(expected[1])


@settings(deadline=None)
@given(seeds)
def test_no_column_is_given_twice_and_none_that_is_impossible(seed):
    cost = sparse(seed)
    match = assign(cost)
    given_away = match[match >= 0]
    assert len(set(given_away.tolist())) == len(given_away)
    assert np.isfinite(cost[match >= 0, given_away]).all()
