"""``sightline evaluate prediction``: learnt in one place, tested in another."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from sightline.cli.console import print_json
from sightline.evidence.prediction import PredictionScore, cross_scores, score_lines
from sightline.evidence.prediction_scenes import (
    FUTURE_SAMPLES,
    PAST_SAMPLES,
    STEP_S,
    read_pets,
    read_scenes,
)

_RESAMPLED = (
    "--published: where a scene has a *_10fps.txt its step is taken for 0.4 s, as papers do; for "
    "ETH it is 0.67 s in truth, so these errors are larger than those of the seconds named"
)


def register(evaluate: typer.Typer) -> None:
    """Add ``prediction`` to the commands of ``sightline evaluate``."""
    evaluate.command("prediction")(evaluate_prediction)


def evaluate_prediction(
    folder: Annotated[
        Path, typer.Argument(metavar="DIR", help="Folder of scenes such as ETH and Hotel.")
    ],
    published: Annotated[
        bool,
        typer.Option("--published", help="Read the resampled file of ETH that papers report on."),
    ] = False,
    pets: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Folder of PETS 2009: test there too, learn nothing."),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="One JSON document on standard output.")
    ] = False,
) -> None:
    """Score predictions of people: displacement errors, and how often regions hold the truth.

    Each scene is predicted with constants and regions learnt on the others.
    """
    scenes = read_scenes(folder, published=published)
    elsewhere = [read_pets(pets)] if pets else []
    scores = cross_scores(scenes, elsewhere)
    notes = [_RESAMPLED] if published else []
    if as_json:
        print_json(
            {
                "folder": str(folder),
                "published": published,
                "past_samples": PAST_SAMPLES,
                "future_samples": FUTURE_SAMPLES,
                "step_s": STEP_S,
                "scores": [_as_mapping(s) for s in scores],
                "notes": notes,
            }
        )
        return
    console = Console(highlight=False, soft_wrap=True)
    for line in [*score_lines(scores), *(f"note: {note}" for note in notes)]:
        console.print(line, markup=False)


def _as_mapping(score: PredictionScore) -> dict[str, Any]:
    """Levels as ``"0.9"``, which is how JSON names numbers."""
    named = {
        name: {f"{level:g}": share for level, share in held.items()}
        for name, held in (("held", score.held), ("track_held", score.track_held))
    }
    return {**asdict(score), **named}
