"""``sightline bench``: speed as ratios, with the losing numbers too."""

from __future__ import annotations

from typing import Annotated

import typer

from sightline.bench.detector import bench_detector
from sightline.bench.pipeline import bench_pipeline
from sightline.bench.tracker import bench_tracker
from sightline.bench.windows import bench_windows
from sightline.cli import safety_commands
from sightline.cli.console import print_json

app = typer.Typer(help="Measure speed.", no_args_is_help=True)

safety_commands.register(app)

Json = Annotated[bool, typer.Option("--json", help="One JSON document on standard output.")]


@app.command()
def windows(
    peers: Annotated[bool, typer.Option("--peers", help="Also time other stream engines.")] = False,
    as_json: Json = False,
) -> None:
    """Dedupe, 5-minute windows, count, mean and p95 for 10,000 keys on one core."""
    _show(bench_windows(peers=peers, progress=_say), as_json=as_json)


@app.command()
def pipeline(
    as_json: Json = False,
    rows: Annotated[int, typer.Option(min=10_000, help="Rows of telemetry.")] = 6_000_000,
) -> None:
    """The whole pipeline from contract to ledger on one core."""
    _show(bench_pipeline(rows=rows), as_json=as_json)


@app.command()
def tracker(
    peers: Annotated[bool, typer.Option("--peers", help="Also time ByteTrack.")] = False,
    as_json: Json = False,
) -> None:
    """Updates of the tracker with 50 and 200 objects in sight, on one core."""
    _show(bench_tracker(peers=peers, progress=_say), as_json=as_json)


@app.command()
def detector(
    as_json: Json = False,
    samples: Annotated[int, typer.Option(min=10_000, help="Of the series.")] = 300_000,
) -> None:
    """Samples per second through features, memory and threshold, on one core."""
    _show(bench_detector(samples=samples), as_json=as_json)


def _say(message: str) -> None:
    typer.echo(message, err=True)


def _show(result: dict[str, object], *, as_json: bool) -> None:
    if as_json:
        print_json(result)
        return
    for name, value in _flat(result):
        typer.echo(f"{name:48} {value}")


def _flat(plain: object, prefix: str = "") -> list[tuple[str, object]]:
    if isinstance(plain, dict):
        return [item for key, value in plain.items() for item in _flat(value, f"{prefix}{key}.")]
    if isinstance(plain, list) and any(isinstance(item, dict) for item in plain):
        return [
            item for place, value in enumerate(plain) for item in _flat(value, f"{prefix}{place}.")
        ]
    return [(prefix.rstrip("."), plain)]
