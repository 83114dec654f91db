"""``sightline parts``: what is known of each part of a run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sightline.cli.console import Json, Terminal, print_json
from sightline.cli.output_files import check_outputs
from sightline.cli.runs import Plugins, Run, open_run
from sightline.errors import UsageError
from sightline.evidence.part_account import part_lines
from sightline.evidence.parts_account import (
    find_parts,
    known_parts,
    parts_frame,
    parts_sums,
    sum_rows,
)
from sightline.evidence.tables import for_spreadsheets

_WRITES = (".csv", ".parquet")


def parts(
    path: Run,
    serial: Annotated[
        str | None, typer.Argument(metavar="[SERIAL]", help="Serial number or id of a part.")
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option("-o", "--out", help="Write all parts as a table, X.csv or X.parquet."),
    ] = None,
    plugins: Plugins = None,
    as_json: Json = False,
) -> None:
    """Show what was seen, measured and decided of each part, by which versions, who reviewed it.

    With a serial number everything known of that part, otherwise a summary of all parts.
    """
    check_outputs({"-o": out}, inputs=[path])
    if out is not None and out.suffix.lower() not in _WRITES:
        raise UsageError(
            expected=f"a name that ends in {' or '.join(_WRITES)}",
            got=out.name,
            where="-o",
            action="choose another name",
        )
    run = open_run(path, plugins=plugins)
    notes = run.parts()
    known = known_parts(notes)
    if serial is not None:
        known = find_parts(known, serial, where=str(path))
    if out is not None:
        table = parts_frame(known)
        if out.suffix.lower() == ".csv":
            for_spreadsheets(table).write_csv(out)
        else:
            table.write_parquet(out)
    console = Terminal()
    if serial is not None:
        if as_json:
            print_json([part.as_mapping() for part in known])
            return
        for part in known:
            for line in part_lines(part):
                console.print(line)
    elif as_json:
        print_json(parts_sums(notes, run))
    else:
        for name, text in sum_rows(parts_sums(notes, run)):
            console.print(f"{name:12} {text}")
    if out is not None:
        console.print(f"table        {out}")
