"""``sightline lab profile``: which stage of a run takes the greatest share of its time budget."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sightline.act import LatencyRecorder
from sightline.cli.console import Json, Terminal, print_json
from sightline.cli.runs import Run, open_run
from sightline.errors import LogError
from sightline.recorder import read_entries
from sightline.records import EntryKind
from sightline.runtime import RunDirectory

_PERCENTILES = ("p50", "p95", "p99", "worst")


@dataclass(frozen=True, slots=True, kw_only=True)
class StageShare:
    """What a stage takes of the time it has.

    Attributes:
        stage: its name.
        p99_s: what it takes.
        budget_s: what it has: its own budget, or else that of the whole pipeline.
        share: ``p99_s / budget_s``.
        has_own_budget: whether the budget is its own.
    """

    stage: str
    p99_s: float
    budget_s: float
    share: float
    has_own_budget: bool


def stages_to_fix(
    stage_s: Mapping[str, Mapping[str, float]],
    *,
    budgets_s: Mapping[str, float],
    whole_budget_s: float,
) -> list[StageShare]:
    """Stages in order of p99 as a share of their budget, the one to fix first.

    Args:
        stage_s: by stage, a summary with ``p99`` in s, as in a run's report.
        budgets_s: of the stages that have one.
        whole_budget_s: what stages without one are held against.

    >>> found = stages_to_fix({"detect": {"p99": 0.02}, "track": {"p99": 0.03}},
    ...                       budgets_s={"detect": 0.025}, whole_budget_s=0.1)
    >>> [(one.stage, round(one.share, 3)) for one in found]
    [('detect', 0.8), ('track', 0.3)]
    """
    found = [
        StageShare(
            stage=stage,
            p99_s=seconds["p99"],
            budget_s=budgets_s.get(stage, whole_budget_s),
            share=seconds["p99"] / budgets_s.get(stage, whole_budget_s),
            has_own_budget=stage in budgets_s,
        )
        for stage, seconds in stage_s.items()
        if "p99" in seconds
    ]
    return sorted(found, key=lambda one: (-one.share, one.stage))


def profile(
    run: Run,
    as_json: Json = False,
) -> None:
    """Show which stage of a run takes the greatest share of its time budget: fix that one first."""
    found = read_profile(open_run(run))
    if as_json:
        print_json(found)
        return
    console = Terminal()
    for stage in found["stages"]:
        times = ", ".join(f"{name} {stage[f'{name}_s'] * 1e3:9.3f} ms" for name in _PERCENTILES)
        whose = "its budget" if stage["has_own_budget"] else "the whole budget"
        console.print(
            f"{stage['stage']:16} {times}  p99 is {stage['share']:.1%} of {whose}, "
            f"{stage['budget_s'] * 1e3:g} ms; {stage['missed']} missed"
        )
    console.print(f"fix first        {found['fix_first']}")


def read_profile(run: RunDirectory) -> dict[str, Any]:
    """What each stage took per frame (or tick), by the measurements in the log of ``run``.

    Returns:
        ``stages``, the one to fix first at the head: ``stage``, ``p50_s`` to ``worst_s``,
        ``budget_s``, ``share`` of p99 in it, ``missed`` deadlines; and ``fix_first``.

    Raises:
        LogError: the log holds no times of stages.
    """
    recorders: dict[str, LatencyRecorder] = {}
    missed: dict[str, int] = {}
    kinds = {EntryKind.MEASUREMENT, EntryKind.DEADLINE_MISSED}
    for partition in run.partitions:
        for entry in read_entries(run.storage, partition, kinds=kinds, skip_pruned=True):
            if entry.kind is EntryKind.DEADLINE_MISSED:
                missed[entry.name] = missed.get(entry.name, 0) + 1
                continue
            for stage, took_s in json.loads(entry.payload).get("stage_s", ()):
                recorders.setdefault(stage, LatencyRecorder()).record(float(took_s))
    if not recorders:
        raise LogError(
            expected="measurements with the times of stages",
            got="none",
            where=str(run.path),
            action="profile a run that was made by this version and has fed a frame or tick",
        )
    stage_s = {stage: recorder.summary() for stage, recorder in recorders.items()}
    ranked = stages_to_fix(
        stage_s,
        budgets_s=run.plan.budgets_s(),
        whole_budget_s=run.plan.pipeline.latency_budget_s,
    )
    return {
        "run": str(run.path),
        "fix_first": ranked[0].stage,
        "stages": [
            {
                "stage": one.stage,
                "count": int(stage_s[one.stage]["count"]),
                **{f"{name}_s": round(stage_s[one.stage][name], 6) for name in _PERCENTILES},
                "budget_s": one.budget_s,
                "has_own_budget": one.has_own_budget,
                "share": round(one.share, 4),
                "missed": missed.get(one.stage, 0),
            }
            for one in ranked
        ],
    }
