"""A run that is killed (SIGKILL) anywhere goes on where it was, as if nothing had happened."""

import numpy as np
import pytest

from sightline.runtime import RunDirectory, replay_run
from simulation.killing import kill_at_random, run_to_the_end

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    return run_to_the_end(tmp_path_factory.mktemp("uninterrupted") / "run")


@pytest.mark.parametrize(
    ("options", "kills", "seed"), [((), 3, 1), (("--durable", "--reference"), 2, 2)]
)
def test_a_killed_run_comes_to_the_same_end(tmp_path, uninterrupted, options, kills, seed):
    out = tmp_path / "run"
    rng = np.random.default_rng(seed)
    assert kill_at_random(out, *options, rng=rng, kills=kills) == kills
    assert run_to_the_end(out, *options) == uninterrupted


def test_a_killed_run_of_a_camera_and_rows_comes_to_the_same_end(tmp_path):
    whole = run_to_the_end(tmp_path / "whole", "--mixed")
    out = tmp_path / "run"
    rng = np.random.default_rng(8)
    assert kill_at_random(out, "--mixed", rng=rng, kills=3, most_commits=2) > 0
    assert run_to_the_end(out, "--mixed") == whole
    verdict = replay_run(RunDirectory.open(out))
    assert verdict, str(verdict.difference)
    assert verdict.digest == whole["digest"]


def test_the_log_of_a_killed_run_replays_to_the_same_bytes(tmp_path, uninterrupted):
    out = tmp_path / "run"
    kill_at_random(out, rng=np.random.default_rng(3), kills=1)
    run_to_the_end(out)
    verdict = replay_run(RunDirectory.open(out))
    assert verdict, str(verdict.difference)
    assert verdict.digest == uninterrupted["digest"]
