"""``sightline report``: what a run came to, from its log."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from sightline.cli.console import print_json
from sightline.errors import StorageError, UsageError
from sightline.evidence import write_report
from sightline.evidence.logged_report import logged_report
from sightline.evidence.site_account import account_lines, account_of_site, write_site_report
from sightline.evidence.tables import alerting_lines
from sightline.runtime import RunDirectory

_PERCENTILES = ("p50", "p95", "p99", "worst")


def report(
    path: Annotated[Path, typer.Argument(metavar="RUN", help="Folder of a run.")],
    out: Annotated[
        Path | None, typer.Option("-o", "--out", help="Write it as one page, X.html.")
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="One JSON document on standard output.")
    ] = False,
) -> None:
    """What a run came to, from its log: where everything went, times, deadlines, decisions.

    Of cameras: also each camera and machine, and whether the log replays; leaves with 1 if not.
    """
    run = RunDirectory.open(path)
    if out is not None and out.suffix.lower() != ".html":
        raise UsageError(
            expected="a name that ends in .html",
            got=out.name,
            where="-o",
            action="choose another name",
        )
    if run.is_site:
        _report_site(run, out, as_json=as_json)
    else:
        _report_rows(run, out, as_json=as_json)


def _report_site(run: RunDirectory, out: Path | None, *, as_json: bool) -> None:
    found = account_of_site(run)
    if out is not None:
        write_site_report(run, found, out)
    if as_json:
        print_json({"run": str(run.path), **found.as_mapping()})
    else:
        _print([*account_lines(found), *_written(out)])
    if found.replay.difference:
        raise typer.Exit(1)


def _report_rows(run: RunDirectory, out: Path | None, *, as_json: bool) -> None:
    found = logged_report(run)
    if out is not None:
        try:
            write_report(run, found, out)
        except OSError as error:
            raise StorageError(
                expected="a file that can be written",
                got=error.strerror or type(error).__name__,
                where=str(out),
                action="check the folder and the free space",
            ) from error
    if as_json:
        print_json({"run": str(run.path), **found})
        return
    step_s = found["step_s"]
    times = ", ".join(f"{p} {step_s[p] * 1e3:,.1f} ms" for p in _PERCENTILES if p in step_s)
    a = found["accounts"]
    sign = "=" if a["balanced"] else "≠"
    counts = {
        "dropped": a["dropped"],
        "quarantined": a["quarantined"],
        "missed deadlines": found["deadline_missed"],
        "decisions": found["decisions"],
    }
    _print(
        [
            f"pipeline          {found['pipeline']}",
            f"rows              received {a['received']:,} {sign} decided {a['decided']:,} + "
            f"superseded {a['superseded']:,} + dropped {sum(a['dropped'].values()):,} + "
            f"quarantined {sum(a['quarantined'].values()):,} + in flight {a['in_flight']:,}",
            f"step              {times or 'no data'}",
            *(
                f"{name:17} {', '.join(f'{k} {n:,}' for k, n in of.items() if n) or 'none'}"
                for name, of in counts.items()
            ),
            *(f"{title:17} {line}" for title, line in _alerting(found)),
            f"digest            {found['digest']}",
            *_written(out),
        ]
    )


def _alerting(found: dict[str, Any]) -> list[tuple[str, str]]:
    return alerting_lines(found["alerting"]) if "alerting" in found else []


def _written(out: Path | None) -> list[str]:
    return [] if out is None else ["", f"page  {out}"]


def _print(lines: list[str]) -> None:
    console = Console(highlight=False, soft_wrap=True)
    for line in lines:
        console.print(line, markup=False)
