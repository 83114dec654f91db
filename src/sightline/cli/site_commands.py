"""``sightline run`` for a site pipeline: cameras in, commands to machines out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from rich.console import Console

from sightline.cli.console import print_json, progress_display, stop_on_signal
from sightline.cli.demo_command import metrics_server
from sightline.cli.site_sources import is_live_location, open_cameras, parse_actuators
from sightline.cli.sources import parse_sinks, parse_speed
from sightline.runtime.frames.site_detectors import site_detectors
from sightline.runtime.frames.site_plan import load_site_plan
from sightline.runtime.frames.site_report import SiteReport
from sightline.runtime.frames.site_run import SiteOptions, run_site


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
    metrics_port: int | None,
    as_json: bool,
) -> None:
    """Run a site pipeline and print what it came to."""
    plan = load_site_plan(pipeline)
    cameras = open_cameras(plan, source)
    is_live = any(is_live_location(item.partition("=")[2]) for item in source)
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
            actuators=parse_actuators(plan, actuator),
            sinks=parse_sinks(alerts),
            metrics=metrics,
            on_progress=on_progress,
            is_stopped=is_stopped,
        )
    show_site_report(report, as_json=as_json)


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
    for machine, counts in report.actuators.items():
        console.print(f"actuator {machine:8} {_counts(counts)}")
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
