"""One core and nothing around it: its rows, and the ticks between them."""

from __future__ import annotations

import json
from collections.abc import Iterator

import polars as pl

from sightline.records import Entry, EntryKind
from sightline.runtime import Plan
from sightline.sense import MemorySource
from sightline.sense.arrival import Epoch, epochs


def epochs_of(
    plan: Plan, rows: pl.DataFrame, *, source: str = "t"
) -> Iterator[tuple[Epoch, Entry]]:
    """Each epoch of these rows, in order of arrival, and the tick that ends it."""
    opened = [(MemorySource(source, {"f": rows}), plan.contracts[source])]
    for epoch in epochs(opened, tick_ns=plan.tick_ns):
        tick = {"epoch": epoch.number, "tick_ns": epoch.tick_ns, "final": epoch.is_final}
        payload = json.dumps(tick).encode()
        yield (
            epoch,
            Entry(sequence=0, kind=EntryKind.TICK, name="", time_ns=0, payload=payload),
        )
