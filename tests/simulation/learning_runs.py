"""Small pipelines whose stages learn, rows for them, and the scores they come to."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import polars as pl

from sightline.limits import Limits
from sightline.perceive.normal.settings import NormalSettings
from sightline.recorder import read_entries
from sightline.records.entry import CORE_INPUTS
from sightline.runtime import Pipeline, make_plan
from sightline.runtime.engine.core import PartitionCore
from sightline.sense.contract import parse_contract
from simulation.engine import SimulatedEngine
from simulation.schedules import NS_PER_S, ArrivalFaults, Stall
from simulation.small_runs import readings
from simulation.small_world import CONTRACT, START_NS

LEARN, N = 80, 260
SETTINGS = NormalSettings(widths=(8, 16), memory_size=12)
NOVELTY: Mapping[str, Any] = {
    "use": "novelty",
    "input": "seconds",
    "measures": ["*.mean"],
    "learn_windows": LEARN,
    "widths": [8, 16],
    "memory_size": 12,
}


def learning_plan(*, novelty=NOVELTY, calibration=None, seconds=None, contract=None, **pipeline):
    """Windows of a second, novelty, perhaps its calibration, and an alarm."""
    decided = {"raise_above": 4, "clear_below": 1}
    between = {}
    if calibration is not None:
        between = {"rare": {"use": "calibration", "input": "unlike", **calibration}}
        decided = {"raise_above": 3, "clear_below": 1}
    stages = {
        "seconds": {
            "use": "windows",
            "input": "t",
            "width_s": 1,
            "statistics": ["mean"],
            **(seconds or {}),
        },
        "unlike": novelty,
        **between,
        "odd": {
            "use": "alarm",
            "input": "rare" if between else "unlike",
            "measure": "*",
            "unit": "1",
            **decided,
            "m": 2,
            "n": 3,
            "code": "UNLIKE_PAST",
        },
    }
    form = {
        "pipeline": "novel",
        "partitions": 2,
        "tick_s": 5,
        "idle_s": 10,
        "sources": {"t": {"contract": "small"}},
        "stages": stages,
        **pipeline,
    }
    made = parse_contract({**CONTRACT, **(contract or {})}, where="small")
    return make_plan(Pipeline.model_validate(form), {"t": made})


def values(seed=0, n=N, jump=(200, 230)):
    """A noisy wave with a jump."""
    rng = np.random.default_rng(seed)
    at = np.arange(n)
    return np.round(
        np.sin(at / 5) + rng.normal(0, 0.05, n) + 3.0 * ((at > jump[0]) & (at < jump[1])), 3
    )


def fleet(n=N, jump=(200, 230)):
    """Three sensors."""
    frames = [readings(values(i, n, jump), sensor=f"s{i}", area="north") for i in range(3)]
    return pl.concat(frames).sort("received_ns", maintain_order=True)


def scores_of(rows, *, stage="unlike", plan=None, limits=Limits()):
    """Final score of each window, by subject, as a core over all of ``rows`` in one partition."""
    core, (written,) = scores_of_stages(rows, [stage], plan=plan, limits=limits)
    return core, written


def scores_of_stages(rows, stages, *, plan=None, limits=Limits()):
    """The same of several stages, from one run."""
    written: dict[str, dict[tuple[str, int], float]] = {stage: {} for stage in stages}

    def observe(wrote):
        if wrote.stage in written:
            for subject, start_ns, value in zip(
                wrote.subjects, wrote.start_ns.tolist(), wrote.values[:, 0].tolist(), strict=True
            ):
                written[wrote.stage][subject, (start_ns - START_NS) // NS_PER_S] = value

    plan = plan or learning_plan(partitions=1)
    core = PartitionCore(plan, partition=0, limits=limits, observe=observe)
    for entry in logged(plan, rows, limits=limits):
        core.step(entry)
    return core, tuple(written.values())


def logged(plan, rows, *, limits=Limits()):
    """What the core of the only partition reads in a run over ``rows``."""
    result = SimulatedEngine(plan, {"t": rows}, limits=limits).run_through()
    name = result.run.partitions[0]
    return list(read_entries(result.run.disk, name, kinds=CORE_INPUTS))


def of_subject(written, subject, n=N):
    """float64[n]: scores of the windows of a subject; NaN where there are none."""
    return np.array([written.get((subject, at), np.nan) for at in range(n)])


LATE = ArrivalFaults(
    reorder_s=15.0,
    duplicate_share=0.05,
    seed=3,
    stalls=(Stall(key="s1", start_s=140.0, end_s=190.0, dump_s=5.0),),
)
