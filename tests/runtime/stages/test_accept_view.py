"""An operator's word that a camera shows what it should, after somebody has turned it."""

from dataclasses import dataclass

import numpy as np
import pytest

from sightline.errors import UsageError
from sightline.records.signals import NS_PER_S
from sightline.runtime import RunDirectory, replay_run
from sightline.runtime.run_opening import check_control
from sightline.sense.frames.simulated_camera import SimulatedCamera, SimulatedScene
from simulation.site_cases import HEIGHT_PX, WIDTH_PX, plan_of, run_yard, yard

RATE_HZ, SECONDS, TURNED_S = 5.0, 14.0, 5.0
WORD = {"control": "accept_view", "camera": "east"}


@dataclass(frozen=True)
class TurnedScene(SimulatedScene):
    """A yard; from some time on the camera points to its side."""

    def render(self, at_ns):
        picture = super().render(at_ns)
        return np.roll(picture, 80, axis=1) if at_ns >= TURNED_S * NS_PER_S else picture


def turned():
    scene = TurnedScene(width_px=WIDTH_PX, height_px=HEIGHT_PX, things=(), seed=1)
    return SimulatedCamera("east", scene, rate_hz=RATE_HZ, frames=round(SECONDS * RATE_HZ))


def watched():
    plain = yard()
    checks = {"learn_s": 2.0, "level_s": 2.0, "reference_s": 2.0, "confirm_s": 0.4}
    plain["cameras"]["east"]["contract"]["health"] = checks
    return plan_of(plain)


def said_at(call, word=WORD):
    """Operator inputs: the word when they are asked for the ``call``-th time."""
    asked = []

    def controls():
        asked.append(1)
        return [word] if len(asked) == call else []

    return controls


def moved(out):
    found = RunDirectory.open(out).decisions()
    return [str(d.transition) for d in found if d.kind == "camera_moved"]


def test_a_camera_that_was_turned_stays_wrong_until_somebody_says_that_it_may_stay_so(tmp_path):
    run_yard(watched(), tmp_path / "silent", turned())
    run_yard(watched(), tmp_path / "said", turned(), controls=said_at(80))
    assert moved(tmp_path / "silent") == ["raised"]
    assert moved(tmp_path / "said") == ["raised", "cleared"]


def test_a_run_with_the_word_replays_and_goes_on_after_a_stop(tmp_path):
    run_yard(watched(), tmp_path / "whole", turned(), controls=said_at(80))
    whole = RunDirectory.open(tmp_path / "whole")
    assert replay_run(whole)

    calls = []

    def is_stopped():
        calls.append(1)
        return len(calls) > 150

    cut = tmp_path / "cut"
    run_yard(watched(), cut, turned(), controls=said_at(80), is_stopped=is_stopped)
    assert moved(cut) == ["raised", "cleared"]
    run_yard(watched(), cut, turned(), resume=True)
    assert RunDirectory.open(cut).decisions() == whole.decisions()


@pytest.mark.parametrize("camera", ["west", None])
def test_the_word_about_a_camera_that_is_not_there_is_refused(camera):
    with pytest.raises(UsageError, match="no camera"):
        check_control(watched(), {**WORD, "camera": camera})


def test_the_word_about_a_camera_that_is_there_is_taken():
    check_control(watched(), WORD)
