"""``sightline alerts`` and ``sightline alert …``: what an operator sees of alarms, and can do."""

from __future__ import annotations

import difflib
import getpass
import time
from pathlib import Path
from typing import Annotated, Any

import typer

from sightline.cli.console import Json, Terminal, print_json, utc
from sightline.cli.runs import Run, open_run
from sightline.decide.alerting.actions import operator_action
from sightline.errors import UsageError
from sightline.runtime import RunDirectory
from sightline.runtime.alerting.account import desk_account
from sightline.runtime.alerting.controls import give_to_desk, parse_until

app = typer.Typer(
    help="Answer the alarms of a run that goes on: acknowledge, reset, shelve, mask.",
    no_args_is_help=True,
)

_SHOWN = 40

Subject = Annotated[
    str, typer.Argument(help="Subject of the alarm, for example sat-7 or sat-7/bus_voltage_v.")
]
Code = Annotated[str, typer.Option(help="Reason code; *: every code of the subject.")]
Stage = Annotated[str, typer.Option(help="Stage that decides; *: every one.")]
Until = Annotated[
    str, typer.Option(help="Until when: 2026-01-01T12:00:00Z, or from now on 90s, 30m, 2h, 1d.")
]
Reason = Annotated[str, typer.Option(help="Why; recorded with every alert that is hidden.")]
Operator = Annotated[
    str,
    typer.Option(
        metavar="NAME",
        envvar="SIGHTLINE_OPERATOR",
        help="Who answers; recorded with the answer. Without it: your name on this machine.",
    ),
]


@app.command()
def acknowledge(run: Run, subject: Subject, code: Code = "*", operator: Operator = "") -> None:
    """Record that an operator has seen an alarm."""
    _give(run, {"control": "acknowledge", "subject": subject, "code": code}, operator)


@app.command()
def reset(run: Run, subject: Subject, code: Code = "*", operator: Operator = "") -> None:
    """Clear a latched alarm that was acknowledged."""
    _give(run, {"control": "reset", "subject": subject, "code": code}, operator)


@app.command()
def shelve(
    run: Run,
    subject: Subject,
    until: Until,
    stage: Stage = "*",
    reason: Reason = "",
    operator: Operator = "",
) -> None:
    """Do not be told of a subject for some time; its alerts are still recorded."""
    until_ns = parse_until(until, now_ns=time.time_ns())
    _give(
        run,
        {
            "control": "shelve",
            "subject": subject,
            "kind": stage,
            "until_ns": until_ns,
            "reason": reason,
        },
        operator,
    )


@app.command()
def unshelve(run: Run, subject: Subject, stage: Stage = "*", operator: Operator = "") -> None:
    """End a shelf before its time."""
    _give(run, {"control": "unshelve", "subject": subject, "kind": stage}, operator)


@app.command()
def mask(
    run: Run,
    subject: Subject,
    until: Until,
    stage: Stage = "*",
    reason: Reason = "",
    operator: Operator = "",
    is_command: Annotated[
        bool,
        typer.Option(
            "--command", help="The reason is a command that looks like a fault, not maintenance."
        ),
    ] = False,
) -> None:
    """Mark a subject as under maintenance for some time; its alerts are still recorded."""
    until_ns = parse_until(until, now_ns=time.time_ns())
    _give(
        run,
        {
            "control": "mask",
            "as": "suppressed" if is_command else "out_of_service",
            "subject": subject,
            "kind": stage,
            "until_ns": until_ns,
            "reason": reason,
        },
        operator,
    )


@app.command("put-back")
def put_back(run: Run, subject: Subject, stage: Stage = "*", operator: Operator = "") -> None:
    """End a mask before its time."""
    _give(run, {"control": "put_back", "subject": subject, "kind": stage}, operator)


def alerts(
    path: Run,
    as_json: Json = False,
) -> None:
    """Show the active alarms of a run, which are hidden and why, and what became of each alert."""
    found = desk_account(open_run(path))
    if as_json:
        print_json({"run": str(path), **found})
        return
    console = Terminal()
    for line in account_lines(found):
        console.print(line, markup=False)


def account_lines(found: dict[str, Any]) -> list[str]:
    """The account of a desk, for a terminal."""
    at_ns = found["at_ns"]
    lines = [f"event time  {'-' if at_ns is None else utc(at_ns)}"]
    standing = found["standing"]
    lines.append(f"standing    {len(standing)} alarms" if standing else "standing    none")
    for row in standing[:_SHOWN]:
        told = row["message_id"] or row["fate"]
        lines.append(
            f"  {row['state']:24} {row['severity']:8} {row['subject']} {row['code']}  "
            f"since {utc(row['since_ns'])}, {_many(row['count'], 'alert')}, {told}"
            f"{_answered(row)}"
        )
    if len(standing) > _SHOWN:
        lines.append(f"  … and {len(standing) - _SHOWN} more, see --json")
    hidden = found["hidden"]
    lines.append(f"hidden      masks and shelves: {len(hidden)}" if hidden else "hidden      none")
    for row in hidden[:_SHOWN]:
        stage = "" if row["kind"] == "*" else f" ({row['kind']})"
        lines.append(
            f"  {row['state']:24} {row['subject']}{stage}  from {utc(row['from_ns'])} until "
            f"{utc(row['until_ns'])}{'' if row['is_now'] else ', not now'}"
            f"{': ' + row['reason'] if row['reason'] else ''}"
            f"{', by ' + row['operator'] if row['operator'] else ''}"
        )
    if len(hidden) > _SHOWN:
        lines.append(f"  … and {len(hidden) - _SHOWN} more, see --json")
    storm = found["storm"]
    state = "storm: messages go into a digest" if storm["is_storm"] else "calm"
    lines.append(f"rate        {state}; {storm['in_next_digest']} alerts in the next digest")
    counts = ", ".join(f"{kind} {n:,}" for kind, n in found["message_counts"].items())
    lines.append(f"messages    {found['messages']:,}{': ' + counts if counts else ''}")
    fates = " + ".join(f"{fate} {n:,}" for fate, n in found["fates"].items()) or "none"
    lines.append(f"alerts      raised {found['raised']:,} = {fates}")
    for name, what in (
        ("untracked", "alerts without room for a point"),
        ("unplaced", "retractions of alerts not known any more"),
        ("waiting_controls", "operator inputs whose time has not come"),
    ):
        if found[name]:
            lines.append(f"            {found[name]:,} {what}")
    return lines


def _answered(row: dict[str, Any]) -> str:
    if row["answered_ns"] is None:
        return ""
    by = f" by {row['answered_by']}" if row["answered_by"] else ""
    return f", acknowledged{by} at {utc(row['answered_ns'])}"


def _many(count: int, what: str) -> str:
    return f"{count:,} {what}{'' if count == 1 else 's'}"


def _give(path: Path, control: dict[str, Any], operator: str) -> None:
    run = open_run(path)
    control["operator"] = operator or getpass.getuser()
    operator_action(control)  # refuses a name that is none
    if run.plan.has_desk and control["control"] in ("acknowledge", "reset"):
        _check_stands(run, control["subject"], control["code"])
    given = give_to_desk(run, control)
    Terminal().print(
        f"{control['control']} {control['subject']} by {control['operator']}: taken at the run's "
        f"next tick ({given.name})",
        markup=False,
    )


def _check_stands(run: RunDirectory, subject: str, code: str) -> None:
    """There is an alarm that can be answered."""
    standing = [(row["subject"], row["code"]) for row in desk_account(run)["standing"]]
    if any(name == subject and code in ("*", known) for name, known in standing):
        return
    names = sorted({f"{name} {known}" for name, known in standing})
    near = difflib.get_close_matches(f"{subject} {code}", names, n=3) or names[:3]
    raise UsageError(
        expected="the subject of a standing alarm" + (f": {', '.join(near)}" if near else ""),
        got=subject if code == "*" else f"{subject} {code}",
        where=str(run.path),
        action=f"see `sightline alerts {run.path}`",
    )
