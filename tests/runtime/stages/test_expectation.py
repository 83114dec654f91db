"""What is expected of a satellite, in an engine whose windows may be revised."""

import json
from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from sightline.errors import PipelineError, UsageError
from sightline.evidence.fleet_evaluation import FleetRecords, watch_fleet
from sightline.evidence.learnt_model import learnt_channels
from sightline.perceive.normal.expectation import CommandTimes
from sightline.perceive.normal.satellite_record import SatelliteRecord
from sightline.recorder import read_entries
from sightline.records import EntryKind
from sightline.records.decision import final_revisions
from sightline.records.entry import CORE_INPUTS
from sightline.runtime import RunDirectory, RunOptions, run_pipeline
from sightline.runtime.engine.core import PartitionCore
from sightline.sense import MemorySource
from simulation.engine import SimulatedEngine
from simulation.satellite_runs import (
    COLUMNS,
    FAULT,
    LEARN_DAYS,
    START_NS,
    STEP_S,
    commanded_s,
    commands,
    satellite_plan,
    telemetry,
)
from simulation.schedules import NS_PER_S, ArrivalFaults, EngineFaults, Stall, arrive

FAULT_NS = [START_NS + row * STEP_S * NS_PER_S for row in FAULT]
LATE = ArrivalFaults(
    reorder_s=2000.0,
    duplicate_share=0.02,
    seed=3,
    stalls=(Stall(key="a", start_s=(FAULT[0] - 3) * STEP_S, end_s=(FAULT[0] + 20) * STEP_S,
                  dump_s=60.0),),
)  # fmt: skip


def engine(rows=None, sent=None, *, controls=(), plan=None, **faults):
    return SimulatedEngine(
        plan or satellite_plan(),
        {
            "telemetry": telemetry() if rows is None else rows,
            "commands": commands() if sent is None else sent,
        },
        controls=controls,
    )


def frames():
    return {"telemetry": telemetry(), "commands": commands()}


@pytest.fixture(scope="module")
def straight():
    return engine().run_through()


def told(result):
    return [
        (d.subject, str(d.transition), (d.event_ns - START_NS) // (STEP_S * NS_PER_S) - 1)
        for d in final_revisions(result.decisions)
    ]


def test_a_fault_is_told_while_it_lasts_and_is_over_when_it_is_over(straight):
    of_fault = [t for t in told(straight) if t[0] == "a/amp_a"]
    (_, first, raised), (_, second, cleared) = of_fault[:2]
    assert (first, second) == ("raised", "cleared")
    assert FAULT[0] <= raised <= FAULT[0] + 8
    assert FAULT[1] <= cleared <= FAULT[1] + 16


def test_a_decision_says_what_was_measured_and_what_was_expected(straight):
    raised = next(d for d in straight.decisions if d.subject == "a/amp_a")
    code, expected, usual, evidence = raised.reasons
    assert (code.code, code.measure, code.unit) == ("UNEXPECTED", "amp_a.mean", "A")
    assert code.value - expected.value > 3 * usual.value
    assert evidence.value >= evidence.threshold == 1.0
    assert "sizes" in evidence.measure


def test_the_stage_tells_what_the_evaluation_of_a_recording_tells(straight):
    table, sent = telemetry(), commands()
    names = ("a", "b")
    channels = ("volt_v", "amp_a", "heat_c")
    records, times = [], []
    for name in names:
        part = table.filter(satellite=name)
        own = sent.filter(satellite=name)
        records.append(
            SatelliteRecord(
                step_s=float(STEP_S),
                values=part.select(channels).to_numpy(),
                is_heard=np.ones(part.height, np.bool_),
                commands=CommandTimes(
                    time_s=(own["time_ns"].to_numpy() - START_NS) / NS_PER_S,
                    name=own["command"].to_numpy().astype(np.str_),
                    value=np.full(own.height, np.nan),
                ),
            )
        )
        times.append(part["time_ns"].to_numpy())
    fleet = FleetRecords(
        satellites=names, channels=channels, records=tuple(records), row_ns=tuple(times),
        faults=None,
    )  # fmt: skip
    result = watch_fleet(fleet, learn_days=LEARN_DAYS)
    evaluated = {
        (f"{name}/{channels[alert.channel]}", telling.row, telling.score)
        for name, watch in zip(names, result.watches, strict=True)
        for alert in watch.alerts
        for telling in alert.raised
    }
    run = {
        (d.subject, (d.event_ns - START_NS) // (STEP_S * NS_PER_S) - 1, d.score)
        for d in final_revisions(straight.decisions)
        if d.transition == "raised"
    }
    assert run
    assert run == evaluated


def test_a_run_replays_to_the_same_bytes(straight):
    simulated = engine()
    assert straight.replay(simulated.sources)


def test_late_packets_end_in_the_decisions_of_the_run_in_order(straight):
    disordered = engine(arrive(telemetry(), LATE, COLUMNS)).run_through()
    in_order = engine(arrive(telemetry(), LATE.in_order(), COLUMNS)).run_through()
    assert any(t[0] == "a/amp_a" for t in told(in_order))
    assert disordered.final_digest == in_order.final_digest


def test_packets_that_come_late_revise_what_was_told_without_them(straight):
    rows = telemetry()
    at = (pl.col("time_ns") - START_NS) // (STEP_S * NS_PER_S)
    is_late = (pl.col("satellite") == "a") & at.is_between(FAULT[0], FAULT[0] + 7)
    later = pl.when(is_late).then(pl.col("time_ns") + 30 * STEP_S * NS_PER_S)
    rows = rows.with_columns(received_ns=later.otherwise(pl.col("received_ns")))
    result = engine(rows.sort("received_ns", "satellite")).run_through()
    assert {str(d.status) for d in result.decisions} > {"issued"}
    assert result.final_digest == straight.final_digest


def test_crashes_show_in_no_decision(straight):
    simulated = engine()
    faults = EngineFaults(crashes=(0.05, 0.9), checkpoint_epochs=40)
    crashed = simulated.run_through(faults, like=straight)
    assert crashed.lives == 3
    assert crashed.digest == straight.digest


def test_a_command_that_comes_late_ends_in_the_same_decisions(straight):
    sent = commands()
    last_s = commanded_s(1)[-3]
    late = pl.col("time_ns") == START_NS + int(last_s) * NS_PER_S
    came = pl.when(late).then(pl.col("time_ns") + 5 * STEP_S * NS_PER_S)
    changed = sent.with_columns(received_ns=came.otherwise(pl.col("received_ns")))
    result = engine(sent=changed.sort("received_ns")).run_through()
    assert result.final_digest == straight.final_digest


def test_the_number_of_partitions_changes_no_decision(straight):
    spread = engine(plan=satellite_plan(partitions=3)).run_through()
    assert spread.final_digest == straight.final_digest


@pytest.mark.parametrize("how", [{"workers": 2}, {"speed": 400_000.0}], ids=str)
def test_neither_workers_nor_the_speed_of_a_run_change_a_decision(tmp_path, straight, how):
    sources = {name: MemorySource(name, {name: rows}) for name, rows in frames().items()}
    options = RunOptions(durable=False, **how)
    run_pipeline(satellite_plan(), sources, tmp_path / "run", options=options)
    decided = final_revisions(RunDirectory.open(tmp_path / "run").decisions())
    known = final_revisions(straight.decisions)
    assert known
    assert {d.decision_id: d for d in decided} == {d.decision_id: d for d in known}


def test_a_run_without_commands_may_be_started_and_says_what_it_told(tmp_path):
    plan = satellite_plan()
    sources = {"telemetry": MemorySource("telemetry", {"telemetry": telemetry()})}
    report = run_pipeline(plan, sources, tmp_path / "run", options=RunOptions(durable=False))
    account = report.as_mapping()["learning"]["unexpected"]
    assert account["known"] == 6
    assert account["tellings"] >= 1
    assert account["judged_days"] == pytest.approx(0.8, abs=0.02)
    assert account["borne"] == pytest.approx(0.02 * account["judged_days"], rel=1e-3)


def decided_with(subject):
    """What is decided of ``a/amp_a`` where an operator takes a subject as normal in the fault."""
    plan = satellite_plan(partitions=1)
    simulated = SimulatedEngine(plan, frames())
    run = simulated.run_through().run
    entries = list(read_entries(run.disk, run.partitions[0], kinds=CORE_INPUTS))
    core, found = PartitionCore(plan, partition=0), []
    said_ns = START_NS + (FAULT[0] + 16) * STEP_S * NS_PER_S
    for entry in entries:
        found += core.step(entry).decisions
        if entry.kind == EntryKind.TICK and said_ns - STEP_S * NS_PER_S < core.tick_ns <= said_ns:
            control = {"control": "take_as_normal", "subject": subject}
            payload = json.dumps(control).encode()
            found += core.step(replace(entry, kind=EntryKind.CONTROL, payload=payload)).decisions
    return [(str(d.transition), d.event_ns) for d in found if d.subject == "a/amp_a"], said_ns


@pytest.mark.parametrize("subject", ["a/amp_a", pytest.param("a", marks=pytest.mark.soak)])
def test_what_an_operator_takes_as_normal_is_over_and_told_no_more(subject):
    found, said_ns = decided_with(subject)
    assert [transition for transition, _ in found] == ["raised", "cleared"]
    assert said_ns < found[1][1] < said_ns + 9 * STEP_S * NS_PER_S


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"measures": ["*.p95"]}, "ending in .p95"),
        ({"commands": "telemetry"}, "a source with the key"),
        ({"commands": "nothing"}, "a source of rows"),
    ],
)
def test_a_stage_that_cannot_work_is_refused_with_its_name(change, expected):
    with pytest.raises(PipelineError, match=r"stages\.unexpected") as caught:
        satellite_plan(stage=change)
    assert expected in str(caught.value)


def test_what_was_learnt_is_shown_with_what_explains_it(tmp_path):
    out = tmp_path / "run"
    sources = {name: MemorySource(name, {name: rows}) for name, rows in frames().items()}
    run_pipeline(satellite_plan(partitions=1), sources, out, options=RunOptions(durable=False))
    run = RunDirectory.open(out)
    (heat,) = learnt_channels(run, key="b", field="heat_c")
    assert heat.holds
    assert heat.explained[0] > 0.7
    assert heat.periods_s[0] == pytest.approx(5700, rel=0.02)
    assert any("HEATER_ON" in part for part in heat.parts)
    assert sum(heat.parts.values()) == pytest.approx(1.0)
    assert heat.svg().count("<polyline") == 2
    assert len(learnt_channels(run)) == 6
    (amp,) = learnt_channels(run, key="a", field="amp_a")
    assert amp.told_ns >= FAULT_NS[0]
    assert amp.time_ns[0] < amp.told_ns < amp.time_ns[-1]
    assert ">told<" in amp.svg()
    with pytest.raises(UsageError, match="c/"):
        learnt_channels(run, key="c")
