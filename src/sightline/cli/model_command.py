"""``sightline model``: what a run has learnt its channels should read."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sightline.cli.console import Terminal, print_json
from sightline.cli.runs import open_run
from sightline.errors import UsageError, writing
from sightline.evidence.learnt_model import learnt_channels


def model(
    run: Annotated[Path, typer.Argument(help="Run directory.")],
    satellite: Annotated[str, typer.Argument(help="One key; all of them if left out.")] = "",
    channel: Annotated[str, typer.Argument(help="One channel of it.")] = "",
    picture: Annotated[
        Path | None, typer.Option("-o", help="Expected against measured, as an .svg.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json")] = False,
) -> None:
    """What was learnt of each channel: what explains it, how well, since when.

    Examples:
      sightline model RUN
      sightline model RUN sat-00004 temperature_c -o expected.svg
    """
    found = learnt_channels(open_run(run), key=satellite, field=channel)
    if picture is not None:
        if len(found) != 1 or picture.suffix != ".svg":
            raise UsageError(
                expected="one channel, and a file that ends in .svg",
                got=f"{len(found)} channels, {picture.name}",
                where="sightline model -o",
                action="name the satellite and the channel",
            )
        with writing(picture):
            picture.write_text(found[0].svg(), encoding="utf-8")
    if as_json:
        print_json([one.as_mapping() for one in found])
        return
    console = Terminal()
    for one in found:
        for line in one.lines():
            console.print(line, markup=False)
