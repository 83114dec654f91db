"""``sightline lab evaluate site``: what a camera of a run followed, against truth."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sightline.cli.console import Terminal, print_json
from sightline.cli.runs import open_run
from sightline.cli.tracking_commands import frame_range
from sightline.evidence.site_scores import camera_of, score_site
from sightline.sense.frames.mot_files import read_truth


def register(evaluate: typer.Typer) -> None:
    """Add the command to ``sightline lab evaluate``."""
    evaluate.command("site")(evaluate_site)


def evaluate_site(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Folder of a run of cameras.")],
    camera: Annotated[str, typer.Option(help="Camera of the pipeline.")],
    truth: Annotated[Path, typer.Option(help="Truth in MOTChallenge form.")],
    truth_width: Annotated[
        int | None, typer.Option(min=1, help="Width in px of the pictures the truth was made for.")
    ] = None,
    frames: Annotated[
        str | None,
        typer.Option(metavar="FIRST:LAST", help="Frames to score, from 1, both included."),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="One JSON document on standard output.")
    ] = False,
) -> None:
    """Score a run of cameras from its log: HOTA, MOTA, IDF1, and position error in metres."""
    directory = open_run(run)
    width_px = camera_of(directory, camera).contract.width_px
    score = score_site(
        directory,
        camera,
        read_truth(truth),
        frames=frame_range(frames),
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
