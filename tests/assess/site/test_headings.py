"""Where machines head: by their velocity, by the way they came, and when it is not known."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assess.site.site_tracks import S, tracks
from sightline.assess.site import from_snapshot, snapshot
from sightline.assess.site.machines import Headings, TowedPoints, follow_headings
from sightline.errors import UsageError

STEP_NS = S // 10


def followed(path, *, state=None, first=0, **rest):
    """The heading after a machine has come along these points, 10 a second."""
    state = TowedPoints.start() if state is None else state
    headings = None
    for i, at in enumerate(path, start=first):
        state, headings = follow_headings(state, tracks(i * STEP_NS, [at], **rest), rope_m=4.0)
    return state, headings


def straight(direction_rad, metres, step_m=0.1):
    along = np.arange(0.0, metres, step_m)
    return np.stack([along * np.cos(direction_rad), along * np.sin(direction_rad)], axis=1)


def test_a_sure_velocity_shows_the_heading():
    shown = Headings.of_velocity(tracks(0, [(0, 0)], velocity=[(0.0, 2.0)], velocity_std_m_s=0.2))
    assert shown.heading_rad[0] == pytest.approx(np.pi / 2)
    assert shown.std_rad[0] == pytest.approx(0.1)


def test_a_velocity_within_its_uncertainty_shows_no_heading():
    shown = Headings.of_velocity(tracks(0, [(0, 0)], velocity=[(1.0, 0.0)], velocity_std_m_s=0.5))
    assert np.isnan(shown.heading_rad[0])


def test_what_stands_shows_no_heading():
    assert np.isnan(Headings.of_velocity(tracks(0, [(0, 0)])).heading_rad[0])


@pytest.mark.parametrize("direction_rad", [0.0, 2.0, -3.0])
def test_the_way_it_came_shows_the_heading_of_a_slow_machine(direction_rad):
    _, headings = followed(straight(direction_rad, 8.0), position_std_m=0.1)
    assert headings.heading_rad[0] == pytest.approx(direction_rad)


def test_the_heading_is_not_known_before_the_machine_has_moved_by_its_length():
    _, headings = followed(straight(0.0, 3.5))
    assert np.isnan(headings.heading_rad[0])


def test_a_machine_that_halts_keeps_its_heading():
    path = [*straight(1.0, 8.0), *[straight(1.0, 8.0)[-1]] * 50]
    _, headings = followed(path, position_std_m=0.1)
    assert headings.heading_rad[0] == pytest.approx(1.0)


def test_the_noise_of_positions_turns_the_heading_no_more_than_its_deviation_says():
    random = np.random.default_rng(5)
    errors = []
    for _ in range(100):
        path = straight(0.0, 8.0)
        _, headings = followed(path + 0.1 * random.standard_normal(path.shape), position_std_m=0.1)
        errors.append(headings.heading_rad[0])
    assert np.std(errors) <= headings.std_rad[0]


def test_a_track_that_ended_is_forgotten():
    state, _ = followed(straight(0.0, 8.0))
    state, _ = follow_headings(state, tracks(99 * STEP_NS, [(0, 0)], ids=[2]), rope_m=4.0)
    assert state.track_id.tolist() == [2]


def test_a_position_that_is_missing_once_does_not_lose_the_heading():
    path = [*straight(0.5, 8.0), (np.nan, np.nan), *(straight(0.5, 9.0)[80:])]
    _, headings = followed(path, position_std_m=0.1)
    assert headings.heading_rad[0] == pytest.approx(0.5, abs=1e-6)


def test_a_rope_without_length_is_refused():
    with pytest.raises(UsageError, match="rope_m > 0"):
        follow_headings(TowedPoints.start(), tracks(0), rope_m=0.0)


def test_headings_come_in_the_order_of_the_tracks():
    state = TowedPoints.start()
    for i, s in enumerate(np.arange(0.0, 8.0, 0.2)):
        seen = tracks(i * STEP_NS, [(s, 0.0), (0.0, s)], ids=[9, 3], position_std_m=0.1)
        state, headings = follow_headings(state, seen, rope_m=4.0)
    np.testing.assert_allclose(headings.heading_rad, [0.0, np.pi / 2], atol=1e-6)


walks = st.lists(st.tuples(st.floats(-9, 9), st.floats(-9, 9)), min_size=1, max_size=30)


@settings(max_examples=50, deadline=None)
@given(walks, st.integers(0, 30))
def test_a_state_that_was_kept_and_taken_back_goes_on_the_same(path, cut):
    cut = min(cut, len(path) - 1)
    state, _ = followed(path[:cut])
    kept = from_snapshot(TowedPoints, snapshot(state))
    _, after = followed(path[cut:], state=kept, first=cut)
    _, whole = followed(path)
    np.testing.assert_array_equal(after.heading_rad, whole.heading_rad)
    np.testing.assert_array_equal(after.std_rad, whole.std_rad)


def test_a_long_straight_way_shows_the_heading_better_than_a_short_one():
    random = np.random.default_rng(3)
    short, long = (
        followed(way + random.normal(0.0, 0.1, way.shape), position_std_m=0.12)[1]
        for way in (straight(0.5, 7.0), straight(0.5, 40.0))
    )
    assert long.std_rad[0] < 0.6 * short.std_rad[0]
    assert abs(long.heading_rad[0] - 0.5) < 2 * long.std_rad[0]


def test_on_a_bend_the_longer_ropes_are_not_believed():
    angle = np.arange(0.0, 2.0, 0.01)
    bend = 15.0 * np.stack([np.sin(angle), 1 - np.cos(angle)], axis=1)
    _, headings = followed(bend, position_std_m=0.1)
    lag = abs(headings.heading_rad[0] - angle[-1])
    # A rope of 4 m on a radius of 15 m lags by asin(4 / 15) = 0.27; one of 16 m has no answer.
    assert lag < 0.3


def test_the_time_since_a_track_stood_is_told():
    path = np.zeros((1, 2))
    state, _ = followed(np.repeat(path, 5, axis=0))
    for first in (5, 15):
        state, headings = followed(
            np.repeat(path, 10, axis=0), state=state, first=first, velocity=[(3.0, 0.0)]
        )
    assert headings.driven_s[0] == pytest.approx(2.0)
    state, headings = followed(path, state=state, first=25)
    assert headings.driven_s[0] == 0.0


def test_what_is_first_seen_driving_is_taken_to_have_stood_until_then():
    _, headings = followed(np.zeros((1, 2)), velocity=[(3.0, 0.0)])
    assert headings.driven_s[0] == 0.0
