"""Plans written stage by stage, with the odd stages at hand, and runs of them."""

import copy
from pathlib import Path

from sightline.runtime import RunOptions, run_pipeline
from sightline.runtime.engine.guarding import Lookers
from sightline.runtime.pipeline import parse_pipeline
from sightline.runtime.pipeline_file import written_out
from sightline.runtime.planner import make_plan
from sightline.sense.contract import parse_contract
from simulation.site_cases import HEIGHT_PX, RATE_HZ, WIDTH_PX, Told, camera

INSIDE = [[200.0, 100.0, 220.0, 160.0]]
CAMERA = {
    "frames": {"width_px": WIDTH_PX, "height_px": HEIGHT_PX, "rate_hz": RATE_HZ, "max_age_s": 1.0}
}
ROWS = {
    "contract": "belts",
    "key": ["belt"],
    "group": "hall",
    "event_time": {"column": "at", "format": "unix_ns"},
    "fields": {
        "speed": {"type": "number", "unit": "m/s"},
        "slip": {"type": "number", "unit": "m/s"},
    },
}
SEEN = {"use": "detect", "input": "east", "detector": "motion"}
THINGS = {"use": "track", "input": "seen"}


def camera_plan(stages, *, cameras=("east",), rows=False, **changes):
    """Cameras, the stages `seen` and `things` of the first of them, and these stages.

    Args:
        stages: by name; they may replace the two.
        rows: whether there is a source `belts` of rows too.
        changes: top-level parts of the pipeline.
    """
    sources = {name: copy.deepcopy(CAMERA) for name in cameras}
    plain = {
        "pipeline": "own",
        "plugins": ["simulation.odd_stages"],
        "tick_s": 0.2,
        "latency_budget_s": 2.0,
        "sources": {**sources, **({"belts": {"contract": "belts"}} if rows else {})},
        "detectors": {"motion": {"use": "motion", "budget_s": 1.0}},
        "stages": {**({"seen": SEEN, "things": THINGS} if cameras else {}), **stages},
        **changes,
    }
    form = written_out(parse_pipeline(plain, where="own.yaml"), Path())
    contracts = {"belts": parse_contract(ROWS, where="belts.yaml")} if rows else {}
    return make_plan(form, contracts, where="own.yaml")


def run_camera_plan(plan, out, *, primary=None, fallback=None, east=None, seconds=2.0, **options):
    """Run it on the camera `east`; own stages look themselves.

    Args:
        primary: who looks for the stage `seen`; None: somebody who sees one box.
        fallback: who answers for them; None: nobody.
        east: the camera; None: a simulated one of so many ``seconds``.
        options: of the run.
    """
    seeing = primary or Told(lambda capture_ns: INSIDE)
    looking = {("seen", "east"): Lookers(primary=seeing, fallback=fallback, budget_s=1.0)}
    for step in plan.items:
        if step.stage.looks and step.name != "seen":
            looking[step.name, "east"] = Lookers(
                primary=step.stage.load(plan.cameras["east"], ""),
                fallback=None,
                budget_s=step.stage.guard.budget_s,
                finds=step.stage.finds,
            )
    return run_pipeline(
        plan,
        {"east": east or camera(seconds=seconds)},
        out,
        looking=looking,
        options=RunOptions(durable=False, **options),
    )
