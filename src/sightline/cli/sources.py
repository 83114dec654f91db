"""Options of the command line turned into sources and operator inputs."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from sightline.errors import UsageError
from sightline.limits import DEFAULT_LIMITS, Limits
from sightline.registry import import_plugins
from sightline.runtime.plan import Plan
from sightline.sense import Source, open_source
from sightline.sense.opening import source_registry
from sightline.sense.yaml_form import read_document, read_json

CONTROLS = (
    "acknowledge", "reset", "shelve", "unshelve", "mask", "put_back", "contacts"
)  # fmt: skip


def open_sources(
    plan: Plan, given: Sequence[str], *, wall_ns: Callable[[], int] = time.time_ns
) -> dict[str, Source]:
    """``NAME=LOCATION`` options as sources; each name must be one of the pipeline, once.

    Raises:
        UsageError: an option of another form, or recordings and live cameras in one run.
        SourceError: a location that cannot be read.
    """
    wanted: dict[str, Any] = {**plan.contracts, **{n: c.contract for n, c in plan.cameras.items()}}
    plugins = import_plugins(plan.pipeline.plugins, where=plan.origin)
    found = {
        name: open_source(
            name,
            location,
            wanted[name],
            options=plan.pipeline.sources[name].options,
            stdin=sys.stdin.buffer,
            wall_ns=wall_ns,
            registry=source_registry(plugins),
        )
        for name, location in parse_locations(given, list(wanted)).items()
    }
    live = {n for n in plan.cameras if n in found and not found[n].durable}
    recorded = {n for n in plan.cameras if n in found} - live
    if live and recorded:
        raise UsageError(
            expected="live cameras alone, or recordings alone",
            got=f"live {', '.join(sorted(live))}, recorded {', '.join(sorted(recorded))}",
            where="--source",
            action="serve the recording as a stream, or leave one kind out",
        )
    return found


def parse_locations(given: Sequence[str], names: Sequence[str]) -> dict[str, str]:
    """Location by name, of ``NAME=LOCATION`` options.

    Raises:
        UsageError: an option of another form, a name that is not in ``names`` or comes twice.
            It never repeats a location, which may hold a password.

    >>> parse_locations(["yard=rtsp://gate/1"], ["yard", "hall"])
    {'yard': 'rtsp://gate/1'}
    """
    found: dict[str, str] = {}
    for item in given:
        name, equals, location = item.partition("=")
        is_name = bool(equals) and "/" not in name  # of an address, "=" may be in a password
        if not is_name or name not in names or name in found:
            raise UsageError(
                expected=f"NAME=LOCATION, once for each of {', '.join(names)}",
                got=f"{name} again" if name in found else name if is_name else "no NAME=",
                where="--source",
                action="write NAME=LOCATION with one of these names, each once",
            )
        found[name] = location
    return found


def parse_controls(files: Sequence[Path]) -> tuple[Mapping[str, Any], ...]:
    """Operator inputs, one JSON object a line."""
    found: list[Mapping[str, Any]] = []
    for path in files:
        whole = Limits(max_document_bytes=DEFAULT_LIMITS.max_control_file_bytes)
        text = read_document(path, kind_of_error=UsageError, limits=whole)
        for number, line in enumerate(text.splitlines(), start=1):
            try:
                control = read_json(line, where=f"{path}, line {number}", kind_of_error=UsageError)
                kind = control["control"]
            except (KeyError, TypeError) as error:
                raise UsageError(
                    expected='a JSON object with "control"',
                    got=line[:80],
                    where=f"{path}, line {number}",
                    action="mend the line",
                ) from error
            if kind not in CONTROLS:
                raise UsageError(
                    expected=f"control: one of {', '.join(CONTROLS)}",
                    got=str(kind),
                    where=f"{path}, line {number}",
                    action="mend the line",
                )
            found.append(control)
    return tuple(found)


def parse_speed(text: str) -> float | None:
    """``max`` → None, ``60x`` → 60.0.

    >>> parse_speed("60x")
    60.0
    """
    if text == "max":
        return None
    try:
        speed = float(text.removesuffix("x"))
    except ValueError:
        speed = 0.0
    if not 0 < speed < 1e9:
        raise UsageError(
            expected="max, or a positive multiple such as 60x",
            got=text,
            where="--speed",
            action="write for example --speed 60x",
        )
    return speed
