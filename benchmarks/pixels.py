"""PETS 2009 S2.L1 from pixels alone: people are found by motion, followed, and scored.

The truth of PETS covers frames 1 to 400, in pictures of 768 px; the recording that is read has 480.
"""

from __future__ import annotations

import io
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sightline.evidence.tracking import score_tracks
from sightline.perceive.detect import CameraPersonSize, MotionDetector, RowPersonSize
from sightline.perceive.detect.people import PersonSize
from sightline.perceive.tracking import Tracker
from sightline.records import Detections, Frame
from sightline.records.camera import CameraModel
from sightline.sense.camera_files import load_camera
from sightline.sense.frames import VideoFile
from sightline.sense.frames.mot_files import read_tracks, read_truth, write_tracks

FRAMES = 400
TRUTH_WIDTH_PX = 768
PERSON_PX: tuple[tuple[float, float] | None, ...] = ((30, 80), (37, 85), (40, 110), None)
"""Heights of people at the top and at the bottom of the picture that are tried without a camera
model: right, a little too tall, much too tall, and none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PixelScore:
    """What one way to tell the detector how tall people are comes to.

    Attributes:
        told: that way.
        mota, idf1, hota: of the tracks.
        false, missed, switches: boxes without truth, truth without a box, changed identities.
    """

    told: str
    mota: float
    idf1: float
    hota: float
    false: int
    missed: int
    switches: int


def score_pixels(
    folder: Path, *, frames: int = FRAMES, progress: Callable[[str], None] = lambda _: None
) -> list[PixelScore]:
    """With the camera model, and without it for each of ``PERSON_PX``.

    Args:
        folder: with ``video.avi``, ``camera_view_001.xml`` and ``gt_frames_1_400.txt``.
        frames: from the first; at most 400 have truth.
        progress: told what is scored.
    """
    pictures = [
        frame for frame in VideoFile("view1", folder / "video.avi") if isinstance(frame, Frame)
    ][:frames]
    scale = TRUTH_WIDTH_PX / pictures[0].width_px
    found = []
    camera = load_camera(folder / "camera_view_001.xml").scaled(1 / scale)
    ways: list[tuple[str, PersonSize | None, CameraModel | None]]
    ways = [("the camera model", CameraPersonSize(camera=camera), camera)]
    for px in PERSON_PX:
        rows = None if px is None else RowPersonSize(at_top_px=px[0], at_bottom_px=px[1])
        ways.append((f"person_px {px}", rows, None))
    for told, size, geometry in ways:
        progress(told)
        detector, tracker = MotionDetector(size=size), Tracker("view1", geometry)
        seen = [detector.detect(frame) for frame in pictures]
        found.append(_scored(folder, told, tracker, seen, scale=scale))
    return found


def _scored(
    folder: Path, told: str, tracker: Tracker, seen: list[Detections], *, scale: float
) -> PixelScore:
    with tempfile.TemporaryDirectory() as scratch:
        file = Path(scratch) / "tracks.txt"
        write_tracks(file, [(n, tracker.update(one)) for n, one in enumerate(seen, start=1)])
        tracks = read_tracks(file)
    np.multiply(tracks.box_px, scale, out=tracks.box_px)
    truth = read_truth(folder / "gt_frames_1_400.txt")
    score = score_tracks(truth, tracks, frames=(1, len(seen)))
    return PixelScore(
        told=told,
        mota=score.mota,
        idf1=score.idf1,
        hota=score.hota,
        false=score.clear.fp,
        missed=score.clear.fn,
        switches=score.clear.switches,
    )


def pixel_lines(scores: list[PixelScore]) -> list[str]:
    """A table, for people."""
    text = io.StringIO()
    print(f"{'people are as tall as says':28} MOTA  IDF1  HOTA  false missed switches", file=text)
    for one in scores:
        print(
            f"{one.told:28} {one.mota:.3f} {one.idf1:.3f} {one.hota:.3f} "
            f"{one.false:5} {one.missed:6} {one.switches:8}",
            file=text,
        )
    return text.getvalue().splitlines()
