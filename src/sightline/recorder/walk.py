"""Reading a whole log from outside: its entries in order, and whether all of it is intact."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from sightline.errors import LogError
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


__all__ = ["ChainVerdict", "chain_hash_at", "verify_log"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ChainVerdict:
    """What verification found; true when there is no problem.

    Attributes:
        entries: committed entries up to the first problem, pruned ones included.
        pruned_entries: of these, the ones of which only the digest is left.
        head: end of the chain as far as it is good.
        problem: the first problem, for people; ``""`` if there is none.
    """

    entries: int
    pruned_entries: int
    head: ChainHead
    problem: str

    def __bool__(self) -> bool:
        return not self.problem


def verify_log(
    storage: Storage,
    name: str,
    *,
    limits: Limits = DEFAULT_LIMITS,
    expected_head: ChainHead | None = None,
    on_progress: Callable[[str, int], None] | None = None,
) -> ChainVerdict:
    """Check the integrity of a log. Any changed byte, missing segment or torn end is a problem.

    Integrity is not authenticity: who can rewrite the log can rewrite the chain, and can cut its
    end. Pass a head that was kept elsewhere as ``expected_head`` to rule that out; the log must
    contain it, and may have grown since.

    A log whose last run was interrupted has a torn end until it is opened again; a log that is
    being written may show one.

    Raises:
        StorageError: the disk could not be read.
    """
    head = EMPTY_CHAIN
    pruned = 0
    passed_expected = expected_head is None or expected_head == head
    problem = ""
    try:
        segments = list_segments(storage, name)
        for index in segments:
            is_last = index == segments[-1]
            with SegmentReader(storage, name, index, limits=limits) as reader:
                if is_last and not reader.is_finished:
                    part = committed_part(reader, name)
                    if part.cut_bytes:
                        problem = (
                            f"{reader.path}, byte {part.end}: {part.cut_bytes} bytes after the "
                            "last commit; open the log again to cut them"
                        )
                    if part.head is None:
                        break
                    until: int | None = part.end
                else:
                    until = None
                check_start(reader, head, is_last=is_last)
                is_pruned = reader.header()[0].is_pruned
                for group in reader.groups(check_payloads=True, until=until):
                    head = group.commit.head
                    pruned += len(group.entries) if is_pruned else 0
                    passed_expected = passed_expected or head == expected_head
                    if on_progress is not None:
                        on_progress(name, head.sequence)
    except LogError as error:
        problem = str(error)
    if not problem and not passed_expected:
        assert expected_head is not None
        problem = (
            f"log {name}: expected a chain through entry {expected_head.sequence} with hash "
            f"{expected_head.hash[:16]}…, got one that ends at entry {head.sequence} without it; "
            "entries were cut or rewritten: compare with a copy"
        )
    return ChainVerdict(
        entries=head.sequence + 1, pruned_entries=pruned, head=head, problem=problem
    )
