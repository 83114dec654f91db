"""Small runs of the simulated yard, to be drawn."""

import numpy as np

from sightline.records import Detections
from sightline.records.signals import NS_PER_S
from sightline.runtime import RunDirectory, RunOptions, run_pipeline
from simulation.site_cases import camera, plan_of, told, two_cameras, walker, yard

__all__ = ["camera", "plan_of", "told", "two_cameras", "walker", "yard"]

INSIDE = [[200.0, 100.0, 220.0, 160.0]]
ENTERS_NS = 4 * NS_PER_S

GROUND = {
    "kind": "homography",
    "image_size_px": [320, 240],
    "pixel_origin": "corner",
    "ground_from_pixel": [[0.05, 0, 0], [0, 0.05, 0], [0, 0, 1]],
}
PERSON, VEHICLE = [150.0, 60.0, 160.0, 100.0], [20.0, 90.0, 60.0, 120.0]


def run_yard(plan, out, cameras, looking=None):
    run_pipeline(
        plan,
        {one.stream: one for one in cameras},
        out,
        looking=told(plan) if looking is None else looking,
        options=RunOptions(durable=False),
    )
    return RunDirectory.open(out)


def made_run(folder, *, keep):
    """Six seconds; from the fourth on the detector sees somebody in the pit."""
    plan = plan_of(yard(images={"keep": keep}))
    detectors = told(plan, lambda at_ns: INSIDE if at_ns >= ENTERS_NS else [])
    return run_yard(plan, folder / "run", [camera(seconds=6, things=[walker()])], detectors)


def driving(**changes):
    """A yard with a vehicle that is seen by the camera."""
    plain = yard(zones={})
    plain["cameras"]["east"]["geometry"] = GROUND
    moving = {
        "machine_class": "vehicle",
        "length_m": 2.0,
        "width_m": 1.0,
        "response_s": 0.3,
        "least_deceleration_m_s2": 2.0,
        **changes,
    }
    plain["machines"]["saw"].update(zones=[], moving=moving)
    return plain


class Seer:
    """Sees a vehicle that drives towards a person; fails in the frames it is told to."""

    version = "seer@1"

    def __init__(self, names, *, fails_at=()):
        self.names = names
        self.fails_at = fails_at

    def look(self, frames):
        if frames[0].index in self.fails_at:
            raise RuntimeError("once")
        return [self._detect(frame) for frame in frames]

    def _detect(self, frame):
        shift = np.array([frame.capture_ns / NS_PER_S * 20, 0, frame.capture_ns / NS_PER_S * 20, 0])
        boxes = {"person": PERSON, "vehicle": (np.array(VEHICLE) + shift).tolist()}
        known = [name for name in self.names if name in boxes]
        return Detections.of(
            frame.stream,
            frame.capture_ns,
            box_px=[boxes[name] for name in known],
            score=[0.9] * len(known),
            class_id=[self.names.index(name) for name in known],
            class_names=self.names,
        )
