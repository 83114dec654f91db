"""Committed batches whose rows are not in the log but in a durable source."""

from __future__ import annotations

import json

import polars as pl

from sightline.errors import LogError
from sightline.records import Entry, EntryKind
from sightline.runtime.engine.batches import frame_digest


def take_referenced(
    entry: Entry, waiting: list[tuple[str, pl.DataFrame]], partition: str
) -> pl.DataFrame:
    """The rows an INPUT_REFERENCE entry speaks of, checked against its digest.

    Raises:
        LogError: if the durable source does not give the same rows again.
    """
    reference = json.loads(entry.payload)
    at = next((i for i, (s, _) in enumerate(waiting) if s == entry.name), None)
    frame = waiting.pop(at)[1] if at is not None else None
    if frame is None or frame_digest(frame) != reference["digest"]:
        raise LogError(
            expected=f"{reference['rows']} rows with digest {reference['digest']}",
            got="no rows" if frame is None else f"{frame.height} rows with {frame_digest(frame)}",
            where=f"partition {partition}, epoch {reference['epoch']}, source {entry.name}",
            action="give the source files exactly as they were when the run was made",
        )
    return frame


def entries_by_epoch(entries: list[Entry]) -> dict[int, list[Entry]]:
    """Entries by the epoch whose tick ends them; outcomes follow their tick."""
    found: dict[int, list[Entry]] = {}
    current: list[Entry] = []
    last: list[Entry] | None = None
    for entry in entries:
        if entry.kind is EntryKind.OUTCOME and last is not None:
            last.append(entry)
            continue
        current.append(entry)
        if entry.kind is EntryKind.TICK:
            last = found[int(json.loads(entry.payload)["epoch"])] = current
            current = []
    return found
