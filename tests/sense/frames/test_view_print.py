"""Prints of views: what they do not change with, and what they tell apart."""

import cv2
import numpy as np
import pytest

from sightline.runtime.pipeline import CameraForm
from sightline.sense.frames.simulated_camera import SimulatedScene, SimulatedThing
from sightline.sense.frames.usual_view import likeness, view_print

ALIKE, APART = 0.5, 0.25
PLACES = range(4)


def someone():
    return SimulatedThing(
        at_ns=np.array([0, 9 * 10**9]), box_px=np.array([[20, 60, 90, 230], [220, 60, 290, 230]])
    )


def picture(seed, *, at_s=1, things=(), gain=1.0):
    scene = SimulatedScene(
        width_px=320, height_px=240, things=things, seed=seed, light=[(0, gain), (1, gain)]
    )
    return scene.render(at_s * 10**9)


@pytest.mark.parametrize("seed", PLACES)
def test_a_view_is_alike_with_somebody_in_it_in_half_the_light_and_in_another_size(seed):
    usual = view_print(picture(seed))
    for other in (
        picture(seed, at_s=5, things=[someone()]),
        picture(seed, gain=0.5),
        cv2.resize(picture(seed), (640, 480)),
        cv2.cvtColor(picture(seed), cv2.COLOR_BGR2GRAY),
    ):
        assert likeness(usual, view_print(other)) > ALIKE


def test_no_place_is_like_another_one():
    prints = [view_print(picture(seed)) for seed in PLACES]
    for one in PLACES:
        assert all(likeness(prints[one], prints[two]) < APART for two in PLACES if two != one)


def test_a_camera_that_is_turned_to_the_side_is_like_no_place():
    turned = view_print(np.roll(picture(0), 110, axis=1))
    assert all(likeness(turned, view_print(picture(seed))) < ALIKE for seed in PLACES)


def test_a_dark_picture_with_the_noise_of_a_sensor_is_like_no_other_place():
    noise = np.random.default_rng(3).normal(0, 4, (240, 320, 3))
    night = view_print(np.clip(picture(0) * 0.08 + 6 + noise, 0, 255).astype(np.uint8))
    others = PLACES[1:]
    assert night is None or all(
        likeness(night, view_print(picture(seed))) < ALIKE for seed in others
    )


@pytest.mark.parametrize(
    "pixels", [np.zeros((240, 320), np.uint8), np.full((240, 320), 90, np.uint8),
               np.zeros((40, 40), np.uint8)],
)  # fmt: skip
def test_where_there_is_no_edge_there_is_no_print(pixels):
    assert view_print(pixels) is None


def test_a_print_is_what_a_pipeline_takes():
    form = {"frames": {}, "view": view_print(picture(1))}
    assert CameraForm(**form).view == form["view"]
