"""A camera and six sensors in one plan: a stage that looks, series beside it, alarms on both."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import polars as pl

from sightline.records import Frame
from sightline.records.readings import Readings
from sightline.runtime import Plan, make_plan
from sightline.runtime.pipeline import parse_pipeline
from sightline.sense.contract import parse_contract
from sightline.sense.frames import FrameFault, FrameReason
from sightline.sense.frames.delivery import FrameItem
from simulation.engine import FaultyAnswers, SimulatedEngine
from simulation.schedules import NS_PER_S
from simulation.small_world import CONTRACT, DURATION_S, PIPELINE, START_NS

RATE_HZ = 2.0
PICTURE = np.full((4, 6, 3), 90, np.uint8)
_HEALTH = ("frozen", "black", "over_exposed", "blurred", "covered", "moved", "shifted")
FRAME_CONTRACT: Mapping[str, Any] = {
    "width_px": 6,
    "height_px": 4,
    "rate_hz": RATE_HZ,
    "max_age_s": 2.0,
    "health": dict.fromkeys(_HEALTH),
}
STAGES: Mapping[str, Any] = {
    "health": {"use": "camera_health", "input": "east"},
    "shade": {
        "use": "shade",
        "input": "east",
        "column": "level.value.mean",
        "key": "s0",
        "above": 14.0,
        "guarded": {"budget_s": 1.0},
    },
    "shades": {"use": "windows", "input": "shade", "width_s": 5, "statistics": ["count", "mean"]},
    "since": {"use": "since_rise", "input": "shades", "measures": ["shade.mean"]},
    "shadow": {
        "use": "alarm",
        "input": "shades",
        "measure": "shade.mean",
        "unit": "1",
        "raise_above": 5,
        "clear_below": 4,
        "code": "SHADOW",
    },
    "fallen": {
        "use": "alarm",
        "input": "since",
        "measure": "shade",
        "unit": "1",
        "raise_below": -3,
        "clear_above": -1,
        "code": "FALLEN",
    },
}


def mixed_plan(**pipeline: Any) -> Plan:
    """The small pipeline of sensors, a camera, and what is said of both."""
    plain = copy.deepcopy(dict(PIPELINE))
    plain |= {"pipeline": "mixed", "partitions": 1, "tick_s": 5, "clear_s": 1.0}
    plain["plugins"] = ["simulation.own_stages"]
    plain["sources"]["east"] = {"frames": dict(FRAME_CONTRACT)}
    plain["stages"] = {**plain["stages"], **copy.deepcopy(dict(STAGES))}
    form = parse_pipeline({**plain, **pipeline}, where="mixed.yaml")
    return make_plan(form, {"t": parse_contract(CONTRACT, where="small")}, where="mixed.yaml")


class East:
    """A recording; ``gone_s``: from, to, without a frame; every ``torn``-th cannot be read."""

    stream = "east"
    durable = True

    def __init__(self, *, gone_s: tuple[float, float] = (1e9, 1e9), torn: int = 10**9) -> None:
        self.gone_s = gone_s
        self.torn = torn

    def __iter__(self) -> Iterator[FrameItem]:
        index = 0
        for number in range(round(DURATION_S * RATE_HZ)):
            at_s = number / RATE_HZ + 0.1
            if self.gone_s[0] <= at_s < self.gone_s[1]:
                continue
            at_ns = START_NS + round(at_s * NS_PER_S)
            if number % self.torn == self.torn - 1:
                yield FrameFault(
                    stream=self.stream, origin="r", index=index, reason=FrameReason.UNREADABLE,
                    detail="torn", frames=1, capture_ns=at_ns,
                )  # fmt: skip
            else:
                yield Frame(
                    stream=self.stream, index=index, capture_ns=at_ns, received_ns=at_ns,
                    pixels=PICTURE,
                )  # fmt: skip
            index += 1


def shade_of(stage: str, frame: Frame) -> Readings:
    """A shadow that comes at 20 s and goes at 40 s, and flickers by a function of time."""
    at_s = (frame.capture_ns - START_NS) / NS_PER_S
    shade = 8.0 * (20 <= at_s < 40) + round(float(np.sin(at_s)), 3)
    return Readings(stream=frame.stream, capture_ns=frame.capture_ns, values={"shade": shade})


def mixed_engine(
    rows: pl.DataFrame, *, camera: East | None = None, fault_share: float = 0.0, seed: int = 0
) -> SimulatedEngine:
    """The mixed pipeline over these rows and a recording."""
    plan = mixed_plan()
    guard = FaultyAnswers(plan, seed, fault_share, sees=shade_of)
    return SimulatedEngine(plan, {"t": rows}, guard=guard, cameras=[camera or East()])
