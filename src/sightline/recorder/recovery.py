"""Recovery: what of an interrupted log counts, and how its last segment is made whole again.

Committed is what a complete commit entry covers. Only the last segment can be unfinished, because
a segment is finished and synced before the next is created; and in it only the last group can be
torn, because every group is synced before the next is begun. Anything else is damage.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mcap.opcode import Opcode

from sightline.errors import LogError
from sightline.limits import Limits
from sightline.recorder.chain import (
    COMMIT_PREFIX,
    EMPTY_CHAIN,
    ChainHead,
    Commit,
    LinkedEntry,
    parse_commit,
    payload_digest,
)
from sightline.recorder.segment_format import (
    largest_header_bytes,
    list_segments,
    log_folder,
)
from sightline.recorder.segment_reader import (
    MESSAGE_PREFIX_BYTES,
    SegmentFile,
    SegmentReader,
    UnknownVersionError,
)
from sightline.recorder.segment_writer import SegmentWriter
from sightline.recorder.storage import TEMPORARY_SUFFIX, Storage
from sightline.records import EntryKind

_SEARCH_BYTES = 1 << 20
"""Bytes held at a time while looking for commits behind a damaged place."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recovery:
    """What opening a log found and did.

    Attributes:
        head: end of the chain; everything up to it is committed and kept.
        epoch: of this opening.
        cut_entries: complete entries that were given up because no commit covered them.
        cut_bytes: bytes that were given up, those entries included.
        repaired_segments: paths of segments that were rewritten or removed.
        message: one sentence for people.
    """

    head: ChainHead
    epoch: int
    cut_entries: int
    cut_bytes: int
    repaired_segments: tuple[str, ...]
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CommittedPart:
    """The part of a last segment that counts.

    Attributes:
        head: end of the chain; None if the segment ends within its own header.
        end: offset after the last commit, bytes.
        cut_entries: complete entries after it.
        cut_bytes: bytes after it.
        is_finished: the segment ends with an intact summary, and nothing has to be cut.
    """

    head: ChainHead | None
    end: int
    cut_entries: int
    cut_bytes: int
    is_finished: bool


def committed_part(reader: SegmentReader, name: str) -> CommittedPart:
    """Measure the last segment of log ``name``, every payload included.

    Raises:
        UnknownVersionError: the segment is of another format version.
        LogError: it is damaged, rather than torn at its end.
    """
    if has_torn_header(reader, name):
        return CommittedPart(
            head=None, end=0, cut_entries=0, cut_bytes=reader.size, is_finished=False
        )
    header, end = reader.header()
    head = header.start
    try:
        for group in reader.groups(check_payloads=True):
            head, end = group.commit.head, group.end
    except LogError:
        if reader.is_finished or _has_commit_after(reader.file, end, head.sequence + 1):
            raise
    cut_bytes = 0 if reader.is_finished else reader.size - end
    return CommittedPart(
        head=head,
        end=end,
        cut_entries=reader.trailing_entries,
        cut_bytes=cut_bytes,
        is_finished=reader.is_finished,
    )


def has_torn_header(reader: SegmentReader, name: str) -> bool:
    """True if the segment was begun and its header never became durable.

    Raises:
        UnknownVersionError: the segment is of another format version.
        LogError: the header is damaged.
    """
    try:
        reader.header()
    except UnknownVersionError:
        raise
    except LogError:
        # The header is synced before the first entry: torn means that nothing came after it.
        if reader.size > largest_header_bytes(name):
            raise
        return True
    return False


def recover(
    storage: Storage,
    name: str,
    *,
    genesis: bytes | None = None,
    epoch: int | None = None,
    limits: Limits,
) -> Recovery:
    """Make every segment of the log finished, cutting what was not committed.

    May be interrupted at any point and run again. An empty log is fine.

    Args:
        storage: the disk.
        name: of the log.
        genesis: payload of the first entry that the log must have, if it has any; None: whatever.
        epoch: of the opening; None: that of the newest segment, 0 in a new log.
        limits: bounds.

    Raises:
        LogError: the log is damaged before its torn end, belongs to another run, or a later
            opening has written to it; nothing was touched.
        StorageError: the disk would not take the rewritten segment; nothing was lost.
    """
    segments = list_segments(storage, name)
    if genesis is not None:
        check_genesis(storage, name, genesis, limits=limits)
    newest_epoch = _check_epoch(storage, name, segments, epoch=epoch, limits=limits)
    _remove_temporary_files(storage, name)
    cut_entries = cut_bytes = 0
    repaired: list[str] = []
    head = EMPTY_CHAIN
    while segments:
        index = segments.pop()
        with SegmentReader(storage, name, index, limits=limits) as reader:
            part = committed_part(reader, name)
            if repaired and not part.is_finished:
                raise reader.damage(
                    part.end, expected="a finished segment before the last", got="an unfinished one"
                )
            if part.head is not None and (part.is_finished or part.end > reader.header()[1]):
                head = part.head
                if part.is_finished:
                    # A process killed before its last sync leaves bytes that can be read and
                    # are not durable; the next segment must not rest on them.
                    storage.sync_path(reader.path)
                else:
                    _rewrite_finished(storage, reader, until=part.end)
                    repaired.append(reader.path)
                    cut_entries += part.cut_entries
                    cut_bytes += part.cut_bytes
                break
            path, size = reader.path, reader.size
        # Nothing in it is committed: it was begun and never got that far.
        storage.remove(path)
        repaired.append(path)
        cut_entries += part.cut_entries
        cut_bytes += size
    return Recovery(
        head=head,
        epoch=newest_epoch if epoch is None else epoch,
        cut_entries=cut_entries,
        cut_bytes=cut_bytes,
        repaired_segments=tuple(repaired),
        message=_message(name, head, cut_entries, cut_bytes, repaired),
    )


def check_genesis(storage: Storage, name: str, genesis: bytes, *, limits: Limits) -> None:
    """Raise LogError if a log has entries and the first is not of kind ``origin`` with this."""
    first = first_entry(storage, name, limits=limits)
    if first is not None and not is_genesis(first, genesis):
        raise another_run(log_folder(name))


def is_genesis(first: LinkedEntry, genesis: bytes) -> bool:
    """Whether the first entry of a log is the one that the run demands."""
    return first.kind is EntryKind.ORIGIN and first.digest == payload_digest(genesis)


def first_entry(storage: Storage, name: str, *, limits: Limits) -> LinkedEntry | None:
    """The first committed entry of a log, as the chain has it; None of a log without any.

    Raises:
        LogError: the log is damaged at its beginning.
    """
    segments = list_segments(storage, name)
    if not segments:
        return None
    with SegmentReader(storage, name, 0, limits=limits) as reader:
        is_alone = len(segments) == 1
        if is_alone and has_torn_header(reader, name):
            return None
        try:
            for group in reader.groups():
                return group.commit.entries[0]
        except LogError:
            if reader.is_finished or not is_alone:
                raise
    return None


def _check_epoch(
    storage: Storage, name: str, segments: Sequence[int], *, epoch: int | None, limits: Limits
) -> int:
    """The epoch of the newest segment, which must not be later than ``epoch``."""
    newest_epoch = 0
    for index in segments[-2:]:
        with SegmentReader(storage, name, index, limits=limits) as reader:
            if index == segments[-1] and has_torn_header(reader, name):
                continue
            newest_epoch = reader.header()[0].epoch
    if epoch is not None and newest_epoch > epoch:
        raise LogError(
            expected=f"a log that opening {epoch} of the run writes",
            got=f"one that opening {newest_epoch} has written to",
            where=log_folder(name),
            action="leave the run to the later opening: what was committed is kept",
        )
    return newest_epoch


def another_run(path: str) -> LogError:
    """The error of a log that does not begin as the run and its ``run.json`` demand."""
    return LogError(
        expected="a log of this run, of this partition, begun with what run.json says",
        got="one of another run, or of another run.json",
        where=path,
        action="restore the log and run.json together from a copy",
    )


def _has_commit_after(file: SegmentFile, offset: int, sequence: int) -> bool:
    """True if an intact commit of a group that begins after ``sequence`` lies after ``offset``.

    At most the last group can be torn, so such a commit proves that what lies before it was whole.
    """
    overlap = len(COMMIT_PREFIX) - 1
    for start in range(offset, file.size, _SEARCH_BYTES):
        block = file.read(start, min(_SEARCH_BYTES + overlap, file.size - start))
        hit = block.find(COMMIT_PREFIX)
        while hit >= 0:
            commit = _commit_at(file, start + hit)
            if commit is not None and commit.first_sequence > sequence:
                return True
            hit = block.find(COMMIT_PREFIX, hit + 1)
    return False


def _commit_at(file: SegmentFile, offset: int) -> Commit | None:
    """The commit whose payload begins at ``offset``; None if there is none."""
    start = offset - MESSAGE_PREFIX_BYTES
    try:
        opcode, end = file.frame(max(start, 0))
        return parse_commit(file.read(offset, end - offset)) if opcode == Opcode.MESSAGE else None
    except (LogError, ValueError):
        return None  # payload bytes that merely look like the beginning of a commit


def _rewrite_finished(storage: Storage, reader: SegmentReader, *, until: int) -> None:
    temporary = reader.path + TEMPORARY_SUFFIX
    writer = SegmentWriter(storage, temporary, reader.header()[0])
    try:
        for group in reader.groups(until=until):
            for entry in group.entries:
                writer.append(
                    sequence=entry.sequence,
                    kind=entry.linked.kind,
                    name=entry.linked.name,
                    time_ns=entry.linked.time_ns,
                    payload=reader.payload(entry),
                )
            writer.commit(group.commit)
        writer.finish()
    except BaseException:
        writer.abandon()
        raise
    storage.replace(temporary, reader.path)


def _remove_temporary_files(storage: Storage, name: str) -> None:
    folder = log_folder(name)
    for file in storage.listdir(folder):
        if file.endswith(TEMPORARY_SUFFIX):
            storage.remove(f"{folder}/{file}")


def _message(
    name: str, head: ChainHead, cut_entries: int, cut_bytes: int, repaired: list[str]
) -> str:
    if head.sequence < 0 and not repaired:
        return f"log {name}: new"
    kept = f"log {name}: {head.sequence + 1} committed entries"
    if not repaired:
        return f"{kept}, closed cleanly"
    if not cut_bytes:
        return f"{kept}; the last run was interrupted right after a commit, nothing was cut"
    return (
        f"{kept}; the last run was interrupted, cut {cut_bytes} bytes after the last commit "
        f"({cut_entries} whole entries)"
    )
