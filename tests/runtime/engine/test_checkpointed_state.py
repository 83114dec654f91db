"""State that only a checkpoint carries over a crash."""

import numpy as np
import polars as pl
import pytest

from simulation.engine import SimulatedEngine
from simulation.schedules import EngineFaults
from simulation.small_runs import readings, windows
from simulation.small_world import small_plan


@pytest.fixture(scope="module")
def engine():
    """s0 is idle, delivers one row of its backlog, and only later a row that completes its window.

    Meanwhile a tick has closed that window without the row, so it waits to be decided again.
    """
    punctual = readings(windows(0))
    backlog = readings([200], time_s=[25], received_s=55)
    later = readings([0], time_s=[75])
    other = readings(windows(*[0] * 9), sensor="s1")
    rows = pl.concat([punctual, backlog, later, other]).sort("received_ns", maintain_order=True)
    return SimulatedEngine(small_plan(partitions=1), {"t": rows})


@pytest.mark.parametrize("share", np.linspace(0.4, 0.95, 12).round(2))
def test_a_window_that_waits_for_its_backlog_is_decided_after_a_crash(engine, share):
    undisturbed = engine.run_through()
    assert "high" in {d.kind for d in undisturbed.decisions}
    faults = EngineFaults(crashes=(share,), checkpoint_epochs=1)
    crashed = engine.run_through(faults, like=undisturbed)
    assert crashed.lives == 2
    assert crashed.digest == undisturbed.digest
