"""Speed, workers and the order of arrival cannot show in what is decided."""

from dataclasses import replace

import numpy as np
import pytest

from sightline.apps.gateway import (
    Fault,
    FaultKind,
    LinkConfig,
    simulate,
    watched_scene,
)
from sightline.records.decision import Severity, Transition
from sightline.records.signals import NS_PER_S
from sightline.runtime import compare_runs, make_plan, replay_run
from sightline.sense.arrival import Router
from simulation.arrival import shuffle_arrival
from simulation.engine import SimulatedEngine
from simulation.gateway_runs import (
    PLAN_PARTITIONS,
    REGION_NORTH,
    FakeTime,
    constellation,
    plan,
    run_gateway,
)
from simulation.trials import gateway_plan, unaccounted


@pytest.fixture(scope="module")
def straight(tmp_path_factory):
    """The run that all others are compared with: in order of event time, at full speed."""
    return run_gateway(tmp_path_factory.mktemp("straight") / "run", **arriving_within(0.0))


def arriving_within(within_s):
    made = constellation()
    rng = np.random.default_rng(1)
    return {
        "telemetry": shuffle_arrival(made.telemetry, within_s=within_s, rng=rng),
        "logs": shuffle_arrival(made.logs, within_s=within_s, rng=rng),
    }


def test_the_runs_that_are_compared_decide_something(straight):
    kinds = {d.kind for d in straight.directory.decisions()}
    assert {"region_silence", "link_silence", "packet_loss", "sensor_stuck"} <= kinds


def test_a_run_held_back_to_60_times_real_time_decides_the_same(straight, tmp_path):
    time = FakeTime()
    paced = run_gateway(tmp_path / "run", clocks=time.clocks(), speed=60.0, **arriving_within(0.0))
    assert paced.report.digest == straight.report.digest
    assert time.slept_s == pytest.approx(360 / 60, rel=0.1)


def test_arrival_out_of_order_within_the_bound_decides_the_same(straight, tmp_path):
    shuffled = run_gateway(tmp_path / "run", **arriving_within(4.9))
    assert shuffled.report.digest == straight.report.digest


def test_arrival_displaced_within_the_allowance_ends_with_the_same_decisions(straight, tmp_path):
    displaced = run_gateway(tmp_path / "run", **arriving_within(100.0))
    comparison = compare_runs(straight.directory, displaced.directory)
    assert comparison.is_final_equal
    assert not comparison  # on the way it had to revise
    assert displaced.report.accounts == straight.report.accounts


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 3])
def test_worker_processes_decide_the_same(straight, tmp_path, workers):
    spread = run_gateway(tmp_path / "run", workers=workers, **arriving_within(0.0))
    assert spread.report.digest == straight.report.digest
    assert spread.report.accounts == straight.report.accounts
    assert replay_run(spread.directory)


def test_replay_gives_the_same_bytes(straight):
    verdict = replay_run(straight.directory)
    assert verdict, str(verdict.difference)
    assert verdict.digest == straight.report.digest


def test_a_silent_region_that_spans_partitions_is_one_decision(straight):
    router = Router(plan().contracts, PLAN_PARTITIONS)
    north = constellation().telemetry.filter(region="north")
    assert len(router.route("telemetry", north)) > 1
    raised = [d for d in straight.final("region_silence") if d.transition is Transition.RAISED]
    assert [(d.subject, d.group) for d in raised] == [("north", "north")]


def test_a_silent_region_inhibits_the_silence_of_its_satellites(straight):
    silent = {d.subject for d in straight.final("link_silence")}
    assert not silent & REGION_NORTH
    assert "sat-00002" in silent  # it fell silent alone, in another region


def test_comparing_with_a_changed_threshold_names_that_stage_and_its_first_record(
    straight, tmp_path
):
    stages = dict(plan().pipeline.stages)
    stages["sensor_stuck"] = stages["sensor_stuck"].model_copy(update={"raise_above": 25.0})
    form = plan().pipeline.model_copy(update={"stages": stages})
    changed = run_gateway(
        tmp_path / "run", with_plan=make_plan(form, plan().contracts), **arriving_within(0.0)
    )
    difference = compare_runs(straight.directory, changed.directory).difference
    assert difference is not None
    assert difference.stage == "sensor_stuck"
    assert difference.subject == "sat-00005"
    # Stuck for 30 s of its second minute: with 25 s as the threshold, two minutes agree by the
    # end of the third, one minute earlier than with 45 s.
    assert difference.window_start_ns == watched_scene().start_ns + 120 * NS_PER_S
    assert (difference.value_a, difference.value_b) == (0.0, 1.0)


def test_no_row_of_a_backlog_is_late_however_long_the_outage():
    outage = Fault(kind=FaultKind.BACKLOG, subject="sat-00001", start_s=30, end_s=370)
    scene = watched_scene(seed=2, n_satellites=3, duration_s=420, link=LinkConfig.perfect())
    made = simulate(replace(scene, scheduled_faults=(outage,)))
    pipeline = gateway_plan()
    delay_ns = (made.telemetry["received_ns"] - made.telemetry["time_ns"]).max()
    assert delay_ns > pipeline.contracts["telemetry"].revision_allowance_ns
    engine = SimulatedEngine(pipeline, {"telemetry": made.telemetry, "logs": made.logs})
    found = engine.run_through()
    assert not unaccounted(found, engine)
    assert found.accounts.decided == engine.rows
    assert found.accounts.quarantined == {}


def changed_run(folder, stage, **change):
    stages = dict(plan().pipeline.stages)
    stages[stage] = stages[stage].model_copy(update=change)
    form = plan().pipeline.model_copy(update={"stages": stages})
    return run_gateway(
        folder / "run", with_plan=make_plan(form, plan().contracts), **arriving_within(0.0)
    )


def test_comparing_with_a_change_that_no_record_shows_names_the_first_decision(straight, tmp_path):
    changed = changed_run(tmp_path, "sensor_stuck", severity=Severity.CRITICAL)
    difference = compare_runs(straight.directory, changed.directory).difference
    assert (difference.stage, difference.subject) == ("sensor_stuck", "sat-00005/bus_voltage_v")
    assert (difference.column, difference.value_a, difference.value_b) == (
        "severity",
        "warning",
        "critical",
    )


def test_comparing_with_another_inhibition_names_the_decision_that_was_let_through(
    straight, tmp_path
):
    changed = changed_run(tmp_path, "link_silence", inhibited_by=(), inhibit_hold_s=None)
    difference = compare_runs(straight.directory, changed.directory).difference
    assert difference.stage.startswith("link_silence")
    assert difference.subject in REGION_NORTH
    assert (difference.value_a, difference.value_b) == ("nothing", "said")
