"""Hand-made rows for the small pipeline, and runs of them on the simulated engine."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import polars as pl

from sightline.records import Decision
from sightline.runtime import Plan
from sightline.runtime.engine.guarding import Answers
from simulation.engine import SimulatedEngine, SimulatedResult
from simulation.schedules import NS_PER_S
from simulation.small_world import START_NS, small_plan
from simulation.trials import unaccounted


def readings(
    value: Sequence[float],
    *,
    sensor: str = "s0",
    area: str = "north",
    time_s: Sequence[float] | None = None,
    received_s: float | None = None,
) -> pl.DataFrame:
    """One row a second from the start on, or at ``time_s``; received at once, or all later."""
    n = len(value)
    at_s = np.arange(n, dtype=np.float64) if time_s is None else np.asarray(time_s, np.float64)
    came_s = at_s if received_s is None else np.full(n, received_s)
    return pl.DataFrame(
        {
            "sensor": pl.Series([sensor]).new_from_index(0, n),
            "area": pl.Series([area]).new_from_index(0, n),
            "time_ns": START_NS + (at_s * NS_PER_S).astype(np.int64),
            "received_ns": START_NS + (came_s * NS_PER_S).astype(np.int64),
            "sequence": np.rint(at_s * 10).astype(np.int64),
            "value": np.asarray(value, np.float64),
        }
    )


def windows(*levels: float) -> list[float]:
    """Ten readings of each level: one window of the small pipeline after the other."""
    return [level for level in levels for _ in range(10)]


def run_small(
    *frames: pl.DataFrame, plan: Plan | None = None, guard: Answers | None = None
) -> SimulatedResult:
    """Run rows, in order of receipt, through the small pipeline; account for all and replay."""
    rows = pl.concat(frames).sort("received_ns", maintain_order=True)
    engine = SimulatedEngine(plan or small_plan(), {"t": rows}, guard=guard)
    result = engine.run_through()
    assert not unaccounted(result, engine)
    verdict = result.replay(engine.sources)
    assert verdict, str(verdict.difference)
    return result


def story(result: SimulatedResult, kind: str) -> list[tuple[str, int, str]]:
    """(transition, revision, status) of each decision of ``kind``, in the order they were said."""
    return [(str(d.transition), d.revision, str(d.status)) for d in of_kind(result, kind)]


def of_kind(result: SimulatedResult, kind: str) -> list[Decision]:
    """Every revision of the decisions of ``kind``, in the order they were said."""
    return [d for d in result.decisions if d.kind == kind]
