"""False alarms on real recordings, and trouble brought into them."""

from __future__ import annotations

import itertools
from collections import Counter
from dataclasses import replace

import cv2
import numpy as np
import pytest

from sense.frames.frame_cases import DATA
from sightline.records.frames import Frame
from sightline.records.signals import NS_PER_S
from sightline.sense.frames import CameraHealth, FrameContract, FrameReason, VideoFile

VIDEOS = [
    "pets2009_s2l1/video.avi",
    "intel_sample_videos/bottle-detection.mp4",
    "intel_sample_videos/one-by-one-person-detection.mp4",
    "intel_sample_videos/bolt-multi-size-detection.gif",
    "intel_sample_videos/worker-zone-detection.gif",
]
LONG = VIDEOS[:3]


TROUBLE_S, END_S = 25.0, 33.0


def recording(name):
    """Its frames, one at a time: a whole recording would fill the memory."""
    pytest.importorskip("av", reason="real videos not tested: PyAV is not installed")
    path = DATA / name
    if not path.exists():
        pytest.skip(f"real video not tested: {path} is not there")
    for item in VideoFile("camera", path):
        assert isinstance(item, Frame)
        yield item


def judged(frames):
    """The health at each frame."""
    health = None
    for frame in frames:
        if health is None:
            contract = FrameContract(
                width_px=frame.width_px, height_px=frame.height_px, rate_hz=10, max_age_s=1.0
            )
            health = CameraHealth(contract)
        yield health.update(frame)


def spoilt(frames, spoil):
    """The first 33 s, spoilt from 25 s on."""
    for frame in frames:
        if frame.capture_ns > END_S * NS_PER_S:
            return
        is_spoilt = frame.capture_ns >= TROUBLE_S * NS_PER_S
        yield replace(frame, pixels=spoil(frame.pixels)) if is_spoilt else frame


@pytest.mark.slow
@pytest.mark.parametrize("name", VIDEOS)
def test_a_camera_that_is_well_raises_nothing(name):
    frames, counts = 0, Counter()
    for health in judged(recording(name)):
        frames += 1
        counts.update(health.raised)
    print(f"{name}: {frames} frames, false alarms {dict(counts)}")
    assert frames > 30
    assert not counts


def moved_aside(pixels):
    return cv2.warpAffine(
        pixels, np.float32([[1, 0, 60], [0, 1, 0]]), pixels.shape[1::-1],
        borderMode=cv2.BORDER_REFLECT,
    )  # fmt: skip


TROUBLE = {
    "blurred": (lambda pixels: cv2.GaussianBlur(pixels, (0, 0), 5), FrameReason.BLURRED),
    "covered": (lambda pixels: np.full_like(pixels, 70), FrameReason.COVERED),
    "black": (lambda pixels: pixels // 16, FrameReason.BLACK),
    "over-exposed": (lambda pixels: pixels | 254, FrameReason.OVER_EXPOSED),
    "moved": (moved_aside, FrameReason.MOVED),
}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "trouble"),  # each on one recording; a view that moves, the hardest, on all
    [*zip(itertools.cycle(LONG), [t for t in TROUBLE if t != "moved"], strict=False)]
    + [(name, "moved") for name in LONG],
)
def test_trouble_in_a_real_recording_is_found(name, trouble):
    spoil, reason = TROUBLE[trouble]
    frames = spoilt(recording(name), spoil)
    assert any(reason in health.raised for health in judged(frames))
