"""Holding for a while: many conditions follow the one, and two times decide begin and end."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from sightline.records.holding import NOT_SO_NS, Holding, all_so_since, latched, so_since


@given(st.lists(st.booleans(), max_size=30))
def test_since_when_many_are_so_is_since_when_each_is(looks):
    one, many = None, np.array([NOT_SO_NS])
    for at_ns, is_so in enumerate(looks):
        one = so_since(one, is_so, at_ns)
        many = all_so_since(many, np.array([is_so]), at_ns)
        assert many.tolist() == [NOT_SO_NS if one is None else one]


def test_a_condition_begins_and_ends_each_after_its_own_time():
    holding = Holding(begin_ns=np.array([2]), end_ns=np.array([4]))
    looks = [True] * 4 + [False] * 6
    seen = [
        bool(holding.update(np.array([holds]), np.array([True]), at)[0])
        for at, holds in enumerate(looks)
    ]
    assert seen == [False, False, True, True, True, True, True, True, False, False]


def test_a_look_at_which_nothing_was_measured_changes_nothing():
    holding = Holding(begin_ns=np.array([2]), end_ns=np.array([2]))
    holding.update(np.array([True]), np.array([True]), 0)
    holding.update(np.array([False]), np.array([False]), 1)
    assert holding.update(np.array([True]), np.array([True]), 2).tolist() == [True]


def test_a_time_of_zero_follows_at_once():
    holding = Holding(begin_ns=np.array([0]), end_ns=np.array([0]))
    seen = [bool(holding.update(np.array([h]), np.array([True]), 0)[0]) for h in (True, False)]
    assert seen == [True, False]


@given(st.lists(st.sampled_from(["begin", "end", ""]), min_size=1, max_size=20), st.booleans())
def test_a_latched_state_is_that_of_the_last_window_that_said_something(words, was):
    begins = np.array([word == "begin" for word in words])
    ends = np.array([word == "end" for word in words])
    is_first = np.arange(len(words)) == 0
    found = latched(begins, ends, is_first=is_first, was_raised=np.full(len(words), was))
    state, expected = was, []
    for word in words:
        state = {"begin": True, "end": False}.get(word, state)
        expected.append(state)
    assert found.is_raised.tolist() == expected
    assert found.changed.tolist() == (np.diff([was, *expected]) != 0).tolist()
