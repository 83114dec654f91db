"""Ten thousand schedules and fifty kills: `make soak`."""

import pytest

from runtime.killing import check_kill
from simulation.checking import check_small, seeds
from simulation.simulated_run import small_plan

pytestmark = pytest.mark.soak


@pytest.mark.parametrize("first", range(0, 10_000, 250))
def test_ten_thousand_fault_schedules(first):
    plan = small_plan()
    for seed in seeds(first, 250):
        check_small(seed, plan)


@pytest.mark.parametrize("seed", range(50))
def test_fifty_kills_at_random_points(seed, tmp_path):
    check_kill(seed, tmp_path)
