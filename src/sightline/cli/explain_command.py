"""``sightline explain``: why something was decided, of telemetry and of cameras."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.text import Text

from sightline.cli.console import decision_line, print_json
from sightline.errors import StorageError, UsageError
from sightline.evidence import draw_svg, draw_terminal, explain
from sightline.evidence.alert_account import draw_run_alert, explain_alert, run_alert_lines
from sightline.evidence.site_account import (
    draw_explanation,
    explain_site,
    explanation_lines,
    first_frame_ns,
)
from sightline.records.signals import NS_PER_S
from sightline.runtime import RunDirectory

_LISTED = 40


def explain_command(
    path: Annotated[Path, typer.Argument(metavar="RUN", help="Folder of a run.")],
    said_id: Annotated[
        str | None,
        typer.Argument(
            metavar="ID",
            help="Id of a decision, or its beginning; of cameras also of a command, ID:REVISION. "
            "Without it: the newest decisions.",
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "-o", "--out", "--svg", help="Write the picture here: .svg or .png; of cameras .png."
        ),
    ] = None,
    quick: Annotated[
        bool,
        typer.Option(
            "--quick", help="Of telemetry: do not run the core again for what would not alert."
        ),
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="One JSON document on standard output.")
    ] = False,
) -> None:
    """Why: reason codes, values, thresholds, versions, and what led to it, drawn."""
    run = RunDirectory.open(path)
    _check_name(run, said_id, out)
    if said_id is None:
        _list(run, as_json=as_json)
    elif run.is_site:
        _explain_site(run, said_id, out, as_json=as_json)
    else:
        _explain_rows(run, said_id, out, is_quick=quick, as_json=as_json)


def _check_name(run: RunDirectory, said_id: str | None, out: Path | None) -> None:
    endings = (".png",) if run.is_site else (".svg", ".png")
    if out is None or (said_id is not None and out.suffix.lower() in endings):
        return
    raise UsageError(
        expected=f"an id, and a name that ends in {' or '.join(endings)}",
        got="no id" if said_id is None else out.name,
        where="-o",
        action="mend the options",
    )


def _explain_rows(
    run: RunDirectory, said_id: str, out: Path | None, *, is_quick: bool, as_json: bool
) -> None:
    found = explain(run, said_id)
    alert = explain_alert(run, found, is_quick=is_quick)
    if out is not None and out.suffix.lower() == ".png":
        draw_run_alert(out, alert)
    elif out is not None:
        try:
            out.write_text(draw_svg(found), encoding="utf-8")
        except OSError as error:
            raise StorageError(
                expected="a file that can be written",
                got=error.strerror or type(error).__name__,
                where=str(out),
                action="check the folder and the free space",
            ) from error
    if as_json:
        print_json(alert.as_mapping())
        return
    console = Console(highlight=False, soft_wrap=True)
    for line in run_alert_lines(alert):
        console.print(line, markup=False)
    # Its first lines and those on others say what has been said above.
    _, _, drawing = draw_terminal(found).partition("\n\n")
    lines = [line for line in drawing.splitlines() if not line.startswith("  also:")]
    console.print("\n".join(["", *lines]), markup=False)
    if out is not None:
        console.print(f"picture: {out}", markup=False)


def _explain_site(run: RunDirectory, said_id: str, out: Path | None, *, as_json: bool) -> None:
    found = explain_site(run, said_id)
    drawn = None if out is None else draw_explanation(run, found, out)
    if as_json:
        plain = found.as_mapping()
        if drawn is not None:
            plain["picture"] = {"path": str(drawn.path), "from_log": drawn.has_picture}
        print_json(plain)
        return
    console = Console(highlight=False, soft_wrap=True)
    for line in explanation_lines(found):
        console.print(line, markup=False)
    if drawn is not None:
        kept = "" if drawn.has_picture else " (the log kept no picture of it: without)"
        console.print(f"\npicture  {drawn.path}{kept}", markup=False)


def _list(run: RunDirectory, *, as_json: bool) -> None:
    decisions = run.decisions()
    newest = decisions[-_LISTED:]
    if as_json:
        plain: dict[str, Any] = {
            "decisions": len(decisions),
            "newest": [decision.as_mapping() for decision in newest],
        }
        print_json(plain)
        return
    console = Console(highlight=False, soft_wrap=True)
    start_ns = first_frame_ns(run) if run.is_site else None
    for decision in newest:
        line = decision_line(decision)
        if start_ns is not None:  # recordings have seconds into them rather than a date
            line = Text(f"{(decision.event_ns - start_ns) / NS_PER_S:10.2f} s  ") + line
        console.print(line)
    if len(decisions) > len(newest):
        console.print(f"the newest {len(newest)} of {len(decisions):,} decisions")
    if decisions:
        console.print(f"\nwhy      sightline explain {run.path} ID", markup=False)
    else:
        console.print("nothing was decided")
