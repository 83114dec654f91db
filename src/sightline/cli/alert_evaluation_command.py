"""``sightline evaluate alerts``: false alerts, misses and delays of the fleet detector."""

from __future__ import annotations

import os
import time
from typing import Annotated

import typer
from rich.console import Console

from sightline.apps.gateway.alert_report import AlertTrialPlan, alert_report, report_lines
from sightline.cli.console import print_json

_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


def register(evaluate: typer.Typer) -> None:
    """Add ``alerts`` to the commands of ``sightline evaluate``."""
    evaluate.command("alerts")(evaluate_alerts)


def evaluate_alerts(
    satellite_days: Annotated[
        int, typer.Option(min=0, help="Clean satellite-days at 0.1 Hz to count false alerts on.")
    ] = 10_000,
    calibration_days: Annotated[
        int, typer.Option(min=0, help="Satellite-days of another fleet, for thresholds; 0.1 Hz.")
    ] = 1_200,
    fast_calibration_days: Annotated[
        int, typer.Option(min=0, help="The same at 1 Hz; 0: nothing at 1 Hz.")
    ] = 320,
    fault_days: Annotated[
        int, typer.Option(min=0, help="Satellite-days with faults at 0.1 Hz.")
    ] = 200,
    fast_fault_days: Annotated[
        int, typer.Option(min=0, help="Satellite-days with faults at 1 Hz.")
    ] = 400,
    workers: Annotated[int, typer.Option(min=1, max=64, help="Processes.")] = 2,
    as_json: Annotated[
        bool, typer.Option("--json", help="One JSON document on standard output.")
    ] = False,
) -> None:
    """Try the fleet detector on the hard simulator: false alerts, misses, delays, a verdict.

    Thresholds come from one fleet, false alerts and misses from two others.
    """
    for name in _THREADS:  # each process is one thread: they would fight over the cores
        os.environ.setdefault(name, "1")
    plan = AlertTrialPlan(
        satellite_days=satellite_days,
        calibration_days=calibration_days,
        fast_calibration_days=fast_calibration_days,
        fault_days=fault_days,
        fast_fault_days=fast_fault_days,
        workers=workers,
    )
    report = alert_report(plan, clock_s=time.monotonic)
    if as_json:
        print_json(report)
        return
    console = Console(highlight=False, soft_wrap=True)
    for line in report_lines(report):
        console.print(line, markup=False)
