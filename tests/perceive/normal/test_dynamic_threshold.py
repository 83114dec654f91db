"""Thresholds that follow from the scores."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from sightline.errors import UsageError
from sightline.perceive.normal.dynamic_threshold import (
    DynamicRule,
    StreamThreshold,
    dynamic_events,
    dynamic_threshold,
)

SCORES = arrays(np.float64, st.integers(0, 120), elements=st.floats(0, 60) | st.just(np.nan))
NEAR = DynamicRule(gap_rows=3)


def quiet(n=3000, *, level=1.0, seed=0):
    return level * np.random.default_rng(seed).random(n)


@given(score=SCORES, floor=st.floats(0.5, 50))
def test_no_threshold_is_below_the_floor(score, floor):
    assert dynamic_threshold(score, DynamicRule(floor=floor)) >= floor


@given(score=SCORES)
def test_events_are_apart_and_reach_the_threshold_at_both_ends(score):
    events = dynamic_events(score, NEAR)
    threshold = dynamic_threshold(score, NEAR)
    for first, last in events:
        assert min(score[first], score[last]) >= threshold
    assert (events[1:, 0] - events[:-1, 1] > NEAR.gap_rows).all()


def test_a_quiet_recording_has_no_events():
    assert dynamic_events(quiet(), DynamicRule()).tolist() == []


def test_a_loud_recording_raises_the_threshold_above_its_noise():
    score = quiet(level=10.0)
    score[1500:1510] = 80.0
    assert dynamic_threshold(score, DynamicRule()) > 10.0
    assert dynamic_events(score, DynamicRule()).tolist() == [[1500, 1509]]


def test_what_hardly_stands_out_from_the_rest_is_pruned():
    score = quiet(level=12.0)
    score[[1000, 2000]] = 40.0, 12.6
    rule = DynamicRule(floor=12.5, deviations=(1e3,))
    assert dynamic_events(score, rule).tolist() == [[1000, 1000]]
    every = DynamicRule(floor=12.5, deviations=(1e3,), least_drop=0.0)
    assert dynamic_events(score, every).tolist() == [[1000, 1000], [2000, 2000]]


def test_a_recording_whose_events_all_hardly_stand_out_has_none():
    score = quiet(level=12.0)
    score[[1000, 2000]] = 12.7, 12.6
    assert dynamic_events(score, DynamicRule(floor=12.5, deviations=(1e3,))).tolist() == []


def test_missing_scores_are_not_unusual_and_do_not_count():
    score = quiet()
    score[1500] = 50.0
    holes = score.copy()
    holes[::7] = np.nan
    holes[1500] = 50.0
    assert dynamic_events(holes, DynamicRule()).tolist() == [[1500, 1500]]
    assert dynamic_events(np.full(50, np.nan), DynamicRule()).tolist() == []


# --- streams ------------------------------------------------------------------------------------


def stream():
    return StreamThreshold(rule=NEAR, window_rows=40, step_rows=7, least_rows=15)


@given(score=SCORES, cuts=st.lists(st.integers(0, 120), max_size=4))
def test_a_stream_that_is_cut_anywhere_is_judged_the_same(score, cuts):
    whole, unusual, _ = stream().follow(score)
    state, thresholds, judged = stream(), [], []
    for part in np.split(score, sorted(cuts)):
        threshold, found, state = state.follow(part)
        thresholds.append(threshold)
        judged.append(found)
    np.testing.assert_array_equal(np.concatenate(thresholds), whole)
    np.testing.assert_array_equal(np.concatenate(judged), unusual)


@given(score=SCORES, row=st.integers(0, 119))
def test_no_row_is_judged_by_itself_or_a_later_one(score, row):
    changed = score.copy()
    changed[row:] = 50.0
    np.testing.assert_array_equal(
        stream().follow(changed)[0][: row + 1], stream().follow(score)[0][: row + 1]
    )


def test_before_enough_has_been_seen_the_threshold_is_not_known():
    threshold, unusual, _ = stream().follow(np.full(60, 50.0))
    assert np.isnan(threshold[:15]).all()
    assert not unusual[:15].any()
    assert np.isfinite(threshold[21:]).all()


def test_a_state_holds_no_more_than_its_window():
    assert len(stream().follow(quiet(5000))[2].recent) == 40


@pytest.mark.parametrize("wrong", [{"floor": 0.0}, {"deviations": ()}, {"most_share": 0.0}])
def test_rules_that_cannot_work_are_refused(wrong):
    with pytest.raises(UsageError):
        DynamicRule(**wrong)


def test_a_window_that_is_shorter_than_what_is_needed_is_refused():
    with pytest.raises(UsageError):
        StreamThreshold(rule=NEAR, window_rows=10, least_rows=20)
