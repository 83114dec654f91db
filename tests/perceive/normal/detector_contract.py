"""What every detector of a series must keep, whatever its idea of normal."""

import json

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sightline.errors import UsageError

LEARNING = 400


def wave(n=1000, *, seed=0, missing=0.0, period=40.0):
    """A noisy wave; a share of its samples is missing."""
    rng = np.random.default_rng(seed)
    values = np.sin(np.arange(n) * 2 * np.pi / period) + rng.normal(0, 0.05, n)
    values[rng.random(n) < missing] = np.nan
    return values


class DetectorContract:
    """A detector has ``learn(values)``, ``follow(values)``, ``as_mapping``, ``from_mapping``."""

    detector: type

    def follow(self, values):
        return self.detector.learn(values[:LEARNING]).follow(values[LEARNING:])[0].score

    # Several classes inherit this test, on purpose.
    @settings(max_examples=20, suppress_health_check=[HealthCheck.differing_executors])
    @given(
        cuts=st.lists(st.integers(0, 600), max_size=4),
        seed=st.integers(0, 5),
        missing=st.sampled_from([0.0, 0.1, 0.6]),
    )
    def test_a_stream_that_is_cut_anywhere_has_the_same_scores(self, cuts, seed, missing):
        values = wave(seed=seed)
        values[LEARNING:] = wave(600, seed=seed, missing=missing)
        state = self.detector.learn(values[:LEARNING])
        parts = []
        for part in np.split(values[LEARNING:], sorted(cuts)):
            scores, state = state.follow(part)
            parts.append(scores.score)
        np.testing.assert_array_equal(np.concatenate(parts), self.follow(values))

    def test_row_by_row_is_the_same_as_all_at_once(self):
        values = wave(700)
        state = self.detector.learn(values[:LEARNING])
        found = []
        for row in range(LEARNING, len(values)):
            scores, state = state.follow(values[row : row + 1])
            found.append(scores.score[0])
        np.testing.assert_array_equal(found, self.follow(values))

    def test_a_state_that_was_stored_goes_on_as_if_it_had_not_been(self):
        values = wave(missing=0.05)
        state = self.detector.learn(values[:LEARNING]).follow(values[LEARNING:650])[1]
        again = self.detector.from_mapping(json.loads(json.dumps(state.as_mapping())))
        np.testing.assert_array_equal(
            again.follow(values[650:])[0].score, state.follow(values[650:])[0].score
        )

    def test_following_changes_no_state_but_gives_a_new_one(self):
        state = self.detector.learn(wave()[:LEARNING])
        before = json.dumps(state.as_mapping())
        state.follow(wave()[LEARNING:])
        assert json.dumps(state.as_mapping()) == before

    def test_too_little_to_learn_from_is_said_and_not_guessed(self):
        with pytest.raises(UsageError, match="nothing is known"):
            self.detector.learn(np.ones(3))
        with pytest.raises(UsageError, match="nothing is known"):
            self.detector.learn(np.full(LEARNING, np.nan))

    def test_where_all_samples_are_missing_the_score_is_unknown_and_comes_back(self):
        values = wave(2000)
        values[600:1200] = np.nan
        score = self.follow(values)
        assert np.isnan(score[900 - LEARNING])
        assert np.isfinite(score[-1])

    def test_a_series_that_never_moves_is_not_unusual_until_it_does(self):
        values = np.full(1000, 5.0)
        values[800:] = 6.0
        score = self.follow(values)
        assert score[: 800 - LEARNING].max() == 0.0
        assert score[800 - LEARNING : 820 - LEARNING].max() > 10.0

    def test_more_of_the_same_is_seldom_unusual(self):
        score = self.follow(wave(5000))
        assert np.mean(score > 3.0) < 0.005

    @pytest.mark.parametrize("unit", [1e-6, 1e6])
    def test_the_unit_of_the_samples_does_not_matter(self, unit):
        values = wave()
        np.testing.assert_allclose(self.follow(values * unit), self.follow(values), rtol=1e-6)

    @pytest.mark.parametrize("kind", ["step", "stuck", "spike", "noise", "oscillation"])
    def test_what_is_unlike_the_past_stands_out_within_its_range(self, kind):
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
        score = self.follow(values)
        usual = np.nanquantile(score[: 1500 - LEARNING], 0.99)
        assert np.nanmax(score[1500 - LEARNING : 1570 - LEARNING]) > 3 * max(usual, 1.0)
