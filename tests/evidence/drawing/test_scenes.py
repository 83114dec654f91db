"""A run drawn from its log: what is in the picture is what was decided."""

from dataclasses import replace

import cv2
import numpy as np
import pytest

from sightline.errors import LogError, SourceError, UsageError
from sightline.evidence.drawing import (
    SiteLayout,
    draw_site,
    render_still,
    render_video,
    rendering,
    run_scenes,
)
from sightline.evidence.drawing.palette import LEVELS, NO_PICTURE
from sightline.evidence.drawing.rendering import FixedRateMovie, RunPictures, movie, scene_at
from sightline.records import Frame
from sightline.records.command import CommandLevel
from sightline.records.decision import Mode
from sightline.runtime import RunDirectory
from sightline.runtime.engine.guarding import Lookers
from sightline.sense.frames import VideoFile
from simulation.yard_runs import (
    INSIDE,
    camera,
    made_run,
    plan_of,
    run_yard,
    told,
    two_cameras,
    walker,
    yard,
)

STOP, NONE = CommandLevel.STOP, CommandLevel.NONE


def share_of(image, colour):
    """Share of the pixels that have exactly this colour."""
    return float((image == np.array(colour, np.uint8)).all(axis=2).mean())


def drawn(run, at_s):
    scene = RunPictures(run, {}).shown(scene_at(run, at_s))
    return scene, draw_site(scene, SiteLayout.of(run.plan))


@pytest.fixture(scope="module")
def stopped(tmp_path_factory):
    """Calm until somebody is in the pit at 4 s; every picture is kept."""
    return made_run(tmp_path_factory.mktemp("stopped"), keep="full")


@pytest.fixture(scope="module")
def unkept(tmp_path_factory):
    """The same without any picture in the log."""
    return made_run(tmp_path_factory.mktemp("unkept"), keep="digest")


def test_a_still_is_red_where_stop_is_in_force(stopped):
    _, image = drawn(stopped, 5.0)
    assert share_of(image, LEVELS[STOP]) > 0.005
    assert share_of(image, LEVELS[NONE]) < 0.001  # only the thin bar of the latency


def test_a_still_is_green_where_nothing_is_asked_for(stopped):
    _, image = drawn(stopped, 3.0)
    assert share_of(image, LEVELS[NONE]) > 0.005
    assert share_of(image, LEVELS[STOP]) == 0


def test_who_is_in_a_forbidden_zone_is_at_risk_with_the_reason_code(stopped):
    calm, danger = scene_at(stopped, 3.0), scene_at(stopped, 5.0)
    assert dict(calm.cameras[0].risk) == {}
    assert set(danger.cameras[0].risk.values()) == {"IN_FORBIDDEN_ZONE"}
    assert set(danger.cameras[0].risk) <= set(danger.cameras[0].tracks.track_id.tolist())
    assert danger.machines[0].reason.code == "IN_FORBIDDEN_ZONE"


def test_the_lossless_picture_of_the_log_is_the_frame_itself(stopped):
    scene, _ = drawn(stopped, 5.0)
    frame = list(camera(seconds=6, things=[walker()]))[50]
    assert scene.cameras[0].index == frame.index == 50
    assert np.array_equal(scene.cameras[0].picture, frame.pixels)


def test_a_run_without_pictures_is_drawn_on_grey_with_a_note(unkept):
    scene, image = drawn(unkept, 5.0)
    assert scene.cameras[0].picture is None
    assert scene.cameras[0].note == "picture not kept"
    assert share_of(image, NO_PICTURE) > 0.1
    without = replace(scene, cameras=(replace(scene.cameras[0], note=""),))
    assert not np.array_equal(draw_site(without, SiteLayout.of(unkept.plan)), image)


def test_a_recording_gives_the_pictures_that_the_log_lacks(unkept, stopped, tmp_path):
    source = {"east": camera(seconds=6, things=[walker()])}
    done = render_still(unkept, tmp_path / "a.png", at_s=5.0, sources=source)
    assert (done.with_picture, done.without) == (1, 0)
    again = RunPictures(unkept, source).shown(scene_at(unkept, 5.0))
    kept = RunPictures(stopped, {}).shown(scene_at(stopped, 5.0))
    assert np.array_equal(again.cameras[0].picture, kept.cameras[0].picture)


def test_another_picture_is_refused_and_no_file_is_left(unkept, tmp_path):
    other = {"east": camera(seconds=6, things=[walker()], seed=2)}
    with pytest.raises(SourceError, match="frame 0 with pixel digest"):
        render_video(unkept, tmp_path / "a.mp4", sources=other)
    assert list(tmp_path.iterdir()) == []


def test_one_changed_pixel_is_another_picture(unkept, tmp_path):
    class Changed:
        stream = "east"

        def __iter__(self):
            for frame in camera(seconds=6, things=[walker()]):
                assert isinstance(frame, Frame)
                pixels = frame.pixels.copy()
                pixels[0, 0, 0] ^= int(frame.index == 50)
                yield replace(frame, pixels=pixels)

    render_still(unkept, tmp_path / "a.png", at_s=4.9, sources={"east": Changed()})
    with pytest.raises(SourceError, match="frame 50 "):
        render_still(unkept, tmp_path / "a.png", at_s=5.0, sources={"east": Changed()})


def test_a_recording_that_ends_too_early_is_refused(unkept, tmp_path):
    short = {"east": camera(seconds=3, things=[walker()])}
    with pytest.raises(SourceError, match="end of the recording"):
        render_still(unkept, tmp_path / "a.png", at_s=5.0, sources=short)


def test_a_video_has_the_frames_of_the_run_at_their_times(stopped, tmp_path):
    done = render_video(stopped, tmp_path / "a.mp4")
    frames = [f for f in VideoFile("a", tmp_path / "a.mp4") if isinstance(f, Frame)]
    assert len(frames) == done.pictures == 60
    assert (frames[0].width_px, frames[0].height_px) == done.size_px
    times_s = np.array([f.capture_ns for f in frames]) / 1e9
    assert np.abs(np.diff(times_s) - 0.1).max() < 1e-4


def test_without_pyav_opencv_writes_as_many_frames(stopped, tmp_path, monkeypatch):
    def opencv(path, size_px, rate_hz):
        return rendering.closing(FixedRateMovie(path, size_px, rate_hz))

    monkeypatch.setattr(rendering, "_writer", opencv)
    with movie(tmp_path / "a.mp4", size_px=(64, 48), rate_hz=5.0) as file:
        for level in range(7):
            file.add(np.full((48, 64, 3), 30 * level, np.uint8), level / 5)
    assert len(list(VideoFile("a", tmp_path / "a.mp4"))) == 7


def test_a_video_that_fails_leaves_the_old_one(tmp_path):
    path = tmp_path / "a.mp4"
    path.write_bytes(b"old")
    with pytest.raises(RuntimeError), movie(path, size_px=(64, 48), rate_hz=5.0) as file:
        file.add(np.zeros((48, 64, 3), np.uint8), 0.0)
        raise RuntimeError("cut off")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_two_cameras_share_a_picture_and_both_are_in_it(tmp_path):
    plan = plan_of(two_cameras())
    run = run_yard(plan, tmp_path / "run", [camera(seconds=2), camera("west", seconds=2)])
    scenes = list(run_scenes(run))
    assert len(scenes) == 20
    assert {tuple(c.index for c in scene.cameras) for scene in scenes} == {
        (i, i) for i in range(20)
    }
    layout = SiteLayout.of(plan)
    assert layout.cells["east"][0] + layout.cell_px[0] <= layout.cells["west"][0]


def test_a_camera_that_has_died_is_shown_as_stale_beside_a_living_one(tmp_path):
    plan = plan_of(two_cameras())
    run = run_yard(plan, tmp_path / "run", [camera(seconds=8), camera("west", seconds=4)])
    scenes = list(run_scenes(run))
    assert [s.machines[0].level for s in scenes[-1:]] == [STOP]
    west = scenes[-1].cameras[1]
    assert west.is_stale
    assert west.age_s > 3


def test_all_cameras_dead_is_seen_as_a_stop(tmp_path):
    plan = plan_of(yard())
    gap = [camera(seconds=4), camera(seconds=1, start_ns=8_000_000_000)]

    class Interrupted:
        stream = "east"

        def __iter__(self):
            frames = list(gap[0])
            yield from frames
            for frame in gap[1]:
                yield replace(frame, index=frame.index + len(frames))

    run = run_yard(plan, tmp_path / "run", [Interrupted()])
    silent = [s for s in run_scenes(run) if 4 < s.at_s < 8]
    assert [s.machines[0].level for s in silent] == [STOP]
    assert silent[0].machines[0].reason.code == "STALE_SIGHT"


def test_a_fallback_is_told(tmp_path):
    class Broken:
        version = "broken@1"

        def look(self, frames):
            raise RuntimeError("no such layer")

    plan = plan_of(yard())
    teller = told(plan)["east_detect", "east"].primary
    both = Lookers(primary=Broken(), fallback=teller, budget_s=1.0)
    run = run_yard(plan, tmp_path / "run", [camera(seconds=1)], {("east_detect", "east"): both})
    scene, image = drawn(run, 0.5)
    assert scene.cameras[0].mode is Mode.FALLBACK
    primary = replace(scene, cameras=(replace(scene.cameras[0], mode=Mode.PRIMARY),))
    assert not np.array_equal(draw_site(primary, SiteLayout.of(plan)), image)


def test_a_refused_frame_is_shown_as_refused_and_without_tracks(tmp_path):
    plain = yard()
    plain["cameras"]["east"]["contract"]["width_px"] = 640
    plain["images"] = {"keep": "full"}
    plan = plan_of(plain)
    run = run_yard(plan, tmp_path / "run", [camera(seconds=1)], told(plan, lambda _: INSIDE))
    scene, image = drawn(run, 0.5)
    assert not scene.cameras[0].is_usable
    assert scene.cameras[0].signs == ("SIZE",)
    assert len(scene.cameras[0].tracks) == 0
    assert image.shape[:2] == SiteLayout.of(plan).size_px[::-1]


def test_a_run_that_decides_otherwise_now_is_not_drawn(stopped):
    saw = {"cameras": ["east"], "zones": ["pit"], "hold_s": 0.0, "valid_s": 3.0}
    other = plan_of(yard(machines={"saw": saw}))
    changed = RunDirectory(path=stopped.path, plan=other, sources=stopped.sources)
    with pytest.raises(LogError, match="was decided"):
        list(run_scenes(changed))


@pytest.mark.parametrize("at_s", [-0.1, 6.0, float("nan")])
def test_a_still_outside_the_run_is_refused(stopped, tmp_path, at_s):
    with pytest.raises(UsageError, match="from 0 s to the end of the run"):
        render_still(stopped, tmp_path / "a.png", at_s=at_s)


def test_a_still_is_a_picture_of_the_layout(stopped, tmp_path):
    done = render_still(stopped, tmp_path / "a.png", at_s=2.0)
    image = cv2.imread(str(tmp_path / "a.png"))
    assert image.shape[:2] == done.size_px[::-1]


def test_drawing_twice_gives_the_same_bytes_and_leaves_the_picture_alone(stopped):
    scene, image = drawn(stopped, 5.0)
    before = scene.cameras[0].picture.copy()
    assert np.array_equal(draw_site(scene, SiteLayout.of(stopped.plan)), image)
    assert np.array_equal(scene.cameras[0].picture, before)
