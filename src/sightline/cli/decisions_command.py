"""``sightline decisions``: what a run decided, as a list or as a table in a file."""

from __future__ import annotations

import fnmatch
from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from sightline.cli.console import Json, Terminal, decision_line, print_json
from sightline.cli.runs import Run, open_run
from sightline.errors import UsageError
from sightline.evidence import decisions_frame
from sightline.evidence.said import first_frame_ns
from sightline.evidence.tables import for_spreadsheets
from sightline.records import Decision
from sightline.records.decision import (
    Mode,
    Severity,
    Transition,
    decision_order,
    final_revisions,
    still_raised,
)
from sightline.records.signals import NS_PER_S
from sightline.runtime import RunDirectory
from sightline.sense.contract import utc_ns

_WRITES = (".csv", ".parquet")


def decisions(
    path: Run,
    kind: Annotated[
        str, typer.Option(metavar="NAME", help="Of this kind; * stands for any text.")
    ] = "*",
    subject: Annotated[
        str, typer.Option(metavar="NAME", help="About this subject; * stands for any text.")
    ] = "*",
    transition: Annotated[
        Transition | None, typer.Option(help="Only what was raised, or what was cleared.")
    ] = None,
    severity: Annotated[Severity | None, typer.Option(help="Only of this severity.")] = None,
    mode: Annotated[
        Mode | None,
        typer.Option(help="Only decisions made in this mode, for example by a fallback."),
    ] = None,
    since: Annotated[
        str | None, typer.Option(metavar="TIME", help="From this event time on: 2026-01-31T12:00Z.")
    ] = None,
    until: Annotated[
        str | None, typer.Option(metavar="TIME", help="Before this event time.")
    ] = None,
    standing: Annotated[
        bool,
        typer.Option("--standing", help="Only what still stands: raised and not cleared since."),
    ] = False,
    revisions: Annotated[
        bool, typer.Option("--revisions", help="Also what late data has revised or retracted.")
    ] = False,
    last: Annotated[int, typer.Option(min=1, help="List at most so many, the newest.")] = 40,
    out: Annotated[
        Path | None,
        typer.Option("-o", "--out", help="Write all of them as a table, X.csv or X.parquet."),
    ] = None,
    as_json: Json = False,
) -> None:
    """What a run decided: list it, filter it, or write it as a table.

    For example `sightline decisions RUN --subject 'sat-7/*' --transition raised`. Why something was
    decided: `sightline explain RUN ID`.
    """
    if out is not None and out.suffix.lower() not in _WRITES:
        raise UsageError(
            expected=f"a name that ends in {' or '.join(_WRITES)}",
            got=out.name,
            where="-o",
            action="choose another name",
        )
    from_ns, before_ns = _instant("--since", since), _instant("--until", until)
    run = open_run(path)
    every = run.decisions()
    found = sorted(every, key=decision_order) if revisions else final_revisions(every)
    if standing:
        found = still_raised(found)
    found = [
        d
        for d in found
        if fnmatch.fnmatchcase(d.kind, kind)
        and fnmatch.fnmatchcase(d.subject, subject)
        and transition in (None, d.transition)
        and severity in (None, d.severity)
        and mode in (None, d.mode)
        and (from_ns is None or d.event_ns >= from_ns)
        and (before_ns is None or d.event_ns < before_ns)
    ]
    if out is not None:
        table = decisions_frame(found)
        for_spreadsheets(table).write_csv(
            out
        ) if out.suffix.lower() == ".csv" else table.write_parquet(out)
    if as_json:
        newest = [decision.as_mapping() for decision in found[-last:]]
        print_json({"decisions": len(found), "of": len(every), "newest": newest})
        return
    list_decisions(run, found, last=last, of=len(every))
    if out is not None:
        Terminal().print(f"table    {out}", markup=False)


def list_decisions(run: RunDirectory, found: list[Decision], *, last: int, of: int) -> None:
    """Print the newest of ``found``, one a line, and how to ask why.

    Args:
        run: whose they are.
        found: in the order in which they are listed.
        last: how many are printed at most.
        of: how many decisions the run has in all.
    """
    console = Terminal()
    start_ns = first_frame_ns(run)
    for decision in found[-last:]:
        line = decision_line(decision)
        if start_ns is not None:  # recordings have seconds into them rather than a date
            line = Text(f"{(decision.event_ns - start_ns) / NS_PER_S:10.2f} s  ") + line
        console.print(line)
    if not of:
        console.print("nothing was decided")
        return
    if not found:
        console.print(f"none of {of:,} decisions")
        return
    if len(found) > last:
        console.print(f"the newest {last} of {len(found):,} decisions")
    console.print()
    console.print(f"why      sightline explain {run.path} ID", markup=False)


def _instant(option: str, text: str | None) -> int | None:
    if text is None:
        return None
    try:
        return utc_ns(text)
    except (ValueError, TypeError):
        raise UsageError(
            expected="a time with a zone, such as 2026-01-31T12:00:00Z",
            got=text,
            where=option,
            action="write it so; Z stands for UTC",
        ) from None
