"""Several scores of one series as one."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from sightline.errors import UsageError
from sightline.perceive.normal.combination import combined_scores

PAIRS = arrays(
    np.float64,
    st.tuples(st.just(2), st.integers(0, 30)),
    elements=st.floats(0, 1e6) | st.just(np.nan),
)


@given(pair=PAIRS)
def test_a_combination_is_between_its_parts(pair):
    found = combined_scores(list(pair))
    known = np.isfinite(pair)
    np.testing.assert_array_equal(np.isnan(found), ~known.any(axis=0))
    rows = known.any(axis=0)
    least = np.where(known, pair, np.inf).min(axis=0)[rows]
    greatest = np.where(known, pair, -np.inf).max(axis=0)[rows]
    assert (found[rows] >= least * (1 - 1e-9) - 1e-9).all()
    assert (found[rows] <= greatest * (1 + 1e-9) + 1e-9).all()


@given(pair=PAIRS, cut=st.integers(0, 30))
def test_a_stream_that_is_cut_anywhere_has_the_same_combination(pair, cut):
    parts = [combined_scores(list(pair[:, :cut])), combined_scores(list(pair[:, cut:]))]
    np.testing.assert_array_equal(np.concatenate(parts), combined_scores(list(pair)))


@given(pair=PAIRS)
def test_the_order_of_the_scorers_does_not_matter(pair):
    np.testing.assert_allclose(
        combined_scores(list(pair), weights=[2.0, 1.0]),
        combined_scores(list(pair[::-1]), weights=[1.0, 2.0]),
    )


def test_where_one_knows_nothing_the_other_stands():
    found = combined_scores([np.array([np.nan, 5.0]), np.array([3.0, np.nan])], weights=[9.0, 1.0])
    assert found.tolist() == pytest.approx([3.0, 5.0])


def test_who_counts_more_draws_the_combination_closer():
    shout, calm = np.array([99.0]), np.array([0.0])
    even = combined_scores([shout, calm])
    assert combined_scores([shout, calm], weights=[2, 1]) > even
    assert combined_scores([shout, calm], weights=[1, 2]) < even


@pytest.mark.parametrize(
    ("scores", "weights"),
    [([], None), ([np.ones(2), np.ones(3)], None), ([np.ones(2)], [0.0]), ([np.ones(2)], [1, 1])],
)
def test_what_cannot_be_combined_is_refused(scores, weights):
    with pytest.raises(UsageError, match="combined_scores"):
        combined_scores(scores, weights=weights)
