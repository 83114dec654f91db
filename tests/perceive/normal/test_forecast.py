"""The forecaster of one series: the contract of all detectors, and what is its own."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from perceive.normal.detector_contract import LEARNING, DetectorContract, wave
from sightline.errors import UsageError
from sightline.perceive.normal.forecast import (
    ForecastDetector,
    ForecastSettings,
    kernels,
    reference,
)
from sightline.perceive.normal.forecast.scale import pooled

VALUES = st.floats(-3, 3, width=32) | st.just(np.nan)


class TestForecastDetector(DetectorContract):
    detector = ForecastDetector


# --- kernels ------------------------------------------------------------------------------------


def compared(fit, after):
    for ours, plain in zip(after, (fit.weights, fit.gram, fit.moment), strict=True):
        np.testing.assert_allclose(
            np.tril(ours) if ours.ndim == 2 else ours,
            np.tril(plain) if plain.ndim == 2 else plain,
            rtol=1e-6,
            atol=1e-6,
        )


@settings(max_examples=30)
@given(
    values=arrays(np.float64, st.integers(12, 40), elements=VALUES),
    columns=st.integers(0, 2),
    pool=st.integers(1, 2),
)
def test_the_kernel_learns_as_specified(values, columns, pool):
    inputs = np.random.default_rng(0).normal(size=(len(values), columns))
    ours = kernels.learned(values, values, inputs, 3, pool, 0.1, 4.0)
    error, fit = reference.learned(values, values, inputs, 3, pool, 0.1, 4.0)
    np.testing.assert_allclose(ours[0], error, rtol=1e-6, atol=1e-6)
    compared(fit, ours[1:4])
    assert ours[4:] == pytest.approx((fit.total, fit.scale))


@settings(max_examples=30)
@given(
    values=arrays(np.float64, st.integers(0, 40), elements=VALUES),
    pool=st.integers(1, 2),
    learns=st.booleans(),
)
def test_the_kernel_follows_as_specified(values, pool, learns):
    rng = np.random.default_rng(1)
    before, waiting = rng.normal(size=5 + 3 * pool), np.abs(rng.normal(size=5))
    inputs = rng.normal(size=(5 + len(values), 1))
    _, fit = reference.learned(
        rng.normal(size=60), rng.normal(size=60), np.ones((60, 1)), 3, 1, 0.1, 4.0
    )
    error, filled, *state = kernels.followed(
        values,
        before,
        inputs,
        waiting,
        fit.gram,
        fit.moment,
        fit.weights,
        fit.total,
        fit.scale,
        0,
        0,
        3,
        pool,
        4,
        0.1,
        2.0,
        1 / 70,
        learns,
    )
    plain_error, plain_filled, after = reference.followed(
        values, before, inputs, waiting, fit, 3, pool, 4, 0.1, 2.0, 1 / 70, learns
    )
    np.testing.assert_allclose(error, plain_error, rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(filled, plain_filled, rtol=1e-6, atol=1e-6)
    compared(after, (state[2], state[0], state[1]))
    assert state[3:] == pytest.approx([after.total, after.scale, after.pending, after.missing])


@given(values=arrays(np.float64, st.integers(0, 20), elements=VALUES), pool=st.integers(1, 4))
def test_a_pooled_value_is_the_mean_of_what_is_known_of_its_samples(values, pool):
    for row, found in enumerate(pooled(values, pool)):
        window = values[max(row + 1 - pool, 0) : row + 1]
        known = window[np.isfinite(window)]
        if row + 1 < pool or not len(known):
            assert np.isnan(found)
        else:
            assert found == pytest.approx(known.mean())


# --- what it sees -------------------------------------------------------------------------------


def test_a_series_that_its_past_explains_has_small_errors_whatever_its_swing():
    values = 50 * np.sin(np.arange(2000) * 2 * np.pi / 33)
    score = ForecastDetector.learn(values[:400]).follow(values[400:])[0].score
    assert score.max() < 1.0


def test_a_value_within_the_usual_range_at_the_wrong_time_stands_out():
    values = wave(2000)
    values[1500:1540] = values[1500:1540][::-1]
    score = ForecastDetector.learn(values[:750]).follow(values[750:])[0].score
    assert 1500 <= 750 + np.argmax(score) < 1600
    assert score.max() > 4


def jumps_on_command(n=3000, *, seed=0, has_command=True):
    """A level that changes only when it is told to, at times nobody can foresee."""
    rng = np.random.default_rng(seed)
    command = (rng.random(n) < 0.03).astype(float)
    values = 2.0 * command + rng.normal(0, 0.05, n)
    return values, command[:, None] * has_command


def test_what_a_command_explains_is_expected():
    values, command = jumps_on_command()
    without = ForecastDetector.learn(values[:750]).follow(values[750:])[0]
    told = ForecastDetector.learn(values[:750], inputs=command[:750])
    found = told.follow(values[750:], command[750:])[0]
    assert np.isfinite(without.score).all()
    # The same response with no command before it.
    values[2000] = 2.0
    command[2000] = 0.0
    again = told.follow(values[750:], command[750:])[0]
    assert again.by_width[1250, 0] > found.by_width[1250, 0] + 10


def test_inputs_do_not_hang_on_where_a_stream_is_cut():
    values, command = jumps_on_command(1500)
    state = ForecastDetector.learn(values[:600], inputs=command[:600])
    whole = state.follow(values[600:], command[600:])[0].score
    first, state = state.follow(values[600:701], command[600:701])
    second, _ = state.follow(values[701:], command[701:])
    np.testing.assert_array_equal(np.concatenate([first.score, second.score]), whole)


def test_inputs_of_another_width_are_refused():
    values, command = jumps_on_command(900)
    state = ForecastDetector.learn(values[:600], inputs=command[:600])
    with pytest.raises(UsageError, match="inputs"):
        state.follow(values[600:])
    with pytest.raises(UsageError, match="inputs"):
        ForecastDetector.learn(values[:600], inputs=command[:10])


# --- learning -----------------------------------------------------------------------------------


def test_other_dynamics_are_usual_later_if_all_is_learnt():
    values = np.concatenate([wave(1500), wave(4000, period=9.0, seed=1)])
    score = ForecastDetector.learn(values[:LEARNING]).follow(values[LEARNING:])[0].score
    assert score[1500 - LEARNING : 1600 - LEARNING].max() > 4
    assert score[-1000:].max() < 3


def test_other_dynamics_stay_unusual_if_nothing_is_learnt():
    values = np.concatenate([wave(1500), wave(4000, period=9.0, seed=1)])
    detector = ForecastDetector.learn(values[:LEARNING], ForecastSettings(learns=False))
    score = detector.follow(values[LEARNING:])[0].score
    assert score[1700 - LEARNING :].min() > 4


def test_widths_that_the_learning_stretch_is_too_short_for_are_left_out():
    assert ForecastDetector.learn(wave(150)).widths == (16, 32)


def test_a_state_holds_no_more_however_long_it_has_followed():
    state = ForecastDetector.learn(wave()[:LEARNING])
    once = state.follow(wave(1000))[1]
    twice = once.follow(wave(5000))[1]
    assert len(str(twice.as_mapping())) < 1.1 * len(str(once.as_mapping()))


def test_another_format_is_refused():
    plain = ForecastDetector.learn(wave()).as_mapping() | {"format": 99}
    with pytest.raises(UsageError, match="format"):
        ForecastDetector.from_mapping(plain)


@pytest.mark.parametrize(
    "wrong", [{"widths": (3,)}, {"lags": 0}, {"delay": 0}, {"ridge": 0.0}, {"refit_rows": 0}]
)
def test_settings_that_cannot_work_are_refused(wrong):
    with pytest.raises(UsageError):
        ForecastSettings(**wrong)
