"""The log of one partition: append, commit, read.

The log is the only truth: an entry counts from the moment :meth:`PartitionLog.commit` returns,
and nothing may act on it before.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator

from sightline.errors import LogError, StorageError, UsageError
from sightline.limits import DEFAULT_LIMITS, Limits
from sightline.recorder.chain import ChainHead, LinkedEntry, link, payload_digest
from sightline.recorder.recovery import Recovery, recover
from sightline.recorder.segment_format import (
    MAX_TIME_NS,
    SegmentHeader,
    list_segments,
    message_encoding,
    segment_path,
)
from sightline.recorder.segment_reader import SegmentReader, StoredEntry
from sightline.recorder.segment_writer import SegmentWriter
from sightline.recorder.storage import Storage
from sightline.recorder.walk import walk_groups
from sightline.records import Entry, EntryKind

__all__ = ["ChainHead", "PartitionLog", "Recovery", "read_entries"]

_ROW_BYTES = 256
"""Upper bound for one entry's row in a commit, without its name."""
_NS_PER_S = 1_000_000_000
_SURELY_READABLE = 300
"""JSON with fewer brackets cannot be nested so deeply that Python gives up."""


class PartitionLog:
    """The writing end of one partition's log. Exactly one may be open per partition.

    After any failed write the object is unusable (further calls raise StorageError), because what
    reached the disk is unknown; opening the log again recovers to the last commit.

    >>> import tempfile
    >>> from pathlib import Path
    >>> from sightline.recorder.storage import DirectoryStorage
    >>> storage = DirectoryStorage(Path(tempfile.mkdtemp()))
    >>> log = PartitionLog.open(storage, "p0")
    >>> log.append(EntryKind.TICK, "", b'{"event_ns":0}', time_ns=0)
    0
    >>> head = log.commit(); log.close()
    >>> [entry.payload for entry in read_entries(storage, "p0")]
    [b'{"event_ns":0}']
    """

    def __init__(self, storage: Storage, name: str, *, recovery: Recovery, limits: Limits) -> None:
        self.recovery = recovery
        self._storage = storage
        self._name = name
        self._limits = limits
        self._head = recovery.head
        segments = list_segments(storage, name)
        self._next_index = len(segments)
        self._finished_bytes = sum(storage.size(segment_path(name, i)) for i in segments)
        self._segment: SegmentWriter | None = None
        self._segment_start_ns = 0
        self._newest_ns = 0
        self._pending: list[LinkedEntry] = []
        self._pending_row_bytes = 0
        self._is_unusable = False

    @classmethod
    def open(
        cls,
        storage: Storage,
        name: str,
        *,
        genesis: bytes | None = None,
        epoch: int | None = None,
        limits: Limits = DEFAULT_LIMITS,
    ) -> PartitionLog:
        """Open for appending, recovering first; ``recovery`` says what that found.

        The next entries go into a new segment, made when the first of them comes.

        Args:
            storage: the disk.
            name: of the log.
            genesis: payload of the first entry that the log must have, if it has any; whoever
                opens a new log writes it. None: whatever.
            epoch: of this opening of the run; None: that of the newest segment.
            limits: bounds.

        Raises:
            LogError: the log is damaged other than by an interrupted last write, belongs to
                another run, or a later opening has written to it.
            StorageError: the disk refuses.
        """
        recovery = recover(storage, name, genesis=genesis, epoch=epoch, limits=limits)
        return cls(storage, name, recovery=recovery, limits=limits)

    @property
    def head(self) -> ChainHead:
        """The last committed head."""
        return self._head

    def append(self, kind: EntryKind, name: str, payload: bytes, *, time_ns: int) -> int:
        """Write one entry and return its sequence. It counts once :meth:`commit` returns.

        Args:
            kind: what the payload holds.
            name: source, stage or channel; ``""`` where there is only one.
            payload: at most ``limits.max_entry_bytes``.
            time_ns: logged receipt time, UTC ns, not negative.

        Raises:
            UsageError: the entry cannot be written at all; nothing was.
            StorageError: the log is full (nothing was written), or the disk failed.
        """
        self._check_usable()
        self._check_entry(kind, name, payload, time_ns)
        linked = LinkedEntry(kind=kind, name=name, time_ns=time_ns, digest=payload_digest(payload))
        sequence = self._head.sequence + 1 + len(self._pending)
        try:
            segment = self._segment_for(time_ns)
            segment.check_channel(kind, name)
            segment.append(
                sequence=sequence, kind=kind, name=name, time_ns=time_ns, payload=payload
            )
        except UsageError:
            raise
        except BaseException:
            self._is_unusable = True
            raise
        self._newest_ns = max(self._newest_ns, time_ns)
        self._pending.append(linked)
        self._pending_row_bytes += _ROW_BYTES + 6 * len(name)
        return sequence

    def commit(self) -> ChainHead:
        """Make every entry so far durable and return the new head.

        Raises:
            StorageError: the disk failed; whether the group counts is known after reopening.
        """
        self._check_usable()
        if not self._pending:
            return self._head
        assert self._segment is not None
        commit = link(self._head, self._pending)
        try:
            self._segment.commit(commit)
            self._segment.sync()
        except BaseException:
            self._is_unusable = True
            raise
        self._head = commit.head
        self._pending = []
        self._pending_row_bytes = 0
        return self._head

    def close(self) -> None:
        """Finish the segment. Entries since the last commit are given up, as after a crash.

        Raises:
            StorageError: the disk failed; committed entries are safe.
        """
        was_usable, self._is_unusable = not self._is_unusable, True
        segment, self._segment = self._segment, None
        if segment is None:
            return
        if was_usable and not self._pending:
            segment.finish()
        else:
            segment.abandon()

    def _segment_for(self, time_ns: int) -> SegmentWriter:
        """The current segment, after rotating if it is due and no group is open."""
        limits = self._limits
        if self._segment is not None and not self._pending:
            age_ns = self._newest_ns - self._segment_start_ns
            is_old = age_ns >= limits.segment_age_s * _NS_PER_S
            if is_old or self._segment.size >= limits.segment_bytes:
                self._segment.finish()
                self._finished_bytes += self._storage.size(self._segment.path)
                self._segment = None
        if self._segment is None:
            header = SegmentHeader(
                partition=self._name,
                index=self._next_index,
                start=self._head,
                epoch=self.recovery.epoch,
            )
            path = segment_path(self._name, self._next_index)
            self._segment = SegmentWriter(self._storage, path, header)
            self._next_index += 1
            self._segment_start_ns = self._newest_ns = time_ns
        return self._segment

    def _check_usable(self) -> None:
        if self._is_unusable:
            raise StorageError(
                expected="a log that is open and whose last write succeeded",
                got="one that was closed or failed",
                where=f"log {self._name}",
                action="open the log again; it recovers to the last commit",
            )

    def _check_entry(self, kind: EntryKind, name: str, payload: bytes, time_ns: int) -> None:
        limit = self._limits.max_entry_bytes
        if len(payload) > limit:
            raise self._refusal(
                kind,
                name,
                expected=f"an entry of at most {limit} bytes (limit max_entry_bytes)",
                got=f"{len(payload)} bytes",
                action="write smaller batches or raise the limit",
            )
        if self._pending_row_bytes + _ROW_BYTES + 6 * len(name) > limit:
            raise self._refusal(
                kind,
                name,
                expected=f"a group whose commit entry fits {limit} bytes (limit max_entry_bytes)",
                got=f"one more than {len(self._pending)} entries",
                action="commit more often",
            )
        if not name.isascii() and not _is_unicode(name):
            raise self._refusal(
                kind,
                name,
                expected="a name that can be written as UTF-8",
                got="a lone surrogate",
                action="rename the source or stage",
            )
        if not 0 <= time_ns <= MAX_TIME_NS:
            raise self._refusal(
                kind,
                name,
                expected="a time from 1970 on, below 2**63 ns",
                got=str(time_ns),
                action="pass UTC ns",
            )
        used = self._finished_bytes + (self._segment.size if self._segment else 0)
        if used + len(payload) > self._limits.log_bytes:
            raise StorageError(
                expected=f"a log of at most {self._limits.log_bytes} bytes (limit log_bytes)",
                got=f"{used} bytes and an entry of {len(payload)} more",
                where=f"log {self._name}",
                action="prune old segments or raise the limit, then resume the run",
            )

    def _refusal(
        self, kind: EntryKind, name: str, *, expected: str, got: str, action: str
    ) -> UsageError:
        where = f"log {self._name}, {kind} entry {name!r}"
        return UsageError(expected=expected, got=got, where=where, action=action)


def read_entries(
    storage: Storage,
    name: str,
    *,
    after: int = -1,
    until: int | None = None,
    kinds: Collection[EntryKind] | None = None,
    skip_pruned: bool = False,
    limits: Limits = DEFAULT_LIMITS,
) -> Iterator[Entry]:
    """Committed entries in order, checked against the chain from their segment on.

    Holds one group's index and one payload at a time; payloads of other kinds are not read. An
    empty or absent log gives nothing.

    Args:
        after: only entries with a higher sequence.
        until: only entries up to this sequence; None is the end of the log.
        kinds: only these kinds; None is all.
        skip_pruned: leave out entries whose payload was pruned, instead of raising.

    Raises:
        LogError: the log is damaged, or an entry that was asked for has been pruned.
    """
    wanted = None if kinds is None else frozenset(kinds)
    for reader, group in walk_groups(storage, name, from_sequence=after + 1, limits=limits):
        if until is not None and group.commit.first_sequence > until:
            return
        for entry in group.entries:
            linked = entry.linked
            if entry.sequence <= after or (wanted is not None and linked.kind not in wanted):
                continue
            if until is not None and entry.sequence > until:
                return
            if entry.offset < 0:
                if skip_pruned:
                    continue
                raise LogError(
                    expected=f"the payload of entry {entry.sequence} ({linked.kind})",
                    got="a pruned segment",
                    where=reader.path,
                    action="read from a later entry, or read only what pruning has left",
                )
            payload = reader.payload(entry)
            _check_depth(payload, linked.kind, reader, entry)
            yield Entry(
                sequence=entry.sequence,
                kind=linked.kind,
                name=linked.name,
                time_ns=linked.time_ns,
                payload=payload,
            )


def _check_depth(
    payload: bytes, kind: EntryKind, reader: SegmentReader, entry: StoredEntry
) -> None:
    """Raise LogError for JSON that lies too deep in itself to be read; ours never does."""
    if message_encoding(kind) == "arrow-ipc":
        return
    if payload.count(b"[") + payload.count(b"{") < _SURELY_READABLE:
        return
    line, _, _ = payload.partition(b"\n")  # what is not JSON has a line of it in front
    try:
        json.loads(line)
    except RecursionError as error:
        raise reader.damage(
            entry.offset, expected=f"an entry of kind {kind}", got="JSON nested without end"
        ) from error
    except ValueError:
        return  # whoever reads it says what is wrong


def _is_unicode(name: str) -> bool:
    return not any("\ud800" <= character <= "\udfff" for character in name)
