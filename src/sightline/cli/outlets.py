"""Options of the command line turned into outlets: receivers of alerts, ways to machines."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from pathlib import Path

from sightline.act import CommandKey, Outlet, open_outlet
from sightline.errors import UsageError
from sightline.limits import DEFAULT_LIMITS, Limits
from sightline.registry import Registry

_NAMED = re.compile(r"([^=:/]+)=(.*)", re.DOTALL)
"""NAME=LOCATION: a location without a name has a colon before any equals sign."""


def parse_alerts(
    given: Sequence[str],
    *,
    limits: Limits = DEFAULT_LIMITS,
    registry: Registry[Outlet] | None = None,
) -> dict[str, Outlet]:
    """``[NAME=]LOCATION`` options as outlets of alerts, by name.

    The name is what the ledger knows a receiver by: alerts that wait for it are sent when a later
    run names it again, wherever it stands on the command line. Without one it is the address
    without what may be secret.

    Raises:
        UsageError: an option of another form, or a name given twice.
        SinkError: a place that cannot be opened.
    """
    found: dict[str, Outlet] = {}
    for item in given:
        named = _NAMED.fullmatch(item)
        name, outlet = open_outlet(
            named[2] if named else item,
            name=named[1] if named else "",
            use="alerts",
            where="--alerts",
            limits=limits,
            registry=registry,
        )
        if name in found:
            raise UsageError(
                expected="each receiver once",
                got=f"{name} twice",
                where="--alerts",
                action="leave one out, or name them: --alerts NAME=LOCATION",
            )
        found[name] = outlet
    return found


def parse_command_keys(machines: Collection[str], given: Sequence[str]) -> dict[str, CommandKey]:
    """``[MACHINE=]FILE`` options, and the environment, as keys by machine.

    A file without a machine is for all that have none of their own, as is the key in the
    environment variable SIGHTLINE_COMMAND_KEY.

    Raises:
        UsageError: a machine that is not in the pipeline or comes twice, or a key that is none.
    """
    found: dict[str, CommandKey] = {}
    for item in given:
        named = _NAMED.fullmatch(item)
        name = named[1] if named else ""
        if name in found or (named and name not in machines):
            raise UsageError(
                expected=f"[MACHINE=]FILE, once for each of {', '.join(machines) or '(none)'}",
                got=f"{name or 'a file without MACHINE='}{' again' if name in found else ''}",
                where="--command-key",
                action="write MACHINE=FILE with one of these machines, each once",
            )
        found[name] = CommandKey.from_file(Path(named[2] if named else item))
    of_all = found.pop("", None) or CommandKey.from_environment()
    if of_all is not None:
        found = {**dict.fromkeys(machines, of_all), **found}
    return found


def parse_actuators(
    machines: Collection[str],
    given: Sequence[str],
    *,
    pipeline: str,
    limits: Limits = DEFAULT_LIMITS,
    registry: Registry[Outlet] | None = None,
) -> dict[str, Outlet]:
    """``MACHINE=LOCATION`` options as outlets of commands, by machine.

    Args:
        machines: of the pipeline.
        given: options.
        pipeline: its name, part of the name that brokers know the sender by.
        limits: of the run.
        registry: of outlets; None: without plugins.

    Raises:
        UsageError: an option of another form, or a machine that is not in the pipeline or comes
            twice.
        SinkError: a place that cannot be opened.
    """
    found: dict[str, Outlet] = {}
    for item in given:
        name, equals, location = item.partition("=")
        if not equals or name not in machines or name in found:
            again = " again" if name in found else ""
            # Never the location: it may hold a password.
            raise UsageError(
                expected=f"MACHINE=LOCATION, once for each of {', '.join(machines)}",
                got=f"{name if equals else 'no MACHINE='}{again}",
                where="--actuator",
                action="write MACHINE=LOCATION with one of these machines, each once",
            )
        _, found[name] = open_outlet(
            location,
            name=f"sightline-{pipeline}-{name}",
            use="commands",
            where=f"--actuator {name}",
            limits=limits,
            registry=registry,
        )
    return found
