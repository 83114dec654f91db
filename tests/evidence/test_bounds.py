"""Bounds against their definitions."""

import pytest
from scipy.stats import binom, poisson

from sightline.errors import UsageError
from sightline.evidence.bounds import (
    binomial_lower,
    binomial_upper,
    poisson_lower,
    poisson_upper,
)


@pytest.mark.parametrize("events", [0, 1, 4, 50])
def test_at_the_upper_bound_of_a_rate_so_few_events_have_5_per_cent(events):
    assert poisson.cdf(events, poisson_upper(events, 1.0)) == pytest.approx(0.05)


@pytest.mark.parametrize("events", [1, 4, 50])
def test_at_the_lower_bound_of_a_rate_so_many_events_have_5_per_cent(events):
    assert poisson.sf(events - 1, poisson_lower(events, 1.0)) == pytest.approx(0.05)


@pytest.mark.parametrize(("hits", "trials"), [(0, 1000), (4, 1000), (9, 10)])
def test_at_the_upper_bound_of_a_probability_so_few_hits_have_5_per_cent(hits, trials):
    assert binom.cdf(hits, trials, binomial_upper(hits, trials)) == pytest.approx(0.05)


@pytest.mark.parametrize(("hits", "trials"), [(1, 1000), (10, 10), (9, 10)])
def test_at_the_lower_bound_of_a_probability_so_many_hits_have_5_per_cent(hits, trials):
    assert binom.sf(hits - 1, trials, binomial_lower(hits, trials)) == pytest.approx(0.05)


def test_without_exposure_there_is_no_bound():
    with pytest.raises(UsageError, match="exposure"):
        poisson_upper(0, 0.0)


def test_more_hits_than_trials_are_refused():
    with pytest.raises(UsageError):
        binomial_upper(3, 2)
