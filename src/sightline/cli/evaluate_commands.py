"""``sightline lab evaluate …``: every comparison with the truth, under one name."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sightline.cli import inspection_commands
from sightline.cli.bench_command import published
from sightline.cli.console import Json, Terminal, print_json, working
from sightline.cli.main import PASSES_OPTIONS_ON
from sightline.cli.runs import open_run
from sightline.errors import UsageError
from sightline.evidence.fleet_evaluation import (
    read_fleet,
    summary_lines,
    watch_fleet,
    write_predictions,
)
from sightline.evidence.site_scores import camera_of, score_site
from sightline.evidence.tracking import ScoringRules, score_tracks
from sightline.evidence.tracking.overlaps import chosen_frames, left_out_notes
from sightline.perceive.normal.satellite_watch import FALSE_ALERTS_PER_DAY, LEARN_DAYS
from sightline.sense.frames.mot_files import MotTable, read_tracks, read_truth

app = typer.Typer(help="Compare results with the truth.", no_args_is_help=True)

Frames = Annotated[
    str | None,
    typer.Option(metavar="FIRST:LAST", help="Frames to score, from 1, both included."),
]


@app.command("mot")
def evaluate_mot(
    truth: Annotated[Path, typer.Option(help="Truth in MOTChallenge form.")],
    tracks: Annotated[Path, typer.Option(help="Tracks in MOTChallenge form.")],
    frames: Frames = None,
    min_iou: Annotated[
        float, typer.Option(help="Least overlap of a match in CLEAR MOT and ID measures.")
    ] = 0.5,
    benchmark: Annotated[
        str | None,
        typer.Option(help="mot15 (no classes), mot16, mot17 or mot20; by the truth's columns."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Score tracks: HOTA, CLEAR MOT and ID measures."""
    true, followed = read_truth(truth), read_tracks(tracks)
    rules = ScoringRules.named(benchmark) if benchmark else ScoringRules.fitting(true)
    span = _frame_range(frames)
    score = score_tracks(true, followed, rules=rules, frames=span, min_iou=min_iou)
    notes = left_out_notes(chosen_frames(true, span), rules)
    notes += _coverage_notes(true, followed) if span is None else []
    result = {
        **score.as_mapping(),
        "truth_file": str(truth),
        "tracks_file": str(tracks),
        "first_frame": span[0] if span else 1,
        "last_frame": span[1] if span else score.frames,
        "min_iou": min_iou,
        "rules": rules.name,
        "notes": notes,
    }
    if as_json:
        print_json(result)
        return
    console = Terminal()
    for name, value in result.items():
        if isinstance(value, list):
            continue
        number = f"{value:.4f}" if isinstance(value, float) else value
        shown = "undefined" if value is None else number
        console.print(f"{name:16} {shown}", markup=False)
    for note in notes:
        console.print(f"note: {note}", markup=False)


@app.command("site")
def evaluate_site(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Folder of a run of cameras.")],
    camera: Annotated[str, typer.Option(help="Camera of the pipeline.")],
    truth: Annotated[Path, typer.Option(help="Truth in MOTChallenge form.")],
    truth_width: Annotated[
        int | None, typer.Option(min=1, help="Width in px of the pictures the truth was made for.")
    ] = None,
    frames: Frames = None,
    as_json: Json = False,
) -> None:
    """Score a run of cameras from its log: HOTA, MOTA, IDF1, and position error in metres."""
    directory = open_run(run)
    width_px = camera_of(directory, camera).contract.width_px
    score = score_site(
        directory,
        camera,
        read_truth(truth),
        frames=_frame_range(frames),
        truth_scale=1.0 if truth_width is None else width_px / truth_width,
    )
    plain = score.as_mapping()
    if as_json:
        print_json(plain)
        return
    console = Terminal()
    for name, value in plain.items():
        if isinstance(value, dict):
            text = ", ".join(f"{k} {v:.3f}" for k, v in value.items())
        elif isinstance(value, float):
            text = f"{value:.4f}"
        else:
            text = "unknown" if value is None else str(value)
        if not isinstance(value, list):
            console.print(f"{name:16} {text}", markup=False)


@app.command("fleet")
def evaluate_fleet(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder of the recorded fleet.")],
    learn_days: Annotated[
        int, typer.Option(min=3, help="Days of each satellite to learn from before judging.")
    ] = LEARN_DAYS,
    budget: Annotated[
        float, typer.Option(min=1e-6, max=10, help="False alerts per satellite-day to aim at.")
    ] = FALSE_ALERTS_PER_DAY,
    predictions: Annotated[
        Path | None,
        typer.Option("--predictions", metavar="OUT.csv", help="Write what was told."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Learn what each channel should read, and report what differs while the recording goes on.

    DIR has telemetry.parquet (satellite, time_ns, sequence, one column for each channel), and if
    there are any commands.parquet (satellite, time_ns, command, value) and faults.csv (satellite,
    channel, kind, start_ns, end_ns), which is for the score alone. Predictions: satellite, channel,
    start_ns, end_ns, told_ns, score, reason.
    """
    fleet = read_fleet(folder)
    with working("fleet", is_quiet=as_json):
        result = watch_fleet(fleet, learn_days=learn_days, budget=budget)
    if predictions is not None:
        write_predictions(result, predictions)
    plain = result.as_mapping()
    if as_json:
        print_json(plain)
        return
    console = Terminal()
    for line in summary_lines(plain):
        console.print(line, markup=False)


def _frame_range(text: str | None) -> tuple[int, int] | None:
    """``FIRST:LAST`` as two frame numbers; None for None."""
    if text is None:
        return None
    first, colon, last = text.partition(":")
    if not colon or not first.strip().isdecimal() or not last.strip().isdecimal():
        raise UsageError(
            expected="FIRST:LAST, such as 1:400",
            got=text,
            where="--frames",
            action="give two frame numbers",
        )
    return int(first), int(last)


def _coverage_notes(truth: MotTable, tracks: MotTable) -> list[str]:
    if not len(truth):
        return ["the truth has no boxes: every box of a track counts as false"]
    if not len(tracks) or tracks.frame[-1] <= truth.frame[-1]:
        return []
    last = int(truth.frame[-1])
    beyond = int((tracks.frame > last).sum())
    return [
        f"truth ends at frame {last}: {beyond} boxes of tracks behind it count as false; "
        f"--frames {int(truth.frame[0])}:{last} scores the part that has truth"
    ]


inspection_commands.register(app)
for _name, _help in (
    ("nasa", "NASA SMAP or MSL, from a checkout."),
    ("nab", "Numenta's benchmark, from a checkout."),
    ("skab", "Skoltech's benchmark, from a checkout."),
    ("opssat", "ESA's OPS-SAT-AD, from a checkout."),
):
    app.command(_name, help=_help, **PASSES_OPTIONS_ON)(published)
