"""A run that is killed (SIGKILL) anywhere goes on where it was, as if nothing had happened."""

import signal

import numpy as np
import pytest

from sightline.errors import UsageError, WorkerError
from sightline.runtime import RunDirectory, replay_run
from sightline.runtime.verification import verify_run
from simulation.killing import (
    begun,
    end_of,
    kill_at_random,
    resume_while_a_writer_sleeps,
    resume_while_workers_sleep,
    run_to_the_end,
    signalled,
    workers_of,
)

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    return run_to_the_end(tmp_path_factory.mktemp("uninterrupted") / "run")


@pytest.fixture(scope="module")
def killed(tmp_path_factory):
    """Folder of a run that was killed twice and brought to its end, and that end."""
    out = tmp_path_factory.mktemp("killed") / "run"
    assert kill_at_random(out, rng=np.random.default_rng(1), kills=2) == 2
    return out, run_to_the_end(out)


def test_a_killed_run_comes_to_the_same_end(killed, uninterrupted):
    assert killed[1] == uninterrupted


def test_the_log_of_a_killed_run_replays_to_the_same_bytes(killed, uninterrupted):
    verdict = replay_run(RunDirectory.open(killed[0]))
    assert verdict, str(verdict.difference)
    assert verdict.digest == uninterrupted["digest"]


def test_a_killed_run_over_files_beside_its_durable_log_comes_to_the_same_end(
    tmp_path, uninterrupted
):
    out, options = tmp_path / "run", ("--durable", "--reference")
    assert kill_at_random(out, *options, rng=np.random.default_rng(2), kills=1) == 1
    assert run_to_the_end(out, *options) == uninterrupted


def test_a_killed_run_of_a_camera_and_rows_comes_to_the_same_end(tmp_path):
    whole = run_to_the_end(tmp_path / "whole", "--mixed")
    out = tmp_path / "run"
    rng = np.random.default_rng(8)
    assert kill_at_random(out, "--mixed", rng=rng, kills=2, most_commits=2) > 0
    assert run_to_the_end(out, "--mixed") == whole
    verdict = replay_run(RunDirectory.open(out, plugins=["simulation.own_stages"]))
    assert verdict, str(verdict.difference)
    assert verdict.digest == whole["digest"]


def test_a_run_whose_worker_is_killed_ends_with_its_own_exit_code_and_goes_on(
    tmp_path, uninterrupted
):
    out = tmp_path / "run"
    with begun(out, "--workers", "2", commits=1) as run:
        signalled(workers_of(run, 2)[:1], signal.SIGKILL)
        code, _, said = end_of(run)
    assert (code, WorkerError.exit_code) == (9, 9), said
    assert "SIGKILL" in said
    assert run_to_the_end(out) == uninterrupted


def test_workers_that_wake_after_their_coordinator_was_killed_harm_nothing(tmp_path, uninterrupted):
    out = tmp_path / "run"
    code, result, said = resume_while_workers_sleep(out, commits=1)
    assert (code, result) == (0, uninterrupted), said
    assert verify_run(RunDirectory.open(out, has_logs=False))


def test_of_two_writers_one_is_refused_and_nothing_is_lost(tmp_path, uninterrupted):
    out = tmp_path / "run"
    (second, _, said), (first, result, _) = resume_while_a_writer_sleeps(out, commits=1)
    assert (second, first) == (UsageError.exit_code, 0), said
    assert result == uninterrupted
    assert verify_run(RunDirectory.open(out, has_logs=False))
