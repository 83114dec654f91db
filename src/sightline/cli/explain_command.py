"""``sightline explain``: why something was decided, on rows and on pictures alike."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sightline.cli.console import Json, Terminal, counting_display, print_json
from sightline.cli.decisions_command import list_decisions
from sightline.cli.runs import Run, entries_of, open_run
from sightline.errors import UsageError
from sightline.evidence.account import explain
from sightline.evidence.account_drawing import draw_terminal
from sightline.evidence.account_picture import ENDINGS, draw_account
from sightline.evidence.account_text import account_lines
from sightline.evidence.report import write_account_page

_LISTED = 40


def explain_command(
    path: Run,
    said_id: Annotated[
        str | None,
        typer.Argument(
            metavar="ID",
            help="Id of a decision, or its beginning; also of a command to a machine, "
            "ID:REVISION. Without it: the newest decisions.",
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "-o", "--out", "--svg", help="Write the picture, .svg or .png, or a page, .html."
        ),
    ] = None,
    quick: Annotated[
        bool,
        typer.Option(
            "--quick",
            help="Do not search for the least change without which it would not have been raised.",
        ),
    ] = False,
    as_json: Json = False,
) -> None:
    """Why something was decided: reasons, what led to it, what else happened, what came of it."""
    run = open_run(path)
    if out is not None and (said_id is None or out.suffix.lower() not in ENDINGS):
        raise UsageError(
            expected=f"an id, and a name that ends in {', '.join(ENDINGS[:-1])} or {ENDINGS[-1]}",
            got="no id" if said_id is None else out.name,
            where="-o",
            action="mend the options",
        )
    if said_id is None:
        said = run.decisions()
        if as_json:
            newest = [decision.as_mapping() for decision in said[-_LISTED:]]
            print_json({"decisions": len(said), "newest": newest})
        else:
            list_decisions(run, said, last=_LISTED, of=len(said))
        return
    with counting_display("explain", is_quiet=as_json, entries=entries_of(run)) as on_progress:
        facts = explain(run, said_id, is_quick=quick, on_progress=on_progress)
    has_picture = True
    if out is not None and out.suffix.lower() == ".html":
        write_account_page(run, facts, out)
    elif out is not None:
        has_picture = draw_account(run, facts, out).has_picture
    if as_json:
        plain = facts.as_mapping()
        if out is not None:
            plain["picture"] = {"path": str(out), "from_log": has_picture}
        print_json(plain)
        return
    console = Terminal()
    for line in account_lines(facts):
        console.print(line, markup=False)
    # What rests on the days of many keys has no row of its own to draw.
    if facts.rows is not None and (facts.rows.shown.rows or facts.rows.shown.note):
        console.print()
        for line in draw_terminal(facts).split("\n"):
            console.print(line, markup=False)
    if out is not None:
        kept = "" if has_picture else " (the log kept no picture of it: without)"
        console.print()
        console.print(f"picture  {out}{kept}", markup=False)
