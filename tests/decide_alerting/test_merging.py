"""The minimum gap: against a plain reference, and whatever the batches."""

import json
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sightline.decide.alerting.merging import Events, MergeRule, MergeState, merge_events
from sightline.errors import UsageError

rows = st.lists(
    st.tuples(st.integers(0, 2), st.integers(0, 60), st.integers(0, 9)).map(
        lambda r: (r[0], r[1], r[1] + r[2])
    ),
    max_size=14,
)


def columns(given_rows):
    both = np.array(given_rows, np.int64).reshape(-1, 3)
    return {"key": both[:, 0], "start_ns": both[:, 1], "end_ns": both[:, 2]}


def merge(given_rows, *, gap=5, state=None, through=10_000):
    state = state or MergeState(Events.none())
    return merge_events(MergeRule(min_gap_ns=gap), state, **columns(given_rows), through_ns=through)


def as_rows(events):
    return list(
        zip(
            events.key.tolist(),
            events.start_ns.tolist(),
            events.end_ns.tolist(),
            events.parts.tolist(),
            strict=True,
        )
    )


def plain_merge(given_rows, gap):
    """The specification: sort, and join what is closer than the gap to all before it."""
    found = []
    for key, start, end in sorted(given_rows):
        if found and found[-1][0] == key and start - found[-1][2] < gap:
            last = found[-1]
            found[-1] = (key, last[1], max(last[2], end), last[3] + 1)
        else:
            found.append((key, start, end, 1))
    return found


@settings(max_examples=50, deadline=None)
@given(given_rows=rows, gap=st.integers(1, 8))
def test_merging_agrees_with_the_plain_reference(given_rows, gap):
    assert as_rows(merge(given_rows, gap=gap).closed) == plain_merge(given_rows, gap)


@settings(max_examples=50, deadline=None)
@given(given_rows=rows, cuts=st.lists(st.integers(0, 70), max_size=4))
def test_batches_make_no_difference(given_rows, cuts):
    state, closed, told = MergeState(Events.none()), [], 0
    edges = [-1, *sorted(cuts), 10_000]
    for first, past in pairwise(edges):
        batch = [r for r in given_rows if first <= r[1] < past]
        step = merge(batch, state=state, through=past)
        plain = json.loads(json.dumps(step.state.as_mapping()))
        state = MergeState.from_mapping(plain)
        closed += as_rows(step.closed)
        told += int(step.is_new.sum())
    assert sorted(closed) == plain_merge(given_rows, 5)
    assert told == len(closed)


def test_events_closer_than_the_gap_are_one_and_at_the_gap_are_two():
    assert len(merge([(0, 0, 10), (0, 14, 20)]).closed) == 1
    assert len(merge([(0, 0, 10), (0, 15, 20)]).closed) == 2


def test_an_event_is_told_once_when_it_begins():
    first = merge([(0, 0, 10)], through=11)
    second = merge([(0, 12, 20)], state=first.state, through=21)
    assert (first.is_new.tolist(), second.is_new.tolist()) == ([True], [False])


def test_an_event_stays_open_while_another_may_join_it():
    step = merge([(0, 0, 10)], through=14)
    assert (len(step.closed), len(step.state.held)) == (0, 1)
    assert len(merge([], state=step.state, through=15).closed) == 1


def test_a_late_event_far_before_the_open_one_is_an_event_of_its_own():
    first = merge([(0, 100, 110)], through=111)
    late = merge([(0, 50, 60)], state=first.state, through=111)
    assert late.is_new.tolist() == [True]
    assert as_rows(late.closed) == [(0, 50, 60, 1)]


def test_a_state_of_another_format_is_refused():
    with pytest.raises(UsageError, match="format 2"):
        MergeState.from_mapping({"format": 2})


def test_a_gap_of_nothing_is_refused():
    with pytest.raises(UsageError, match="1 ns"):
        MergeRule(min_gap_ns=0)
