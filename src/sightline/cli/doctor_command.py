"""``sightline doctor``: what would keep a run from working here, and what to do about it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from types import MappingProxyType
from typing import Annotated

import typer
from rich.text import Text

from sightline.cli.console import Json, Terminal, print_json
from sightline.limits import DEFAULT_LIMITS, Limits
from sightline.runtime.doctor import Finding, State, examine

_STYLES: Mapping[State, str] = MappingProxyType(
    {State.OK: "green", State.WARNING: "yellow", State.FAULT: "bold red", State.SKIPPED: "dim"}
)
_LEDGER = "SIGHTLINE_LEDGER"
"""Environment variable with the address of the ledger, which may hold a password."""


def doctor(
    pipeline: Annotated[Path | None, typer.Argument(help="Pipeline file (YAML).")] = None,
    out: Annotated[
        Path, typer.Option("--out", help="Folder of the run, or where it will be made.")
    ] = Path(),
    ledger: Annotated[
        str | None,
        typer.Option(
            metavar="URL", help=f"Address of a ledger; by default {_LEDGER}.", show_default=False
        ),
    ] = None,
    service: Annotated[
        list[str] | None,
        typer.Option(
            metavar="ADDRESS",
            help="nats://, nats+http:// (its monitoring), amqp://, kafka://, mqtt:// or http://; "
            "user and password also from SIGHTLINE_NATS_USER, SIGHTLINE_NATS_PASSWORD, …",
        ),
    ] = None,
    least_free_mb: Annotated[
        float, typer.Option("--least-free", metavar="MB", min=0, help="Free disk that is enough.")
    ] = DEFAULT_LIMITS.doctor_free_bytes / 1e6,
    as_json: Json = False,
) -> None:
    """Check configuration, versions, clock, disk, database and services; say what to do.

    Exit code 1 if there is a fault. Nothing is changed by looking.
    """
    found = examine(
        pipeline=pipeline,
        out=out,
        ledger=ledger or os.environ.get(_LEDGER),
        services=service or (),
        limits=Limits(doctor_free_bytes=round(least_free_mb * 1e6)),
    )
    if as_json:
        print_json([asdict(one) for one in found])
    else:
        _show(found)
    if any(one.state is State.FAULT for one in found):
        raise typer.Exit(1)


def _show(found: list[Finding]) -> None:
    console = Terminal()
    for one in found:
        line = Text(f"{one.state:8}", style=_STYLES[one.state])
        line.append(f"{one.check:14}{one.where}: {one.found}", style="default")
        console.print(line)
        if one.remedy:
            console.print(f"        do: {one.remedy}")
    faults = sum(one.state is State.FAULT for one in found)
    console.print(f"{faults} fault{'' if faults == 1 else 's'}" if faults else "no fault found")
