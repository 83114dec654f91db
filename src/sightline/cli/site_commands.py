"""``sightline run`` for a site pipeline: cameras in, commands to machines out."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import typer
import yaml
from rich.console import Console

from sightline.cli.console import print_json, progress_display, stop_on_signal
from sightline.cli.demo_command import metrics_server
from sightline.cli.outlets import parse_actuators, parse_alerts
from sightline.cli.site_sources import (
    follow_controls,
    open_cameras,
)
from sightline.cli.sources import parse_speed
from sightline.errors import UsageError
from sightline.records.decision import decisions_digest
from sightline.runtime import RunDirectory, replay_run
from sightline.runtime.pictures.rerun import detected_anew
from sightline.runtime.engine.answerers import site_detectors
from sightline.runtime.frames.site_plan import load_site_plan
from sightline.runtime.frames.site_report import SiteReport
from sightline.runtime.frames.site_run import SiteOptions, run_site
from sightline.runtime.engine.steady_clock import steady_clock
from sightline.runtime.run_options import RunClocks

_SHOWN_DIFFERENCES = 10


def is_site_file(path: Path) -> bool:
    """Whether a pipeline file is one of a site; whatever cannot be read is not."""
    try:
        plain = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError):
        return False
    return isinstance(plain, dict) and plain.get("use") == "site"


def run_site_file(
    pipeline: Path,
    out: Path,
    *,
    source: Sequence[str],
    speed: str,
    resume: bool,
    actuator: Sequence[str],
    alerts: Sequence[str],
    control: Sequence[Path],
    metrics_port: int | None,
    as_json: bool,
) -> None:
    """Run a site pipeline and print what it came to."""
    plan = load_site_plan(pipeline)
    if len(control) > 1:
        raise UsageError(
            expected="one file of operator inputs for a site",
            got=str(len(control)),
            where="--control",
            action="join them",
        )
    wall_ns = steady_clock(time.time_ns, time.monotonic)
    cameras = open_cameras(plan, source, wall_ns=wall_ns)
    is_live = any(not camera.durable for camera in cameras.values())
    with (
        stop_on_signal(is_armed=True) as is_stopped,
        metrics_server(metrics_port) as metrics,
        progress_display(plan.pipeline.pipeline, is_quiet=as_json) as on_progress,
    ):
        report = run_site(
            plan,
            cameras,
            out,
            detectors=site_detectors(plan),
            options=SiteOptions(
                speed=None if is_live else parse_speed(speed), is_live=is_live, resume=resume
            ),
            actuators=parse_actuators(plan.machines, actuator, pipeline=plan.pipeline.pipeline),
            controls=follow_controls(control[0] if control else None),
            clocks=RunClocks(wall_ns=wall_ns),
            sinks=parse_alerts(alerts),
            metrics=metrics,
            on_progress=on_progress,
            is_stopped=is_stopped,
        )
    show_site_report(report, as_json=as_json)


def replay_site(
    run: RunDirectory, *, rerun_models: bool, against: Path | None, as_json: bool
) -> None:
    """Replay a run of cameras; leaves with 1 if anything differs.

    Args:
        run: the run.
        rerun_models: ask its detectors again about the pictures in its log.
        against: another run, whose decisions must be the same.
        as_json: print one JSON document.
    """
    verdict = replay_run(run)
    changed = list(detected_anew(run, site_detectors(run.site))) if rerun_models else []
    other = decisions_digest(RunDirectory.open(against).decisions()) if against else None
    is_same = other is None or other == verdict.digest
    if as_json:
        print_json(
            {
                "identical": bool(verdict),
                "decisions": verdict.decisions,
                "entries": verdict.entries,
                "digest": verdict.digest,
                "difference": str(verdict.difference) if verdict.difference else None,
                "detectors_differ": [text for _, text in changed] if rerun_models else None,
                "against": None if other is None else {"equivalent": is_same, "digest": other},
            }
        )
    else:
        console = Console(highlight=False, soft_wrap=True)
        if verdict:
            console.print(
                f"replay: {verdict.decisions} decisions from {verdict.entries} entries, "
                f"[green]every one the same bytes[/green]\n  digest {verdict.digest}"
            )
        else:
            console.print(f"[red]replay differs[/red]\n{verdict.difference}")
        if rerun_models and not changed:
            console.print("detectors: run again, [green]every answer the same[/green]")
        for sequence, text in changed[:_SHOWN_DIFFERENCES]:
            console.print(f"[red]detectors differ[/red] log sequence {sequence}, {text}")
        if len(changed) > _SHOWN_DIFFERENCES:
            console.print(f"… and {len(changed) - _SHOWN_DIFFERENCES} more")
        if not is_same:
            console.print(f"[red]the other run decided otherwise[/red]: {other}")
    raise typer.Exit(0 if verdict and not changed and is_same else 1)


def show_site_report(report: SiteReport, *, as_json: bool) -> None:
    """Print what a run of a site came to."""
    if as_json:
        print_json(report.as_mapping())
        return
    console = Console(highlight=False, soft_wrap=True)
    console.print(f"pipeline          {report.pipeline}")
    console.print(f"speed             {report.frames_per_s:,.1f} frames/s, {report.wall_s:.1f} s")
    console.print(f"frames            {report.accounts.equation()}")
    console.print(f"capture→command   {_latency(report.latency_s)}")
    if report.age_s.get("count"):
        console.print(f"age when taken    {_latency(report.age_s)}")
    for stage, seconds in report.stage_s.items():
        console.print(f"  {stage:15} {_latency(seconds)}")
    for what, counts in (
        ("missed deadlines", report.deadline_missed),
        ("fallbacks", report.fallbacks),
        ("commands", report.commands),
        ("decisions", report.decisions),
    ):
        console.print(f"{what:17} {_counts(counts)}")
    for machine, sending in report.actuators.items():
        console.print(f"actuator {machine:8} {_counts(sending)}", markup=False)
    if report.refused_controls:
        console.print(f"operator inputs   {report.refused_controls} refused: they are none")
    if report.undelivered:
        console.print(f"[red]undelivered       {report.undelivered} alerts[/red]")
    if report.recovery:
        console.print(f"recovered         {report.recovery}")
    console.print(f"digest            {report.digest}")
    console.print(f"\nreplay   sightline replay {report.path}")
    console.print(f"verify   sightline verify {report.path}")


def _latency(seconds: Mapping[str, float]) -> str:
    if not seconds.get("count"):
        return "nothing measured"
    parts = [f"{name} {seconds[name] * 1e3:8.2f} ms" for name in ("p50", "p95", "p99", "worst")]
    return ", ".join(parts) + f"  ({int(seconds['count']):,})"


def _counts(counts: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {count}" for name, count in counts.items()) or "none"
