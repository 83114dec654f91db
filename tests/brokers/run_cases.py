"""A pipeline over telemetry from a broker, its rows, and what an undisturbed run decides."""

from __future__ import annotations

import io
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import polars as pl

from brokers.servers import Case, consumer_of
from sightline.brokers.link import ARROW
from sightline.runtime import RunOptions, RunReport, load_plan, run_pipeline
from sightline.runtime.plan import Plan
from sightline.runtime.run_options import Progress
from sightline.sense import Source, open_source
from sightline.sense.source import MemorySource

CONTRACT = """
contract: telemetry
key: [satellite]
event_time: {column: time, format: unix_s}
fields: {bus_voltage_v: {type: number, unit: V}}
timing: {out_of_order_s: 5, revision_allowance_s: 3600, max_backlog_s: 315360000}
"""
PIPELINE = """
pipeline: gateway
partitions: 3
tick_s: 1
sources: {telemetry: {contract: telemetry.contract.yaml}}
stages:
  minutes: {use: windows, input: telemetry, width_s: 60, statistics: [mean]}
  wide: {use: alarm, input: minutes, measure: bus_voltage_v.mean, unit: V, raise_above: 20,
         code: WIDE}
"""


def rows(seconds: int, *, satellites: int = 9) -> pl.DataFrame:
    """One row a second of each satellite; each has its high minutes, but for the last three.

    A live run that is stopped has its newest windows open: nothing is to be decided of them.
    """
    t = np.repeat(np.arange(seconds), satellites)
    k = np.tile(np.arange(satellites), seconds)
    high = ((t // 60 + k) % 5 == 0) & (t < seconds - 180)
    return pl.DataFrame(
        {
            "time": t + 1_767_225_600.0,
            "satellite": [f"s{i}" for i in k],
            "bus_voltage_v": np.where(high, 30.0, 10.0),
        }
    )


def written_plan(folder: Path) -> Plan:
    (folder / "telemetry.contract.yaml").write_text(CONTRACT)
    (folder / "gateway.yaml").write_text(PIPELINE)
    return load_plan(folder / "gateway.yaml")


def arrow_bodies(frame: pl.DataFrame, rows_each: int) -> list[bytes]:
    found = []
    for part in frame.iter_slices(rows_each):
        buffer = io.BytesIO()
        part.write_ipc_stream(buffer)
        found.append(buffer.getvalue())
    return found


def publish_rows(broker: Case, address: str, frame: pl.DataFrame, *, rows_each: int = 250) -> None:
    broker.publish(address, arrow_bodies(frame, rows_each), content_type=ARROW)


def final_digest_of(plan: Plan, frame: pl.DataFrame, out: Path) -> str:
    """What a run over the same rows in memory decides."""
    report = run_pipeline(plan, {"telemetry": MemorySource("telemetry", {"m": frame})}, out)
    assert report.decisions
    return report.final_digest


def broker_source(plan: Plan, address: str, *, is_live: bool) -> Source:
    return open_source(
        "telemetry",
        address,
        plan.contracts["telemetry"],
        is_live=is_live,
        options={"consumer": consumer_of(address)},
    )


def live_run(
    plan: Plan,
    address: str,
    out: Path,
    *,
    until_rows: int,
    options: RunOptions = RunOptions(is_live=True),
    is_stopped: Callable[[], bool] = lambda: False,
) -> RunReport:
    """A live run that is stopped once it, with what was there before, has so many rows."""
    seen = threading.Event()
    quiet = 0

    def progressed(progress: Progress) -> None:
        nonlocal quiet
        if quiet or rows_of(out) >= until_rows:
            quiet += 1
        if quiet > 2:  # the ticks after the last row
            seen.set()

    deadline = time.monotonic() + 60
    return run_pipeline(
        plan,
        {"telemetry": broker_source(plan, address, is_live=True)},
        out,
        options=options,
        on_progress=progressed,
        is_stopped=lambda: seen.is_set() or is_stopped() or time.monotonic() > deadline,
    )


def rows_of(out: Path) -> int:
    """Rows that the logs of a run account for."""
    from sightline.runtime.run_directory import RunDirectory

    return sum(a.received for a in RunDirectory.open(out, has_logs=False).accounts().values())


def command(*arguments: str) -> Sequence[str]:
    import sys

    return [sys.executable, "-c", "from sightline.cli import main; main()", *arguments]
