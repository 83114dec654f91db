"""``sightline lab …``: what is for trying Sightline out, and not for running it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sightline.cli.console import Terminal, working

simulate = typer.Typer(help="Write simulated recordings.", no_args_is_help=True)


@simulate.callback()
def _simulate() -> None:
    """Write simulated recordings."""


@simulate.command("fleet")
def simulate_fleet(
    out: Annotated[Path, typer.Argument(metavar="OUT", help="Folder to write.")],
    satellites: Annotated[int, typer.Option(min=1, max=100_000, help="Satellites.")] = 8,
    days: Annotated[float, typer.Option(min=0.01, max=3650, help="Days of telemetry.")] = 10,
    seed: Annotated[int, typer.Option(min=0, help="Seed of every random draw.")] = 0,
    period_s: Annotated[float, typer.Option(help="Seconds between packets.")] = 10,
    channels: Annotated[int, typer.Option(min=1, max=512, help="Channels.")] = 8,
    faults_per_day: Annotated[
        float, typer.Option(min=0, max=100, help="Mean number of faults of a satellite and day.")
    ] = 0.2,
) -> None:
    """A fleet with faults, in the form that `sightline lab evaluate fleet` reads."""
    from sightline.apps.gateway.telemetry_scene import (  # noqa: PLC0415 - help waits not
        TelemetryScene,
        write_recorded_fleet,
    )

    scene = TelemetryScene(
        seed=seed,
        n_satellites=satellites,
        duration_s=days * 86_400,
        period_s=period_s,
        n_channels=channels,
        faults_per_satellite_day=faults_per_day,
    )
    with working("fleet"):
        rows = write_recorded_fleet(scene, out)
    Terminal().print(f"{out}: {satellites} satellites, {days:g} days, {rows} packets")


@simulate.command("line")
def simulate_line(
    out: Annotated[Path, typer.Argument(metavar="OUT", help="Folder to write.")],
    parts: Annotated[int, typer.Option(min=1, max=100_000, help="Parts on the belt.")] = 200,
    seed: Annotated[int, typer.Option(min=0, help="Seed of every random draw.")] = 0,
    defects: Annotated[
        float, typer.Option(min=0, max=1, help="Share of parts with a defect.")
    ] = 0.05,
    training: Annotated[
        int, typer.Option(min=20, max=10_000, help="Good pictures to train from.")
    ] = 80,
) -> None:
    """Parts on a belt with three cameras, in the form that `sightline run` reads."""
    from sightline.apps.inspection import (  # noqa: PLC0415 - help waits not
        LineFaults,
        LineScene,
        write_line,
    )

    scene = LineScene(parts=parts, seed=seed, faults=LineFaults(defects=defects))
    with working("line"):
        pictures = write_line(scene, out, training=training)
    Terminal().print(f"{out}: {parts} parts, {pictures} pictures, {scene.rows.height} rows")
