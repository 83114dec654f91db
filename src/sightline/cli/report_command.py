"""``sightline report``: what a run came to, from its log."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sightline.cli.console import Json, Terminal, counting_display, print_json
from sightline.cli.runs import Run, entries_of, open_run
from sightline.errors import UsageError
from sightline.evidence.report import write_report
from sightline.evidence.run_account import account_of_run
from sightline.evidence.run_sections import report_lines


def report(
    path: Run,
    out: Annotated[
        Path | None, typer.Option("-o", "--out", help="Write it as one page, X.html.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Show the result of a run from its log: counts of rows, times, missed deadlines, decisions.

    With cameras also each camera and machine, and whether the log replays; exit code 1 if not.
    """
    run = open_run(path)
    if out is not None and out.suffix.lower() != ".html":
        raise UsageError(
            expected="a name that ends in .html",
            got=out.name,
            where="-o",
            action="choose another name",
        )
    with counting_display("report", is_quiet=as_json, entries=entries_of(run)) as on_progress:
        found = account_of_run(run, on_progress=on_progress)
        if out is not None:
            write_report(run, found, out)
    if as_json:
        print_json({"run": str(run.path), **found.as_mapping()})
    else:
        console = Terminal()
        for line in [*report_lines(found), *([] if out is None else ["", f"page  {out}"])]:
            console.print(line, markup=False)
    if found.replay is not None and found.replay.difference:
        raise typer.Exit(1)
