"""A run of cameras scored against truth, from its log alone."""

import numpy as np
import pytest

from sightline.errors import UsageError
from sightline.evidence.site_scores import score_site, tracks_of_run
from sightline.records.signals import NS_PER_S
from sightline.runtime import RunDirectory, RunOptions, run_pipeline
from sightline.sense.frames.mot_files import MotTable
from simulation.site_cases import camera, plan_of, told, walker, yard

GROUND = {
    "kind": "homography",
    "image_size_px": [320, 240],
    "pixel_origin": "corner",
    "ground_from_pixel": [[0.02, 0, 0], [0, 0.02, 0], [0, 0, 1]],
}


def ran(tmp_path, *, error_px=0.0, geometry=None):
    """(run, truth) of somebody who walks, seen ``error_px`` too far to the right."""
    plain = yard()
    plain["cameras"]["east"]["geometry"] = geometry
    plan = plan_of(plain)
    thing = walker(from_s=0.0, until_s=5.0, from_x=40.0, until_x=240.0)
    east = camera(seconds=5, things=(thing,))

    def boxes_at(capture_ns):
        boxes = east.true_boxes(capture_ns).copy()
        boxes[:, [0, 2]] += error_px
        return boxes

    run_pipeline(
        plan,
        {"east": east},
        tmp_path / "run",
        looking=told(plan, boxes_at),
        options=RunOptions(durable=False),
    )
    times = np.arange(50) * NS_PER_S // 10
    truth = MotTable(
        frame=np.arange(1, 51),
        track_id=np.full(50, 7),
        box_px=np.concatenate([east.true_boxes(t) for t in times]),
        score=np.ones(50),
        class_id=np.full(50, -1),
    )
    return RunDirectory.open(tmp_path / "run"), truth


def test_a_run_that_saw_the_truth_is_scored_nearly_perfect(tmp_path):
    run, truth = ran(tmp_path)
    score = score_site(run, "east", truth)
    assert score.tracking.mota > 0.95
    assert score.tracking.clear.switches == 0
    assert score.position_m is None


def test_an_error_in_pixels_is_told_in_metres(tmp_path):
    run, truth = ran(tmp_path, error_px=3.0, geometry=GROUND)
    score = score_site(run, "east", truth)
    assert score.position_m["p50"] == pytest.approx(3.0 * 0.02, rel=0.2)


def test_truth_of_another_picture_size_is_scaled(tmp_path):
    run, truth = ran(tmp_path)
    double = MotTable(
        frame=truth.frame,
        track_id=truth.track_id,
        box_px=truth.box_px * 2,
        score=truth.score,
        class_id=truth.class_id,
    )
    plain, scaled = score_site(run, "east", truth), score_site(run, "east", double, truth_scale=0.5)
    assert scaled.as_mapping() == plain.as_mapping()
    assert score_site(run, "east", double).tracking.mota < 0


def test_only_the_frames_that_are_asked_for_count(tmp_path):
    run, truth = ran(tmp_path)
    score = score_site(run, "east", truth, frames=(11, 20))
    assert score.tracking.truth_boxes == 10
    assert score.matched == 10


def test_tracks_carry_the_frame_numbers_of_the_source(tmp_path):
    run, _ = ran(tmp_path)
    table, ground_m = tracks_of_run(run, "east")
    assert set(np.diff(np.unique(table.frame))) == {1}
    assert len(ground_m) == len(table)


def test_an_unknown_camera_is_named(tmp_path):
    run, truth = ran(tmp_path)
    with pytest.raises(UsageError, match="north"):
        score_site(run, "north", truth)
