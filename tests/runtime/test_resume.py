"""Going on with a run: the same end wherever it was left, and nothing said twice."""

import shutil

import pytest

from sightline.act import Ledger
from sightline.errors import SourceError, StorageError, UsageError
from sightline.limits import Limits
from sightline.recorder import read_entries
from sightline.records import EntryKind
from sightline.runtime import RunDirectory, RunOptions, replay_run, run_pipeline
from sightline.sense import MemorySource
from simulation.engine import FaultyAnswers
from simulation.killable_run import ROWS
from simulation.small_world import START_NS, mask, small_plan

LIMITS = Limits(epochs_in_flight=2)


class Interrupted(Exception):
    """What stops a run in these tests."""


def run(
    out,
    *,
    record="payload",
    rows=ROWS,
    on_progress=None,
    stages=None,
    limits=LIMITS,
    guard=None,
    **options,
):
    plan = small_plan(
        tick_s=2, stages=stages, sources={"t": {"contract": "small", "record": record}}
    )
    return run_pipeline(
        plan,
        {"t": MemorySource("t", {"t": rows})},
        out,
        options=RunOptions(durable=False, checkpoint_epochs=5, **options),
        on_progress=on_progress,
        limits=limits,
        guard=guard,
    )


def interrupt(out, *, after_commits, **options):
    """Run until so many commits are done."""
    commits = []

    def stop(progress):
        commits.append(progress)
        if len(commits) == after_commits:
            raise Interrupted

    with pytest.raises(Interrupted):
        run(out, on_progress=stop, **options)


def log_entries(out):
    directory = RunDirectory.open(out)
    return [
        (name, e.sequence, e.kind, e.payload)
        for name in directory.partitions
        for e in read_entries(directory.storage, name)
    ]


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    return run(tmp_path_factory.mktemp("finished") / "run")


@pytest.mark.parametrize("record", ["payload", "reference"])
def test_resuming_a_finished_run_says_nothing_new(tmp_path, finished, record):
    out = tmp_path / "run"
    run(out, record=record)
    before = log_entries(out)
    newest = []
    again = run(out, record=record, resume=True, on_progress=lambda p: newest.extend(p.newest))
    assert newest == []
    assert log_entries(out) == before
    assert (again.digest, again.accounts) == (finished.digest, finished.accounts)


@pytest.mark.parametrize(
    ("record", "after_commits"), [("payload", 1), ("reference", 6), ("payload", 13)]
)
def test_an_interrupted_run_comes_to_the_same_end(tmp_path, finished, record, after_commits):
    out = tmp_path / "run"
    interrupt(out, after_commits=after_commits, record=record)
    resumed = run(out, record=record, resume=True)
    assert (resumed.digest, resumed.accounts) == (finished.digest, finished.accounts)
    assert resumed.accounts.received == ROWS.height
    directory = RunDirectory.open(out)
    assert replay_run(directory, sources={"t": MemorySource("t", {"t": ROWS})})


def test_a_run_may_be_resumed_with_worker_processes(tmp_path, finished):
    out = tmp_path / "run"
    interrupt(out, after_commits=6)
    assert run(out, resume=True, workers=2).digest == finished.digest


def test_without_its_checkpoints_a_run_resumes_from_the_log(tmp_path, finished):
    out = tmp_path / "run"
    interrupt(out, after_commits=8)
    shutil.rmtree(out / "checkpoints")
    assert run(out, resume=True).digest == finished.digest


def test_a_torn_tail_is_cut_and_told(tmp_path, finished):
    out = tmp_path / "run"
    interrupt(out, after_commits=6)
    newest = max((out / "log" / "p000").glob("*.mcap"))
    newest.write_bytes(newest.read_bytes()[:-20])
    resumed = run(out, resume=True)
    assert list(resumed.recoveries) == ["p000"]
    assert resumed.digest == finished.digest


def test_the_ledger_of_a_resumed_run_holds_every_decision_once(tmp_path):
    out = tmp_path / "run"
    interrupt(out, after_commits=6)
    run(out, resume=True)
    directory = RunDirectory.open(out)
    with Ledger.open(directory.ledger_url) as ledger:
        held = sorted(d.canonical_bytes() for d in ledger.decisions())
    assert held == sorted(d.canonical_bytes() for d in directory.decisions())


def test_a_run_that_was_killed_before_it_had_begun_can_be_resumed(tmp_path, finished):
    out = tmp_path / "run"
    out.mkdir()
    (out / "run.json.tmp").write_text("{")
    assert run(out, resume=True).digest == finished.digest


def test_a_folder_with_contents_is_not_written_to_without_resume(tmp_path):
    out = tmp_path / "run"
    run(out)
    before = log_entries(out)
    with pytest.raises(UsageError, match="--resume"):
        run(out)
    assert log_entries(out) == before


@pytest.mark.parametrize("resume", [False, True])
@pytest.mark.parametrize(
    ("place", "error"),
    [("file", UsageError), ("file/run", StorageError), ("x" * 300, StorageError)],
)
def test_a_place_where_no_folder_can_be_is_refused(tmp_path, place, error, resume):
    (tmp_path / "file").write_text("precious")
    with pytest.raises(error, match=place):
        run(tmp_path / place, resume=resume)
    assert (tmp_path / "file").read_text() == "precious"


def test_other_source_files_are_refused(tmp_path):
    out = tmp_path / "run"
    interrupt(out, after_commits=2)
    before = log_entries(out)
    with pytest.raises(SourceError, match="source t"):
        run(out, resume=True, rows=ROWS.head(100))
    assert log_entries(out) == before


def test_another_pipeline_is_refused(tmp_path):
    out = tmp_path / "run"
    interrupt(out, after_commits=2)
    with pytest.raises(SourceError, match="the pipeline of the run"):
        run(out, resume=True, stages={"high": {"raise_above": 11}})


MASK = {"control": "mask", "subject": "s1", "from_ns": 0, "until_ns": START_NS * 2}


class Interrupting(FaultyAnswers):
    """Stops the run when a guarded stage is asked for the first time."""

    def run(self, requests):
        raise Interrupted


def controls_in(out):
    return [name for name, _, kind, _ in log_entries(out) if kind is EntryKind.CONTROL]


def test_operator_inputs_of_the_start_hold_after_a_resume(tmp_path):
    masked = run(tmp_path / "whole", controls=(MASK,))
    out = tmp_path / "run"
    interrupt(out, after_commits=4, controls=(MASK,))
    assert run(out, resume=True).digest == masked.digest
    assert controls_in(out) == RunDirectory.open(out).partitions


def test_operator_inputs_hold_when_the_run_was_left_before_its_first_commit(tmp_path):
    masked = run(tmp_path / "whole", controls=(MASK,))
    out = tmp_path / "run"
    with pytest.raises(Interrupted):
        run(
            out,
            controls=(MASK,),
            limits=Limits(epochs_in_flight=1000),
            guard=Interrupting(small_plan(), 0, 0.0),
        )
    assert controls_in(out) == []
    assert run(out, resume=True).digest == masked.digest
    assert controls_in(out) == RunDirectory.open(out).partitions


def test_a_run_goes_on_with_the_operator_inputs_that_it_began_with(tmp_path):
    whole = run(tmp_path / "whole", controls=(mask("s0"),))
    interrupt(tmp_path / "run", after_commits=6, controls=(mask("s0"),))
    resumed = run(tmp_path / "run", resume=True)
    assert resumed.digest == whole.digest


def test_other_operator_inputs_than_it_began_with_are_refused_on_resume(tmp_path):
    interrupt(tmp_path / "run", after_commits=6, controls=(mask("s0"),))
    with pytest.raises(UsageError, match="the operator inputs that the run began with"):
        run(tmp_path / "run", resume=True, controls=(mask("s1"),))
