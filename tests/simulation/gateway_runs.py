"""Short runs of the gateway pipeline with `run_pipeline`, and the constellation they read."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import polars as pl

from sightline.apps.gateway import (
    Fault,
    FaultKind,
    LinkConfig,
    SceneFrames,
    simulate,
    watched_scene,
)
from sightline.records import Decision
from sightline.records.decision import final_revisions
from sightline.runtime import Plan, RunDirectory, RunOptions, RunReport, run_pipeline
from sightline.runtime.run_options import RunClocks
from sightline.sense import MemorySource
from simulation.trials import gateway_plan

FAULTS = (
    Fault(kind=FaultKind.OUTAGE, subject="north", start_s=150, end_s=230),
    Fault(kind=FaultKind.SATELLITE_SILENT, subject="sat-00002", start_s=60, end_s=130),
    Fault(
        kind=FaultKind.STUCK,
        subject="sat-00005",
        start_s=90,
        end_s=300,
        channel="bus_voltage_v",
    ),
    Fault(kind=FaultKind.PACKET_LOSS, subject="sat-00003", start_s=120, end_s=240, magnitude=0.5),
)
"""Region north goes silent; one satellite of the south alone; one sticks; one loses packets."""
REGION_NORTH = {"sat-00001", "sat-00004", "sat-00007"}
PLAN_PARTITIONS = 3


@cache
def constellation() -> SceneFrames:
    """Nine satellites in three regions for six minutes, on a link that delivers at once."""
    scene = watched_scene(seed=5, n_satellites=9, duration_s=360, link=LinkConfig.perfect())
    return simulate(replace(scene, scheduled_faults=FAULTS))


@cache
def plan() -> Plan:
    """The gateway pipeline in three partitions with a tick of 10 s."""
    return gateway_plan(partitions=PLAN_PARTITIONS, tick_s=10)


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewayRun:
    """A finished run."""

    report: RunReport
    rows: int

    @property
    def directory(self) -> RunDirectory:
        return RunDirectory.open(self.report.path)

    def final(self, kind: str) -> list[Decision]:
        """Decisions of ``kind`` that stand at the end."""
        return [d for d in final_revisions(self.directory.decisions()) if d.kind == kind]


def run_gateway(
    out: Path,
    *,
    telemetry: pl.DataFrame | None = None,
    logs: pl.DataFrame | None = None,
    with_plan: Plan | None = None,
    clocks: RunClocks = RunClocks(),
    **options: Any,
) -> GatewayRun:
    """Run the constellation, or other rows, through the pipeline; every row must be accounted."""
    telemetry = constellation().telemetry if telemetry is None else telemetry
    logs = constellation().logs if logs is None else logs
    report = run_pipeline(
        with_plan or plan(),
        {
            "telemetry": MemorySource("telemetry", {"t": telemetry}),
            "logs": MemorySource("logs", {"l": logs}),
        },
        out,
        options=RunOptions(durable=False, **options),
        clocks=clocks,
    )
    rows = telemetry.height + logs.height
    assert report.accounts.is_balanced
    assert (report.accounts.received, report.accounts.in_flight) == (rows, 0)
    return GatewayRun(report=report, rows=rows)


class FakeTime:
    """A clock that moves only when somebody sleeps."""

    def __init__(self) -> None:
        self.now_s = 1000.0
        self.slept_s = 0.0

    def clocks(self) -> RunClocks:
        return RunClocks(
            wall_ns=lambda: round(self.now_s * 1e9),
            monotonic_s=lambda: self.now_s,
            sleep_s=self._sleep,
        )

    def _sleep(self, seconds: float) -> None:
        self.slept_s += seconds
        self.now_s += seconds
