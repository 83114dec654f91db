"""A decision or command of a site, explained from its log alone."""

import json
import sqlite3

import cv2
import numpy as np
import pytest
from runtime_frames.test_reviewed_cases import GROUND, Seer, driving
from sightline.runtime.frames.site_run import SiteOptions, run_site

from evidence_site_drawing.yard_runs import INSIDE, camera, made_run, plan_of, run_yard, told, yard
from sightline.errors import LogError, UsageError
from sightline.evidence.site_account import draw_explanation, explain_site, explanation_lines
from sightline.evidence.site_drawing import run_scenes
from sightline.limits import Limits
from sightline.records.signals import NS_PER_S
from sightline.runtime import RunDirectory
from sightline.runtime.engine.guarding import CameraDetectors
from sightline.runtime.pruning import prune_run


def in_the_pit(from_s, until_s):
    """Boxes of somebody who is in the pit for a while."""

    def boxes(at_ns):
        return INSIDE if from_s * NS_PER_S <= at_ns < until_s * NS_PER_S else []

    return boxes


def first(run, kind, transition="raised", *, after_s=0.0):
    return next(
        d
        for d in run.decisions()
        if (d.kind, d.transition) == (kind, transition) and d.event_ns >= after_s * NS_PER_S
    )


def text_of(found):
    return "\n".join(explanation_lines(found))


@pytest.fixture(scope="module")
def visited(tmp_path_factory):
    """Somebody is in the pit from 3 s to 5 s of 12 s; pictures are kept around decisions."""
    plain = yard(images={"keep": "around_decisions"})
    plain["zones"]["pit"]["lost_timeout_s"] = 1.0
    plan = plan_of(plain)
    return run_yard(
        plan,
        tmp_path_factory.mktemp("visited") / "run",
        [camera(seconds=12)],
        told(plan, in_the_pit(3, 5)),
    )


@pytest.fixture(scope="module")
def driven(tmp_path_factory):
    """A vehicle drives towards a person."""
    plan = plan_of(driving())
    seer = CameraDetectors(primary=Seer(("person", "vehicle")), fallback=None, budget_s=1.0)
    out = tmp_path_factory.mktemp("driven") / "run"
    return run_yard(plan, out, [camera(seconds=4)], {"east": seer})


@pytest.fixture(scope="module")
def stop(visited):
    return explain_site(visited, first(visited, "command_stop", after_s=2).decision_id)


def test_a_stop_is_said_in_one_sentence_with_whom_and_where(stop):
    line = explanation_lines(stop)[0]
    assert line.startswith("At 3.")
    assert "saw was told STOP because" in line
    assert "track 1 of east in zone pit" in line


def test_each_reason_has_value_threshold_and_version(stop, visited):
    reason = stop.reasons[0]
    assert reason.code == "IN_FORBIDDEN_ZONE"
    assert f"inside_probability {reason.value:.4g}, threshold" in text_of(stop)
    assert f"[saw@{visited.site.digest}]" in text_of(stop)


def test_the_frame_that_led_to_it_is_told_with_its_boxes_and_who_answered(stop):
    seen = stop.frames[0]
    assert stop.frame == f"east:{seen.header.index}"
    assert seen.offset_s == pytest.approx(stop.run_s, abs=1e-6)
    assert seen.outcome.detections.box_px.tolist() == INSIDE
    assert "detector OK: the detector itself answered, 1 boxes" in text_of(stop)


def test_the_command_before_and_after_and_the_one_that_lets_go_are_told(stop):
    machine = stop.machines[0]
    assert (machine.before.level, machine.after.level) == ("none", "stop")
    assert [command.level for command in machine.later] == ["none"]


def test_how_it_ended_is_told(stop):
    assert stop.other.kind == "command_none"
    assert stop.other.event_ns > stop.said.at_ns
    assert f"command_none cleared ({stop.other.decision_id[:8]})" in text_of(stop)


def test_what_the_frame_took_is_told_by_stage(stop):
    assert {"detect", "track", "zones", "interlock"} <= set(stop.measured.stage_s)
    assert stop.measured.missed == ()
    assert stop.measured.frames == 1


def test_versions_of_pipeline_detector_and_tracker_are_told(stop, visited):
    assert stop.versions["pipeline"] == visited.site.digest
    assert stop.versions["detector east/primary"] == "told@1"
    assert stop.versions["tracker state"].startswith("format ")
    assert "numpy" in stop.versions


def test_the_way_of_the_track_ends_at_the_decision_and_covers_two_seconds(visited):
    cleared = first(visited, "lost_in_zone")
    path = explain_site(visited, cleared.decision_id).paths[0]
    assert path.unit == "px"
    assert path.time_ns[-1] - path.time_ns[0] <= 2 * NS_PER_S
    assert len(path) > 10
    assert path.unseen_s[-1] > 0
    assert (path.apart < 0).all()  # inside


def test_a_decision_is_found_by_the_beginning_of_its_id(visited):
    wanted = first(visited, "in_forbidden_zone").decision_id
    assert explain_site(visited, wanted[:10]).said.said_id == wanted


def test_a_command_is_found_by_its_id_and_by_id_and_revision(visited, stop):
    command = stop.machines[0].after
    again = explain_site(visited, command.command_id)
    assert again.said.what == command
    third = explain_site(visited, f"{command.command_id[:12]}:2")
    assert third.said.what.revision == 2
    assert third.machines[0].before.revision == 1


def test_a_held_command_is_about_whom_the_standing_decisions_are_about(visited, stop):
    held = explain_site(visited, f"{stop.machines[0].after.command_id}:3")
    assert [c.track_id for c in held.concerns] == [1]


@pytest.mark.parametrize(("wanted", "got"), [("zzz", "unknown"), ("", "the beginning of")])
def test_an_id_that_is_not_that_of_one_thing_is_refused(visited, wanted, got):
    with pytest.raises(UsageError, match=got):
        explain_site(visited, wanted)


def test_the_end_of_something_says_when_it_was_raised(visited):
    found = explain_site(visited, first(visited, "in_forbidden_zone", "cleared").decision_id)
    assert found.other.decision_id == first(visited, "in_forbidden_zone").decision_id
    assert "this is the end: it was raised at" in text_of(found)


def test_what_never_ended_is_said_to_stand(tmp_path):
    run = made_run(tmp_path, keep="digest")
    found = explain_site(run, first(run, "in_forbidden_zone").decision_id)
    assert found.other is None
    assert "still so when the log ends" in text_of(found)


def test_a_stop_by_silence_was_led_to_by_a_tick_and_is_not_measured(tmp_path):
    plan = plan_of(yard())

    class Interrupted:
        stream = "east"

        def __iter__(self):
            return (f for f in camera(seconds=8) if not 30 <= f.index < 60)

    run = run_yard(plan, tmp_path / "run", [Interrupted()])
    silent = first(run, "command_stop", after_s=2)
    found = explain_site(run, silent.decision_id)
    assert (found.frame, found.measured) == ("", None)
    assert found.reasons[0].code == "STALE_SIGHT"
    assert found.frames[0].header.index == 29
    assert found.frames[0].age_s == pytest.approx(0.6)
    assert "a tick: time went on, no new frame" in text_of(found)


def test_who_answered_in_place_of_the_detector_is_told(tmp_path):
    class Broken:
        version = "broken@1"

        def detect_batch(self, frames):
            raise RuntimeError("no such layer")

    plan = plan_of(yard())
    teller = told(plan, lambda _: INSIDE)["east"].primary
    both = CameraDetectors(primary=Broken(), fallback=teller, budget_s=1.0)
    run = run_yard(plan, tmp_path / "run", [camera(seconds=1)], {"east": both})
    found = explain_site(run, first(run, "detector_fallback").decision_id)
    assert "detector CRASH (RuntimeError: no such layer): the fallback answered" in text_of(found)
    assert found.versions["detector east/fallback"] == "told@1"


def test_a_frame_that_was_refused_is_told_with_its_sign(tmp_path):
    plain = yard()
    plain["cameras"]["east"]["contract"]["width_px"] = 640
    run = run_yard(plan_of(plain), tmp_path / "run", [camera(seconds=1)])
    found = explain_site(run, first(run, "camera_size").decision_id)
    assert "no detector looked at it: it broke its contract" in text_of(found)
    assert found.frames[0].header.signs[0].code == "SIZE"


def test_a_pair_is_told_with_the_distance_to_the_machine_and_its_own_way(driven):
    risk = next(d for d in driven.decisions() if d.kind in ("too_close", "in_stopping_path"))
    found = explain_site(driven, risk.decision_id)
    person, machine = found.paths
    assert (person.class_name, machine.class_name) == ("person", "vehicle")
    assert person.unit == "m"
    ground = np.hypot(*(person.xy[-1] - machine.xy[-1]))
    assert person.apart[-1] == pytest.approx(ground)
    assert person.deviation[-1] > 0
    assert found.machines[0].name == "saw"


def test_a_command_because_of_a_pair_names_both_tracks(driven):
    stops = [d for d in driven.decisions() if d.kind == "command_stop" and d.event_ns > 1]
    found = explain_site(driven, stops[-1].decision_id)
    assert {(c.track_id, c.machine_track) for c in found.concerns} == {(1, 2)}


def test_a_pair_at_risk_is_drawn_at_risk(driven):
    at_risk = {code for scene in run_scenes(driven) for code in scene.cameras[0].risk.values()}
    assert at_risk & {"TOO_CLOSE", "IN_STOPPING_PATH", "COLLISION_COURSE"}


def test_late_frames_are_told_with_their_missed_deadline(tmp_path):
    plain = yard(latency_budget_s=1e-6)
    plain["detectors"]["motion"]["budget_s"] = 1e-6
    plan = plan_of(plain)
    run = run_yard(plan, tmp_path / "run", [camera(seconds=1)], told(plan, lambda _: INSIDE))
    found = explain_site(run, first(run, "in_forbidden_zone").decision_id)
    stages = {missed["stage"] for missed in found.measured.missed}
    assert stages == {"detect", "capture-to-command"}


def test_all_of_it_is_json_without_nan(driven, visited):
    for run in (driven, visited):
        for decision in run.decisions():
            plain = explain_site(run, decision.decision_id).as_mapping()
            again = json.loads(json.dumps(plain, allow_nan=False))
            assert again["decision"]["decision_id"] == decision.decision_id


def test_the_ledger_is_compared_byte_by_byte(tmp_path):
    run = made_run(tmp_path, keep="digest")
    one = first(run, "in_forbidden_zone")
    assert explain_site(run, one.decision_id).checks.ledger == "same"
    with sqlite3.connect(run.path / "ledger.sqlite") as ledger:
        ledger.execute(
            "update decisions set canonical = replace(canonical, 'critical', 'warning') "
            "where decision_id = ?",
            (one.decision_id,),
        )
    ledger.close()
    found = explain_site(run, one.decision_id)
    assert found.checks.ledger == "other"
    assert "HAS OTHER BYTES" in text_of(found)


def test_a_run_that_decides_otherwise_now_is_not_explained(visited):
    saw = {"cameras": ["east"], "zones": ["pit"], "hold_s": 0.0, "valid_s": 3.0}
    other = plan_of(yard(machines={"saw": saw}))
    changed = RunDirectory(path=visited.path, planned=other, sources=visited.sources)
    with pytest.raises(LogError, match="was decided"):
        explain_site(changed, first(visited, "in_forbidden_zone").decision_id)


def test_a_pruned_run_is_explained_from_its_checkpoint_on(tmp_path):
    plan = plan_of(yard())
    run_site(
        plan,
        {"east": camera(seconds=8)},
        tmp_path / "run",
        detectors=told(plan, in_the_pit(7.6, 9)),
        options=SiteOptions(durable=False, checkpoint_ticks=25),
        limits=Limits(segment_bytes=8192),
    )
    run = RunDirectory.open(tmp_path / "run")
    gone, kept = run.decisions()[0], first(run, "in_forbidden_zone")
    prune_run(run, keep_bytes=0, keep_after_ns=None)
    with pytest.raises(UsageError, match="whose log entry was pruned"):
        explain_site(run, gone.decision_id)
    found = explain_site(run, kept.decision_id)
    assert found.checks.began_after > 0
    assert "the log before it was pruned" in text_of(found)


def test_the_picture_is_that_of_the_frame_that_led_to_it(visited, stop, tmp_path):
    done = draw_explanation(visited, stop, tmp_path / "a.png")
    assert done.has_picture
    assert done.at_s == pytest.approx(stop.run_s, abs=1e-6)
    assert cv2.imread(str(done.path)) is not None


def test_without_a_picture_in_the_log_the_ground_alone_is_drawn(tmp_path):
    square = [[7, 0], [16, 0], [16, 12], [7, 12]]
    plain = yard(zones={"pit": {"camera": "east", "polygon_m": square, "is_forbidden": True}})
    plain["cameras"]["east"]["geometry"] = GROUND
    plan = plan_of(plain)
    run = run_yard(plan, tmp_path / "run", [camera(seconds=2)], told(plan, lambda _: INSIDE))
    found = explain_site(run, first(run, "in_forbidden_zone").decision_id)
    done = draw_explanation(run, found, tmp_path / "a.png")
    assert not done.has_picture
    image = cv2.imread(str(done.path))
    assert image.shape[1] > image.shape[0]
    assert len(np.unique(image.reshape(-1, 3), axis=0)) > 20
