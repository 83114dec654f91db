"""Pruned runs: they verify, resume, replay from a checkpoint, and still know every decision."""

import sqlite3

import pytest

from sightline.act import Ledger
from sightline.errors import LogError, UsageError
from sightline.evidence import explain
from sightline.limits import Limits
from sightline.recorder import verify_log
from sightline.runtime import RunDirectory, RunOptions, replay_run, run_pipeline
from sightline.runtime.pruning import prune_run
from sightline.runtime.run_lock import run_lock
from sightline.sense import MemorySource
from simulation.small_runs import readings, windows
from simulation.small_world import small_plan

LEVELS = windows(*[0.0, 0.2, -0.1, 0.1] * 3, 40.0, *[0.0, 0.2, -0.1, 0.1] * 6)
SMALL_SEGMENTS = Limits(segment_bytes=4096, epochs_in_flight=2)


def run(out, *, resume=False, checkpoint_epochs=4, **plan):
    return run_pipeline(
        small_plan(partitions=1, **plan),
        {"t": MemorySource("t", {"rows": readings(LEVELS)})},
        out,
        options=RunOptions(durable=False, checkpoint_epochs=checkpoint_epochs, resume=resume),
        limits=SMALL_SEGMENTS,
    )


@pytest.fixture
def pruned(tmp_path):
    report = run(tmp_path / "run")
    directory = RunDirectory.open(tmp_path / "run")
    done = prune_run(directory, keep_bytes=0, keep_after_ns=None)
    assert done.pruned["p000"].entries > 0
    return directory, report


def test_its_chain_and_accounts_still_hold(pruned):
    directory, report = pruned
    assert all(verify_log(directory.storage, name) for name in directory.partitions)
    assert sum(a.received for a in directory.accounts().values()) == report.accounts.received


def test_it_still_knows_every_decision(pruned):
    directory, report = pruned
    assert len(directory.decisions()) == sum(report.decisions.values()) > 0


def test_it_replays_from_the_checkpoint_on_and_says_so(pruned):
    directory, _ = pruned
    verdict = replay_run(directory)
    assert verdict
    assert verdict.began_at["p000"] > 0


def test_it_can_be_resumed(pruned):
    directory, report = pruned
    assert run(directory.path, resume=True).digest == report.digest


def test_a_decision_whose_input_was_pruned_says_so_when_it_is_explained(pruned):
    directory, _ = pruned
    oldest = min(directory.decisions(), key=lambda d: d.event_ns)
    try:
        found = explain(directory, oldest.decision_id)
    except (LogError, UsageError) as error:
        assert "pruned" in str(error)
    else:
        assert "prun" in str(found.as_mapping())


def test_without_a_checkpoint_nothing_is_pruned(tmp_path):
    run(tmp_path / "run", checkpoint_epochs=1000)
    directory = RunDirectory.open(tmp_path / "run")
    done = prune_run(directory, keep_bytes=0, keep_after_ns=None)
    assert done.pruned == {}
    assert "no checkpoint" in done.kept["p000"]
    assert replay_run(directory).began_at == {}


def test_what_the_ledger_has_not_applied_is_not_pruned(tmp_path):
    run(tmp_path / "run")
    directory = RunDirectory.open(tmp_path / "run")
    (tmp_path / "run" / "ledger.sqlite").unlink()
    with Ledger.open(directory.ledger_url) as ledger:
        ledger.claim(directory.run_id, epoch=1)
    done = prune_run(directory, keep_bytes=0, keep_after_ns=None)
    assert "ledger is behind" in done.kept["p000"]


def test_a_run_that_is_being_written_is_not_pruned(tmp_path):
    run(tmp_path / "run")
    with run_lock(tmp_path / "run"), pytest.raises(UsageError, match="nobody writes to"):
        prune_run(RunDirectory.open(tmp_path / "run"), keep_bytes=0, keep_after_ns=None)


def test_a_ledger_of_an_entry_that_the_log_has_not_is_no_reason_to_prune(tmp_path):
    run(tmp_path / "run")
    directory = RunDirectory.open(tmp_path / "run")
    with sqlite3.connect(directory.ledger_path) as database:
        database.execute("update applied_through set chain_hash = ?", ["0" * 64])
    with pytest.raises(LogError, match="a ledger that follows log"):
        prune_run(directory, keep_bytes=0, keep_after_ns=None)
