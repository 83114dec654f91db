"""Reading a whole log from outside: its entries in order, and whether all of it is intact."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass

from sightline.errors import LogError
from sightline.limits import DEFAULT_LIMITS, Limits
from sightline.recorder.chain import EMPTY_CHAIN, ChainHead, payload_digest
from sightline.recorder.recovery import another_run, committed_part, has_torn_header, is_genesis
from sightline.recorder.segment_format import list_segments
from sightline.recorder.segment_reader import Group, SegmentReader
from sightline.recorder.storage import Storage
from sightline.records import EntryKind
from sightline.records.plain_json import plain_json


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
            check_start(reader, head, is_last=is_last)
            head = reader.header()[0].start
            for group in reader.groups(until=until):
                head = group.commit.head
                if head.sequence >= from_sequence:
                    yield reader, group


def check_start(reader: SegmentReader, previous: ChainHead | None, *, is_last: bool) -> None:
    """Raise a LogError unless the segment continues ``previous`` (None: unknown) and may stand."""
    header, end = reader.header()
    if header.index == 0 and header.start != EMPTY_CHAIN:
        raise reader.damage(0, expected="a first segment that begins a chain", got="a later one")
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


def is_logged_checkpoint(
    storage: Storage,
    name: str,
    sequence: int,
    chain_hash: str,
    digest: str,
    *,
    limits: Limits = DEFAULT_LIMITS,
) -> bool:
    """Whether the log tells of this checkpoint: of its place, and of its bytes.

    Raises:
        LogError: the log is damaged.
    """
    if chain_hash_at(storage, name, sequence, limits=limits) != chain_hash:
        return False
    wanted = payload_digest(checkpoint_payload(sequence, digest))
    for _, group in walk_groups(storage, name, from_sequence=sequence + 1, limits=limits):
        for entry in group.entries:
            if entry.linked.kind is EntryKind.CHECKPOINT and entry.linked.digest == wanted:
                return True
    return False


def checkpoint_payload(sequence: int, digest: str) -> bytes:
    """What the log says of a checkpoint; the chain holds the digest of it, also when pruned."""
    return plain_json({"sequence": sequence, "sha256": digest})


def log_head(storage: Storage, name: str, *, limits: Limits = DEFAULT_LIMITS) -> ChainHead | None:
    """End of the chain of a log, as committed; None of a log that never got so far.

    Raises:
        LogError: the log is damaged in its last segment.
    """
    for index in reversed(list_segments(storage, name)):
        with SegmentReader(storage, name, index, limits=limits) as reader:
            if not reader.is_finished:
                head = committed_part(reader, name).head
                if head is None:
                    continue  # begun, and killed before its header was durable
                return head
            head = reader.header()[0].start
            for group in reader.groups():
                head = group.commit.head
            return head
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


__all__ = ["ChainVerdict", "chain_hash_at", "log_head", "verify_log"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ChainVerdict:
    """What verification found; true when there is no problem.

    Attributes:
        entries: committed entries up to the first problem, pruned ones included.
        pruned_entries: of these, the ones of which only the digest is left.
        head: end of the chain as far as it is good.
        epoch: of the newest segment.
        found: of the hashes that were asked for, where in the chain each is: the sequence.
        is_torn: whether the only problem is what a killed process leaves at the end of a log.
        problem: the first problem, for people; ``""`` if there is none.
    """

    entries: int
    pruned_entries: int
    head: ChainHead
    epoch: int
    found: Mapping[str, int]
    is_torn: bool
    problem: str

    def __bool__(self) -> bool:
        return not self.problem


def verify_log(
    storage: Storage,
    name: str,
    *,
    limits: Limits = DEFAULT_LIMITS,
    genesis: bytes | None = None,
    expected_head: ChainHead | None = None,
    wanted: Collection[str] = (),
    on_progress: Callable[[str, int], None] | None = None,
) -> ChainVerdict:
    """Check the integrity of a log. Any changed byte, missing segment or torn end is a problem.

    Integrity is not authenticity: who can rewrite the log can rewrite the chain, and can cut its
    end. Pass a head that was kept elsewhere as ``expected_head`` to rule that out; the log must
    contain it, and may have grown since.

    A log whose last run was interrupted has a torn end until it is opened again; a log that is
    being written may show one.

    Args:
        storage: the disk.
        name: of the log.
        limits: bounds.
        genesis: payload that the first entry must have; None: whatever.
        expected_head: a head that the log must contain.
        wanted: hashes to look for; :attr:`ChainVerdict.found` says which there are.
        on_progress: called with the name and a log sequence now and then.

    Raises:
        StorageError: the disk could not be read.
    """
    head = EMPTY_CHAIN
    pruned = epoch = 0
    looked_for = {*wanted} if expected_head is None else {*wanted, expected_head.hash}
    found = {head.hash: head.sequence} if head.hash in looked_for else {}
    problem = ""
    is_torn = False
    try:
        segments = list_segments(storage, name)
        for index in segments:
            is_last = index == segments[-1]
            with SegmentReader(storage, name, index, limits=limits) as reader:
                if is_last and not reader.is_finished:
                    part = committed_part(reader, name)
                    if part.cut_bytes:
                        is_torn = True
                        problem = (
                            f"{reader.path}, byte {part.end}: {part.cut_bytes} bytes after the "
                            "last commit; open the log again to cut them"
                        )
                    if part.head is None:
                        break
                    until: int | None = part.end
                else:
                    until = None
                header, at = reader.header()
                check_start(reader, head, is_last=is_last)
                if header.epoch < epoch:
                    raise reader.damage(
                        at, expected=f"opening {epoch} or later", got=f"opening {header.epoch}"
                    )
                head, epoch = header.start, header.epoch
                if head.hash in looked_for:
                    found[head.hash] = head.sequence
                for group in reader.groups(check_payloads=True, until=until):
                    first = group.commit.entries[0] if not group.commit.first_sequence else None
                    if first is not None and genesis is not None and not is_genesis(first, genesis):
                        raise another_run(reader.path)
                    head = group.commit.head
                    pruned += len(group.entries) if header.is_pruned else 0
                    if head.hash in looked_for:
                        found[head.hash] = head.sequence
                    if on_progress is not None:
                        on_progress(name, head.sequence)
    except LogError as error:
        problem, is_torn = str(error), False
    has_expected = expected_head is None or found.get(expected_head.hash) == expected_head.sequence
    if (not problem or is_torn) and not has_expected:
        assert expected_head is not None
        is_torn = False
        problem = (
            f"log {name}: expected a chain through entry {expected_head.sequence} with hash "
            f"{expected_head.hash[:16]}…, got one that ends at entry {head.sequence} without it; "
            "it was cut or rewritten: compare with a copy"
        )
    return ChainVerdict(
        entries=head.sequence + 1,
        pruned_entries=pruned,
        head=head,
        epoch=epoch,
        found=found,
        is_torn=is_torn,
        problem=problem,
    )
