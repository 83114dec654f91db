"""Fifty kills at random points: the bytes may be anywhere between memory and disk."""

import numpy as np
import pytest

from sightline.errors import UsageError
from sightline.runtime import RunDirectory
from sightline.runtime.verification import verify_run
from simulation.killing import (
    kill_at_random,
    kill_once,
    resume_while_a_writer_sleeps,
    resume_while_workers_sleep,
    run_to_the_end,
)

pytestmark = pytest.mark.soak
KILLS = 5
OPTIONS = [
    (),
    ("--durable",),
    ("--reference",),
    ("--workers", "2"),
    ("--workers", "2", "--durable"),
]


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    return run_to_the_end(tmp_path_factory.mktemp("uninterrupted") / "run")


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("options", OPTIONS, ids=" ".join)
def test_soak_a_killed_run_comes_to_the_same_end(tmp_path, uninterrupted, options, seed):
    out = tmp_path / "run"
    rng = np.random.default_rng([seed, len(options)])
    assert kill_at_random(out, *options, rng=rng, kills=KILLS) > 0
    assert run_to_the_end(out, *options) == uninterrupted


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("resumes", [0, 2])
def test_soak_workers_that_wake_after_their_coordinator_harm_nothing(
    tmp_path, uninterrupted, seed, resumes
):
    out = tmp_path / "run"
    rng = np.random.default_rng([seed, resumes])
    for _ in range(resumes):  # of which each is killed in its turn
        kill_once(out, "--workers", "2", commits=int(rng.integers(0, 3)), delay_s=rng.uniform(0, 1))
    code, result, said = resume_while_workers_sleep(out, commits=int(rng.integers(0, 4)))
    assert (code, result) == (0, uninterrupted), said
    assert verify_run(RunDirectory.open(out, has_logs=False))


@pytest.mark.parametrize("seed", range(5))
def test_soak_of_two_writers_one_is_refused_and_nothing_is_lost(tmp_path, uninterrupted, seed):
    out = tmp_path / "run"
    commits = int(np.random.default_rng(seed).integers(1, 6))
    (second, _, said), (first, result, _) = resume_while_a_writer_sleeps(out, commits=commits)
    assert (second, first) == (UsageError.exit_code, 0), said
    assert result == uninterrupted
    assert verify_run(RunDirectory.open(out, has_logs=False))
