"""Silent degradation after an update, in the engine: told once, for all who run the version."""

import json

import numpy as np
import polars as pl
import pytest

from sightline.apps.gateway import PIPELINE, simulate, watched_scene
from sightline.errors import PipelineError
from sightline.evidence import explain
from sightline.limits import Limits
from sightline.recorder import read_entries
from sightline.records import EntryKind
from sightline.records.decision import final_revisions
from sightline.runtime import RunDirectory, RunOptions, load_plan, run_pipeline
from sightline.runtime.engine.hosting import FAN_IN
from sightline.sense import MemorySource
from simulation.schedules import NS_PER_S, ArrivalFaults, EngineFaults, Stall, arrive
from simulation.version_runs import (
    BACKLOG_S,
    COLUMNS,
    DAY_NS,
    PER_DAY,
    ROLLOUT,
    START_NS,
    STEP_S,
    engine,
    fleet_plan,
    frames,
    name_of,
    telemetry,
    update_days,
    versions,
)

SHIFT_C = 0.6
"""Of a channel that swings by 2 degC in an orbit, and by 4 in a season."""


@pytest.fixture(scope="module")
def broken():
    return engine(frames(shift_c=SHIFT_C)).run_through()


def day_of(time_ns):
    return (time_ns - START_NS) / DAY_NS


def test_a_version_that_warms_a_channel_is_told_once_with_its_size(broken):
    (decision,) = broken.decisions
    assert (decision.subject, str(decision.transition)) == ("firmware=2.0", "raised")
    size, low, high, updated, evidence, since = decision.reasons
    assert (size.code, size.measure, size.unit) == ("SILENT_DEGRADATION", "heat_c.mean", "degC")
    assert low.value <= SHIFT_C <= high.value
    assert 0 < low.value < size.value < high.value
    assert 5 <= updated.value <= 24
    assert evidence.value >= evidence.threshold
    assert since.value == day_of(decision.event_ns) - day_of(decision.window_start_ns)
    assert day_of(decision.window_start_ns) == ROLLOUT[0]


def test_it_is_told_while_the_version_still_goes_out(broken):
    (decision,) = broken.decisions
    assert day_of(decision.event_ns) <= ROLLOUT[1]


@pytest.mark.parametrize("seed", [0, 1])
def test_a_version_that_changes_nothing_is_not_told(seed):
    assert not engine(frames(seed=seed)).run_through().decisions


def test_satellites_that_are_lost_for_a_day_when_they_are_updated_are_no_degradation():
    updated = update_days(0)
    gone = [
        (k, day * PER_DAY, day * PER_DAY + PER_DAY - 1)
        for k, day in enumerate(updated.tolist())
        if day >= 0
    ]
    assert not engine(frames(gone=gone)).run_through().decisions


def test_the_desk_makes_one_message_of_it_with_the_firmware_as_its_subject(broken):
    said = [
        json.loads(entry.payload)
        for entry in read_entries(broken.run.disk, FAN_IN, kinds={EntryKind.ALERTING})
    ]
    messages = [message for one in said for message in one["messages"]]
    (message,) = messages
    assert message["subject"] == "firmware=2.0"
    assert message["code"] == "SILENT_DEGRADATION"


def test_other_alerts_of_the_version_can_share_its_attribute():
    plan = fleet_plan()
    assert plan.pipeline.alerting.by == ("satellite", "firmware")
    with pytest.raises(PipelineError, match="alerting"):
        fleet_plan(alerting={"by": ["version"]})


def test_a_run_replays_to_the_same_bytes(broken):
    assert broken.replay(engine(frames(shift_c=SHIFT_C)).sources)


@pytest.mark.parametrize("share", [0.62, pytest.param(0.9, marks=pytest.mark.soak)])
def test_crashes_show_in_no_decision(broken, share):
    faults = EngineFaults(crashes=(share,), checkpoint_epochs=5)
    crashed = engine(frames(shift_c=SHIFT_C)).run_through(faults, like=broken)
    assert crashed.lives == 2
    assert crashed.digest == broken.digest


def test_the_number_of_partitions_changes_no_decision(broken):
    alone = engine(frames(shift_c=SHIFT_C), plan=fleet_plan(partitions=1)).run_through()
    assert alone.final_digest == broken.final_digest


@pytest.mark.parametrize("workers", [1, 3])
def test_the_number_of_workers_changes_no_decision(tmp_path, broken, workers):
    sources = {
        name: MemorySource(name, {name: rows}) for name, rows in frames(shift_c=SHIFT_C).items()
    }
    options = RunOptions(durable=False, workers=workers)
    run_pipeline(fleet_plan(), sources, tmp_path / "run", options=options)
    decided = final_revisions(RunDirectory.open(tmp_path / "run").decisions())
    assert [d.canonical_bytes() for d in decided] == [
        d.canonical_bytes() for d in final_revisions(broken.decisions)
    ]


def test_late_packets_and_late_news_of_versions_end_in_the_same_decision(broken):
    given = frames(shift_c=SHIFT_C)
    late = ArrivalFaults(
        reorder_s=30_000.0,
        seed=3,
        stalls=(Stall(key=name_of(1), start_s=18 * 86_400, end_s=18.6 * 86_400, dump_s=60.0),),
    )
    disordered = {
        "telemetry": arrive(given["telemetry"], late, COLUMNS),
        "versions": given["versions"].with_columns(
            received_ns=pl.col("received_ns") + (BACKLOG_S // 2) * NS_PER_S
        ),
    }
    in_order = {**given, "telemetry": arrive(given["telemetry"], late.in_order(), COLUMNS)}
    one, other = (engine(found).run_through() for found in (disordered, in_order))
    assert one.decisions
    assert one.final_digest == other.final_digest


def test_a_version_that_comes_with_every_packet_is_the_same_news(broken):
    given = frames(shift_c=SHIFT_C)
    packets, news = (given[name].sort("time_ns") for name in ("telemetry", "versions"))
    each = packets.join_asof(  # each satellite is sorted by time
        news.select("satellite", "firmware", "time_ns"), on="time_ns", by="satellite"
    ).select("satellite", "firmware", "time_ns", "received_ns")
    result = engine({**given, "versions": each}).run_through()
    assert result.final_digest == broken.final_digest


def test_what_is_fixed_by_a_third_version_is_over_when_nobody_runs_the_second():
    given = frames(shift_c=SHIFT_C)
    fixed = versions(np.where(update_days(0) >= 0, 34, -1)).filter(pl.col("firmware") == "2.0")
    later = fixed.with_columns(firmware=pl.lit("2.1"))
    given["versions"] = pl.concat([given["versions"], later]).sort("received_ns", "satellite")
    decisions = engine(given).run_through().decisions
    assert [(d.subject, str(d.transition)) for d in decisions] == [
        ("firmware=2.0", "raised"),
        ("firmware=2.0", "cleared"),
    ]
    assert day_of(decisions[1].event_ns) == 35
    assert decisions[1].reasons[0].code == "SILENT_DEGRADATION_OVER"


def test_what_a_version_changes_on_purpose_is_not_told():
    plan = fleet_plan(stage={"intended": {"2.0": ["heat_c"]}})
    assert not engine(frames(shift_c=SHIFT_C), plan=plan).run_through().decisions


def test_without_versions_nothing_is_told_and_the_report_says_that_it_could_not_be(tmp_path):
    sources = {"telemetry": MemorySource("telemetry", {"telemetry": telemetry(update_days())})}
    report = run_pipeline(
        fleet_plan(), sources, tmp_path / "run", options=RunOptions(durable=False)
    )
    assert not report.decisions
    assert "no row of versions says which version" in report.advice["degraded"]


def test_a_version_that_all_got_on_one_day_is_said_not_to_be_judged(tmp_path):
    updated = np.full(24, 20)
    given = {"telemetry": telemetry(updated, shift_c=5.0), "versions": versions(updated)}
    sources = {name: MemorySource(name, {name: rows}) for name, rows in given.items()}
    report = run_pipeline(
        fleet_plan(), sources, tmp_path / "run", options=RunOptions(durable=False)
    )
    assert not report.decisions
    assert "2.0" in report.advice["degraded"]


def test_a_decision_is_explained_in_sentences(tmp_path):
    sources = {
        name: MemorySource(name, {name: rows}) for name, rows in frames(shift_c=SHIFT_C).items()
    }
    run_pipeline(fleet_plan(), sources, tmp_path / "run", options=RunOptions(durable=False))
    run = RunDirectory.open(tmp_path / "run")
    (decision,) = run.decisions()
    facts = explain(run, decision.decision_id, is_quick=False)
    meanings = [fact.meaning for fact in facts.reasons]
    assert "who did not get it" in meanings[0]
    assert all(meanings)
    assert facts.alerts
    assert "days of many keys" in facts.as_mapping()["counterfactual"]["note"]


def test_levels_of_a_day_are_the_means_of_its_windows_and_a_day_half_heard_has_none(broken):
    rows = telemetry(update_days(0), shift_c=SHIFT_C)
    day = (pl.col("time_ns") // DAY_NS).alias("day")
    known = rows.group_by("satellite", day).agg(pl.col("heat_c", "volt_v").mean()).sort("day")
    expected = {(s, d): (heat, volt) for s, d, heat, volt in known.iter_rows()}
    reported = {
        (name, day): values[:2]
        for partition in range(3)
        for entry in read_entries(
            broken.run.disk, broken.run.partitions[partition], kinds={EntryKind.SUMMARY_OUT}
        )
        for name, day, values in json.loads(entry.payload)
        .get("reports", {})
        .get("degraded", {"days": []})["days"]
    }
    assert reported.keys() == expected.keys()
    assert all(reported[at] == pytest.approx(expected[at]) for at in expected)


def test_the_noise_of_a_day_is_that_of_its_windows(broken):
    found = [
        values[3]
        for entry in read_entries(
            broken.run.disk, broken.run.partitions[0], kinds={EntryKind.SUMMARY_OUT}
        )
        for _, _, values in json.loads(entry.payload)
        .get("reports", {})
        .get("degraded", {"days": []})["days"]
    ]
    assert np.mean(found) == pytest.approx(0.1, rel=0.1)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"measures": ["*.p95"]}, "ending in .p95"),
        ({"versions": "telemetry"}, "a source with the key"),
        ({"versions": "nothing"}, "a source of rows"),
        ({"intended": {"2.0": ["heat"]}}, "fields of the measures"),
        ({"scope": "key"}, "scope: global"),
    ],
    ids=str,
)
def test_a_stage_that_cannot_work_is_refused_with_its_name(change, expected):
    with pytest.raises(PipelineError, match=r"stages\.degraded") as caught:
        fleet_plan(stage=change)
    assert expected in str(caught.value)


def test_windows_that_do_not_fit_into_a_day_are_refused():
    with pytest.raises(PipelineError, match="divisor of a day"):
        fleet_plan(
            stages={
                "rows": {"use": "windows", "input": "telemetry", "width_s": STEP_S + 1},
                "degraded": {
                    "use": "version_change", "input": "rows", "versions": "versions",
                    "code": "SILENT_DEGRADATION",
                },
            }
        )  # fmt: skip


def test_versions_beyond_the_bound_are_not_judged_and_counted():
    plan = fleet_plan()
    (step,) = plan.over_all_keys
    half = step.stage.begin_all_keys(step, pipeline=plan.digest, limits=Limits(max_versions=1))
    named = [["a", 0, "1.0"], ["b", 0, "2.0"], ["c", 1, "1.0"], ["d", 1, "2.0"]]
    half.take({"days": [], "versions": named, "without_room": 3})
    ((name, count),) = half.at_bounds()
    assert "max_versions" in name
    assert count == 5


def test_the_gateway_takes_versions_and_says_what_it_could_not_judge(tmp_path):
    scene = simulate(watched_scene(n_satellites=3, duration_s=600))
    names = scene.telemetry["satellite"].unique().sort()
    start_ns = scene.telemetry["time_ns"].min()
    told = pl.DataFrame({"satellite": names, "firmware": "2.0", "time_ns": start_ns})
    rows = {
        "telemetry": scene.telemetry,
        "logs": scene.logs,
        "versions": told.with_columns(received_ns=pl.col("time_ns")),
    }
    sources = {name: MemorySource(name, {name: frame}) for name, frame in rows.items()}
    plan = load_plan(PIPELINE)
    report = run_pipeline(plan, sources, tmp_path / "run", options=RunOptions(durable=False))
    assert report.accounts.received == sum(frame.height for frame in rows.values())
    assert report.advice["degraded"].startswith("nothing could be judged of 2.0: nobody got it")
