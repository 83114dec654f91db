"""``sightline demo``: the gateway application on a simulated constellation."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from sightline.act import open_outlet
from sightline.apps.gateway import (
    PIPELINE,
    Fault,
    FaultKind,
    TelemetryScene,
    simulate_with_past,
    watched_scene,
    write_frames,
)
from sightline.cli.console import Terminal, decision_line, print_json, progress_display
from sightline.cli.run_command import metrics_server, report_lines
from sightline.cli.runs import open_run
from sightline.cli.sources import expected_rows, parse_speed
from sightline.evidence import account_of_run, draw_svg, explain, write_report
from sightline.records.decision import Transition, final_revisions
from sightline.runtime import RunOptions, load_plan, make_plan, run_pipeline
from sightline.sense import open_source

_SHOWN = 14
_TICK_S = 60.0
_FALSE_ALERTS_PER_DAY = 0.5
"""That the watch may cost on each satellite: who looks on for 45 minutes wants to be told within
minutes, and a smaller budget asks for more evidence."""
_HIDDEN_SD = 60.0
"""Of the noise: some 230 rpm, inside of all that the wheel does in an orbit."""


def demo(
    out: Annotated[Path, typer.Option(help="Folder of the run.")] = Path("runs/demo"),
    speed: Annotated[str, typer.Option(help="max, or a multiple of real time.")] = "max",
    minutes: Annotated[float, typer.Option(min=5, help="Minutes of telemetry.")] = 45,
    past_days: Annotated[
        int, typer.Option(min=0, help="Quiet days before, to learn from; 4 are needed to judge.")
    ] = 4,
    satellites: Annotated[int, typer.Option(min=3, help="Satellites.")] = 14,
    seed: Annotated[int, typer.Option(help="Seed of the simulation.")] = 7,
    workers: Annotated[int, typer.Option(min=0)] = 0,
    metrics_port: Annotated[int | None, typer.Option(help="Serve /metrics on this port.")] = None,
    metrics_host: Annotated[str, typer.Option(help="Address to serve them at.")] = "127.0.0.1",
    as_json: Annotated[bool, typer.Option("--json")] = False,
) -> None:
    """Simulate a constellation with faults, run the gateway on it, and write report.html.

    One of the faults is so small that only what is expected of the channel, learnt from the days
    before, shows it: no threshold of the pipeline does.
    """
    folder = _fresh(out)
    console = Terminal()
    scene = with_hidden_fault(
        watched_scene(seed=seed, n_satellites=satellites, duration_s=minutes * 60)
    )
    frames = simulate_with_past(scene, past_days=past_days)
    write_frames(frames, folder / "input")
    plan = load_plan(PIPELINE)
    if past_days:  # days of quiet history need no tick every five seconds
        stages = dict(plan.pipeline.stages)
        stages["unexpected"] = stages["unexpected"].model_copy(
            update={"false_alerts_per_day": _FALSE_ALERTS_PER_DAY}
        )
        form = plan.pipeline.model_copy(
            update={"tick_s": _TICK_S, "partitions": 1, "stages": stages}
        )
        plan = make_plan(form, plan.contracts, where=str(PIPELINE), folder=PIPELINE.parent)
    # Satellites that are left alone get no commands: that source is optional.
    sources = {
        name: open_source(name, str(folder / "input" / f"{name}.parquet"), plan.contracts[name])
        for name in ("telemetry", "logs")
    }
    # The planned losses of contact are known to the operator, and no alarm.
    plan_of_contacts = {
        "control": "contacts",
        "source": "telemetry",
        "contacts": frames.contacts.to_dicts(),
    }
    options = RunOptions(speed=parse_speed(speed), workers=workers, controls=(plan_of_contacts,))
    alerts = open_outlet(
        f"jsonl:{folder / 'alerts.jsonl'}", name="alerts", use="alerts", where="demo"
    )
    with (
        metrics_server(metrics_port, host=metrics_host) as metrics,
        progress_display("gateway", is_quiet=as_json, total=expected_rows(sources)) as on_progress,
    ):
        report = run_pipeline(
            plan,
            sources,
            folder / "run",
            options=options,
            metrics=metrics,
            alerts=dict([alerts]),
            on_progress=on_progress,
        )
    run = open_run(folder / "run")
    found = account_of_run(run)
    page = write_report(run, found, folder / "report.html", latency_s=report.latency_s)
    standing = [d for d in final_revisions(run.decisions()) if d.transition is Transition.RAISED]
    chosen = next(
        (d for kind in ("unexpected", "unusual") for d in standing if d.kind == kind),
        standing[0] if standing else None,
    )
    if chosen is not None:
        picture = draw_svg(explain(run, chosen.decision_id))
        (folder / "alert.svg").write_text(picture, encoding="utf-8")
    if as_json:
        print_json({**report.as_mapping(), "report": str(page)})
        return
    for line in report_lines(report):
        console.print(line)
    for decision in standing[:_SHOWN]:
        console.print(decision_line(decision))
    if len(standing) > _SHOWN:
        console.print(f"… and {len(standing) - _SHOWN} more in the report")
    console.print()
    console.print(f"report   {page}", markup=False)
    if chosen is not None:
        console.print(f"explain  sightline explain {folder / 'run'} {chosen.decision_id[:8]}")
    console.print(f"replay   sightline replay {folder / 'run'}")
    console.print(f"verify   sightline verify {folder / 'run'}")


def with_hidden_fault(scene: TelemetryScene) -> TelemetryScene:
    """The scene with one fault more, on its last satellite outside the last gateway's."""
    last = len(scene.gateways) - 1
    number = max(k for k in range(scene.n_satellites) if k % len(scene.gateways) != last)
    hidden = Fault(
        kind=FaultKind.STEP,
        subject=scene.satellite_name(number),
        channel="wheel_speed_rpm",
        start_s=0.3 * scene.duration_s,
        end_s=0.9 * scene.duration_s,
        magnitude=_HIDDEN_SD,
    )
    return replace(scene, scheduled_faults=(*scene.scheduled_faults, hidden))


def _fresh(out: Path) -> Path:
    """``out``, or the first numbered neighbour that does not exist: a demo never overwrites."""
    folder, number = out, 1
    while folder.exists() and any(folder.iterdir()):
        number += 1
        folder = out.with_name(f"{out.name}-{number}")
    folder.mkdir(parents=True, exist_ok=True)
    return folder
