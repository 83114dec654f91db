"""From scores to events."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from sightline.errors import UsageError
from sightline.perceive.normal.events import EventRule, score_events

SCORES = arrays(np.float64, st.integers(0, 60), elements=st.floats(0, 20) | st.just(np.nan))


@given(score=SCORES, gap=st.integers(1, 10))
def test_every_unusual_row_is_in_one_event_and_events_are_apart(score, gap):
    events = score_events(score, EventRule(threshold=4.0, gap_rows=gap, least_share=0.0))
    inside = np.zeros(len(score), np.int64)
    for first, last in events:
        inside[first : last + 1] += 1
        assert score[last] >= 4.0
    assert (inside[score >= 4.0] == 1).all()
    assert (events[1:, 0] > events[:-1, 1]).all()


@given(score=SCORES, share=st.floats(0, 1))
def test_pruning_keeps_the_strongest_and_only_what_is_beside_it(score, share):
    rule = EventRule(threshold=4.0, gap_rows=3, least_share=share)
    every = score_events(score, EventRule(threshold=4.0, gap_rows=3, least_share=0.0)).tolist()
    kept = score_events(score, rule).tolist()
    greatest = {tuple(e): np.nanmax(score[e[0] : e[1] + 1]) for e in every}
    most = max(greatest.values(), default=0.0)
    assert kept == [e for e in every if greatest[tuple(e)] >= share * most]


@given(score=SCORES, cut=st.integers(0, 60), share=st.floats(0, 1))
def test_what_comes_later_takes_back_no_event_that_was_told(score, cut, share):
    rule = EventRule(threshold=4.0, gap_rows=3, least_share=share)
    first = score_events(score[:cut], rule, as_it_goes=True)[:, 0]
    assert set(first.tolist()) <= set(score_events(score, rule, as_it_goes=True)[:, 0].tolist())


def test_a_quiet_recording_has_no_events():
    assert score_events(np.full(50, 3.9), EventRule()).tolist() == []


@pytest.mark.parametrize("wrong", [{"threshold": 0.0}, {"gap_rows": 0}, {"least_share": 1.5}])
def test_rules_that_cannot_work_are_refused(wrong):
    with pytest.raises(UsageError):
        EventRule(**wrong)
