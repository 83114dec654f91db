"""The detector of one series: cut anywhere, told of gaps, steps and channels as spacecraft have."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sightline.errors import UsageError
from sightline.perceive.normal import EventRule, NormalSettings, SeriesDetector, score_events

LEARNING = 400


def wave(n=1000, *, seed=0, missing=0.0, period=40.0):
    """A noisy wave; a share of its samples is missing."""
    rng = np.random.default_rng(seed)
    values = np.sin(np.arange(n) * 2 * np.pi / period) + rng.normal(0, 0.05, n)
    values[rng.random(n) < missing] = np.nan
    return values


def scored(values):
    return SeriesDetector.learn(values[:LEARNING]).follow(values[LEARNING:])[0]


@settings(max_examples=20)
@given(
    cuts=st.lists(st.integers(0, 600), max_size=4),
    seed=st.integers(0, 5),
    missing=st.sampled_from([0.0, 0.1, 0.6]),
)
def test_a_stream_that_is_cut_anywhere_has_the_same_scores(cuts, seed, missing):
    values = wave(seed=seed)
    values[LEARNING:] = wave(600, seed=seed, missing=missing)
    state = SeriesDetector.learn(values[:LEARNING])
    parts = []
    for part in np.split(values[LEARNING:], sorted(cuts)):
        scores, state = state.follow(part)
        parts.append(scores)
    np.testing.assert_array_equal(np.concatenate(parts), scored(values))


def test_row_by_row_is_the_same_as_all_at_once():
    values = wave(700)
    state = SeriesDetector.learn(values[:LEARNING])
    found = []
    for row in range(LEARNING, len(values)):
        scores, state = state.follow(values[row : row + 1])
        found.append(scores[0])
    np.testing.assert_array_equal(found, scored(values))


def test_following_changes_no_state_but_gives_a_new_one():
    state = SeriesDetector.learn(wave()[:LEARNING])
    first, after = state.follow(wave()[LEARNING:])
    again, _ = state.follow(wave()[LEARNING:])
    np.testing.assert_array_equal(again, first)
    assert (state.rows, after.rows) == (LEARNING, 1000)


def test_too_little_to_learn_from_is_said_and_not_guessed():
    with pytest.raises(UsageError, match="nothing is known"):
        SeriesDetector.learn(np.ones(3))
    with pytest.raises(UsageError, match="nothing is known"):
        SeriesDetector.learn(np.full(LEARNING, np.nan))


def test_where_all_samples_are_missing_the_score_is_unknown_and_comes_back():
    values = wave(2000)
    values[600:1200] = np.nan
    score = scored(values)
    assert np.isnan(score[900 - LEARNING])
    assert np.isfinite(score[-1])


def test_a_series_that_never_moves_is_not_unusual_until_it_does():
    values = np.full(1000, 5.0)
    values[800:] = 6.0
    score = scored(values)
    assert score[: 800 - LEARNING].max() == 0.0
    assert score[800 - LEARNING : 820 - LEARNING].max() > 10.0


def test_more_of_the_same_is_seldom_unusual():
    score = scored(wave(5000))
    assert np.mean(score > 3.0) < 0.005


@pytest.mark.parametrize("unit", [1e-6, 1e6])
def test_the_unit_of_the_samples_does_not_matter(unit):
    values = wave()
    np.testing.assert_allclose(scored(values * unit), scored(values), rtol=1e-6)


@pytest.mark.parametrize("kind", ["step", "stuck", "spike", "noise", "oscillation"])
def test_what_is_unlike_the_past_stands_out_within_its_range(kind):
    values = wave(2000)
    part = slice(1500, 1560)
    place = np.arange(60)
    values[part] = {
        "step": values[part] * 0.0 + 0.5,
        "stuck": np.full(60, values[1499]),
        "spike": np.where(place == 30, values[part] + 1.0, values[part]),
        "noise": values[part] + np.random.default_rng(1).normal(0, 0.4, 60),
        "oscillation": values[part] + 0.4 * np.sin(place * 2 * np.pi / 6),
    }[kind]
    score = scored(values)
    usual = np.nanquantile(score[: 1500 - LEARNING], 0.99)
    assert np.nanmax(score[1500 - LEARNING : 1570 - LEARNING]) > 3 * max(usual, 1.0)


# --- learning -----------------------------------------------------------------------------------


def changed_for_good(n=4000, at=1500):
    values = wave(n)
    values[at:] += 3.0
    return values


def test_a_change_that_lasts_is_normal_later_if_all_is_learnt():
    values = changed_for_good()
    detector = SeriesDetector.learn(values[:LEARNING], NormalSettings(learns_below=None))
    score = detector.follow(values[LEARNING:])[0]
    assert np.nanmax(score[1500 - LEARNING : 1600 - LEARNING]) > 10
    assert np.nanmax(score[-1000:]) < 3


def test_a_change_that_lasts_stays_unusual_if_only_the_usual_is_learnt():
    values = changed_for_good()
    detector = SeriesDetector.learn(
        values[:LEARNING], NormalSettings(learns_below=10.0, lasting_rows=10_000)
    )
    score = detector.follow(values[LEARNING:])[0]
    assert np.nanmin(score[1640 - LEARNING :]) > 10


def test_a_slow_drift_is_followed():
    values = wave(20_000) + np.linspace(0, 20, 20_000)
    score = SeriesDetector.learn(values[:750]).follow(values[750:])[0]
    assert np.mean(score > 5) < 0.01


def test_widths_that_the_learning_stretch_is_too_short_for_are_left_out():
    assert SeriesDetector.learn(wave(100)).widths == (16, 32)


@pytest.mark.parametrize(
    "wrong", [{"widths": (3,)}, {"memory_size": 0}, {"delay": 0}, {"clip": 0.0}]
)
def test_settings_that_cannot_work_are_refused(wrong):
    with pytest.raises(UsageError):
        NormalSettings(**wrong)


def test_a_series_that_was_exactly_zero_is_known_and_any_movement_is_unusual():
    values = np.zeros(600)
    values[500:] = 1e-3
    scores, _ = SeriesDetector.learn(values[:400]).follow(values[400:])
    assert np.nanmax(scores[:90]) == 0.0
    assert np.nanmax(scores[100:]) > 4.0


def test_a_beginning_longer_than_a_bank_would_keep_is_learnt_from():
    values = wave(70_000)
    scores, _ = SeriesDetector.learn(values, NormalSettings(widths=(128,))).follow(values[:200])
    assert np.isfinite(scores[-1])


# --- nearly binary, hardly moving, short channels: none may run wild ----------------------------


ROWS, LEARNT = 2200, 330  # 15 %, as the benchmarks have it


def channel(kind, seed=0):
    """float64[ROWS] in -1 to 1, without any anomaly."""
    rng = np.random.default_rng(seed)
    place = np.arange(ROWS)
    switches = rng.random(ROWS) < 0.02
    return {
        "binary": np.where(np.cumsum(switches) % 2, 1.0, -1.0),
        "pulses": np.where(switches, 1.0, -1.0),
        "square": np.where(place // 25 % 2, 0.5, -0.5),
        "constant": np.full(ROWS, -1.0),
        "quantised": np.round(np.sin(place / 11) * 4) / 4,
        "steps": np.clip(np.cumsum(rng.normal(0, 0.3, ROWS) * switches), -1, 1),
        "noise": np.clip(rng.normal(0, 0.2, ROWS), -1, 1),
        "one-sided": np.minimum(rng.exponential(0.1, ROWS) - 1, 1.0),
    }[kind]


def channel_scores(values):
    return SeriesDetector.learn(values[:LEARNT]).follow(values[LEARNT:])[0]


KINDS = ["binary", "pulses", "square", "constant", "quantised", "steps", "noise", "one-sided"]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("seed", range(3))
def test_a_channel_without_anomalies_does_not_flood(kind, seed):
    score = channel_scores(channel(kind, seed))
    assert np.isfinite(score).all()
    assert np.mean(score >= 4.0) < 0.15
    assert len(score_events(score, EventRule())) <= 4


@pytest.mark.parametrize("kind", KINDS)
def test_scores_stay_finite_whatever_comes(kind):
    values = channel(kind)
    values[1000:1010] = [1e9, -1e9, 1e300, -1e300, 0.0, 1e-300, np.inf, -np.inf, np.nan, 5.0]
    assert np.isfinite(channel_scores(values)).all()


@pytest.mark.parametrize("kind", ["constant", "square", "quantised"])
def test_a_change_of_such_a_channel_is_seen(kind):
    values = channel(kind)
    values[1500:1530] = 0.1
    score = channel_scores(values)
    first = 1500 - LEARNT
    assert score[first : first + 128].max() > 4.0
    # At first a memory of a pattern that repeats exactly has not seen it at all its phases.
    assert score[first - 300 : first].max() < 4.0


def test_a_channel_that_was_exactly_zero_is_seen_to_move():
    values = np.zeros(ROWS)
    values[1500:] = 0.3
    score = channel_scores(values)
    assert np.nanmax(score[: 1500 - LEARNT]) == 0.0
    assert score[1500 - LEARNT : 1564 - LEARNT].max() > 4.0
