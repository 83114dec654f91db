"""Neither crashes, nor workers, nor speed, nor partitions can show in what an operator is told."""

import json
from dataclasses import replace

import numpy as np
import pytest

from sightline.act import Ledger, Outlet
from sightline.runtime import RunDirectory, RunOptions, make_plan, replay_run, run_pipeline
from sightline.runtime.run_options import RunClocks
from sightline.sense import MemorySource
from simulation.alerting_runs import (
    at,
    dispositions,
    engine,
    fleet_plan,
    fleet_rows,
    messages,
    names,
    said,
)
from simulation.schedules import EngineFaults

STORM = {"max_messages": 3, "calm_below": 2, "window_s": 60, "digest_every_s": 30}
CONTROLS = (
    {"control": "mask", "subject": "sat-007", "from_ns": at(0), "until_ns": at(280), "reason": "m"},
    {"control": "shelve", "subject": "sat-009", "event_ns": at(60), "until_ns": at(290)},
    {"control": "acknowledge", "subject": "sat-001/value", "event_ns": at(170)},
)


def plan(partitions=3):
    made = fleet_plan(12, hold_s=20, repeat_s=60, update_every_s=60, storm=STORM)
    form = made.pipeline.model_copy(update={"partitions": partitions})
    return make_plan(form, made.contracts)


def rows():
    high = {n: [(40 + 11 * i, 90 + 13 * i)] for i, n in enumerate(names(12)) if i % 2}
    return fleet_rows(
        high=high,
        quiet={"sat-002": (60, 140), "sat-006": (70, 120)},
        late={"sat-008": (100, 160, 220), "sat-010": (90, 150, 230)},
    )


@pytest.fixture(scope="module")
def undisturbed():
    built = engine(plan(), rows(), *CONTROLS)
    return built.run_through()


def sayings(run):
    return [one.to_bytes() for one in said(run)]


def test_there_is_something_to_compare(undisturbed):
    kinds = {kind for kind, _, _ in messages(undisturbed.run)}
    assert {"alert", "digest", "correction"} <= kinds
    assert {"masked", "shelved", "retracted"} <= {d["fate"] for d in dispositions(undisturbed.run)}


@pytest.mark.parametrize("seed", range(12))
def test_crashes_do_not_show(undisturbed, seed):
    rng = np.random.default_rng(seed)
    faults = EngineFaults(
        seed=seed,
        crashes=tuple(sorted(rng.uniform(0.05, 0.7, size=3))),
        commit_epochs=int(rng.integers(1, 5)),
        checkpoint_epochs=int(rng.integers(1, 6)),
    )
    built = engine(plan(), rows(), *CONTROLS)
    disturbed = built.run_through(faults, like=undisturbed)
    assert disturbed.lives > 1
    assert sayings(disturbed.run) == sayings(undisturbed.run)
    verdict = disturbed.replay(built.sources)
    assert verdict, str(verdict.difference)


def test_the_number_of_partitions_does_not_show(undisturbed):
    other = engine(plan(partitions=1), rows(), *CONTROLS).run_through()
    assert sayings(other.run) == sayings(undisturbed.run)


def run_real(out, **options):
    return run_pipeline(
        plan(),
        {"t": MemorySource("t", {"t": rows()})},
        out,
        options=RunOptions(durable=False, controls=CONTROLS, **options),
        alerts={},
        clocks=RunClocks() if options.get("workers") else RunClocks(sleep_s=lambda seconds: None),
    )


@pytest.mark.slow
def test_two_workers_tell_the_same_as_one_process(tmp_path, undisturbed):
    run_real(tmp_path / "run", workers=2)
    assert sayings(RunDirectory.open(tmp_path / "run")) == sayings(undisturbed.run)


def test_a_real_run_tells_the_same_and_its_ledger_too(tmp_path, undisturbed):
    report = run_real(tmp_path / "run", checkpoint_epochs=3)
    run = RunDirectory.open(tmp_path / "run")
    assert sayings(run) == sayings(undisturbed.run)
    assert replay_run(run)
    with Ledger.open(run.ledger_url) as ledger:
        stored = [(n.kind, n.subject, n.count) for n in ledger.notices()]
        assert stored == messages(run)
        assert dict(ledger.alerts_by_fate()) == dict(said(run)[-1].fates)
    assert report.as_mapping()["alerting"]["raised"] == said(run)[-1].raised


def test_a_ledger_that_was_lost_is_built_again_with_its_messages(tmp_path):
    run_real(tmp_path / "run")
    run = RunDirectory.open(tmp_path / "run")
    for path in run.path.glob("ledger.sqlite*"):
        path.unlink()
    run_real(tmp_path / "run", resume=True)
    with Ledger.open(run.ledger_url) as ledger:
        assert [(n.kind, n.subject, n.count) for n in ledger.notices()] == messages(run)


class Collector(Outlet):
    def __init__(self):
        self.lines = []

    def send(self, said, /, *, idempotency_key, deadline_s):
        self.lines.append((idempotency_key, json.loads(said.canonical_bytes())))


def test_sinks_get_messages_and_no_decisions(tmp_path):
    sink = Collector()
    run_pipeline(
        plan(),
        {"t": MemorySource("t", {"t": rows()})},
        tmp_path / "run",
        options=RunOptions(durable=False, controls=CONTROLS),
        alerts={"a": sink},
    )
    run = RunDirectory.open(tmp_path / "run")
    sent = [(m["kind"], m["subject"], m["count"]) for _, m in sink.lines]
    assert sorted(sent) == sorted(messages(run))
    assert all(key == m["notice_id"] for key, m in sink.lines)
    assert len({key for key, _ in sink.lines}) == len(sink.lines)


def test_a_checkpoint_restores_the_desk_exactly(undisturbed):
    # Every crash in `test_crashes_do_not_show` goes through it; here also with one each epoch.
    built = engine(plan(), rows(), *CONTROLS)
    faults = replace(EngineFaults(), crashes=(0.5, 0.8), commit_epochs=1, checkpoint_epochs=1)
    again = built.run_through(faults, like=undisturbed)
    assert sayings(again.run) == sayings(undisturbed.run)
