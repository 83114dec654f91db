"""Runs on Ray: the same decisions as in one process, also when an actor or its machine dies."""

import itertools
import os
from pathlib import Path

import polars as pl
import pytest

from sightline.errors import UsageError, WorkerError
from sightline.limits import Limits
from sightline.runtime import RunOptions, run_pipeline
from sightline.runtime.engine.ray_workers import PartitionActor, RayCluster, RayWorker
from sightline.runtime.engine.workers import answer_of, pack
from sightline.runtime.run_options import restarted
from sightline.sense import MemorySource
from simulation.small_runs import readings, windows
from simulation.small_world import small_plan


def rows_of(*, levels):
    """Four sensors, each with an alarm now and then."""
    level = windows(*([0.0, 0.1, 40.0, 0.1] * (levels // 4)))
    return pl.concat([readings(level, sensor=f"s{i}") for i in range(4)]).sort("received_ns")


ROWS = rows_of(levels=40)


def run(out, options, rows=ROWS):
    sources = {"t": MemorySource("t", {"t": rows})}
    return run_pipeline(small_plan(), sources, out, options=options)


class DirectWorkers:
    """Actors without a cluster: their code in this process, dead after some answers."""

    def __init__(self, answers=1 << 30):
        self.answers = answers
        self.started = 0

    def workers(self, wanted):
        return wanted

    def start_worker(self, start, limits):
        self.started += 1
        return DirectWorker(self, start)


class DirectWorker:
    def __init__(self, all_of_them, start):
        self._all, self._actor = all_of_them, PartitionActor()
        self._last = self._actor.open(start)

    def send(self, message):
        self._last = self._actor.handle(message)

    def receive(self):
        self._all.answers -= 1
        if self._all.answers == 0:
            raise WorkerError(expected="a life", got="a death", where="actor", action="resume")
        return answer_of(self._last)

    def close(self):
        self._actor.handle(pack({"say": "close"}))


def on_direct_workers(monkeypatch, **how):
    workers = DirectWorkers(**how)
    monkeypatch.setattr(RayCluster, "joined", classmethod(lambda _: workers))
    return workers


def test_actors_decide_what_one_process_decides(tmp_path, monkeypatch):
    on_direct_workers(monkeypatch)
    alone = run(tmp_path / "alone", RunOptions(durable=False))
    spread = run(tmp_path / "spread", RunOptions(durable=False, workers=2, on="ray"))
    assert (spread.digest, spread.accounts) == (alone.digest, alone.accounts)


@pytest.mark.parametrize("answers", [1, 3, 5])
def test_a_run_goes_on_by_itself_when_an_actor_dies(tmp_path, monkeypatch, answers):
    workers = on_direct_workers(monkeypatch, answers=answers)
    alone = run(tmp_path / "alone", RunOptions(durable=False))
    told = []
    spread = restarted(
        lambda options: run(tmp_path / "spread", options),
        RunOptions(durable=False, workers=2, on="ray", checkpoint_epochs=2),
        on_trouble=told.append,
    )
    assert (spread.digest, spread.accounts) == (alone.digest, alone.accounts)
    assert len(told) == 1
    assert workers.started == 4


def test_a_run_whose_actors_always_die_ends(tmp_path):
    asked = []

    def start(options):
        asked.append(options.resume)
        raise WorkerError(expected="a life", got="a death", where="actor", action="resume")

    with pytest.raises(WorkerError):
        restarted(
            start,
            RunOptions(workers=2, on="ray"),
            on_trouble=lambda _: None,
            limits=Limits(worker_restarts=3),
        )
    assert asked == [False, True, True, True]


def test_processes_of_this_machine_are_not_restarted():
    def start(options):
        raise WorkerError(expected="a life", got="a death", where="worker", action="resume")

    told = []
    with pytest.raises(WorkerError):
        restarted(start, RunOptions(workers=2), on_trouble=told.append)
    assert not told


def test_a_fault_in_an_actor_is_told_with_the_next_answer(tmp_path):
    actor = PartitionActor()
    said = actor.open(b"no message of ours")
    assert b"InvariantViolation" in said
    assert actor.handle(pack({"say": "commit"})) == said


def test_ray_needs_workers(tmp_path):
    with pytest.raises(UsageError, match="give the number of --workers"):
        run(tmp_path / "run", RunOptions(on="ray"))


@pytest.fixture
def two_machines(monkeypatch):
    """A cluster of two nodes on this machine, with a core each; gives what kills the second."""
    ray = pytest.importorskip("ray", reason="Ray not tested: not installed")
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    from ray.cluster_utils import Cluster

    source = Path(__file__).parents[2]
    environment = {"PYTHONPATH": os.pathsep.join([f"{source}/src", f"{source}/tests"])}
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
    try:
        second = cluster.add_node(num_cpus=1)
        ray.init(cluster.address, log_to_driver=False, runtime_env={"env_vars": environment})
        yield lambda: cluster.remove_node(second, allow_graceful=False)
    finally:
        ray.shutdown()
        cluster.shutdown()


@pytest.mark.soak
def test_a_run_on_two_machines_decides_what_one_process_decides(tmp_path, two_machines):
    alone = run(tmp_path / "alone", RunOptions(durable=False))
    spread = run(tmp_path / "spread", RunOptions(durable=False, workers=2, on="ray"))
    assert (spread.digest, spread.accounts) == (alone.digest, alone.accounts)


@pytest.mark.soak
def test_a_run_survives_the_death_of_a_machine(tmp_path, two_machines, monkeypatch):
    alone = run(tmp_path / "alone", RunOptions(durable=False))
    told, answers = [], itertools.count(1)
    receive = RayWorker.receive

    def receive_and_kill(worker):
        if next(answers) == 6:  # amid the run: both have opened, and committed twice
            two_machines()
        return receive(worker)

    monkeypatch.setattr(RayWorker, "receive", receive_and_kill)
    spread = restarted(
        lambda options: run(tmp_path / "spread", options),
        RunOptions(durable=False, workers=2, on="ray", checkpoint_epochs=2),
        on_trouble=told.append,
    )
    assert (spread.digest, spread.accounts) == (alone.digest, alone.accounts)
    assert told
