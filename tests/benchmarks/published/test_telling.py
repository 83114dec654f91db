"""What is told of a stream of scores."""

from itertools import pairwise

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from benchmarks.published.telling import TellingRule, told

SCORES = arrays(np.float64, st.integers(0, 60), elements=st.floats(0, 20) | st.just(np.nan))


@given(score=SCORES, cut=st.integers(0, 60))
def test_what_is_told_does_not_depend_on_where_a_stream_is_cut(score, cut):
    rule = TellingRule(hold_rows=5)
    whole, _ = told(score, rule)
    first, state = told(score[:cut], rule)
    second, _ = told(score[cut:], rule, state)
    np.testing.assert_array_equal(np.concatenate([first, second]), whole)


@given(score=SCORES)
def test_within_the_hold_only_what_is_much_stronger_is_told_again(score):
    found, _ = told(score, TellingRule(hold_rows=8, times=2.0))
    rows = np.flatnonzero(found)
    for before, after in pairwise(rows):
        assert after - before > 8 or found[after] > 2 * found[before]
    np.testing.assert_array_equal(found[rows], score[rows])
