"""The log of a partition, epoch by epoch, with the event time each epoch brought."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field

from sightline.limits import DEFAULT_LIMITS, Limits
from sightline.recorder import read_entries
from sightline.records import Entry, EntryKind
from sightline.runtime import RunDirectory
from sightline.runtime.engine.summary import Summary

_BEFORE_TICK = frozenset(
    {
        EntryKind.INPUT,
        EntryKind.INPUT_REFERENCE,
        EntryKind.REJECTED,
        EntryKind.DROP,
        EntryKind.CONTROL,
        EntryKind.MODEL,
        EntryKind.CONFIGURATION,
    }
)
_TICKS = frozenset({EntryKind.TICK, EntryKind.SUMMARY_IN})
READ = _BEFORE_TICK | {
    *_TICKS,
    EntryKind.OUTCOME,
    EntryKind.QUARANTINE,
    EntryKind.DEADLINE_MISSED,
}
"""The kinds of entries an epoch is given with."""


@dataclass(slots=True, kw_only=True)
class LogEpoch:
    """Entries that belong to one tick.

    Attributes:
        entries: in order of the log, of the kinds in ``READ``.
        tick_ns: event time of its tick, UTC ns; -1 where the log ends before it.
        after: log sequence before the first of them: state is whole there.
    """

    after: int
    entries: list[Entry] = field(default_factory=list)
    tick_ns: int = -1


def log_epochs(
    run: RunDirectory, name: str, *, after: int = -1, limits: Limits = DEFAULT_LIMITS
) -> Iterator[LogEpoch]:
    """Epochs of a partition, of the fan-in one for each summary it was given.

    One is held at a time; what was pruned is passed over.

    Args:
        run: of rows.
        name: of the partition.
        after: only entries with a higher sequence; an epoch has to begin there.
        limits: bounds for reading the log.

    Raises:
        LogError: the log is damaged.
    """
    epoch = LogEpoch(after=after)
    for entry in read_entries(
        run.storage, name, after=after, kinds=READ, skip_pruned=True, limits=limits
    ):
        if epoch.tick_ns >= 0 and entry.kind in _BEFORE_TICK | _TICKS:
            yield epoch
            epoch = LogEpoch(after=entry.sequence - 1)
        epoch.entries.append(entry)
        if entry.kind is EntryKind.TICK:
            epoch.tick_ns = int(json.loads(entry.payload)["tick_ns"])
        elif entry.kind is EntryKind.SUMMARY_IN:
            epoch.tick_ns = Summary.from_bytes(entry.payload).tick_ns
    if epoch.entries:
        yield epoch


def may_hold(epoch: LogEpoch, *, from_ns: int, skew_ns: int) -> bool:
    """Whether rows of an epoch may be as late as ``from_ns``: none is later than its tick."""
    return epoch.tick_ns < 0 or epoch.tick_ns + skew_ns >= from_ns
