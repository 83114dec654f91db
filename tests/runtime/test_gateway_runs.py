"""Whole gateway runs: the ledger, operator inputs, and the report."""

import json

import polars as pl
import pytest

from sightline.act import Ledger
from sightline.act.json_lines import JsonLinesOutlet
from sightline.apps.gateway import PIPELINE, simulate, watched_scene
from sightline.errors import UsageError
from sightline.runtime import (
    RunDirectory,
    RunOptions,
    compare_runs,
    load_plan,
    make_plan,
    run_pipeline,
)
from sightline.runtime.run_options import RunClocks
from sightline.sense import MemorySource

SECONDS = 600


class FakeClock:
    def __init__(self):
        self.now_s = 0.0

    def wall_ns(self):
        return round(self.now_s * 1e9)

    def monotonic_s(self):
        return self.now_s

    def sleep_s(self, seconds):
        self.now_s += seconds


def go(constellation, out, *, alerts=None, has_desk=True, **options):
    clock = FakeClock()
    plan = load_plan(PIPELINE)
    if not has_desk:
        plan = make_plan(plan.pipeline.model_copy(update={"alerting": None}), plan.contracts)
    return run_pipeline(
        plan,
        {
            "telemetry": MemorySource("telemetry", {"t": constellation.telemetry}),
            "logs": MemorySource("logs", {"l": constellation.logs}),
        },
        out,
        options=RunOptions(durable=False, **options),
        alerts=alerts,
        clocks=RunClocks(
            wall_ns=clock.wall_ns, monotonic_s=clock.monotonic_s, sleep_s=clock.sleep_s
        ),
    )


@pytest.fixture(scope="module")
def constellation():
    return simulate(watched_scene(seed=11, n_satellites=12, duration_s=SECONDS))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("runs")


@pytest.fixture(scope="module")
def reference(constellation, folder):
    return go(constellation, folder / "reference")


def test_a_run_is_equivalent_to_itself(reference):
    run = RunDirectory.open(reference.path)
    assert compare_runs(run, run)


def test_the_ledger_holds_what_the_log_says(reference):
    from sightline.act import Ledger

    run = RunDirectory.open(reference.path)
    with Ledger.open(run.ledger_url) as ledger:
        held = sorted(d.canonical_bytes() for d in ledger.decisions())
    assert held == sorted(d.canonical_bytes() for d in run.decisions())


def test_a_lost_ledger_is_rebuilt_from_the_log(constellation, folder):
    from sightline.act import Ledger

    report = go(constellation, folder / "rebuilt")
    run = RunDirectory.open(report.path)
    for file in report.path.glob("ledger.sqlite*"):
        file.unlink()
    go(constellation, folder / "rebuilt", resume=True)
    with Ledger.open(run.ledger_url) as ledger:
        assert len(ledger.decisions()) == len(run.decisions())


def test_planned_loss_of_contact_is_no_alarm(constellation, folder, reference):
    fault = constellation.truth.faults.filter(pl.col("kind") == "planned_silence").to_dicts()[0]
    control = {
        "control": "contacts",
        "source": "telemetry",
        "contacts": constellation.contacts.to_dicts(),
    }
    planned = go(constellation, folder / "planned", controls=(control,))

    def silences(report):
        return [
            d
            for d in RunDirectory.open(report.path).decisions()
            if d.kind == "link_silence" and d.subject == fault["subject"]
        ]

    assert silences(reference)
    assert silences(planned) == []


def test_a_masked_subject_is_not_decided_on(constellation, folder, reference):
    stuck = next(
        d for d in RunDirectory.open(reference.path).decisions() if d.kind == "sensor_stuck"
    )
    mask = {
        "control": "mask",
        "subject": stuck.subject.split("/")[0],
        "from_ns": 0,
        "until_ns": 2**62,
    }
    masked = go(constellation, folder / "masked", controls=(mask,), has_desk=False)
    said = RunDirectory.open(masked.path).decisions()
    assert not [d for d in said if d.subject == stuck.subject]


def test_the_run_report_is_plain_json(reference):
    assert json.loads(json.dumps(reference.as_mapping()))["accounts"]["balanced"]


def test_what_is_shelved_is_decided_and_told_to_nobody(constellation, folder, reference, tmp_path):
    told = tmp_path / "told.jsonl"
    shelve = {"control": "shelve", "subject": "*", "kind": "sensor_stuck",
              "from_ns": 0, "until_ns": 2**62}  # fmt: skip
    plain = go(constellation, folder / "plain", has_desk=False)
    shelved = go(
        constellation,
        folder / "shelved",
        has_desk=False,
        controls=(shelve,),
        alerts={"file": JsonLinesOutlet(told)},
    )
    assert shelved.digest == plain.digest
    kinds = [json.loads(line)["kind"] for line in told.read_text().splitlines()]
    assert kinds
    assert "sensor_stuck" not in kinds
    with Ledger.open(RunDirectory.open(shelved.path).ledger_url) as ledger:
        assert ledger.outbox.counts()["shelved"] == sum(
            n for name, n in plain.decisions.items() if name.startswith("sensor_stuck")
        )


def test_an_operator_input_that_lacks_something_is_refused_before_the_run(constellation, tmp_path):
    with pytest.raises(UsageError, match="operator input"):
        go(constellation, tmp_path / "run", controls=({"control": "shelve", "subject": "a"},))
    assert not (tmp_path / "run").exists()
