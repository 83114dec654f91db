"""Tests of what an expectation leaves: what each of them sees, and what it does not."""

import numpy as np
import pytest

from sightline.perceive.normal.innovations import LAGS, held_squares, spread_squares
from sightline.perceive.normal.residual_tests import residual_tests, statistics

STEP_S = 60.0
NOISE = np.random.default_rng(5).normal(size=300)


def greatest(name, new):
    column = new[:, None]
    found = statistics(
        column,
        column,
        np.zeros((LAGS, 1)),
        residual_tests(STEP_S),
        share=np.ones(1),
        begin=200,
    )
    return max(float(np.nanmax(stat)) for test, stat in found if test.name == name)


@pytest.mark.parametrize(
    ("what", "is_swing"),
    [(6.0 + 0.0 * NOISE, False), (np.linspace(0, 9, 300), False), (5.0 * NOISE, True)],
    ids=["an offset", "a ramp", "noise"],
)
def test_what_goes_one_way_is_no_swing_and_what_goes_both_is(what, is_swing):
    usual = greatest("swing", NOISE)
    assert (greatest("swing", NOISE + what) > 6.0 * usual) == is_swing


def test_a_step_that_stays_is_seen_the_better_the_longer_it_stays():
    step = NOISE + np.where(np.arange(300) >= 250, 4.0, 0.0)
    assert greatest("step", step) > 4.0 * greatest("step", step[:254])


@pytest.mark.parametrize(
    ("rows", "is_seen"), [(slice(240, 244), True), (slice(240, 243), False)], ids=["four", "three"]
)
def test_what_is_far_off_for_four_rows_is_seen_however_far_it_is(rows, is_seen):
    off = NOISE.copy()
    off[rows] += 60.0
    assert (greatest("far", off) > 3000.0) == is_seen


def test_rows_far_off_on_both_sides_are_not_far_off():
    off = NOISE + np.where(np.arange(300) % 2, 60.0, -60.0)
    assert greatest("far", off) == 0.0


ROW = np.arange(300)


@pytest.mark.parametrize(
    ("what", "is_tone"),
    [
        (3.0 * np.sin(ROW / 2), True),
        (3.0 * np.sin(ROW / 10), False),
        (np.where(ROW >= 250, 3.0, 0.0), False),
        (np.linspace(0, 9, 300), False),
    ],
    ids=["an oscillation", "a slow cycle", "a step", "a ramp"],
)
def test_what_oscillates_within_sixteen_rows_is_a_tone_and_nothing_else_is(what, is_tone):
    usual = greatest("tone", NOISE)
    assert (greatest("tone", NOISE + what) > 7.0 * usual) == is_tone


@pytest.mark.parametrize(("rows", "is_held"), [(80, True), (40, False)], ids=["most", "a third"])
def test_what_most_rows_of_two_hours_are_off_by_is_held(rows, is_held):
    off = 4.0 * (np.arange(300) % 120 < rows)
    assert (greatest("held", NOISE + off) > 6.0) == is_held


@pytest.mark.parametrize("apart", [1, 3])
def test_the_kernel_of_quantiles_agrees_with_sorting_the_rows(apart):
    rng = np.random.default_rng(8)
    values = np.where(rng.random((150, 2)) < 0.3, np.nan, rng.normal(1.0, 1.0, (150, 2)))
    count, share = 20, 0.4
    spread = spread_squares(values, apart=apart, count=count, share=share)
    held = held_squares(values, apart=apart, count=count, share=share)
    for c in range(2):
        for row in range(150):
            mine = [v for v in values[row::-apart, c][:count] if np.isfinite(v)]
            if 2 * len(mine) < count:
                assert np.isnan(spread[row, c]) and np.isnan(held[row, c])
                continue
            below = int(share * count) * len(mine) // count
            low, high = sorted(mine)[below], sorted(mine)[len(mine) - 1 - below]
            assert spread[row, c] == pytest.approx((0.5 * (high - low)) ** 2)
            assert held[row, c] == pytest.approx(max(low, -high, 0.0) ** 2)
