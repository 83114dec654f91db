"""What must hold of every simulated run, whatever its seed."""

import os

import numpy as np

from sightline.apps.gateway import PIPELINE, ConstellationConfig, simulate
from sightline.runtime import load_plan
from simulation.disk import SimulatedDisk
from simulation.simulated_run import SimulatedRun, small_plan, small_rows


def seeds(first, count):
    """The seeds of one test, or the one seed that is asked for alone."""
    alone = os.environ.get("SIGHTLINE_SEED")
    return range(first, first + count) if alone is None else [int(alone)]


def check_small(seed, plan=None):
    """The small pipeline: 6 sensors, faults of every kind."""
    rng = np.random.default_rng(seed)
    check(
        SimulatedRun(
            plan or small_plan(),
            {"t": small_rows(rng)},
            seed=seed,
            fault_share=float(rng.choice([0.0, 0.3])),
            group=int(rng.integers(1, 4)),
        ),
        rng,
        replays=seed % 4 == 0,
    )


def check_gateway(seed):
    """The gateway pipeline on a short constellation with faults."""
    rng = np.random.default_rng(seed)
    made = simulate(ConstellationConfig(seed=seed, n_satellites=9, duration_s=150))
    frames = {"telemetry": made.telemetry, "logs": made.logs}
    check(
        SimulatedRun(load_plan(PIPELINE), frames, seed=seed, fault_share=0.2, group=8),
        rng,
        replays=seed % 4 == 0,
    )


def check(run, rng, *, replays):
    """A run whose disk fails ends like one whose disk does not, and nothing is lost."""
    say = f"seed {run.seed}: SIGHTLINE_SEED={run.seed} runs it alone"
    whole = run.go(SimulatedDisk())
    assert whole.accounts.received == run.rows, say
    assert whole.accounts.in_flight == 0, say
    assert whole.accounts.is_balanced, say
    at = int(rng.integers(1, whole.disk.operations))
    fault = ["crash_at_operation", "fail_at_operation"][int(rng.integers(0, 2))]
    torn = run.go(SimulatedDisk(**{fault: at}), most_crashes=2)
    assert torn.crashes >= 1, say
    assert torn.digest == whole.digest, say
    assert torn.accounts == whole.accounts, say
    if replays:
        assert run.replay_difference(torn.disk) is None, say
