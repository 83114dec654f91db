"""Runs whose partitions are hosted by worker processes: what they keep to, and what they refuse."""

import os

import pytest

from sightline.errors import UsageError
from sightline.runtime import RunDirectory, RunOptions, run_pipeline
from sightline.runtime.run_options import RunClocks
from sightline.sense import MemorySource
from simulation.engine import FaultyAnswers
from simulation.site_cases import camera, plan_of, told, yard
from simulation.small_runs import readings, windows
from simulation.small_world import small_plan

ROWS = readings(windows(0.0, 0.1, 40.0, 0.1))
COUNTING = """
import os

def counted(real):
    def sync(file):
        with open(os.environ["SYNC_LOG"], "a") as log:
            log.write(f"{os.getpid()}\\n")
        return real(file)
    return sync

os.fsync, os.fdatasync = counted(os.fsync), counted(os.fdatasync)
"""


def run(out, *, guard=None, clocks=RunClocks(), **options):
    return run_pipeline(
        small_plan(),
        {"t": MemorySource("t", {"t": ROWS})},
        out,
        options=RunOptions(**options),
        guard=guard,
        clocks=clocks,
    )


@pytest.mark.parametrize("durable", [True, False])
def test_workers_force_commits_to_the_disk_if_the_run_is_durable(tmp_path, monkeypatch, durable):
    (tmp_path / "sitecustomize.py").write_text(COUNTING)
    log = tmp_path / "syncs"
    log.touch()
    paths = [str(tmp_path), *filter(None, [os.environ.get("PYTHONPATH")])]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(paths))
    monkeypatch.setenv("SYNC_LOG", str(log))
    run(tmp_path / "run", workers=2, durable=durable)
    workers = set(log.read_text().split())
    assert len(workers) == (2 if durable else 0)


def test_workers_decide_what_one_process_decides(tmp_path):
    alone = run(tmp_path / "alone", durable=False)
    spread = run(tmp_path / "spread", workers=2, durable=False)
    assert spread.digest == alone.digest
    assert spread.accounts == alone.accounts
    assert {**spread.learning} == {**alone.learning}


def test_a_mistake_in_a_worker_is_the_error_it_would_be_without_one(tmp_path):
    run(tmp_path / "run", durable=False)
    log = sorted((tmp_path / "run" / "log" / "p001").glob("*.mcap"))[0]
    data = bytearray(log.read_bytes())
    data[len(data) // 2] ^= 0xFF
    log.write_bytes(data)
    said = []
    for workers in (0, 2):
        with pytest.raises(Exception) as caught:
            run(tmp_path / "run", workers=workers, durable=False, resume=True)
        said.append((type(caught.value), str(caught.value)))
    assert said[0] == said[1]


@pytest.mark.parametrize("what", ["clocks", "guard"])
def test_workers_have_the_clocks_and_guards_of_the_machine_and_refuse_others(tmp_path, what):
    given = {
        "clocks": RunClocks(monotonic_s=lambda: 0.0),
        "guard": FaultyAnswers(small_plan(), 0, 0.0),
    }
    with pytest.raises(UsageError, match="clocks and guards of the machine"):
        run(tmp_path / "run", workers=2, **{what: given[what]})
    assert not (tmp_path / "run").exists()


def test_cameras_are_hosted_in_this_process(tmp_path):
    plan = plan_of(yard())
    with pytest.raises(UsageError, match="leave workers out"):
        run_pipeline(
            plan,
            {"east": camera()},
            tmp_path / "run",
            looking=told(plan),
            options=RunOptions(workers=2),
        )


def test_a_run_of_workers_can_be_opened_as_any_other(tmp_path):
    report = run(tmp_path / "run", workers=2, durable=False)
    assert len(RunDirectory.open(tmp_path / "run").decisions()) == sum(report.decisions.values())
