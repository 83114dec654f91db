"""A camera of which nothing could be used: the run says why, and is no success."""

import numpy as np
import pytest

from sightline.records import Frame
from sightline.sense.frames import FrameFault, FrameReason
from simulation.site_cases import camera, plan_of, run_yard, yard


class Faulty:
    """A recording that gives these items and nothing else."""

    def __init__(self, *items):
        self.items = items
        self.stream = "east"

    def __iter__(self):
        return iter(self.items)


def fault(reason, detail, *, index=0, frames=1):
    return FrameFault(
        stream="east", origin="a.mp4", index=index, reason=reason, detail=detail, frames=frames
    )


def picture(shape, index=0):
    at_ns = index * 10**8
    return Frame(
        stream="east",
        index=index,
        capture_ns=at_ns,
        received_ns=at_ns,
        pixels=np.zeros(shape, np.uint8),
    )


@pytest.mark.parametrize(
    ("item", "words"),
    [
        (fault(FrameReason.UNREADABLE, "no video stream"), "a.mp4: no video stream"),
        (picture((240, 320)), "grey pictures: set channels: 1 in the contract"),
        (picture((120, 160, 3)), "set width_px: 160, height_px: 120"),
        (picture((320, 240, 3)), "they are turned as the file asks"),
    ],
    ids=["unreadable", "grey", "size", "on-its-side"],
)
def test_why_nothing_of_a_recording_could_be_used_is_said(tmp_path, item, words):
    report = run_yard(plan_of(yard()), tmp_path / "run", Faulty(item))
    assert words in report.unusable["east"]
    assert report.problem().exit_code == 5


def test_one_usable_frame_is_enough(tmp_path):
    broken = fault(FrameReason.UNREADABLE, "cut off", index=1)
    report = run_yard(plan_of(yard()), tmp_path / "run", Faulty(picture((240, 320, 3)), broken))
    assert report.unusable == {}
    assert report.cameras["east"].refused == {"UNREADABLE": 1}


def test_what_costs_no_frame_is_told_with_its_words(tmp_path):
    noted = fault(FrameReason.CLOCK_CHANGED, "the clock went back by 3 s", frames=0)
    report = run_yard(plan_of(yard()), tmp_path / "run", Faulty(noted, *camera(seconds=1)))
    assert report.cameras["east"].noted == {"CLOCK_CHANGED": 1}
    assert "went back by 3 s" in report.cameras["east"].words["CLOCK_CHANGED"]
