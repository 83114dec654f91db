"""A decision or command of a site, explained from its log alone."""

import json
import sqlite3

import cv2
import numpy as np
import pytest

from sightline.errors import LogError, UsageError
from sightline.evidence import account_lines, draw_account, explain
from sightline.evidence.drawing import run_scenes
from sightline.limits import Limits
from sightline.records.signals import NS_PER_S
from sightline.runtime import RunDirectory, RunOptions, run_pipeline
from sightline.runtime.engine.guarding import Lookers
from sightline.runtime.pruning import prune_run
from simulation.yard_runs import (
    GROUND,
    INSIDE,
    Seer,
    camera,
    driving,
    made_run,
    plan_of,
    run_yard,
    told,
    yard,
)


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
    return "\n".join(account_lines(found))


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
    seer = Lookers(primary=Seer(("person", "vehicle")), fallback=None, budget_s=1.0)
    out = tmp_path_factory.mktemp("driven") / "run"
    return run_yard(plan, out, [camera(seconds=4)], {("east_detect", "east"): seer})


@pytest.fixture(scope="module")
def stop(visited):
    return explain(visited, first(visited, "command_stop", after_s=2).decision_id)


def test_a_stop_is_said_in_one_sentence_with_whom_and_where(stop):
    line = account_lines(stop)[0]
    assert line.startswith("At 3.")
    assert "saw was told STOP because" in line
    assert "track 1 of east in zone pit" in line


def test_each_reason_has_value_threshold_and_version(stop, visited):
    reason = stop.reasons[0].reason
    assert reason.code == "IN_FORBIDDEN_ZONE"
    assert f"inside_probability {reason.value:.4g}, threshold" in text_of(stop)
    assert f"[saw@{visited.plan.digest}]" in text_of(stop)


def test_the_frame_that_led_to_it_is_told_with_its_boxes_and_who_answered(stop):
    seen = stop.cameras.frames[0]
    assert stop.cameras.frame == f"east:{seen.header.index}"
    assert seen.offset_s == pytest.approx(stop.cameras.run_s, abs=1e-6)
    assert seen.outcomes[0].answer.box_px.tolist() == INSIDE
    assert "detector OK: the detector itself answered, 1 boxes" in text_of(stop)


def test_the_command_before_and_after_and_the_one_that_lets_go_are_told(stop):
    machine = stop.cameras.machines[0]
    assert (machine.before.level, machine.after.level) == ("slow", "stop")
    assert [reason.code for reason in machine.before.reasons] == ["UNCONFIRMED_IN_ZONE"]
    assert [command.level for command in machine.later] == ["none"]


def test_how_it_ended_is_told(stop):
    assert stop.other.kind == "command_none"
    assert stop.other.event_ns > stop.said.at_ns
    assert f"command_none cleared ({stop.other.decision_id[:8]})" in text_of(stop)


def test_what_the_frame_took_is_told_by_stage(stop):
    assert {"east_detect", "east_track", "east_zones", "saw"} <= set(stop.cameras.measured.stage_s)
    assert stop.cameras.measured.missed == ()
    assert stop.cameras.measured.frames == 1


def test_versions_of_pipeline_detector_and_tracker_are_told(stop, visited):
    assert stop.versions["pipeline"] == visited.plan.digest
    assert stop.versions["model east_detect/east/primary"] == "told@1"
    assert stop.versions["tracker state"].startswith("format ")
    assert "numpy" in stop.versions


def test_the_way_of_the_track_ends_at_the_decision_and_covers_two_seconds(visited):
    cleared = first(visited, "lost_in_zone")
    path = explain(visited, cleared.decision_id).cameras.paths[0]
    assert path.unit == "px"
    assert path.time_ns[-1] - path.time_ns[0] <= 2 * NS_PER_S
    assert len(path) > 10
    assert path.unseen_s[-1] > 0
    assert (path.apart < 0).all()  # inside


def test_a_decision_is_found_by_the_beginning_of_its_id(visited):
    wanted = first(visited, "in_forbidden_zone").decision_id
    assert explain(visited, wanted[:10]).said.said_id == wanted


def test_a_command_is_found_by_its_id_and_by_id_and_revision(visited, stop):
    command = stop.cameras.machines[0].before  # the first of the episode, which made it slow
    again = explain(visited, command.command_id)
    assert again.said.what == command
    third = explain(visited, f"{command.command_id[:12]}:2")
    assert third.said.what.revision == 2
    assert third.cameras.machines[0].before.revision == 1


def test_a_held_command_is_about_whom_the_standing_decisions_are_about(visited, stop):
    held = explain(visited, f"{stop.cameras.machines[0].after.command_id}:3")
    assert [c.track_id for c in held.cameras.concerns] == [1]


@pytest.mark.parametrize(("wanted", "got"), [("zzz", "unknown"), ("", "the beginning of")])
def test_an_id_that_is_not_that_of_one_thing_is_refused(visited, wanted, got):
    with pytest.raises(UsageError, match=got):
        explain(visited, wanted)


def test_the_end_of_something_says_when_it_was_raised(visited):
    found = explain(visited, first(visited, "in_forbidden_zone", "cleared").decision_id)
    assert found.other.decision_id == first(visited, "in_forbidden_zone").decision_id
    assert "this is the end: it was raised at" in text_of(found)


def test_what_never_ended_is_said_to_stand(tmp_path):
    run = made_run(tmp_path, keep="digest")
    found = explain(run, first(run, "in_forbidden_zone").decision_id)
    assert found.other is None
    assert "nothing in the log ends it" in text_of(found)


def test_a_stop_by_silence_was_led_to_by_a_tick_and_is_not_measured(tmp_path):
    plan = plan_of(yard())

    class Interrupted:
        stream = "east"

        def __iter__(self):
            return (f for f in camera(seconds=8) if not 30 <= f.index < 60)

    run = run_yard(plan, tmp_path / "run", [Interrupted()])
    silent = first(run, "command_stop", after_s=2)
    found = explain(run, silent.decision_id)
    assert (found.cameras.frame, found.cameras.measured) == ("", None)
    assert found.reasons[0].reason.code == "STALE_SIGHT"
    assert found.cameras.frames[0].header.index == 29
    assert found.cameras.frames[0].age_s == pytest.approx(0.6)
    assert "a tick: time went on, no new frame" in text_of(found)


def test_who_answered_in_place_of_the_detector_is_told(tmp_path):
    class Broken:
        version = "broken@1"

        def look(self, frames):
            raise RuntimeError("no such layer")

    plan = plan_of(yard())
    teller = told(plan, lambda _: INSIDE)["east_detect", "east"].primary
    both = Lookers(primary=Broken(), fallback=teller, budget_s=1.0)
    run = run_yard(plan, tmp_path / "run", [camera(seconds=1)], {("east_detect", "east"): both})
    found = explain(run, first(run, "detector_fallback").decision_id)
    assert "detector CRASH (RuntimeError: no such layer): the fallback answered" in text_of(found)
    assert found.versions["model east_detect/east/fallback"] == "told@1"


def test_a_frame_that_was_refused_is_told_with_its_sign(tmp_path):
    plain = yard()
    plain["cameras"]["east"]["contract"]["width_px"] = 640
    run = run_yard(plan_of(plain), tmp_path / "run", [camera(seconds=1)])
    found = explain(run, first(run, "camera_size").decision_id)
    assert "no detector looked at it: it broke its contract" in text_of(found)
    assert found.cameras.frames[0].header.signs[0].code == "SIZE"


def test_a_pair_is_told_with_the_distance_to_the_machine_and_its_own_way(driven):
    risk = next(d for d in driven.decisions() if d.kind in ("too_close", "in_stopping_path"))
    found = explain(driven, risk.decision_id)
    person, machine = found.cameras.paths
    assert (person.class_name, machine.class_name) == ("person", "vehicle")
    assert person.unit == "m"
    ground = np.hypot(*(person.xy[-1] - machine.xy[-1]))
    assert person.apart[-1] == pytest.approx(ground)
    assert person.deviation[-1] > 0
    assert found.cameras.machines[0].name == "saw"


def test_a_command_because_of_a_pair_names_both_tracks(driven):
    stops = [d for d in driven.decisions() if d.kind == "command_stop" and d.event_ns > 1]
    found = explain(driven, stops[-1].decision_id)
    assert {(c.track_id, c.machine_track) for c in found.cameras.concerns} == {(1, 2)}


def test_a_pair_at_risk_is_drawn_at_risk(driven):
    at_risk = {code for scene in run_scenes(driven) for code in scene.cameras[0].risk.values()}
    assert at_risk & {"TOO_CLOSE", "IN_STOPPING_PATH", "COLLISION_COURSE"}


def test_late_frames_are_told_with_their_missed_deadline(tmp_path):
    plain = yard(latency_budget_s=1e-6)
    plain["detectors"]["motion"]["budget_s"] = 1e-6
    plan = plan_of(plain)
    run = run_yard(plan, tmp_path / "run", [camera(seconds=1)], told(plan, lambda _: INSIDE))
    found = explain(run, first(run, "in_forbidden_zone").decision_id)
    stages = {missed["stage"] for missed in found.cameras.measured.missed}
    assert {"east_detect", "capture-to-command"} <= stages


def test_all_of_it_is_json_without_nan(driven, visited):
    for run in (driven, visited):
        for decision in run.decisions():
            plain = explain(run, decision.decision_id).as_mapping()
            again = json.loads(json.dumps(plain, allow_nan=False))
            assert again["decision"]["decision_id"] == decision.decision_id


def test_the_ledger_is_compared_byte_by_byte(tmp_path):
    run = made_run(tmp_path, keep="digest")
    one = first(run, "in_forbidden_zone")
    assert explain(run, one.decision_id).ledger == "same"
    with sqlite3.connect(run.path / "ledger.sqlite") as ledger:
        ledger.execute(
            "update decisions set canonical = replace(canonical, 'critical', 'warning') "
            "where decision_id = ?",
            (one.decision_id,),
        )
    ledger.close()
    found = explain(run, one.decision_id)
    assert found.ledger == "other"
    assert "HAS OTHER BYTES" in text_of(found)


def test_a_run_that_decides_otherwise_now_is_not_explained(visited):
    saw = {"cameras": ["east"], "zones": ["pit"], "hold_s": 0.0, "valid_s": 3.0}
    other = plan_of(yard(machines={"saw": saw}))
    changed = RunDirectory(path=visited.path, plan=other, sources=visited.sources)
    with pytest.raises(LogError, match="was decided"):
        explain(changed, first(visited, "in_forbidden_zone").decision_id)


def test_a_pruned_run_is_explained_from_its_checkpoint_on(tmp_path):
    plan = plan_of(yard())
    run_pipeline(
        plan,
        {"east": camera(seconds=8)},
        tmp_path / "run",
        looking=told(plan, in_the_pit(7.6, 9)),
        options=RunOptions(durable=False, checkpoint_epochs=25),
        limits=Limits(segment_bytes=8192),
    )
    run = RunDirectory.open(tmp_path / "run")
    gone, kept = run.decisions()[0], first(run, "in_forbidden_zone")
    prune_run(run, keep_bytes=0, keep_after_ns=None)
    with pytest.raises(UsageError, match="whose log entry was pruned"):
        explain(run, gone.decision_id)
    found = explain(run, kept.decision_id)
    assert found.cameras.began_after > 0
    assert "the log before it was pruned" in text_of(found)


def test_the_picture_is_that_of_the_frame_that_led_to_it(visited, stop, tmp_path):
    done = draw_account(visited, stop, tmp_path / "a.png")
    assert done.has_picture
    assert done.at_s == pytest.approx(stop.cameras.run_s, abs=1e-6)
    assert cv2.imread(str(done.path)) is not None


def test_without_a_picture_in_the_log_the_ground_alone_is_drawn(tmp_path):
    square = [[7, 0], [16, 0], [16, 12], [7, 12]]
    plain = yard(zones={"pit": {"camera": "east", "polygon_m": square, "is_forbidden": True}})
    plain["cameras"]["east"]["geometry"] = GROUND
    plan = plan_of({**plain, "images": {"keep": "digest"}})
    run = run_yard(plan, tmp_path / "run", [camera(seconds=2)], told(plan, lambda _: INSIDE))
    found = explain(run, first(run, "in_forbidden_zone").decision_id)
    done = draw_account(run, found, tmp_path / "a.png")
    assert not done.has_picture
    image = cv2.imread(str(done.path))
    assert image.shape[1] > image.shape[0]
    assert len(np.unique(image.reshape(-1, 3), axis=0)) > 20
