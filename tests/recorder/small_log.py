"""Small logs for tests: a few groups of entries of several kinds."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from sightline.limits import DEFAULT_LIMITS, Limits
from sightline.recorder import PartitionLog, read_entries
from sightline.recorder.chain import ChainHead
from sightline.recorder.storage import Storage
from sightline.records import Entry, EntryKind

NAME = "p0"
NS_PER_S = 1_000_000_000
MANY_SEGMENTS = Limits(segment_bytes=1500)
"""So small that a group or two fill a segment."""

_KINDS = (
    (EntryKind.INPUT, "telemetry"),
    (EntryKind.TICK, ""),
    (EntryKind.DECISION, "packet_loss"),
)


def group(number: int, *, size: int = 3) -> list[Entry]:
    """Group ``number`` of ``size`` entries; its sequences and times follow from the number."""
    entries = []
    for position in range(size):
        sequence = number * size + position
        kind, name = _KINDS[position % len(_KINDS)]
        payload = f'{{"entry":{sequence}}}'.encode() * (1 + sequence % 3)
        entries.append(
            Entry(
                sequence=sequence,
                kind=kind,
                name=name,
                time_ns=sequence * NS_PER_S,
                payload=payload,
            )
        )
    return entries


def append_all(log: PartitionLog, entries: Iterable[Entry]) -> None:
    for entry in entries:
        sequence = log.append(entry.kind, entry.name, entry.payload, time_ns=entry.time_ns)
        assert sequence == entry.sequence


def write_log(
    storage: Storage,
    groups: Sequence[Sequence[Entry]],
    *,
    limits: Limits = DEFAULT_LIMITS,
    close: bool = True,
) -> list[ChainHead]:
    """Write and commit the groups; returns the head after each."""
    log = PartitionLog.open(storage, NAME, limits=limits)
    heads = []
    for entries in groups:
        append_all(log, entries)
        heads.append(log.commit())
    if close:
        log.close()
    return heads


def stored(storage: Storage, *, limits: Limits = DEFAULT_LIMITS) -> list[Entry]:
    return list(read_entries(storage, NAME, limits=limits))


def flat(groups: Iterable[Sequence[Entry]]) -> list[Entry]:
    return [entry for entries in groups for entry in entries]
