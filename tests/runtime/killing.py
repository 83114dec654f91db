"""Killing a real run at a random point, and resuming it."""

import random
import signal
import subprocess
import sys
import time
from pathlib import Path

from sightline.apps.gateway import PIPELINE, ConstellationConfig, simulate, write_constellation
from sightline.records import Accounts
from sightline.records.decision import decisions_digest
from sightline.runtime import RunDirectory, RunOptions, load_plan, run_pipeline
from sightline.sense import open_source


def gateway_sources(plan, folder: Path):
    return {
        name: open_source(name, str(folder / f"{name}.parquet"), plan.contracts[name])
        for name in plan.contracts
    }


def run_gateway(folder: Path, out: Path, **options):
    plan = load_plan(PIPELINE)
    return run_pipeline(plan, gateway_sources(plan, folder), out, options=RunOptions(**options))


def check_kill(seed: int, folder: Path) -> None:
    """SIGKILL at up to three random moments, resumed to the end: equal to an undisturbed run."""
    draw = random.Random(seed)
    write_constellation(
        simulate(ConstellationConfig(seed=seed, n_satellites=9, duration_s=240)), folder / "input"
    )
    whole = run_gateway(folder / "input", folder / "whole")
    kills = 0
    for _ in range(3):
        child = subprocess.Popen(
            [sys.executable, __file__, str(folder / "input"), str(folder / "killed")],
            stdout=subprocess.PIPE,
        )
        assert child.stdout is not None
        child.stdout.readline()  # it is running now
        time.sleep(draw.uniform(0.0, 1.2 * whole.wall_s))
        child.send_signal(signal.SIGKILL)
        kills += child.wait() == -signal.SIGKILL
        child.stdout.close()
    resumed = run_gateway(folder / "input", folder / "killed", resume=True)
    assert kills >= 1
    assert resumed.digest == whole.digest, f"seed {seed}"
    assert resumed.accounts == whole.accounts, f"seed {seed}"


def main(folder: str, out: str) -> None:
    plan = load_plan(PIPELINE)
    sources = gateway_sources(plan, Path(folder))
    print("running", flush=True)
    run_pipeline(plan, sources, Path(out), options=RunOptions(resume=True, checkpoint_epochs=7))
    time.sleep(60)  # a run that was quicker than the kill waits for it


def log_digest(out: Path) -> tuple[str, Accounts]:
    run = RunDirectory.open(out)
    return decisions_digest(run.decisions()), Accounts.total(run.accounts().values())


if __name__ == "__main__":
    main(*sys.argv[1:])
