"""``python -m benchmarks NAME``, or ``sightline bench NAME``: the commands."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from sightline.cli.console import fail, print_json
from sightline.errors import SightlineError

# Each command imports what it measures when it runs: the list of names appears at once.

app = typer.Typer(
    name="benchmarks",
    help="Measure Sightline: speed beside peers, and accuracy on simulated and recorded data.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

Json = Annotated[bool, typer.Option("--json", help="One JSON document on standard output.")]


def main() -> None:
    """Entry point; an error is printed with its parts, and its exit code is that of `sightline`."""
    try:
        app(prog_name="benchmarks")
    except SightlineError as error:
        try:
            fail(error)
        except typer.Exit as leave:
            sys.exit(leave.exit_code)


# --- speed --------------------------------------------------------------------------------------


@app.command()
def windows(
    peers: Annotated[bool, typer.Option("--peers", help="Also time other stream engines.")] = False,
    as_json: Json = False,
) -> None:
    """Dedupe, 5-minute windows, count, mean and p95 for 10,000 keys on one core."""
    from benchmarks.windows import bench_windows

    _show(bench_windows(peers=peers, progress=_say), as_json=as_json)


@app.command()
def pipeline(
    as_json: Json = False,
    rows: Annotated[int, typer.Option(min=10_000, help="Rows of telemetry.")] = 6_000_000,
) -> None:
    """The whole pipeline from contract to ledger on one core."""
    from benchmarks.pipeline import bench_pipeline

    _show(bench_pipeline(rows=rows), as_json=as_json)


@app.command()
def tracker(
    peers: Annotated[bool, typer.Option("--peers", help="Also time ByteTrack.")] = False,
    as_json: Json = False,
) -> None:
    """Updates of the tracker with 50 and 200 objects in sight, on one core."""
    from benchmarks.tracker import bench_tracker

    _show(bench_tracker(peers=peers, progress=_say), as_json=as_json)


@app.command()
def detector(
    as_json: Json = False,
    samples: Annotated[int, typer.Option(min=10_000, help="Of the series.")] = 300_000,
) -> None:
    """Samples per second through features, memory and threshold, on one core."""
    from benchmarks.detector import bench_detector

    _show(bench_detector(samples=samples), as_json=as_json)


@app.command("detector-bank")
def detector_bank(
    as_json: Json = False,
    series: Annotated[int, typer.Option(min=20, help="In the bank.")] = 5000,
    rows_per_call: Annotated[int, typer.Option(min=1, help="Samples of each.")] = 5,
) -> None:
    """Samples per second of many detectors side by side, on one core."""
    from benchmarks.detector_bank import bench_detector_bank

    _show(bench_detector_bank(series=series, rows_per_call=rows_per_call), as_json=as_json)


@app.command()
def frames(
    as_json: Json = False,
    count: Annotated[
        int, typer.Option("--frames", min=20, help="Frames for the bookkeeping.")
    ] = 2_000,
    live: Annotated[int, typer.Option(min=10, help="Frames in real time, at 15 per second.")] = 300,
) -> None:
    """What the engine costs per frame at 640 x 480, and from capture to command."""
    from benchmarks.frames import bench_frames

    _show(bench_frames(frames=count, live_frames=live, progress=_say), as_json=as_json)


@app.command()
def deadlines(
    as_json: Json = False,
    count: Annotated[
        int,
        typer.Option(
            "--frames", min=20, help="Of all cameras, in real time; 600 for a quick look."
        ),
    ] = 10_000,
    cameras: Annotated[int, typer.Option(min=1, max=16)] = 4,
    rate: Annotated[float, typer.Option(min=1.0, max=60.0, help="Frames per second each.")] = 15.0,
    seed: Annotated[int, typer.Option(min=0, help="Of the faults.")] = 1,
    own: Annotated[
        bool, typer.Option("--own", help="A detector per camera instead of one for all.")
    ] = False,
    out: Annotated[
        Path | None, typer.Option(help="Keep the run in this folder; otherwise it is removed.")
    ] = None,
) -> None:
    """Cameras in real time while the detector stalls, crashes and says NaN in 5 % of frames.

    Leaves with 1 if the replay differs, frames are lost or a fallback is not flagged.
    """
    from benchmarks.deadlines import DeadlineCase, bench_deadlines

    case = DeadlineCase(frames=count, cameras=cameras, rate_hz=rate, seed=seed, is_shared=not own)
    found = bench_deadlines(case, out=out, progress=_say)
    _show(found, as_json=as_json)
    missed = found["deadline_missed"]
    is_sound = (
        found["replay"]["identical"]
        and found["accounts"]["conserved"]
        and found["fallbacks"]["all_flagged"]
        and missed["frames_reported"] == missed["frames_logged"]
        and not missed["frames_late_by_log_stamps_not_logged"]
    )
    raise typer.Exit(0 if is_sound else 1)


# --- output -------------------------------------------------------------------------------------


def _say(message: str) -> None:
    typer.echo(message, err=True)


def _show(result: Mapping[str, Any], *, as_json: bool) -> None:
    if as_json:
        print_json(result)
        return
    for name, value in _lines(result):
        typer.echo(f"{name:58} {value}")


def _lines(plain: object, prefix: str = "") -> list[tuple[str, object]]:
    """One line per value; percentiles and lists of names share one."""
    if isinstance(plain, Mapping):
        if "p50" in plain:
            return [(prefix.rstrip("."), ", ".join(f"{k} {v:g}" for k, v in plain.items()))]
        return [line for key, one in plain.items() for line in _lines(one, f"{prefix}{key}.")]
    if isinstance(plain, list) and plain and isinstance(plain[0], Mapping):
        return [line for n, one in enumerate(plain) for line in _lines(one, f"{prefix}{n + 1}.")]
    if isinstance(plain, list):
        return [(prefix.rstrip("."), ", ".join(map(str, plain)))]
    return [(prefix.rstrip("."), plain)]


if __name__ == "__main__":
    main()
