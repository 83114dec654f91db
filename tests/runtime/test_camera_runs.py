"""A site's run from end to end: frames in, commands out, and the same bytes again."""

import json
from dataclasses import replace

import numpy as np
import pytest

from sightline.errors import LogError, SourceError
from sightline.evidence.account import explain
from sightline.evidence.account_picture import draw_account
from sightline.recorder import read_entries, verify_log
from sightline.records import Decision, EntryKind
from sightline.records.command import ActuatorCommand, CommandLevel
from sightline.records.decision import Mode, Transition
from sightline.records.signals import NS_PER_S
from sightline.runtime import RunDirectory, replay_run
from sightline.runtime.engine.answerers import lookers
from sightline.runtime.engine.guarding import Lookers
from sightline.runtime.pictures.logged_pictures import looked_at_again
from simulation.site_cases import (
    Told,
    by_camera,
    camera,
    plan_of,
    run_yard,
    told,
    two_cameras,
    walker,
    yard,
)

INSIDE = [[200.0, 100.0, 220.0, 160.0]]


def run(plan, out, cameras, looking=None, **options):
    return run_yard(plan, out, *cameras, looking=looking, **options)


def commands(out):
    storage = RunDirectory.open(out).storage
    return [
        ActuatorCommand.from_bytes(entry.payload)
        for entry in read_entries(storage, "p000", kinds={EntryKind.COMMAND})
    ]


def levels(out):
    """The levels in force, each once."""
    found = []
    for command in commands(out):
        if not found or found[-1] is not command.level:
            found.append(command.level)
    return found


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """Folder and report of a run that nobody stopped."""
    out, plan = tmp_path_factory.mktemp("whole") / "run", plan_of(yard())
    return out, run(plan, out, [camera(things=(walker(),))], lookers(plan))


def test_a_machine_is_let_go_stopped_for_a_person_and_let_go_again(tmp_path):
    plan = plan_of(yard())
    east = camera(seconds=12, things=(walker(from_s=3, until_s=5, until_x=300),))
    run(plan, tmp_path / "run", [east], lookers(plan))
    stop, none = CommandLevel.STOP, CommandLevel.NONE
    assert levels(tmp_path / "run") == [stop, none, stop, none]


def test_every_frame_is_accounted_for_and_the_log_verifies(tmp_path):
    plan = plan_of(yard())
    report = run(plan, tmp_path / "run", [camera(seconds=3)])
    assert (report.accounts.received, report.accounts.decided) == (30, 30)
    storage = RunDirectory.open(tmp_path / "run").storage
    assert verify_log(storage, "p000").entries > 0


def test_the_time_of_a_stage_is_that_of_a_frame_and_ticks_are_timed_apart(tmp_path):
    report = run(plan_of(yard()), tmp_path / "run", [camera(seconds=3)])
    counts = {stage: seconds["count"] for stage, seconds in report.stage_s.items()}
    assert {counts[s] for s in ("east_track", "east_zones", "saw", "decide")} == {30}
    assert counts["tick"] > 0


def test_a_run_replays_to_the_same_bytes(whole):
    verdict = replay_run(RunDirectory.open(whole[0]))
    assert verdict
    assert verdict.digest == whole[1].digest
    assert verdict.decisions > 0


def test_a_replay_says_where_a_forged_command_differs(tmp_path):
    plan = plan_of(yard())
    run(plan, tmp_path / "run", [camera(seconds=2)])
    opened = RunDirectory.open(tmp_path / "run")
    saw = {"cameras": ["east"], "zones": ["pit"], "hold_s": 0.0, "valid_s": 3.0}
    other = plan_of(yard(machines={"saw": saw}))
    changed = RunDirectory(path=opened.path, plan=other, sources=opened.sources)
    verdict = replay_run(changed)
    assert not verdict
    assert verdict.difference.what in ("command", "decision")


def test_every_decision_of_a_fallback_is_marked(tmp_path):
    class Broken:
        version = "broken@1"

        def look(self, frames):
            raise RuntimeError("no such layer")

    plan = plan_of(yard())
    both = Lookers(primary=Broken(), fallback=Told(lambda _: INSIDE), budget_s=1.0)
    run(plan, tmp_path / "run", [camera(seconds=2)], by_camera(east=both))
    opened = RunDirectory.open(tmp_path / "run")
    found = [d for d in opened.decisions() if d.kind == "in_forbidden_zone"]
    assert found
    assert {d.mode for d in found} == {Mode.FALLBACK}
    assert any(d.kind == "detector_fallback" for d in opened.decisions())


def test_a_machine_never_leaves_stop_where_no_detector_answers(tmp_path):
    class Silent:
        version = "silent@1"

        def look(self, frames):
            raise RuntimeError("gone")

    plan = plan_of(yard())
    blind = Lookers(primary=Silent(), fallback=None, budget_s=1.0)
    run(plan, tmp_path / "run", [camera(seconds=6)], by_camera(east=blind))
    assert levels(tmp_path / "run") == [CommandLevel.STOP]


def test_a_camera_that_dies_stops_the_machine_within_its_age_and_a_tick(tmp_path):
    plan = plan_of(two_cameras())
    east, west = camera(seconds=8), camera("west", seconds=4)
    run(plan, tmp_path / "run", [east, west])
    assert levels(tmp_path / "run") == [CommandLevel.STOP, CommandLevel.NONE, CommandLevel.STOP]
    stops = [c for c in commands(tmp_path / "run") if c.level is CommandLevel.STOP]
    again = next(c for c in stops if c.issued_ns > 3 * NS_PER_S)
    last_west_ns = round(3.9 * NS_PER_S)
    rule = plan.stage("saw").machine_plan(plan).rule
    assert again.issued_ns - last_west_ns <= rule.max_age_ns + plan.tick_ns
    assert "STALE_SIGHT" in [reason.code for reason in again.reasons]


def test_a_camera_that_dies_is_said_to_be_silent(tmp_path):
    plan = plan_of(two_cameras())
    run(plan, tmp_path / "run", [camera(seconds=8), camera("west", seconds=4)])
    said = [d for d in RunDirectory.open(tmp_path / "run").decisions() if "silent" in d.kind]
    assert [(d.subject, d.transition) for d in said] == [("west", Transition.RAISED)]


def test_a_frame_of_another_size_is_quarantined_and_is_no_sight(tmp_path):
    plain = yard()
    plain["cameras"]["east"]["contract"]["width_px"] = 640
    report = run(plan_of(plain), tmp_path / "run", [camera(seconds=3)])
    assert dict(report.accounts.quarantined) == {"SIZE": 30}
    assert levels(tmp_path / "run") == [CommandLevel.STOP]


def test_a_reset_is_needed_and_heeded(tmp_path):
    plain = yard()
    plain["machines"]["saw"]["needs_reset"] = True
    plan = plan_of(plain)
    presses = iter([{"control": "reset", "machine": "saw", "is_down": True}])
    seen = []

    def controls():
        seen.append(1)
        return [next(presses)] if len(seen) == 40 else []

    run(plan, tmp_path / "run", [camera(seconds=8)], controls=controls)
    assert levels(tmp_path / "run") == [CommandLevel.STOP, CommandLevel.NONE]
    first = next(c for c in commands(tmp_path / "run") if c.level is CommandLevel.NONE)
    assert first.issued_ns >= 4 * NS_PER_S
    assert replay_run(RunDirectory.open(tmp_path / "run"))


@pytest.mark.parametrize("stop_after", [3, 17, 60])
def test_a_run_that_was_stopped_goes_on_as_if_it_had_not_been(tmp_path, whole, stop_after):
    plan = plan_of(yard())

    def east():
        return camera(things=(walker(),))

    count = iter(range(10_000))
    run(
        plan,
        tmp_path / "cut",
        [east()],
        lookers(plan),
        is_stopped=lambda: next(count) >= stop_after,
    )
    rest = run(plan, tmp_path / "cut", [east()], lookers(plan), resume=True, checkpoint_epochs=5)
    assert rest.digest == whole[1].digest
    assert rest.accounts == whole[1].accounts
    assert commands(tmp_path / "cut") == commands(whole[0])
    assert replay_run(RunDirectory.open(tmp_path / "cut"))


def test_a_run_goes_on_from_a_checkpoint_as_if_it_had_not_been_stopped(tmp_path, whole):
    plan = plan_of(yard())

    def east():
        return camera(things=(walker(),))

    for stop_after in (30, 45, 10_000):
        count = iter(range(20_000))
        limit = stop_after
        last = run(
            plan,
            tmp_path / "cut",
            [east()],
            lookers(plan),
            is_stopped=lambda: next(count) >= limit,  # noqa: B023 - called within the loop
            resume=True,
            checkpoint_epochs=7,
        )
    assert (tmp_path / "cut" / "checkpoints").exists()
    assert last.digest == whole[1].digest


def test_a_run_cannot_go_on_with_another_pipeline(tmp_path):
    run(plan_of(yard()), tmp_path / "run", [camera(seconds=1)])
    with pytest.raises(SourceError, match="pipeline of the run"):
        run(plan_of(yard(clear_s=3.0)), tmp_path / "run", [camera(seconds=1)], resume=True)


def test_a_missing_camera_is_named(tmp_path):
    with pytest.raises(SourceError, match="west"):
        run(plan_of(two_cameras()), tmp_path / "run", [camera()])


def test_pictures_are_kept_around_decisions_and_nowhere_else(tmp_path):
    plain = yard(images={"keep": "around_decisions", "before_s": 0.5, "after_s": 0.5})
    seen_from = 5 * NS_PER_S

    def boxes_at(capture_ns):
        return INSIDE if capture_ns >= seen_from else []

    plan = plan_of(plain)
    run(plan, tmp_path / "run", [camera(seconds=10)], told(plan, boxes_at))
    storage = RunDirectory.open(tmp_path / "run").storage
    kept_s = []
    for entry in read_entries(storage, "p000", kinds={EntryKind.IMAGE}):
        stamp = json.loads(entry.payload)["timestamp"]
        kept_s.append(stamp["sec"] + stamp["nsec"] / NS_PER_S)
    said_s = [d.event_ns / NS_PER_S for d in RunDirectory.open(tmp_path / "run").decisions()]
    assert kept_s
    assert len(kept_s) < 100
    assert all(min(abs(k - s) for s in said_s) <= 0.6 + 1e-9 for k in kept_s)


def test_decisions_do_not_depend_on_which_pictures_are_kept(tmp_path):
    digests = set()
    for keep in ("full", "around_decisions", "digest"):
        plan = plan_of(yard(images={"keep": keep}))
        report = run(plan, tmp_path / keep, [camera(seconds=3)], told(plan, lambda _: INSIDE))
        digests.add(report.digest)
        assert replay_run(RunDirectory.open(tmp_path / keep))
    assert len(digests) == 1


def test_a_paced_run_answers_every_frame_or_counts_why_not(tmp_path):
    plan = plan_of(two_cameras())
    cameras = [camera(seconds=2), camera("west", seconds=2)]
    report = run(plan, tmp_path / "run", cameras, speed=4.0)
    a = report.accounts
    assert a.received == 40
    # Beside other work a frame may come too late to be looked at, and is refused as that.
    assert a.decided + a.superseded + a.quarantined.get("STALE", 0) == 40
    assert replay_run(RunDirectory.open(tmp_path / "run"))


def test_the_log_tells_which_detectors_answered(tmp_path):
    plan = plan_of(yard())
    run(plan, tmp_path / "run", [camera(seconds=1)])
    storage = RunDirectory.open(tmp_path / "run").storage
    models = [
        (entry.name, json.loads(entry.payload)["version"])
        for entry in read_entries(storage, "p000", kinds={EntryKind.MODEL})
    ]
    assert models == [("east_detect/east/primary", "told@1")]


def test_decisions_name_who_where_and_why(tmp_path):
    plan = plan_of(yard())
    run(plan, tmp_path / "run", [camera(seconds=2)], told(plan, lambda _: INSIDE))
    found = [
        d for d in RunDirectory.open(tmp_path / "run").decisions() if d.kind == "in_forbidden_zone"
    ]
    assert [d.subject for d in found] == ["east/track-1/pit"]
    reason = found[0].reasons[0]
    assert (reason.code, reason.measure) == ("IN_FORBIDDEN_ZONE", "inside_probability")
    assert np.isfinite(reason.value)
    assert isinstance(found[0], Decision)


# --- detectors again ------------------------------------------------------------------------------


def recorded(tmp_path, images, things=(walker(),)):
    plan = plan_of(yard(images=images))
    run(plan, tmp_path / "run", [camera(seconds=4, things=things)], lookers(plan))
    return RunDirectory.open(tmp_path / "run")


def test_detectors_run_again_on_the_log_give_the_same_answers(tmp_path):
    again = recorded(tmp_path, {"keep": "full"})
    assert list(looked_at_again(again, lookers(again.plan))) == []


def test_a_detector_that_answers_otherwise_is_found_at_its_frame(tmp_path):
    again = recorded(tmp_path, {"keep": "full"})
    found = list(looked_at_again(again, told(again.plan, lambda _: INSIDE)))
    assert len(found) == 40
    assert "east_detect:east:0" in found[0][1]


def test_detectors_cannot_be_run_again_without_the_pictures(tmp_path):
    again = recorded(tmp_path, {"keep": "digest"})
    with pytest.raises(LogError, match="every picture"):
        list(looked_at_again(again, told(again.plan)))


def test_a_lossy_picture_is_not_taken_for_the_one_that_was_looked_at(tmp_path):
    again = recorded(tmp_path, {"keep": "full", "quality": 50})
    with pytest.raises(LogError, match="digest"):
        list(looked_at_again(again, told(again.plan)))


class Ahead:
    """One frame says that it was taken an hour after it came."""

    stream = "east"
    durable = True

    def __iter__(self):
        for frame in camera(seconds=3):
            ahead_ns = 3600 * NS_PER_S if frame.index == 5 else 0
            yield replace(frame, capture_ns=frame.capture_ns + ahead_ns)


def test_one_frame_from_the_future_puts_off_none_of_those_that_follow(tmp_path):
    report = run(plan_of(yard()), tmp_path / "run", [Ahead()])
    assert report.accounts.quarantined == {"CLOCK_SKEW": 1}
    assert report.accounts.decided == 29


def test_by_default_the_frame_of_each_alert_is_in_the_log_and_is_drawn(tmp_path):
    seen_from = 4 * NS_PER_S
    plan = plan_of(yard())
    detectors = told(plan, lambda at_ns: INSIDE if at_ns >= seen_from else [])
    run(plan, tmp_path / "run", [camera(seconds=8)], detectors)
    opened = RunDirectory.open(tmp_path / "run")
    raised = next(d for d in opened.decisions() if d.kind == "in_forbidden_zone")
    kept = list(read_entries(opened.storage, "p000", kinds={EntryKind.IMAGE}))
    assert 1 <= len(kept) <= 4
    facts = explain(opened, raised.decision_id)
    assert draw_account(opened, facts, tmp_path / "why.png").has_picture
