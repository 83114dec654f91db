"""A thousand fault schedules on the small pipeline and fifty on the gateway, by seed."""

import numpy as np
import pytest

from sightline.errors import StorageError
from simulation.checking import check_gateway, check_small, seeds
from simulation.disk import SimulatedDisk
from simulation.simulated_run import SimulatedRun, small_plan, small_rows


@pytest.mark.slow
@pytest.mark.parametrize("first", range(0, 1000, 50))
def test_whatever_fails_the_small_pipeline_ends_the_same_and_loses_nothing(first):
    plan = small_plan()
    for seed in seeds(first, 50):
        check_small(seed, plan)


@pytest.mark.slow
@pytest.mark.parametrize("first", range(0, 50, 5))
def test_whatever_fails_the_gateway_ends_the_same_and_loses_nothing(first):
    for seed in seeds(first, 5):
        check_gateway(seed)


def test_a_few_schedules_hold():
    for seed in seeds(5000, 6):
        check_small(seed)


def test_a_full_disk_stops_the_run_and_keeps_what_was_committed():
    run = SimulatedRun(small_plan(), {"t": small_rows(np.random.default_rng(1))}, seed=1)
    whole = run.go(SimulatedDisk())
    disk = SimulatedDisk(capacity_bytes=whole.disk.used_bytes // 2)
    with pytest.raises(StorageError):
        run._attempt(disk, np.random.default_rng(2))
    disk.capacity_bytes = None  # somebody made room
    assert run.go(disk).digest == whole.digest


def test_a_finished_run_that_is_resumed_says_nothing_new():
    run = SimulatedRun(small_plan(), {"t": small_rows(np.random.default_rng(3))}, seed=3)
    once = run.go(SimulatedDisk())
    again = run.go(once.disk)
    assert (len(again.decisions), again.accounts) == (len(once.decisions), once.accounts)


def test_the_schedules_exercise_what_they_are_for():
    said, reasons = set(), set()
    for seed in range(20):
        rng = np.random.default_rng(seed)
        run = SimulatedRun(small_plan(), {"t": small_rows(rng)}, seed=seed, fault_share=0.3)
        result = run.go(SimulatedDisk())
        said |= {(d.kind, str(d.status)) for d in result.decisions}
        said |= {str(d.mode) for d in result.decisions}
        reasons |= set(result.accounts.quarantined)
    assert {("silent", "issued"), ("area_silent", "issued"), ("silent", "retracted")} <= said
    assert ("high", "revised") in said
    assert {"fallback", "primary"} <= said
    assert {"RANGE", "NOT_FINITE", "LATE_BEYOND_ALLOWANCE"} <= reasons
