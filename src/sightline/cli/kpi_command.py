"""``sightline kpi``: KPIs of files at rest, as often as one likes."""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from sightline.act.kpi_ledger import KpiLedger
from sightline.cli.console import Terminal, print_json, utc
from sightline.errors import UsageError
from sightline.runtime.kpis.form import load_kpis
from sightline.runtime.kpis.job import EVER_NS, KpiReport, run_kpis
from sightline.runtime.kpis.plan import Status
from sightline.sense.contract import utc_ns
from sightline.sense.objects import open_folder

_LEDGER = "SIGHTLINE_LEDGER"
_SHOWN = 10


def kpi(
    source: Annotated[
        str, typer.Argument(metavar="FOLDER|s3://…", help="Where the Parquet files are.")
    ],
    metrics: Annotated[Path, typer.Option(help="File that says which KPIs there are (YAML).")],
    ledger: Annotated[
        str | None,
        typer.Option(
            metavar="URL",
            help=f"Database of the KPIs, sqlite:///FILE or postgresql+psycopg://…; by default "
            f"{_LEDGER}.",
        ),
    ] = None,
    since: Annotated[
        str | None, typer.Option(metavar="TIME", help="Only windows from then on; UTC.")
    ] = None,
    until: Annotated[
        str | None, typer.Option(metavar="TIME", help="Only windows that end by then; UTC.")
    ] = None,
    accept: Annotated[
        list[str] | None,
        typer.Option(
            metavar="TIME", help="Publish the windows around this time that a gate holds."
        ),
    ] = None,
    is_dry: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be computed; store nothing.")
    ] = False,
    check_digests: Annotated[
        bool,
        typer.Option("--check-digests", help="Read every file to see that none was rewritten."),
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="One JSON document on standard output.")
    ] = False,
) -> None:
    """Compute the windows that new or late files touch, and publish those that pass the gates.

    Without new files it does nothing; after a kill it goes on where it was. Exit code 1 while a
    gate holds a window.

        sightline kpi telemetry/ --metrics metrics.yaml --ledger sqlite:///kpis.sqlite
    """
    url = ledger or os.environ.get(_LEDGER)
    if url is None:
        raise UsageError(
            expected="a database for the KPIs",
            got="none",
            where="--ledger",
            action=f"give --ledger sqlite:///FILE, or set {_LEDGER}",
        )
    kpis = load_kpis(metrics)
    console = Terminal(stderr=True)
    with KpiLedger.open(url) as opened:
        report = run_kpis(
            kpis,
            open_folder(source),
            opened,
            since_ns=EVER_NS[0] if since is None else _time(since, "--since"),
            until_ns=EVER_NS[1] if until is None else _time(until, "--until"),
            accepted=[_time(one, "--accept") for one in accept or ()],
            is_dry=is_dry,
            digests_again=check_digests,
            on_progress=lambda text: None if as_json else console.print(text),
        )
    if as_json:
        print_json(asdict(report))
    else:
        _show(report)
    if report.held or any(one.status is Status.HELD for one in report.done):
        raise typer.Exit(1)


def _time(text: str, where: str) -> int:
    try:
        return utc_ns(text if len(text) > len("2026-01-01") else f"{text}T00:00:00+00:00")
    except (ValueError, TypeError) as error:
        raise UsageError(
            expected="a date, or a time with its zone",
            got=text,
            where=where,
            action="write 2026-01-31, or 2026-01-31T12:00:00Z",
        ) from error


def _show(report: KpiReport) -> None:
    console = Terminal()
    console.print(f"files      {report.files:,}, new {report.new_files:,}")
    for name in report.gone[:_SHOWN]:
        console.print(f"gone       {name}: its windows stay as they are")
    if report.rows:
        refused = ", ".join(f"{reason} {n:,}" for reason, n in sorted(report.refused.items()))
        console.print(f"rows       {report.rows:,} read, {report.superseded:,} superseded"
                      + (f", refused {refused}" if refused else ""))  # fmt: skip
    console.print(f"windows    {report.known:,} left alone, {len(report.done):,} computed")
    counted = Counter((one.why, one.status) for one in report.done)
    for (why, status), count in sorted(counted.items(), key=str):
        console.print(f"  {count:,} {why}: {status or 'would be computed'}")
    changes = [one for one in report.done if one.status is not Status.PUBLISHED or one.revision]
    for one in changes[:_SHOWN]:
        line = f"  {utc(one.window_start_ns)} {one.metric} v{one.version} r{one.revision} {one.why}"
        console.print(f"{line}{': held, ' + '; '.join(one.reasons) if one.reasons else ''}")
    if len(changes) > _SHOWN:
        console.print(f"  … and {len(changes) - _SHOWN:,} more: --json has all")
    if report.held:
        console.print(f"held       {report.held:,} from before: mend the files, or --accept TIME")
