"""The compiled loops of the tracker agree with their plain specification."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perceive.tracking import reference_kalman
from sightline.perceive.tracking import kalman, motion_plane
from sightline.perceive.tracking.assignment import assign_in_rounds

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
@given(seeds, st.floats(0, 5), st.sampled_from([0.0, 1.7]))
def test_predictions_agree(seed, dt_s, assumed_height_m):
    made = scene(seed)
    before = [made[name] for name in ("state", "covariance", "log_size", "size_variance")]
    numbers = (dt_s, 0.7, 0.3, assumed_height_m, 0.2)
    expected = reference_kalman.predict(*before, *numbers)
    state, covariance, log_size, size_variance = (array.copy() for array in before)
    kalman.predict_in_place(state, covariance, log_size, size_variance, *numbers)
    for found, wanted in zip((state, covariance, size_variance), expected, strict=True):
        np.testing.assert_allclose(found, wanted, rtol=1e-9, atol=1e-9)


@settings(deadline=None)
@given(seeds, st.floats(0.01, 2), st.sampled_from([0.0, 1.7]), st.sampled_from([0.0, 1.0, 9.21]))
def test_second_sightings_agree(seed, dt_s, assumed_height_m, walks_within):
    made = scene(seed)
    n, m = len(made["state"]), len(made["position"])
    now_ns = 10**10
    state, covariance = made["state"].copy(), made["covariance"].copy()
    kalman.take_in_place(
        state, covariance, made["log_size"].copy(), made["size_variance"].copy(),
        np.ones(n, np.int64), np.ones(n), np.ones(n), np.full(n, now_ns - round(dt_s * 1e9)),
        np.zeros(n, np.int64), made["position"], made["spread"], made["seen_log_size"], np.ones(m),
        np.ones(m), np.append(np.full(m - 1, -1), 0), 0.15, 1.5, assumed_height_m,
        walks_within, now_ns,
    )  # fmt: skip
    position, spread = made["position"][m - 1], made["spread"][m - 1]
    before = reference_kalman.start_from_two(
        made["state"][0], made["covariance"][0], made["log_size"][0], position=position,
        spread=spread, dt_s=dt_s, start_speed_m_s=1.5, assumed_height_m=assumed_height_m,
        walks_within=walks_within,
    )  # fmt: skip
    expected = reference_kalman.update(
        made["state"][:1], before[None], position[None], spread[None]
    )
    np.testing.assert_allclose(state[:1], expected[0], rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(covariance[:1], expected[1], rtol=1e-6, atol=1e-6)


@settings(deadline=None)
@given(seeds, st.floats(0.1, 10.0))
def test_those_who_hardly_walk_are_the_same(seed, scale):
    made, rng = scene(seed), np.random.default_rng(seed)
    n, m = len(made["state"]), len(made["position"])
    matched = rng.integers(-1, n, m)
    asked = (
        rng.integers(0, 2, n), rng.integers(1, 3, n), made["state"], scale * made["covariance"],
        made["state"][matched, :2] + rng.normal(size=(m, 2)), made["spread"], matched,
    )  # fmt: skip
    found = kalman.hardly_walkers(*asked)
    assert found.tolist() == reference_kalman.hardly_walkers(*asked).tolist()


@settings(deadline=None)
@given(seeds)
def test_updates_agree(seed):
    made = scene(seed)
    rng = np.random.default_rng(seed)
    n = len(made["state"])
    position, spread = rng.normal(size=(n, 2)), positive(rng, n, 2)
    expected = reference_kalman.update(made["state"], made["covariance"], position, spread)
    state, covariance = made["state"].copy(), made["covariance"].copy()
    kalman.update_in_place(state, covariance, position, spread)
    np.testing.assert_allclose(state, expected[0], rtol=1e-8, atol=1e-9)
    np.testing.assert_allclose(covariance, expected[1], rtol=1e-8, atol=1e-9)


@settings(deadline=None)
@given(seeds, st.floats(1, 100), st.floats(0, 30), st.booleans())
def test_costs_agree(seed, gate, new_cost, by_class):
    made = scene(seed)
    n, m = len(made["state"]), len(made["position"])
    classes = np.random.default_rng(seed).integers(0, 2, n + m)
    numbers = {"size_sd": 0.15, "gate": gate, "new_cost": new_cost}
    numbers |= {"size_gate": 4.0, "overlap_weight": 2.0}
    expected = reference_kalman.costs(**made, **numbers)
    if by_class:
        expected[classes[:n, None] != classes[None, n:]] = np.inf
    tracks, seen = list(made.values())[:5], list(made.values())[5:]
    track, sighting, cost = kalman.possible_pairs(
        *tracks, classes[:n], *seen, classes[n:].astype(np.int32), by_class, *numbers.values()
    )
    found = np.full((n, m), np.inf)
    found[track, sighting] = cost
    assert len(track) == np.isfinite(expected).sum()
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


@settings(deadline=None)
@given(seeds)
def test_common_shifts_agree(seed):
    made, rng = scene(seed), np.random.default_rng(seed)
    n, m = len(made["state"]), len(made["position"])
    matched = np.full(m, -1)
    matched[: min(n, m)] = rng.permutation(n)[: min(n, m)]
    arguments = (
        made["state"], made["covariance"], rng.integers(0, 9, n), rng.integers(5, 11, n) * 10**8,
        10**9, made["position"], made["spread"], matched,
    )  # fmt: skip
    found = motion_plane.common_shift(*arguments)
    np.testing.assert_allclose(found, reference_kalman.common_shift(*arguments), rtol=1e-9)


def sparse(seed):
    rng = np.random.default_rng(seed)
    n, m = rng.integers(0, 14, 2)
    cost = rng.uniform(0, 30, (n, m))
    cost[rng.random((n, m)) < rng.uniform(0, 1)] = np.inf
    return cost


def pairs_of(cost):
    row, column = np.nonzero(np.isfinite(cost))
    order = np.random.default_rng(len(row)).permutation(len(row))
    return row[order], column[order], cost[row, column][order]


def pairs_and_total(cost, found):
    columns = np.flatnonzero(found >= 0)
    return len(columns), cost[found[columns], columns].sum()


@settings(max_examples=300, deadline=None)
@given(seeds)
def test_assignments_are_as_many_and_as_cheap_as_scipy_s(seed):
    cost = sparse(seed)
    n, m = cost.shape
    found = assign_in_rounds(*pairs_of(cost), np.ones(n, np.int64), np.ones(m), 0.5)
    expected = reference_kalman.assign_in_rounds(cost, np.ones(n), np.ones(m), 0.5)
    assert pairs_and_total(cost, found)[0] == pairs_and_total(cost, expected)[0]
    assert pairs_and_total(cost, found)[1] == pytest.approx(pairs_and_total(cost, expected)[1])


@settings(max_examples=300, deadline=None)
@given(seeds)
def test_assignments_in_rounds_agree(seed):
    cost = sparse(seed)
    rng = np.random.default_rng(seed)
    track_id, score = rng.integers(0, 3, cost.shape[0]), rng.random(cost.shape[1])
    found = assign_in_rounds(*pairs_of(cost), track_id, score, 0.6)
    expected = reference_kalman.assign_in_rounds(cost, track_id, score, 0.6)
    np.testing.assert_array_equal(found, expected)  # random costs: the cheapest is only one


@settings(deadline=None)
@given(seeds)
def test_no_track_is_given_twice_and_none_that_is_impossible(seed):
    cost = sparse(seed)
    n, m = cost.shape
    found = assign_in_rounds(*pairs_of(cost), np.ones(n, np.int64), np.ones(m), 0.5)
    given_away = found[found >= 0]
    assert len(set(given_away.tolist())) == len(given_away)
    assert np.isfinite(cost[given_away, found >= 0]).all()
