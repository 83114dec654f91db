from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sightline.errors import UsageError
from sightline.perceive.deviation import MAD_TO_SIGMA, level_deviation, robust_deviation

SCORERS = pytest.mark.parametrize("score", [robust_deviation, level_deviation])
STEADY = [10.0, 11.0, 12.0, 13.0, 14.0]


def _robust(history: list[float], current: float, *, floor: float = 0.01) -> float:
    found = robust_deviation(np.array([history]), np.array([current]), floor=floor, min_history=3)
    return float(found[0])


def test_the_score_counts_spreads_from_the_median() -> None:
    assert _robust(STEADY, 12.0 + 3 * MAD_TO_SIGMA) == pytest.approx(3.0)


def test_above_and_below_score_alike() -> None:
    assert _robust(STEADY, 9.0) == _robust(STEADY, 15.0)


def test_one_wild_value_in_the_history_hides_nothing() -> None:
    assert _robust([*STEADY, 1e9], 40.0) > 10.0


def test_a_constant_history_uses_the_floor() -> None:
    assert _robust([5.0] * 5, 5.3, floor=0.1) == pytest.approx(3.0)


def test_the_order_of_the_history_does_not_matter_to_the_robust_score() -> None:
    assert _robust(STEADY, 20.0) == _robust(STEADY[::-1], 20.0)


def test_the_level_score_measures_from_the_last_finite_value() -> None:
    history = np.array([[1.0, 3.0, 1.0, 3.0, np.nan, np.inf]])
    assert level_deviation(history, np.array([5.0]), floor=0.1, min_history=4).tolist() == [2.0]


@SCORERS
def test_a_history_that_is_too_short_gives_no_score(score) -> None:  # type: ignore[no-untyped-def]
    history = np.array([[1.0, 2.0, np.nan, np.inf, np.nan], STEADY])
    found = score(history, np.array([9.0, 9.0]), floor=0.1, min_history=3)
    assert np.isnan(found).tolist() == [True, False]


@SCORERS
def test_a_missing_current_value_gives_no_score(score) -> None:  # type: ignore[no-untyped-def]
    found = score(np.array([STEADY]), np.array([np.nan]), floor=0.1, min_history=1)
    assert np.isnan(found).all()


@SCORERS
def test_no_history_at_all_gives_no_score(score) -> None:  # type: ignore[no-untyped-def]
    found = score(np.empty((2, 0)), np.array([1.0, 2.0]), floor=0.1, min_history=1)
    assert np.isnan(found).tolist() == [True, True]


@SCORERS
def test_no_subjects_give_no_scores(score) -> None:  # type: ignore[no-untyped-def]
    assert len(score(np.empty((0, 4)), np.empty(0), floor=0.1, min_history=1)) == 0


@SCORERS
def test_each_subject_may_have_its_own_floor(score) -> None:  # type: ignore[no-untyped-def]
    found = score(
        np.full((2, 4), 7.0), np.array([8.0, 8.0]), floor=np.array([1.0, 0.5]), min_history=2
    )
    assert found.tolist() == [1.0, 2.0]


@SCORERS
def test_the_inputs_are_left_as_they_were(score) -> None:  # type: ignore[no-untyped-def]
    history, current = np.array([[3.0, np.nan, 1.0, 2.0]]), np.array([9.0])
    before = history.copy()
    score(history, current, floor=0.1, min_history=1)
    np.testing.assert_array_equal(history, before)
    assert current.tolist() == [9.0]


@SCORERS
@pytest.mark.parametrize("floor", [0.0, -1.0, np.nan])
def test_a_floor_that_is_not_positive_is_refused(score, floor: float) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(UsageError, match="a positive floor"):
        score(np.array([STEADY]), np.array([1.0]), floor=floor, min_history=1)


@SCORERS
def test_a_minimum_history_below_one_is_refused(score) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(UsageError, match="min_history of at least 1"):
        score(np.array([STEADY]), np.array([1.0]), floor=1.0, min_history=0)


@settings(max_examples=50, deadline=None, derandomize=True)
@given(st.integers(0, 2**32 - 1), st.sampled_from([1, 2, 5, 60]))
def test_the_robust_score_is_that_of_numpy_row_by_row(seed: int, h: int) -> None:
    rng = np.random.default_rng(seed)
    history = rng.normal(20.0, 3.0, (30, h))
    history[rng.random(history.shape) < 0.3] = np.nan
    current = rng.normal(20.0, 10.0, 30)
    found = robust_deviation(history, current, floor=0.5, min_history=3)
    for row, x, value in zip(history, current, found, strict=True):
        past = row[np.isfinite(row)]
        if len(past) < 3:
            assert np.isnan(value)
            continue
        median = np.median(past)
        spread = 1.4826 * np.median(np.abs(past - median))
        assert value == pytest.approx(abs(x - median) / max(spread, 0.5), rel=1e-12)
