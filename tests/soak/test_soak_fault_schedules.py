"""Ten thousand seeds: other ones than the suite's."""

import pytest

from simulation.trials import gateway_trial, small_trial, try_seeds

CHUNK = 100

pytestmark = pytest.mark.soak


@pytest.mark.parametrize("first", range(10_000, 19_500, CHUNK))
def test_soak_faults_show_in_no_decision_of_the_small_pipeline(first):
    assert try_seeds(small_trial, range(first, first + CHUNK)) == {}


@pytest.mark.parametrize("first", range(20_000, 20_500, 10))
def test_soak_faults_show_in_no_decision_of_the_gateway(first):
    assert try_seeds(gateway_trial, range(first, first + 10)) == {}
