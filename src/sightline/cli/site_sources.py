"""Options of the command line turned into cameras."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from sightline.cli.sources import parse_locations
from sightline.errors import UsageError
from sightline.runtime.frames.site_plan import SitePlan
from sightline.sense import open_source
from sightline.sense.frames.delivery import CameraSource

MAX_CONTROL_BYTES = 1 << 16
"""Operator inputs read at a time; the rest waits for the next tick."""


def open_cameras(
    plan: SitePlan, given: Sequence[str], *, wall_ns: Callable[[], int]
) -> dict[str, CameraSource]:
    """``CAMERA=LOCATION`` options as sources of frames; every one must belong to the pipeline.

    Raises:
        UsageError: an option that is none, or recordings and live cameras in one run.
        SourceError: a location that cannot be read.
    """
    found = {
        name: open_source(name, location, plan.cameras[name].contract, wall_ns=wall_ns)
        for name, location in parse_locations(given, list(plan.cameras)).items()
    }
    live = {name for name, source in found.items() if not source.durable}
    if live and live != set(found):
        raise UsageError(
            expected="live cameras alone, or recordings alone",
            got=f"live {', '.join(sorted(live))}, recorded {', '.join(sorted(set(found) - live))}",
            where="--source",
            action="serve the recording as a stream, or leave one kind out",
        )
    return found


def follow_controls(path: Path | None) -> Callable[[], list[Mapping[str, Any]]]:
    """Operator inputs from a file of JSON lines that grows while a run goes on.

    Only whole lines are read, each once; what is no JSON object is handed on as an empty one, so
    that it is counted.
    """
    place = [0]

    def newest() -> list[Mapping[str, Any]]:
        if path is None or not path.exists():
            return []
        with path.open("rb") as file:
            file.seek(place[0])
            text = file.read(MAX_CONTROL_BYTES)
        whole = text[: text.rfind(b"\n") + 1]
        place[0] += len(whole)
        return [_control(line) for line in whole.splitlines() if line.strip()]

    return newest


def _control(line: bytes) -> Mapping[str, Any]:
    try:
        plain = json.loads(line)
    except ValueError:
        return {}
    return plain if isinstance(plain, dict) else {}
