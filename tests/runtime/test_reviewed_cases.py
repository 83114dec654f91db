"""Cases that a review of the frame engine has brought up, each as a user would meet it."""

import time

import numpy as np
import pytest

from sightline.act import Outlet
from sightline.errors import PipelineError, SourceError, UsageError
from sightline.recorder import read_entries
from sightline.records import Detections, EntryKind
from sightline.records.command import ActuatorCommand, CommandLevel
from sightline.records.decision import Severity
from sightline.records.signals import NS_PER_S
from sightline.runtime import RunDirectory, RunOptions, replay_run, run_pipeline
from sightline.runtime.engine.answerers import lookers
from sightline.runtime.engine.guarding import Lookers
from sightline.runtime.engine.steady_clock import steady_clock
from simulation.site_cases import (
    Told,
    by_camera,
    camera,
    plan_of,
    run_yard,
    told,
    two_cameras,
    yard,
)
from simulation.yard_runs import VEHICLE, Seer, driving


def run(plan, out, cameras, looking=None, **options):
    return run_yard(plan, out, *cameras, looking=looking, **options)


def commands(out):
    return [
        ActuatorCommand.from_bytes(entry.payload)
        for entry in read_entries(RunDirectory.open(out).storage, "p000", kinds={EntryKind.COMMAND})
    ]


@pytest.mark.parametrize("names", [("person", "vehicle"), ("vehicle", "person")])
def test_a_fallback_with_fewer_classes_neither_ends_the_run_nor_renames_a_vehicle(tmp_path, names):
    plan = plan_of(driving())
    both = Lookers(primary=Seer(names, fails_at=(12, 13)), fallback=Seer(("person",)), budget_s=1.0)
    run(plan, tmp_path / "run", [camera(seconds=4)], by_camera(east=both))
    found = RunDirectory.open(tmp_path / "run")
    risks = [d for d in found.decisions() if d.kind in ("too_close", "in_stopping_path")]
    assert risks
    assert {d.subject.split("/")[0] for d in risks} == {"saw"}
    assert replay_run(found)


def test_a_moving_machine_is_stopped_before_a_person_and_said_to_be_lost_when_not_seen(tmp_path):
    plan = plan_of(driving())
    seer = Lookers(primary=Seer(("person",)), fallback=None, budget_s=1.0)
    run(plan, tmp_path / "run", [camera(seconds=3)], by_camera(east=seer))
    assert {c.level for c in commands(tmp_path / "run")} == {CommandLevel.STOP}
    assert commands(tmp_path / "run")[-1].reasons[0].code == "FALLBACKS_FAILED"


def test_a_missed_detection_is_no_lost_machine(tmp_path):
    plain = driving(person_classes=["person"])
    plan = plan_of(plain)

    class Gappy(Seer):
        def _detect(self, frame):
            whole = super()._detect(frame)
            is_gap = frame.index % 10 in (7, 8, 9)
            return whole.only(np.zeros(len(whole), bool)) if is_gap else whole

    far = Lookers(primary=Gappy(("vehicle",)), fallback=None, budget_s=1.0)
    run(plan, tmp_path / "run", [camera(seconds=6)], by_camera(east=far))
    codes = [r.code for c in commands(tmp_path / "run")[8:] for r in c.reasons]
    assert "FALLBACKS_FAILED" not in codes


def test_a_camera_that_died_at_time_zero_is_no_sight(tmp_path):
    plan = plan_of(two_cameras(machines={"saw": _needing_both()}))
    run(plan, tmp_path / "run", [camera(seconds=0.1), camera("west", seconds=5)])
    assert {c.level for c in commands(tmp_path / "run")} == {CommandLevel.STOP}


def _needing_both():
    return {"cameras": ["east", "west"], "zones": ["pit"], "hold_s": 1.0, "valid_s": 3.0}


def test_a_class_that_no_detector_reports_is_refused_with_its_zone():
    plain = yard()
    plain["zones"]["pit"]["classes"] = ["persn"]
    with pytest.raises(PipelineError, match="persn") as caught:
        lookers(plan_of(plain))
    assert "zones.pit" in caught.value.where


def test_a_motion_detector_without_sizes_cannot_guard_a_zone_for_people():
    plain = yard()
    plain["detectors"]["motion"]["person_px"] = None
    with pytest.raises(PipelineError, match="moving"):
        lookers(plan_of(plain))


def test_a_clock_that_is_set_back_goes_on_at_the_real_pace():
    wall, real = [100.0], [0.0]
    now_ns = steady_clock(lambda: round(wall[0] * NS_PER_S), lambda: real[0])
    seen = []
    for step in range(10):
        wall[0] += 1.0 if step != 4 else -60.0
        real[0] += 1.0
        seen.append(now_ns() / NS_PER_S)
    assert np.diff(seen).tolist() == [1.0] * 9


def test_a_receiver_of_alerts_that_hangs_holds_no_frame_up(tmp_path):
    class Hanging(Outlet):
        def send(self, said, /, *, idempotency_key, deadline_s):
            time.sleep(1.0)

    plan = plan_of(yard())
    report = run_pipeline(
        plan,
        {"east": camera(seconds=2)},
        tmp_path / "run",
        looking=told(plan, lambda _: [[200.0, 100.0, 220.0, 160.0]]),
        options=RunOptions(durable=False, speed=1.0),
        alerts={"slow": Hanging()},
    )
    assert report.accounts.superseded == 0
    assert report.accounts.decided == 20


def test_a_fallback_that_two_cameras_share_answers_both(tmp_path):
    class Broken:
        version = "broken@1"

        def look(self, frames):
            raise RuntimeError("gone")

    plan = plan_of(two_cameras(batch_wait_s=0.0))
    shared = Told(lambda _: [])
    both = Lookers(primary=Broken(), fallback=shared, budget_s=1.0)
    run(
        plan,
        tmp_path / "run",
        [camera(seconds=3), camera("west", seconds=3)],
        by_camera(east=both, west=both),
    )
    assert CommandLevel.NONE in {c.level for c in commands(tmp_path / "run")}


def test_a_detector_may_be_primary_here_and_fallback_there(tmp_path):
    a, b = Told(lambda _: []), Told(lambda _: [])
    plan = plan_of(two_cameras())
    looking = by_camera(
        east=Lookers(primary=a, fallback=b, budget_s=1.0),
        west=Lookers(primary=b, fallback=a, budget_s=1.0),
    )
    cameras = [camera(seconds=2), camera("west", seconds=2)]
    report = run(plan, tmp_path / "run", cameras, looking)
    assert report.fallbacks == {}


def test_a_paced_run_cannot_be_resumed(tmp_path):
    with pytest.raises(UsageError, match="resumed run"):
        run(plan_of(yard()), tmp_path / "run", [camera()], resume=True, speed=2.0)


def test_another_recording_is_refused_on_resume(tmp_path):
    plan = plan_of(yard())
    count = iter(range(100))
    run_pipeline(
        plan,
        {"east": camera(seconds=4, seed=1)},
        tmp_path / "run",
        looking=told(plan),
        options=RunOptions(durable=False),
        is_stopped=lambda: next(count) > 20,
    )
    with pytest.raises(SourceError, match="recording of the run"):
        run(plan, tmp_path / "run", [camera(seconds=4, seed=2)], resume=True)


def test_an_operator_input_that_is_none_is_counted_and_ends_nothing(tmp_path):
    plan = plan_of(yard())
    wrong = [{}, {"control": "reset"}, {"control": "reset", "machine": "saw", "is_down": "yes"}]
    inputs = iter(wrong)
    report = run_pipeline(
        plan,
        {"east": camera(seconds=2)},
        tmp_path / "run",
        looking=told(plan),
        options=RunOptions(durable=False),
        controls=lambda: [next(inputs)] if wrong and report_of(inputs) else [],
    )
    assert report.refused_controls == len(wrong)


def report_of(inputs):
    """Whether there is one more (an iterator of a list knows)."""
    return inputs.__length_hint__() > 0


def test_two_machines_near_the_same_person_are_two_decisions_each_with_its_own_severity(tmp_path):
    plain = driving()
    careful = {**plain["machines"]["saw"], "level_of": {"TOO_CLOSE": "warn"}}
    plain["machines"]["arm"] = careful
    close = by_camera(east=Lookers(primary=Close(), fallback=None, budget_s=1.0))
    run(plan_of(plain), tmp_path / "run", [camera(seconds=2)], close)
    said = [d for d in RunDirectory.open(tmp_path / "run").decisions() if d.kind == "too_close"]
    assert {(d.group, d.severity) for d in said if d.transition == "raised"} == {
        ("saw", Severity.CRITICAL),
        ("arm", Severity.WARNING),
    }


class Close:
    """A person who stands beside a vehicle."""

    version = "close@1"

    def look(self, frames):
        return [
            Detections.of(
                f.stream,
                f.capture_ns,
                box_px=[[60, 80, 70, 120], VEHICLE],
                score=[0.9, 0.9],
                class_id=[0, 1],
                class_names=("person", "vehicle"),
            )
            for f in frames
        ]


def test_frames_that_wait_when_a_run_is_stopped_are_counted(tmp_path):
    plan = plan_of(yard())
    count = iter(range(10_000))

    class Slow(Told):
        def look(self, frames):
            time.sleep(0.15)
            return super().look(frames)

    slow = Lookers(primary=Slow(), fallback=None, budget_s=1.0)
    report = run_pipeline(
        plan,
        {"east": camera(seconds=20)},
        tmp_path / "run",
        looking=by_camera(east=slow),
        options=RunOptions(durable=False, speed=4.0),
        is_stopped=lambda: next(count) > 6,
    )
    a = report.accounts
    assert a.received == a.decided + a.superseded + a.dropped.get("STOPPED", 0)
    assert a.superseded + a.dropped.get("STOPPED", 0) > 0
