"""Whatever happens to process, disk and scorer: the same decisions, every row accounted for.

``make soak`` tries ten thousand other seeds.
"""

import pytest

from simulation.trials import gateway_trial, small_trial, try_seeds

CHUNK = 25


@pytest.mark.parametrize("first", range(0, 75, CHUNK))
def test_faults_show_in_no_decision_of_the_small_pipeline(first):
    assert try_seeds(small_trial, range(first, first + CHUNK)) == {}


@pytest.mark.parametrize("first", range(0, 6, 3))
def test_faults_show_in_no_decision_of_the_gateway(first):
    assert try_seeds(gateway_trial, range(first, first + 3)) == {}
