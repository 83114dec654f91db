"""What a run of a site came to, from its log alone; and the commands that tell it."""

import json
import math
from dataclasses import replace

import pytest
from typer.testing import CliRunner

from sightline.cli.main import app_for
from sightline.cli.runs import entries_of
from sightline.evidence import account_of_run, write_report
from sightline.evidence.run_sections import report_lines
from sightline.records.command import CommandLevel
from sightline.runtime import RunDirectory, RunOptions, run_pipeline
from sightline.runtime.engine.guarding import Lookers
from simulation.site_cases import Told
from simulation.yard_runs import (
    INSIDE,
    camera,
    made_run,
    plan_of,
    run_yard,
    told,
    two_cameras,
    yard,
)


def text_of(found):
    return "\n".join(report_lines(found))


def called(*arguments):
    given = [str(one) for one in arguments]
    return CliRunner().invoke(app_for(given), given)


@pytest.fixture(scope="module")
def stopped(tmp_path_factory):
    """Calm until somebody is in the pit at 4 s of 6 s."""
    return made_run(tmp_path_factory.mktemp("stopped"), keep="digest")


@pytest.fixture(scope="module")
def found(stopped):
    return account_of_run(stopped)


def test_progress_is_told_of_every_log_up_to_its_newest_checkpoint(stopped):
    told = {}
    account_of_run(stopped, on_progress=told.__setitem__)
    expected = entries_of(stopped)
    assert told.keys() == expected.keys()
    assert told == pytest.approx(expected, rel=0.05), (told, expected)


def test_every_frame_is_accounted_for_as_in_the_report_of_the_run(tmp_path):
    plan = plan_of(yard())
    report = run_pipeline(
        plan,
        {"east": camera(seconds=3)},
        tmp_path / "run",
        looking=told(plan),
        options=RunOptions(durable=False),
    )
    again = account_of_run(RunDirectory.open(tmp_path / "run"))
    assert again.accounts == report.accounts
    assert again.accounts.is_balanced
    assert again.decisions_digest == report.digest
    assert again.is_finished


def test_the_replay_of_all_decisions_and_commands_is_part_of_it(found, stopped):
    commands = sum(found.machines[0].commands.values())
    assert found.replay.verdict == "same"
    assert found.replay.compared == commands + len(stopped.decisions())


def test_the_time_of_a_machine_at_its_levels_is_the_time_of_the_run(found):
    machine = found.machines[0]
    assert sum(machine.level_s.values()) + machine.uncommanded_s == pytest.approx(found.span_s)
    assert machine.uncommanded_s == pytest.approx(0.0, abs=1e-6)
    assert machine.level_s[CommandLevel.STOP] == pytest.approx(3.0, abs=0.3)  # the first and last


def test_what_asked_for_a_level_is_counted_by_code(found):
    machine = found.machines[0]
    assert machine.asked_by[CommandLevel.STOP, "IN_FORBIDDEN_ZONE"] == 1
    assert machine.changes[CommandLevel.STOP] == 2  # a machine begins stopped
    assert "Reasons in commands above NONE" in text_of(found)


def test_decisions_are_counted_by_kind_code_and_transition(found):
    assert found.decisions["in_forbidden_zone", "IN_FORBIDDEN_ZONE", "raised"] == 1
    assert found.standing == {"in_forbidden_zone": 1}


def test_refused_and_lost_frames_are_counted_by_reason(tmp_path):
    plain = two_cameras()
    plain["cameras"]["west"]["contract"]["width_px"] = 640
    plan = plan_of(plain)
    run = run_yard(plan, tmp_path / "run", [camera(seconds=2), camera("west", seconds=2)])
    east, west = account_of_run(run).cameras
    assert (east.refused, west.refused) == ({}, {"SIZE": 20})
    assert (east.asked, west.asked) == (20, 0)
    assert "quarantined SIZE" in text_of(account_of_run(run))


def test_a_camera_that_was_never_asked_about_has_no_share_of_fallbacks(tmp_path):
    plain = yard()
    plain["cameras"]["east"]["contract"]["width_px"] = 640
    run = run_yard(plan_of(plain), tmp_path / "run", [camera(seconds=1)])
    again = account_of_run(run)
    row = next(line for line in report_lines(again) if "answered by fallback" in line)
    assert row.split()[-2:] == ["no", "data"]
    assert again.as_mapping()["cameras"]["east"]["fallback_share"] is None


def test_the_share_that_a_fallback_answered_and_that_nobody_did_is_told(tmp_path):
    class Broken:
        version = "broken@1"

        def look(self, frames):
            raise RuntimeError("no such layer")

    class Half(Told):
        def look(self, frames):
            if frames[0].index % 2:
                raise RuntimeError("every other")
            return super().look(frames)

    both = Lookers(primary=Broken(), fallback=Half(), budget_s=1.0)
    run = run_yard(
        plan_of(yard()), tmp_path / "run", [camera(seconds=2)], {("east_detect", "east"): both}
    )
    east = account_of_run(run).cameras[0]
    assert (east.by_fallback, east.unanswered) == (10, 10)
    assert set(east.outcomes) <= {"crash", "skipped"}


def test_a_gap_in_a_camera_is_its_longest_time_without_a_usable_frame(tmp_path):
    class Interrupted:
        stream = "east"

        def __iter__(self):
            return (f for f in camera(seconds=8) if not 30 <= f.index < 60)

    run = run_yard(plan_of(yard()), tmp_path / "run", [Interrupted()])
    again = account_of_run(run)
    assert again.cameras[0].longest_gap_s == pytest.approx(3.1)
    assert again.machines[0].asked_by[CommandLevel.STOP, "STALE_SIGHT"] == 1


def test_ages_are_those_of_the_frames_when_they_were_received(tmp_path):
    class Late:
        stream = "east"

        def __iter__(self):
            return (replace(f, received_ns=f.capture_ns + 200_000_000) for f in camera(seconds=2))

    east = account_of_run(run_yard(plan_of(yard()), tmp_path / "run", [Late()])).cameras[0]
    assert east.age_s["worst"] == pytest.approx(0.2)


def test_late_frames_are_counted_by_stage_and_for_the_whole_way(tmp_path):
    plain = yard(latency_budget_s=1e-6)
    plain["detectors"]["motion"]["budget_s"] = 1e-6
    run = run_yard(plan_of(plain), tmp_path / "run", [camera(seconds=1)])
    again = account_of_run(run)
    missed = again.times.missed
    assert missed["capture-to-command"] == 10
    assert missed["east_detect"] >= 10
    assert "10 of 10 frames" in text_of(again)


def test_a_recording_at_full_speed_has_no_times_from_capture(found):
    assert found.times.said_s == {"count": 0}
    assert found.times.step_s["count"] >= 60


def test_a_run_without_a_frame_has_no_data_and_passes_nothing(tmp_path):
    plain = yard(machines={})
    run = run_yard(plan_of(plain), tmp_path / "run", [camera(seconds=0)])
    again = account_of_run(run)
    assert again.replay.verdict == "nothing to compare"
    assert math.isnan(again.cameras[0].longest_gap_s)
    text = text_of(again)
    assert "no data: no frame was received" in text
    assert "none in" not in text


def test_a_log_that_does_not_replay_is_accounted_for_and_said_not_to(stopped):
    saw = {"cameras": ["east"], "zones": ["pit"], "hold_s": 0.0, "valid_s": 3.0}
    other = plan_of(yard(machines={"saw": saw}, images={"keep": "digest"}))
    changed = RunDirectory(path=stopped.path, plan=other, sources=stopped.sources)
    again = account_of_run(changed)
    assert again.replay.verdict == "differs"
    assert again.accounts.received == 60
    assert "DIFFERS" in text_of(again)
    json.dumps(again.as_mapping(), allow_nan=False)


def test_the_page_fetches_nothing_and_tells_what_the_text_tells(stopped, found, tmp_path):
    page = write_report(stopped, found, tmp_path / "a.html").read_text()
    assert "<script" not in page
    assert "http" not in page.replace("http://www.w3.org/2000/svg", "")
    assert "received 60 = decided 60" in page
    assert "sightline explain" in page
    assert stopped.decisions()[0].decision_id[:12] in page


def test_the_report_is_told_written_and_exits_with_0(stopped, tmp_path):
    done = called("report", stopped.path, "-o", tmp_path / "a.html", "--json")
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["accounts"]["received"] == 60
    assert (tmp_path / "a.html").exists()


def test_without_an_id_the_newest_decisions_are_listed_with_their_time_in_the_run(stopped):
    done = called("explain", stopped.path)
    assert done.exit_code == 0, done.output
    line = next(line for line in done.stdout.splitlines() if "in_forbidden_zone" in line)
    assert 4.0 <= float(line.split()[0]) < 4.5


def test_an_explanation_is_told_as_text_as_json_and_as_a_picture(stopped, tmp_path):
    one = next(d for d in stopped.decisions() if d.kind == "in_forbidden_zone").decision_id
    assert "in zone pit" in called("explain", stopped.path, one[:8]).stdout
    drawn = called("explain", stopped.path, one, "-o", tmp_path / "a.png", "--json")
    assert json.loads(drawn.stdout)["picture"]["from_log"] is False
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("options", [["abc", "-o", "a.gif"], ["-o", "a.png"]])
def test_a_picture_needs_an_id_and_a_name_that_fits(stopped, options):
    assert "expected an id, and a name" in str(called("explain", stopped.path, *options).exception)


def test_somebody_inside_from_the_first_frame_on_keeps_the_machine_stopped(tmp_path):
    plan = plan_of(yard())
    run = run_yard(plan, tmp_path / "run", [camera(seconds=2)], told(plan, lambda _: INSIDE))
    assert account_of_run(run).machines[0].changes[CommandLevel.NONE] == 0
