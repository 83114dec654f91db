"""A simulated camera: the same seed and time give the same picture."""

from __future__ import annotations

import numpy as np
import pytest

from sense.frames.frame_cases import frames_of, yard
from sightline.errors import UsageError
from sightline.records.signals import NS_PER_S
from sightline.sense.frames import SimulatedCamera
from sightline.sense.frames.simulated_camera import SimulatedScene, SimulatedThing


def test_a_picture_is_a_function_of_seed_and_time():
    late_first = [yard().render(at) for at in (5 * NS_PER_S, NS_PER_S)]
    early_first = [yard().render(at) for at in (NS_PER_S, 5 * NS_PER_S)]
    assert (late_first[0] == early_first[1]).all()
    assert (late_first[1] == early_first[0]).all()


@pytest.mark.parametrize("change", [{"seed": 4}, {"walks": 1}])
def test_another_scene_gives_another_picture(change):
    assert (yard().render(10 * NS_PER_S) != yard(**change).render(10 * NS_PER_S)).any()


def test_noise_changes_from_frame_to_frame():
    scene = yard(walks=0, noise_levels=2.0)
    difference = scene.render(0).astype(int) - scene.render(1)
    assert 2.0 < difference.std() < 3.6  # sqrt(2) * 2


def box(at_s=(0.0, 10.0), left=(10.0, 60.0)):
    boxes = [[x, 20.0, x + 10, 40.0] for x in left]
    return SimulatedThing(
        at_ns=np.array([round(s * NS_PER_S) for s in at_s]),
        box_px=np.array(boxes),
        colour=(255, 0, 0),
        shape="box",
    )


def scene_of(*things):
    return SimulatedScene(width_px=100, height_px=60, things=things, seed=1, noise_levels=0.0)


def test_a_thing_is_drawn_where_its_true_box_is():
    scene = scene_of(box())
    picture = scene.render(4 * NS_PER_S)
    left, top, right, bottom = scene.boxes_at(4 * NS_PER_S)[0].astype(int)
    assert (left, right) == (30, 40)
    is_blue = (picture == (255, 0, 0)).all(axis=2)
    assert is_blue[top:bottom, left:right].all()
    assert is_blue.sum() == (bottom - top) * (right - left)


@pytest.mark.parametrize("at_s", [-1, 11])
def test_a_thing_is_not_there_outside_its_time(at_s):
    assert scene_of(box()).boxes_at(at_s * NS_PER_S).shape == (0, 4)


def test_a_thing_outside_the_picture_is_not_drawn():
    with_it = scene_of(box(left=(-200.0, -100.0))).render(0)
    assert (with_it == scene_of().render(0)).all()


def test_light_changes_the_whole_picture():
    dimmed = SimulatedScene(
        width_px=100, height_px=60, things=(), seed=1, noise_levels=0.0, light=[(0, 1.0), (10, 0.5)]
    )
    assert abs(dimmed.render(10).mean() / dimmed.render(0).mean() - 0.5) < 0.01


def test_frames_are_timed_by_the_rate():
    camera = SimulatedCamera("yard", scene_of(), rate_hz=4, frames=3, start_ns=100, delay_ns=7)
    found = [(f.capture_ns, f.received_ns) for f in frames_of(camera)]
    assert found == [(100, 107), (250_000_100, 250_000_107), (500_000_100, 500_000_107)]


def test_true_boxes_go_by_capture_time():
    camera = SimulatedCamera("yard", scene_of(box()), rate_hz=1, frames=5, start_ns=NS_PER_S)
    assert camera.true_boxes(5 * NS_PER_S)[0, 0] == 30


@pytest.mark.parametrize("wrong", [{"rate_hz": 0.0}, {"frames": -1}, {"delay_ns": -1}])
def test_a_camera_that_cannot_be_is_refused(wrong):
    with pytest.raises(UsageError):
        SimulatedCamera("yard", scene_of(), **{"rate_hz": 1.0, "frames": 1, **wrong})


@pytest.mark.parametrize("wrong", [{"at_s": (5.0, 5.0)}, {"left": (1.0,)}])
def test_a_thing_that_cannot_be_is_refused(wrong):
    with pytest.raises(UsageError):
        box(**wrong)
