"""A small yard: a pipeline, cameras that render it, detectors that say what they are told, runs."""

import copy
from pathlib import Path

import numpy as np

from sightline.records import Detections
from sightline.records.signals import NS_PER_S
from sightline.runtime import RunOptions, run_pipeline
from sightline.runtime.engine.guarding import Lookers
from sightline.runtime.pipeline import parse_pipeline
from sightline.runtime.pipeline_file import written_out
from sightline.runtime.planner import make_plan
from sightline.sense.frames import SimulatedCamera
from sightline.sense.frames.simulated_camera import SimulatedScene, SimulatedThing

WIDTH_PX, HEIGHT_PX, RATE_HZ = 320, 240, 10.0

YARD = {
    "use": "site",
    "pipeline": "yard",
    "latency_budget_s": 1.0,
    "detectors": {"motion": {"use": "motion", "person_px": [60, 60], "budget_s": 1.0}},
    "cameras": {
        "east": {
            "contract": {
                "width_px": WIDTH_PX,
                "height_px": HEIGHT_PX,
                "rate_hz": RATE_HZ,
                "max_age_s": 1.0,
            },
            "detector": "motion",
            "starts_empty": True,
        }
    },
    "zones": {
        "pit": {
            "camera": "east",
            "polygon_px": [[150, 0], [320, 0], [320, 240], [150, 240]],
            "is_forbidden": True,
            "margin_px": 2.0,
            "lost_timeout_s": 2.0,
        }
    },
    "machines": {"saw": {"cameras": ["east"], "zones": ["pit"], "hold_s": 1.0, "valid_s": 3.0}},
}


def yard(**changes):
    """The pipeline's mapping with some top-level parts replaced."""
    return {**copy.deepcopy(YARD), **changes}


def two_cameras(**changes):
    plain = yard(**changes)
    plain["cameras"]["west"] = copy.deepcopy(plain["cameras"]["east"])
    plain["machines"]["saw"]["cameras"] = ["east", "west"]
    return plain


def plan_of(plain, *, where="yard.yaml"):
    return make_plan(written_out(parse_pipeline(plain, where=where), Path()), where=where)


def walker(*, from_s=1.0, until_s=6.0, from_x=20.0, until_x=300.0):
    """Somebody who walks from left to right."""
    times = np.array([from_s, until_s]) * NS_PER_S
    boxes = [[x - 10, 120, x + 10, 180] for x in (from_x, until_x)]
    return SimulatedThing(at_ns=times.astype(np.int64), box_px=np.array(boxes, float))


def camera(stream="east", *, seconds=8.0, things=(), seed=1, start_ns=0, rate_hz=RATE_HZ):
    scene = SimulatedScene(width_px=WIDTH_PX, height_px=HEIGHT_PX, things=things, seed=seed)
    return SimulatedCamera(
        stream, scene, rate_hz=rate_hz, frames=round(seconds * rate_hz), start_ns=start_ns
    )


class Told:
    """A detector that sees the boxes it is given, by capture time; else nothing."""

    version = "told@1"

    def __init__(self, boxes_at=lambda capture_ns: []):
        self.boxes_at = boxes_at

    def look(self, frames):
        return [self._detect(frame) for frame in frames]

    def _detect(self, frame):
        boxes = np.asarray(self.boxes_at(frame.capture_ns), float).reshape(-1, 4)
        return Detections.of(
            frame.stream, frame.capture_ns, box_px=boxes, score=np.ones(len(boxes))
        )


def told(plan, boxes_at=lambda capture_ns: [], *, budget_s=1.0, fallback=None):
    """The same teller for every camera of a site."""
    one = Lookers(primary=Told(boxes_at), fallback=fallback, budget_s=budget_s)
    return by_camera(**dict.fromkeys(plan.cameras, one))


def by_camera(**lookers):
    """Who looks at the frames of each camera of a site, by (stage, camera)."""
    return {(f"{name}_detect", name): one for name, one in lookers.items()}


def run_yard(
    plan, out, *cameras, looking=None, is_stopped=lambda: False, controls=tuple, **options
):
    """Run these cameras; nobody sees anything, unless it is said who looks."""
    return run_pipeline(
        plan,
        {one.stream: one for one in cameras},
        out,
        looking=told(plan) if looking is None else looking,
        options=RunOptions(durable=False, **options),
        is_stopped=is_stopped,
        controls=controls,
    )
