"""Retention: removes the payloads of old segments and keeps their links as an anchor."""

from __future__ import annotations

from dataclasses import dataclass, replace

from sightline.limits import DEFAULT_LIMITS, Limits
from sightline.recorder.chain import Commit
from sightline.recorder.segment_format import (
    SegmentHeader,
    list_segments,
    segment_path,
)
from sightline.recorder.segment_reader import SegmentReader
from sightline.recorder.segment_writer import SegmentWriter
from sightline.recorder.storage import TEMPORARY_SUFFIX, Storage


@dataclass(frozen=True, slots=True, kw_only=True)
class Pruned:
    """What pruning removed.

    Attributes:
        segments: paths of the segments whose payloads were removed by this call, oldest first.
        entries: how many entries they hold.
        freed_bytes: how much smaller the log became.
    """

    segments: tuple[str, ...]
    entries: int
    freed_bytes: int


def prune_log(
    storage: Storage,
    name: str,
    *,
    keep_bytes: int | None,
    keep_after_ns: int | None,
    keep_after: int | None = None,
    limits: Limits = DEFAULT_LIMITS,
) -> Pruned:
    """Remove the payloads of the oldest segments until both bounds are met.

    Only whole finished segments, oldest first, and never the newest one. What is left of a
    segment are its commits, which hold kind, name, time and digest of every entry, so that
    ``verify_log`` still walks the whole chain. May be interrupted and run again.

    What was pruned cannot be replayed: keep what lies after the oldest checkpoint you rely on.

    Args:
        keep_bytes: prune while the segments not yet pruned are larger together; None: no bound.
        keep_after_ns: prune segments whose entries are all older, UTC ns; None: no bound.
        keep_after: never prune a segment with an entry of a higher sequence than this.

    Raises:
        LogError: a segment to be pruned is damaged; it is left as it is.
        StorageError: the disk would not take the rewritten segment.
    """
    segments = list_segments(storage, name)
    sizes = {index: storage.size(segment_path(name, index)) for index in segments}
    unpruned = [i for i in segments[:-1] if not _is_pruned(storage, name, i, limits=limits)]
    kept_bytes = sum(sizes[index] for index in [*unpruned, *segments[-1:]])
    paths: list[str] = []
    entries = freed_bytes = 0
    for index in unpruned:
        header, commits = _links(storage, name, index, limits=limits)
        is_old = keep_after_ns is not None and all(c.newest_ns < keep_after_ns for c in commits)
        is_over = keep_bytes is not None and kept_bytes > keep_bytes
        is_needed = keep_after is not None and commits[-1].head.sequence > keep_after
        if is_needed or not (is_old or is_over):
            break
        path = segment_path(name, index)
        _rewrite_pruned(storage, path, header, commits)
        kept_bytes -= sizes[index]
        freed_bytes += sizes[index] - storage.size(path)
        entries += sum(len(commit.entries) for commit in commits)
        paths.append(path)
    return Pruned(segments=tuple(paths), entries=entries, freed_bytes=freed_bytes)


def first_kept(storage: Storage, name: str, *, limits: Limits = DEFAULT_LIMITS) -> int:
    """Sequence of the first entry whose payload was not pruned; 0 in a log that never was.

    Raises:
        LogError: the log is damaged.
    """
    for index in list_segments(storage, name):
        with SegmentReader(storage, name, index, limits=limits) as reader:
            header, _ = reader.header()
            if not header.is_pruned:
                return header.start.sequence + 1
    return 0


def _links(
    storage: Storage, name: str, index: int, *, limits: Limits
) -> tuple[SegmentHeader, list[Commit]]:
    with SegmentReader(storage, name, index, limits=limits) as reader:
        header, end = reader.header()
        if not reader.is_finished:
            raise reader.damage(end, expected="a finished segment", got="one without an intact end")
        return header, [group.commit for group in reader.groups()]


def _rewrite_pruned(
    storage: Storage, path: str, header: SegmentHeader, commits: list[Commit]
) -> None:
    temporary = path + TEMPORARY_SUFFIX
    writer = SegmentWriter(storage, temporary, replace(header, is_pruned=True))
    try:
        for commit in commits:
            writer.commit(commit)
        writer.finish()
    except BaseException:
        writer.abandon()
        raise
    storage.replace(temporary, path)


def _is_pruned(storage: Storage, name: str, index: int, *, limits: Limits) -> bool:
    with SegmentReader(storage, name, index, limits=limits) as reader:
        return reader.header()[0].is_pruned
