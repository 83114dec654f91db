"""``sightline bench safety``: does the stop come in time, and only when it must."""

from __future__ import annotations

from typing import Annotated

import typer

from sightline.apps.site_safety.evaluation import EVALUATION_SEEDS, evaluate_safety
from sightline.cli.console import print_json


def safety(
    runs: Annotated[int, typer.Option(min=1, help="Simulated scenes of each kind.")] = 1000,
    first_seed: Annotated[
        int, typer.Option(min=0, help="Below 100,000 are the seeds that settings are chosen by.")
    ] = EVALUATION_SEEDS.start,
    workers: Annotated[int, typer.Option(min=1, max=64, help="Processes.")] = 1,
    as_json: Annotated[
        bool, typer.Option("--json", help="One JSON document on standard output.")
    ] = False,
) -> None:
    """People before a moving vehicle, simulated: stops in time, and stops for nothing."""
    result = evaluate_safety(
        runs=runs,
        first_seed=first_seed,
        workers=workers,
        progress=lambda message: typer.echo(message, err=True),
    )
    if as_json:
        print_json(result)
    else:
        for line in _lines(result):
            typer.echo(line)


def register(app: typer.Typer) -> None:
    """Add ``safety`` to the commands of ``sightline bench``."""
    app.command()(safety)


def _lines(plain: object, prefix: str = "") -> list[str]:
    if isinstance(plain, dict):
        return [line for key, value in plain.items() for line in _lines(value, f"{prefix}{key}.")]
    return [f"{prefix.rstrip('.'):40} {plain}"]
