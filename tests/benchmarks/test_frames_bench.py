"""``sightline bench frames`` on a few frames, and which stage a profile says is to be fixed."""

import json

import pytest
import typer
from typer.testing import CliRunner

from benchmarks.frame_cases import DrawnCamera, camera_names, drawn_scene, yard_plan
from benchmarks.frames import INLINE_STAGES, bench_frames, stages_to_fix
from sightline.cli import profile_command
from sightline.cli.profile_command import read_profile
from sightline.errors import LogError
from sightline.recorder import DirectoryStorage, PartitionLog
from sightline.records import EntryKind
from sightline.runtime import RunDirectory


@pytest.fixture(scope="module")
def found():
    return bench_frames(frames=25, live_frames=12)


def small_scene(pictures=4):
    return drawn_scene(width_px=32, height_px=24, people=1, pictures=pictures, rate_hz=15.0, seed=1)


def test_every_inline_stage_has_worked_and_is_counted(found):
    assert tuple(found["inline_stages"]) == INLINE_STAGES
    assert all(found["inline_stages_us"][stage]["p50"] > 0 for stage in INLINE_STAGES)


def test_bookkeeping_per_stage_is_that_of_the_frame_over_the_stages(found):
    times = found["bookkeeping_us"]
    each = times["per_frame_and_inline_stage"]["p50"]
    assert each > 0
    assert each * len(INLINE_STAGES) == pytest.approx(times["per_frame"]["p50"], abs=0.5)


def test_bookkeeping_holds_if_its_median_is_within_the_bound(found):
    times = found["bookkeeping_us"]
    is_within = times["per_frame_and_inline_stage"]["p50"] <= times["bound_p50"]
    assert times["holds"] == is_within


def test_a_frame_leaves_at_least_header_outcome_and_digest_in_the_log(found):
    assert found["recording_us"]["entries_per_frame"] >= 4


def test_all_frames_of_the_camera_are_accounted_for(found):
    accounts = found["capture_to_command_ms"]["live_accounts"]
    assert accounts["balanced"]
    assert accounts["received"] == 12


def test_what_it_says_is_json(found):
    assert json.loads(json.dumps(found)) == found


def test_the_stage_with_the_largest_share_of_its_own_budget_is_fixed_first():
    stage_s = {"detect": {"p99": 0.03}, "track": {"p99": 0.02}, "idle": {"count": 0}}
    ranked = stages_to_fix(stage_s, budgets_s={"track": 0.021}, whole_budget_s=0.1)
    assert [one.stage for one in ranked] == ["track", "detect"]
    assert [one.has_own_budget for one in ranked] == [True, False]


def test_a_drawn_camera_plays_forth_and_back_and_no_picture_comes_before_it_is_due():
    now_ns = iter(range(0, 10**12, 10**6))
    last = 0

    def clock():
        nonlocal last
        last = next(now_ns)
        return last

    scene = small_scene()
    camera = DrawnCamera("east", scene, frames=8, rate_hz=1e4, phase_s=0.0, now_ns=clock)
    frames = list(camera)
    assert [scene.place(f.index) for f in frames] == [0, 1, 2, 3, 2, 1, 0, 1]
    assert all(f.received_ns >= f.capture_ns for f in frames)


def test_a_drawn_camera_that_is_stopped_gives_nothing_more():
    camera = DrawnCamera("east", small_scene(), frames=9, rate_hz=1e3, phase_s=0.0, now_ns=int)
    items = iter(camera)
    next(items)
    camera.stop()
    assert list(items) == []


# --- profile ------------------------------------------------------------------------------------


def run_with(tmp_path, *measured):
    """A run whose log holds these measurements and one overrun."""
    plan = yard_plan(
        cameras=1,
        width_px=32,
        height_px=24,
        rate_hz=15.0,
        detection_budget_s=0.05,
        latency_budget_s=0.2,
        has_fallback=False,
    )
    sources: dict[str, dict[str, str]] = {name: {} for name in camera_names(1)}
    run = RunDirectory.create(tmp_path / "run", plan, sources, run_id="1" * 32)
    log = PartitionLog.open(DirectoryStorage(run.path), "p000")
    log.append(EntryKind.ORIGIN, "", run.origin.genesis("p000"), time_ns=0)
    for plain in measured:
        log.append(EntryKind.MEASUREMENT, "", json.dumps(plain).encode(), time_ns=0)
    log.append(EntryKind.DEADLINE_MISSED, "east_detect", b"{}", time_ns=0)
    log.commit()
    log.close()
    return run


def test_a_profile_names_the_stage_to_fix_first(tmp_path):
    run = run_with(tmp_path, {"stage_s": [["east_detect", 0.04], ["sense", 0.05]]})
    profile = read_profile(run)
    assert profile["fix_first"] == "east_detect"
    first, second = profile["stages"]
    assert (first["stage"], first["budget_s"], first["missed"]) == ("east_detect", 0.05, 1)
    assert (second["stage"], second["budget_s"], second["has_own_budget"]) == ("sense", 0.2, False)
    assert first["worst_s"] == 0.04


def test_a_profile_counts_every_measurement_of_a_stage(tmp_path):
    run = run_with(tmp_path, *({"stage_s": [["sense", 0.01]]} for _ in range(5)))
    assert read_profile(run)["stages"][0]["count"] == 5


def test_a_run_without_times_of_stages_cannot_be_profiled(tmp_path):
    with pytest.raises(LogError, match="measurements"):
        read_profile(run_with(tmp_path, {"step_s": [0.1]}))


def test_the_command_prints_the_stage_to_fix_first(tmp_path):
    app = typer.Typer()
    app.command("profile")(profile_command.profile)
    run = run_with(tmp_path, {"stage_s": [["sense", 0.05]]})
    done = CliRunner().invoke(app, [str(run.path)])
    assert done.exit_code == 0, done.output
    assert "fix first        sense" in done.output
