"""The simulated line as a plan in memory; its inspector knows a hole by its darkness."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from sightline.apps.inspection import CONTRACT, LINE_PIPELINE, LineCamera, LineFaults, LineScene
from sightline.apps.inspection.line_scene import STATIONS
from sightline.records import Frame
from sightline.records.part import PartRecord
from sightline.records.readings import Readings
from sightline.runtime import Plan, RunOptions, RunReport, make_plan, run_pipeline
from sightline.runtime.pipeline import parse_pipeline
from sightline.sense import MemorySource, load_contract
from simulation.engine import FaultyAnswers, SimulatedEngine, SimulatedResult

REJECT_FROM, REVIEW_FROM = 5.0, 4.0


def line_plan(**parts: Any) -> Plan:
    """The line's pipeline, with other settings of its stage ``parts``."""
    plain = yaml.safe_load(LINE_PIPELINE.read_text(encoding="utf-8"))
    plain = copy.deepcopy(plain)  # YAML's aliases are one object
    plain["stages"]["parts"] |= parts
    form = parse_pipeline(plain, where="line.yaml")
    return make_plan(form, {"process": load_contract(CONTRACT)}, where="line.yaml")


def darkness(stage: str, frame: Frame) -> Readings:
    """Score 10 where there is a hole, about 0 elsewhere, and the box around it."""
    del stage
    dark = frame.pixels < 75
    values = dict.fromkeys(("score", "breach", "novelty", "likeness", "x1", "y1", "x2", "y2"), 0.0)
    values |= {"reject_from": REJECT_FROM, "review_from": REVIEW_FROM}
    if dark.sum() > 50:
        ys, xs = np.nonzero(dark)
        values |= {"score": 10.0, "novelty": 5.0, "likeness": 5.0}
        values |= {"x1": float(xs.min()), "y1": float(ys.min()), "x2": float(xs.max()),
                   "y2": float(ys.max())}  # fmt: skip
    return Readings(stream=frame.stream, capture_ns=frame.capture_ns, values=values)


def line_engine(
    *, parts: int = 20, seed: int = 0, fault_share: float = 0.0, settings: Any = None, **faults: Any
) -> tuple[SimulatedEngine, LineScene]:
    """The line over so many parts, and the scene that knows the truth of them."""
    faults = {"defects": 0.0, **faults}
    scene = LineScene(parts=parts, seed=seed, faults=LineFaults(**faults))
    plan = line_plan(**(settings or {}))
    guard = FaultyAnswers(plan, seed, fault_share, sees=darkness)
    cameras = [LineCamera(scene, camera) for camera in STATIONS]
    return SimulatedEngine(plan, {"process": scene.rows}, guard=guard, cameras=cameras), scene


def run_line(**given: Any) -> tuple[SimulatedResult, LineScene]:
    """Run it undisturbed."""
    engine, scene = line_engine(**given)
    return engine.run_through(), scene


def records(result: SimulatedResult) -> list[PartRecord]:
    """Of the parts, in the order in which they were decided."""
    return [note for note in result.run.parts() if isinstance(note, PartRecord)]


def codes(record: PartRecord) -> set[str]:
    """Of its reasons."""
    return {reason.code for reason in record.reasons}


def run_line_into(
    out: Path,
    *,
    parts: int,
    seed: int = 0,
    controls: Callable[[], Sequence[Mapping[str, Any]]] = tuple,
    sees: Callable[[str, Frame], Readings] = darkness,
    **faults: Any,
) -> RunReport:
    """A real run of the line in a folder, with its ledger; ``controls`` is asked at each tick."""
    scene = LineScene(parts=parts, seed=seed, faults=LineFaults(**faults))
    plan = line_plan()
    return run_pipeline(
        plan,
        {
            "process": MemorySource("process", {"process": scene.rows}),
            **{camera: LineCamera(scene, camera) for camera in STATIONS},
        },
        out,
        guard=FaultyAnswers(plan, seed, 0.0, sees=sees),
        options=RunOptions(durable=False),
        controls=controls,
    )
