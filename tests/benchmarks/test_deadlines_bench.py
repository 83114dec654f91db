"""``sightline bench deadlines`` on a few frames: what it counts is what the log says."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.deadlines import (
    DeadlineCase,
    FaultyDetector,
    bench_deadlines,
    latency_budget_s,
    read_answers,
)
from benchmarks.frame_cases import camera_names, drawn_scene
from sightline.recorder import read_entries
from sightline.records import EntryKind, Frame
from sightline.runtime import RunDirectory

CASE = DeadlineCase(
    frames=90, cameras=2, rate_hz=30.0, seed=3, stall_s=(0.05, 0.2), is_durable=False
)


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    """(what the benchmark says, its run)."""
    out = tmp_path_factory.mktemp("deadlines") / "run"
    return bench_deadlines(CASE, out=out), RunDirectory.open(out)


@pytest.fixture(scope="module")
def scene():
    return drawn_scene(width_px=32, height_px=24, people=1, pictures=5, rate_hz=15.0, seed=1)


def frame_of(scene, index, stream="east"):
    return Frame(
        stream=stream, index=index, capture_ns=index, received_ns=index, pixels=scene.pictures[0]
    )


def detector_of(scene, **changes):
    return FaultyDetector(scene, camera_names(2), 3, stall_s=(0.0, 0.001), **changes)


def first_with(detector, kind):
    return next(i for i in range(10_000) if detector.fault_of("east", i)[0] == kind)


def test_every_frame_is_looked_at_or_superseded(ran):
    found, _ = ran
    looked_at = sum(camera["looked_at"] for camera in found["cameras"].values())
    superseded = sum(camera["superseded"] for camera in found["cameras"].values())
    assert looked_at + superseded == CASE.frames
    assert found["accounts"]["conserved"]


def test_each_answer_that_is_not_the_detectors_own_is_flagged(ran):
    fallbacks = ran[0]["fallbacks"]
    assert fallbacks["not_ok"] == fallbacks["flagged"] == fallbacks["reported"]
    assert fallbacks["all_flagged"]


def test_each_overrun_is_in_the_log(ran):
    missed = ran[0]["deadline_missed"]
    assert missed["frames_reported"] == missed["frames_logged"]
    assert missed["frames_late_by_log_stamps_not_logged"] == 0
    assert missed["stages_reported"] == missed["stages_logged"]


def test_the_run_replays_to_the_same_bytes(ran):
    assert ran[0]["replay"]["identical"]


def test_what_it_says_is_json(ran):
    assert json.loads(json.dumps(ran[0])) == ran[0]


def test_an_overrun_that_nobody_logged_is_found_by_the_stamps_of_the_log(ran):
    _, run = ran
    form = run.plan.pipeline.model_copy(update={"latency_budget_s": 1e-6})
    strict = replace(run, plan=replace(run.plan, pipeline=form))
    assert not read_answers(run).unlogged
    logged = sum(1 for _ in read_entries(run.storage, "p000", kinds={EntryKind.FRAME}))
    assert len(read_answers(strict).unlogged) + len(read_answers(strict).overruns_s) == logged


def test_a_twentieth_of_the_frames_go_wrong_by_their_number_alone(scene):
    faults = [detector_of(scene).fault_of("east", index) for index in range(4_000)]
    assert faults == [detector_of(scene).fault_of("east", index) for index in range(4_000)]
    kinds = [kind for kind, _ in faults if kind]
    assert set(kinds) == {"stall", "crash", "nan"}
    assert 0.03 < len(kinds) / len(faults) < 0.07


def test_a_frame_that_crashes_fails_its_batch(scene):
    detector = detector_of(scene)
    frames = [frame_of(scene, first_with(detector, kind)) for kind in ("", "crash")]
    with pytest.raises(RuntimeError, match="crashed"):
        detector.look(frames)
    assert detector.hit == {"crash": 1}


def test_a_frame_that_is_answered_with_nan_leaves_the_others_of_its_batch_alone(scene):
    detector = detector_of(scene)
    frames = [frame_of(scene, first_with(detector, kind)) for kind in ("", "nan")]
    good, bad = detector.look(frames)
    assert (good.box_px == scene.boxes_px[scene.place(frames[0].index)]).all()
    assert not (bad.box_px == bad.box_px).any()


def test_the_budget_allows_for_a_camera_that_is_slower():
    assert latency_budget_s(5.0) > latency_budget_s(15.0)


def test_a_run_that_is_not_to_be_kept_leaves_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    bench_deadlines(replace(CASE, frames=20, is_shared=False))
    assert list(Path(tmp_path).iterdir()) == []
