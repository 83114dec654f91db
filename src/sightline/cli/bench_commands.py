"""``sightline bench``: speed as ratios, with the losing numbers too."""

from __future__ import annotations

from typing import Annotated

import typer

from sightline.apps.gateway.constellation_trial import bench_constellation
from sightline.bench.detector import bench_detector
from sightline.bench.detector_bank import bench_detector_bank
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


@app.command("detector-bank")
def detector_bank(
    as_json: Json = False,
    series: Annotated[int, typer.Option(min=20, help="In the bank.")] = 5000,
    rows_per_call: Annotated[int, typer.Option(min=1, help="Samples of each.")] = 5,
) -> None:
    """Samples per second of many detectors side by side, on one core."""
    _show(bench_detector_bank(series=series, rows_per_call=rows_per_call), as_json=as_json)


@app.command()
def constellation(
    as_json: Json = False,
    satellites: Annotated[int, typer.Option(min=1, max=100_000)] = 1000,
    channels: Annotated[int, typer.Option(min=1, max=512)] = 50,
    duration_s: Annotated[int, typer.Option(min=60, max=3600, help="Of event time.")] = 3600,
    workers: Annotated[int, typer.Option(min=0, max=64, help="0: one process for all.")] = 2,
    learn_windows: Annotated[int, typer.Option(min=34, max=10_000)] = 750,
    memory_size: Annotated[int, typer.Option(min=1, max=4096)] = 64,
    days: Annotated[
        int, typer.Option(min=0, max=31, help="Whole days, and memory by day, if not 0.")
    ] = 0,
    period_s: Annotated[float, typer.Option(min=1, max=60, help="Between two packets.")] = 1.0,
) -> None:
    """An hour of 1,000 satellites with 50 channels at 1 Hz: event to alert, share of stages."""
    found = bench_constellation(
        satellites=satellites,
        channels=channels,
        duration_s=duration_s,
        workers=workers,
        learn_windows=learn_windows,
        memory_size=memory_size,
        days=days,
        period_s=period_s,
    )
    _show(found, as_json=as_json)


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
