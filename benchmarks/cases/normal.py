"""Series whose events were hidden by others, learnt as normal, or made by the detector's grid."""

from __future__ import annotations

import json
from collections.abc import Iterator

from benchmarks.cases.case import Case, case


def _events(c: Case, file: str) -> list[tuple[int, int]]:
    """First and last row of each event that ``detect`` tells, those marked as weaker too."""
    done = c.run("sightline", "detect", file, "--time", "time", "--value", "value", "--json")
    if done.rc:
        raise AssertionError(f"{file}: exit {done.rc}, {done.text[:120]!r}")
    (series,) = json.loads(done.out)["series"]
    return [(one["first_row"], one["last_row"]) for one in series["first_events"]]


def _missed(events: list[tuple[int, int]], faults: list[tuple[int, int]]) -> Iterator[str]:
    """Faults that no event of their own holds wholly."""
    for first, last in faults:
        if not any(a <= first and last <= b for a, b in events):
            yield f"rows {first} to {last} are in none of {events}"
    if len(events) != len(faults):
        yield f"{len(events)} events for {len(faults)} faults: {events}"


@case("telemetry/02-strong-event-hides-others")
def strong_and_weak(c: Case) -> Iterator[str]:
    """A dropout and a level shift of 3 sigma are two events."""
    events = _events(c, "two.csv")
    if len(events) != 2:
        yield f"two.csv: {events}"
    if not any(a <= 629 and b >= 600 for a, b in events):
        yield "the dropout is not told"
    if not any(a <= 999 and b >= 900 for a, b in events):
        yield "the shift is not told"


@case("telemetry/03-repeated-fault-told-once")
def equal_dropouts(c: Case) -> Iterator[str]:
    """Four equal dropouts are four events, each with all of its rows."""
    faults = [(first, first + 29) for first in (400, 600, 800, 1000)]
    yield from _missed(_events(c, "dropouts.csv"), faults)


@case("telemetry/11-periodic-series-alarm")
def strictly_periodic(c: Case) -> Iterator[str]:
    """Nothing happens in either."""
    for file in ("square20.csv", "sine48.csv"):
        if events := _events(c, file):
            yield f"{file}: {events}"
