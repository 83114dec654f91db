"""``sightline bench safety``: does the stop come in time, and only when it must; and drawn."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sightline.apps.site_safety.evaluation import EVALUATION_SEEDS, evaluate_safety
from sightline.apps.site_safety.trial_movie import MAX_MOVIES, Kind, draw_failures, draw_trial
from sightline.cli.console import print_json


def safety(
    runs: Annotated[int, typer.Option(min=1, help="Simulated scenes of each kind.")] = 1000,
    first_seed: Annotated[
        int, typer.Option(min=0, help="Below 100,000 are the seeds that settings are chosen by.")
    ] = EVALUATION_SEEDS.start,
    workers: Annotated[int, typer.Option(min=1, max=64, help="Processes.")] = 1,
    render: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER",
            help=f"Videos of the lost and the falsely stopped runs, at most {MAX_MOVIES}.",
        ),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="One JSON document on standard output.")
    ] = False,
) -> None:
    """People before a moving vehicle, simulated: stops in time, and stops for nothing."""

    def tell(message: str) -> None:
        typer.echo(message, err=True)

    result = evaluate_safety(runs=runs, first_seed=first_seed, workers=workers, progress=tell)
    if render is not None:
        seeds = result["conflict"]["missed_seeds"], result["clear"]["false_stop_seeds"]
        paths = draw_failures(*seeds, render, progress=tell)
        result["rendered"] = [str(path) for path in paths]
    if as_json:
        print_json(result)
    else:
        for line in _lines(result):
            typer.echo(line)


def safety_trial(
    seed: Annotated[int, typer.Argument(min=0, help="Of the scene.")],
    out: Annotated[Path, typer.Option("-o", "--out", help="X.mp4, or X.png together with --at.")],
    kind: Annotated[Kind, typer.Option(help="Which of the two scenes of the seed.")],
    at: Annotated[
        float | None, typer.Option(metavar="SECONDS", help="A still, at this time of the scene.")
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="One JSON document on standard output.")
    ] = False,
) -> None:
    """One simulated run, drawn: truth, tracks, stopping way, probability and commands."""
    done = draw_trial(seed, kind, out, at_s=at)
    stops = [{"at_s": stop.time_s, "reasons": list(stop.reasons)} for stop in done.trial.stops]
    result: dict[str, object] = {
        "path": str(done.path),
        "pictures": done.pictures,
        "kind": str(kind),
        "seed": seed,
        "stops": stops,
        "hit_m_s": done.trial.hit_m_s,
    }
    if kind is Kind.CONFLICT:
        result["is_in_time"] = done.trial.is_in_time
    if as_json:
        print_json(result)
    else:
        for line in _lines(result):
            typer.echo(line)


def register(app: typer.Typer) -> None:
    """Add ``safety`` and ``safety-trial`` to the commands of ``sightline bench``."""
    app.command()(safety)
    app.command("safety-trial")(safety_trial)


def _lines(plain: object, prefix: str = "") -> list[str]:
    if isinstance(plain, dict):
        return [line for key, value in plain.items() for line in _lines(value, f"{prefix}{key}.")]
    return [f"{prefix.rstrip('.'):40} {plain}"]
