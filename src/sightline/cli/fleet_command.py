"""``sightline lab evaluate fleet``: a recorded fleet, watched as it goes, and scored."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sightline.cli.console import Terminal, print_json, working
from sightline.evidence.fleet_evaluation import (
    read_fleet,
    summary_lines,
    watch_fleet,
    write_predictions,
)
from sightline.perceive.normal.satellite_watch import FALSE_ALERTS_PER_DAY, LEARN_DAYS


def register(evaluate: typer.Typer) -> None:
    """Add the fleet to the commands of ``sightline lab evaluate``."""
    evaluate.command("fleet")(_fleet)


def _fleet(
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
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document.")] = False,
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
