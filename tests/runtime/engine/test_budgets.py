"""Budgets: an overrun is in the log, in the report and in the metrics, and in no decision."""

import itertools
import json
from pathlib import Path

import pytest

from sightline.act import RunMetrics
from sightline.errors import PipelineError, UsageError
from sightline.recorder import read_entries
from sightline.records.entry import EntryKind
from sightline.runtime import RunDirectory, RunOptions, replay_run, run_pipeline
from sightline.runtime.publishing import FROM_RECEIPT
from sightline.runtime.run_lock import run_lock
from sightline.runtime.run_options import RunClocks
from sightline.sense import MemorySource
from simulation.site_cases import camera, plan_of, told, yard
from simulation.small_runs import readings, windows
from simulation.small_world import PIPELINE, small_plan

ROWS = readings(windows(0.0, 0.1, 40.0, 0.1))


def slow_clocks(step_s):
    """A monotonic clock that goes on by ``step_s`` whenever it is read."""
    ticks = itertools.count()
    return RunClocks(monotonic_s=lambda: next(ticks) * step_s)


def run(out, plan, *, step_s, metrics=None):
    return run_pipeline(
        plan,
        {"t": MemorySource("t", {"rows": ROWS})},
        out,
        options=RunOptions(durable=False),
        clocks=slow_clocks(step_s),
        metrics=metrics,
    )


def missed(out: Path, stage):
    directory = RunDirectory.open(out)
    return [
        json.loads(entry.payload)
        for name in directory.partitions
        for entry in read_entries(directory.storage, name, kinds={EntryKind.DEADLINE_MISSED})
        if entry.name == stage
    ]


def with_budget(stage, budget_s):
    return small_plan(partitions=1, stages={stage: {"budget_s": budget_s}})


def test_a_stage_that_took_longer_than_its_budget_is_logged(tmp_path):
    report = run(tmp_path / "run", with_budget("level", 0.5), step_s=1.0)
    entries = missed(tmp_path / "run", "level")
    assert len(entries) == report.deadline_missed["level"] > 0
    assert all(e["took_s"] > e["budget_s"] == 0.5 for e in entries)


def test_a_stage_within_its_budget_is_not(tmp_path):
    report = run(tmp_path / "run", with_budget("level", 0.5), step_s=1e-6)
    assert missed(tmp_path / "run", "level") == []
    assert report.deadline_missed == {}


def test_decisions_later_than_the_budget_of_the_whole_are_logged(tmp_path):
    report = run(tmp_path / "run", small_plan(partitions=1), step_s=10.0)
    entries = missed(tmp_path / "run", FROM_RECEIPT)
    assert sum(e["decisions"] for e in entries) == report.deadline_missed[FROM_RECEIPT] > 0


def test_overruns_change_no_decision_and_no_replay(tmp_path):
    slow = run(tmp_path / "slow", with_budget("level", 0.5), step_s=1.0)
    quick = run(tmp_path / "quick", with_budget("level", 0.5), step_s=1e-6)
    assert slow.digest == quick.digest
    assert replay_run(RunDirectory.open(tmp_path / "slow"))


def test_a_budget_is_no_part_of_the_pipeline_s_identity():
    assert with_budget("level", 0.5).digest == small_plan(partitions=1).digest


def test_overruns_and_stage_times_are_in_the_metrics(tmp_path):
    metrics = RunMetrics()
    run(tmp_path / "run", with_budget("level", 0.5), step_s=1.0, metrics=metrics)
    text = metrics.render().decode()
    assert 'sightline_deadline_missed_total{stage="level"}' in text
    assert 'sightline_stage_latency_seconds_count{stage="level"}' in text


def test_every_stage_is_timed(tmp_path):
    report = run(tmp_path / "run", small_plan(partitions=1), step_s=1e-6)
    assert set(PIPELINE["stages"]) <= {*report.stage_s}
    assert {"p50", "p95", "p99", "worst"} <= {*report.stage_s["level"]}


def test_budgets_of_the_stages_must_fit_the_whole():
    with pytest.raises(PipelineError, match="together"):
        small_plan(stages={"level": {"budget_s": 59}, "seen": {"budget_s": 59}})


def test_the_live_model_of_each_stage_is_in_the_log(tmp_path):
    run(tmp_path / "run", small_plan(partitions=1), step_s=1e-6)
    storage = RunDirectory.open(tmp_path / "run").storage
    (entry,) = read_entries(storage, "p000", kinds={EntryKind.MODEL})
    assert entry.name == "odd"
    assert json.loads(entry.payload) == {
        "version": "robust_deviation@1, fallback level_deviation@1"
    }


def test_a_run_directory_has_one_writer(tmp_path):
    with run_lock(tmp_path / "run"), pytest.raises(UsageError, match="nobody writes to"):
        run(tmp_path / "run", small_plan(partitions=1), step_s=1e-6)


def test_a_lock_file_that_lies_there_means_nothing(tmp_path):
    with run_lock(tmp_path / "run"):
        pass
    assert run(tmp_path / "run", small_plan(partitions=1), step_s=1e-6).accounts.received == 40


# --- detectors ------------------------------------------------------------------------------------


def test_the_budget_of_a_detect_stage_is_that_of_its_detector(tmp_path):
    plain = yard(latency_budget_s=1.0)
    plain["detectors"]["motion"]["budget_s"] = 0.25
    plan = plan_of(plain)
    report = run_pipeline(
        plan,
        {"east": camera(seconds=0.5)},
        tmp_path / "run",
        looking=told(plan, budget_s=0.25),
        options=RunOptions(durable=False),
        clocks=slow_clocks(1.0),
    )
    entries = missed(tmp_path / "run", "east_detect")
    assert len(entries) == report.deadline_missed["east_detect"] > 0
    assert {e["budget_s"] for e in entries} == {0.25}
