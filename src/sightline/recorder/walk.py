"""Walks the committed groups of a log across its segments, from any sequence on."""

from __future__ import annotations

from collections.abc import Iterator

from sightline.limits import DEFAULT_LIMITS, Limits
from sightline.recorder.chain import EMPTY_CHAIN, ChainHead
from sightline.recorder.recovery import committed_part, has_torn_header
from sightline.recorder.segment_format import list_segments
from sightline.recorder.segment_reader import Group, SegmentReader
from sightline.recorder.storage import Storage


def walk_groups(
    storage: Storage, name: str, *, from_sequence: int = 0, limits: Limits
) -> Iterator[tuple[SegmentReader, Group]]:
    """Committed groups that end at ``from_sequence`` or later, and the open segment of each.

    The chain is checked from the segment that holds ``from_sequence`` on; payloads are checked
    when they are read. The torn end of an interrupted log is passed over.

    Raises:
        LogError: a segment is missing or damaged, or does not continue the one before.
    """
    segments = list_segments(storage, name)
    if not segments:
        return
    head: ChainHead | None = None
    first = _segment_of(storage, name, len(segments), from_sequence, limits=limits)
    for index in range(first, len(segments)):
        is_last = index == len(segments) - 1
        with SegmentReader(storage, name, index, limits=limits) as reader:
            until: int | None = None
            if is_last and not reader.is_finished:
                part = committed_part(reader, name)
                if part.head is None:
                    return
                until = part.end
            check_start(reader, head if index else EMPTY_CHAIN, is_last=is_last)
            head = reader.header()[0].start
            for group in reader.groups(until=until):
                head = group.commit.head
                if head.sequence >= from_sequence:
                    yield reader, group


def check_start(reader: SegmentReader, previous: ChainHead | None, *, is_last: bool) -> None:
    """Raise a LogError unless the segment continues ``previous`` (None: unknown) and may stand."""
    header, end = reader.header()
    if previous is not None and header.start != previous:
        raise reader.damage(
            0,
            expected=f"a segment that follows entry {previous.sequence} with hash "
            f"{previous.hash[:16]}…",
            got=f"one that follows entry {header.start.sequence} with {header.start.hash[:16]}…",
        )
    if not is_last and not reader.is_finished:
        raise reader.damage(end, expected="a finished segment", got="one without an intact end")


def chain_hash_at(
    storage: Storage, name: str, sequence: int, limits: Limits = DEFAULT_LIMITS
) -> str | None:
    """Hash of the chain after the commit that ends at ``sequence``; None if no commit ends there.

    ``sequence`` -1 is the empty chain, which every log begins with.

    Raises:
        LogError: the log is damaged at or before that commit in its segment.
    """
    if sequence == EMPTY_CHAIN.sequence:
        return EMPTY_CHAIN.hash
    for _, group in walk_groups(storage, name, from_sequence=sequence, limits=limits):
        return group.commit.head.hash if group.commit.head.sequence == sequence else None
    return None


def _segment_of(storage: Storage, name: str, count: int, sequence: int, *, limits: Limits) -> int:
    """Number of the segment that holds ``sequence``: the last that starts at or before it."""
    low, high = 0, count - 1
    while low < high:
        middle = (low + high + 1) // 2
        with SegmentReader(storage, name, middle, limits=limits) as reader:
            is_empty = middle == count - 1 and has_torn_header(reader, name)
            starts_after = is_empty or reader.header()[0].start.sequence + 1 > sequence
        if starts_after:
            high = middle - 1
        else:
            low = middle
    return low
