"""``sightline outbox``: which alerts of a run wait for whom, and what can be done about them."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from sightline.act import AlertDelivery, outlet_registry
from sightline.act.outbox import Undelivered
from sightline.cli.console import Json, Terminal, print_json
from sightline.cli.outlets import parse_alerts
from sightline.cli.runs import Run, open_run
from sightline.errors import SinkError, UsageError
from sightline.limits import DEFAULT_LIMITS
from sightline.registry import import_plugins
from sightline.runtime.verification import ledger_changing


def outbox(
    path: Run,
    alerts: Annotated[
        list[str] | None,
        typer.Option(
            "--alerts",
            metavar="[NAME=]LOCATION",
            help="Send what waits for this receiver, those refused for good once more.",
        ),
    ] = None,
    discard: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="Give up for ever what waits for this receiver."),
    ] = None,
    wait_s: Annotated[
        float, typer.Option("--for", min=0, help="Seconds to go on trying; with --alerts.")
    ] = DEFAULT_LIMITS.drain_s,
    as_json: Json = False,
) -> None:
    """Show which alerts of a run were not delivered; send them again, or give them up.

    A receiver has the NAME that `sightline run --alerts NAME=…` gave it, or its address without
    secrets. The run may still be going on. Exit code 7 if alerts are left.
    """
    run = open_run(path)
    registry = outlet_registry(import_plugins(run.plan.pipeline.plugins, where=str(path)))
    with ledger_changing(run):
        with run.ledger() as ledger:
            waiting = ledger.outbox.undelivered()
            for name in discard or ():
                if name not in waiting:
                    raise UsageError(
                        expected=f"a receiver that alerts wait for: {', '.join(waiting) or 'none'}",
                        got=name,
                        where="--discard",
                        action="write the name as `sightline outbox RUN` shows it",
                    )
                ledger.outbox.discard(name)
            if alerts:
                ledger.outbox.retry_failed()
            left = ledger.outbox.undelivered()
        if alerts:
            delivery = AlertDelivery(
                run.ledger_url,
                parse_alerts(alerts, registry=registry),
                wall_ns=time.time_ns,
                sleep_s=time.sleep,
            )
            with delivery:
                left = delivery.drain(wait_s)
    _show(path, left, as_json=as_json)


def _show(path: Path, left: Mapping[str, Undelivered], *, as_json: bool) -> None:
    if as_json:
        print_json({"run": str(path), "outbox": {n: asdict(waits) for n, waits in left.items()}})
    else:
        console = Terminal()
        for name, waits in left.items():
            console.print(f"{name}: {waits.words()}", markup=False)
        if not left:
            console.print("every alert was taken")
    if left:
        raise SinkError(
            expected="every alert to be taken",
            got=f"{sum(map(int, left.values()))} that wait",
            where=f"outbox of {path}",
            action="mend the receivers and give them with --alerts, or give up: --discard NAME",
        )
