"""Reads one segment group by group, trusting nothing it has not checked against the chain.

The bytes of one segment, read within bounds.

The framing is read here and not with mcap's readers: its default reader needs a finished file, and
its stream reader bounds a record but not the strings inside one, and says nothing of offsets. Here
every read is bounded by the size of the file and by ``max_entry_bytes``, whatever a damaged length
claims.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from io import BytesIO

from mcap.data_stream import ReadDataStream
from mcap.exceptions import McapError
from mcap.opcode import Opcode
from mcap.records import Channel, Metadata, Schema

from sightline.errors import LogError
from sightline.limits import Limits
from sightline.recorder.chain import ChainHead, Commit, LinkedEntry, parse_commit, payload_digest
from sightline.recorder.segment_format import (
    CHAIN_CHANNEL_ID,
    CHAIN_SCHEMA_ID,
    FORMAT_VERSION,
    MAGIC,
    MESSAGE_HEADER_BYTES,
    METADATA_NAME,
    SEQUENCE_MODULUS,
    SegmentHeader,
    channel_of,
    parse_topic,
    preamble,
    record_bytes,
    schema_kind,
    schema_of,
    segment_path,
)
from sightline.recorder.storage import Storage
from sightline.records import EntryKind

_FRAME = struct.Struct("<BQ")
_MESSAGE_HEADER = struct.Struct("<HIQQ")
_FOOTER = struct.Struct("<BQQQI")
_DATA_END = struct.pack("<BQI", Opcode.DATA_END, 4, 0)

FRAME_BYTES = _FRAME.size
MESSAGE_PREFIX_BYTES = FRAME_BYTES + MESSAGE_HEADER_BYTES
"""Bytes of a message record before its payload."""


@dataclass(frozen=True, slots=True)
class StoredMessage:
    """One MCAP message; ``start`` is where its record begins, ``offset`` its payload, in bytes."""

    start: int
    channel_id: int
    sequence: int
    time_ns: int
    offset: int
    size: int


class SegmentFile:
    """An open segment as bytes and records.

    Attributes:
        path: in its storage.
        size: bytes when it was opened; later growth is not seen.
        summary_start: offset of an intact summary; None if the segment is unfinished.

    Raises:
        LogError: from any method; names the segment, the offset and what to do.
    """

    def __init__(self, storage: Storage, path: str, *, limits: Limits) -> None:
        self.path = path
        self._max_summary_bytes = limits.max_summary_bytes
        self._max_record_bytes = limits.max_entry_bytes + MESSAGE_HEADER_BYTES
        self.size = storage.size(path)
        self._file = storage.open_read(path)
        self.summary_start = self._find_summary()

    def close(self) -> None:
        self._file.close()

    def read(self, offset: int, size: int) -> bytes:
        """Exactly ``size`` bytes from ``offset``."""
        self._file.seek(offset)
        data = self._file.read(size)
        if len(data) != size:
            raise self.damage(offset, expected=f"{size} bytes", got=f"{len(data)}")
        return data

    def frame(self, at: int) -> tuple[int, int]:
        """Opcode of the record at ``at`` and the offset after it, both within bounds."""
        self._file.seek(at)
        head = self._file.read(FRAME_BYTES)
        if len(head) < FRAME_BYTES:
            raise self.damage(at, expected="a whole record", got=f"{len(head)} bytes")
        opcode, length = _FRAME.unpack(head)
        end = at + FRAME_BYTES + length
        if end > self.size:
            raise self.damage(
                at,
                expected=f"a record of {length} bytes",
                got=f"{self.size - at - FRAME_BYTES} bytes before the end of the file",
            )
        if length > self._max_record_bytes:
            raise self.damage(
                at,
                expected=f"a record of at most {self._max_record_bytes} bytes "
                "(limit max_entry_bytes)",
                got=f"{length} bytes",
            )
        return opcode, end

    def message(self, at: int, end: int) -> StoredMessage:
        """The message record from ``at`` to ``end``, without its payload."""
        if end - at < MESSAGE_PREFIX_BYTES:
            raise self.damage(at, expected="a whole message", got=f"{end - at} bytes")
        fields = self.read(at + FRAME_BYTES, MESSAGE_HEADER_BYTES)
        channel_id, sequence, log_time, publish_time = _MESSAGE_HEADER.unpack(fields)
        if log_time != publish_time:
            raise self.damage(at, expected=f"publish time {log_time}", got=str(publish_time))
        offset = at + MESSAGE_PREFIX_BYTES
        return StoredMessage(at, channel_id, sequence, log_time, offset, end - offset)

    def check_data_end(self, at: int, end: int) -> None:
        """Raise unless the record there is our end of data, followed by an intact summary."""
        if self.read(at, end - at) != _DATA_END or end != self.summary_start:
            raise self.damage(at, expected="an intact end of the segment", got="other bytes")

    def damage(self, offset: int, *, expected: str, got: str) -> LogError:
        """The error for bytes at ``offset`` that our writer cannot have written."""
        return LogError(
            expected=expected,
            got=got,
            where=f"{self.path}, byte {offset}",
            action="restore this segment from a copy; entries before it can still be read",
        )

    def _find_summary(self) -> int | None:
        tail = _FOOTER.size + len(MAGIC)
        if self.size < tail or self.read(self.size - len(MAGIC), len(MAGIC)) != MAGIC:
            return None
        footer = self.read(self.size - tail, _FOOTER.size)
        opcode, length, summary_start, _, crc = _FOOTER.unpack(footer)
        if (opcode, length) != (Opcode.FOOTER, _FOOTER.size - FRAME_BYTES):
            return None
        if not 0 < summary_start <= self.size - tail:
            return None
        # From the summary to the CRC itself (MCAP specification, Footer). Ours holds channels and
        # counts; a claim of more than that is not ours and not worth reading.
        covered = self.size - len(MAGIC) - 4 - summary_start
        if covered > self._max_summary_bytes:
            return None
        return int(summary_start) if zlib.crc32(self.read(summary_start, covered)) == crc else None


_PARSE_ERRORS = (McapError, struct.error, ValueError, KeyError)


class UnknownVersionError(LogError):
    """The log was written in a format this version cannot read. Never cut, never guessed at."""


@dataclass(frozen=True, slots=True)
class StoredEntry:
    """A committed entry and where its payload is.

    Attributes:
        sequence: position in the log.
        linked: kind, name, time and digest, as the chain has them.
        offset: of the payload in the segment, bytes; -1 if it was pruned.
        size: of the payload, bytes; 0 if it was pruned.
    """

    sequence: int
    linked: LinkedEntry
    offset: int
    size: int


@dataclass(frozen=True, slots=True)
class Group:
    """Entries that were committed together; ``end`` is the offset after their commit entry."""

    commit: Commit
    entries: tuple[StoredEntry, ...]
    end: int


@dataclass(slots=True)
class _Registry:
    """The schemas and channels seen so far in a segment."""

    names: dict[int, tuple[EntryKind, str]] = field(default_factory=dict)
    schema_ids: dict[EntryKind, int] = field(default_factory=dict)

    def add(self, opcode: int, raw: bytes) -> bool:
        """Take note of a record; False unless it is exactly what our writer writes next.

        Raises:
            McapError, struct.error, ValueError: if it cannot even be parsed.
        """
        body = ReadDataStream(BytesIO(raw[FRAME_BYTES:]))
        if opcode == Opcode.SCHEMA:
            kind = schema_kind(Schema.read(body).name)
            schema_id = len(self.schema_ids) + CHAIN_SCHEMA_ID + 1
            schema = schema_of(kind, schema_id=schema_id)
            self.schema_ids[kind] = schema_id
            return schema is not None and record_bytes(schema) == raw
        if opcode == Opcode.CHANNEL:
            kind, name = parse_topic(Channel.read(body).topic)
            channel_id = len(self.names) + CHAIN_CHANNEL_ID + 1
            channel = channel_of(
                kind, name, channel_id=channel_id, schema_id=self.schema_ids.get(kind, 0)
            )
            self.names[channel_id] = (kind, name)
            return record_bytes(channel) == raw
        return False


class SegmentReader:
    """An open segment. Use as a context manager.

    Attributes:
        path: of the segment in its storage.
        size: bytes when it was opened; later growth is not seen.
        is_finished: True if it ends with an intact summary.
        trailing_entries: after :meth:`groups`, complete entries after the last good commit.

    Raises:
        LogError: from any method; names the segment, the offset and what to do.
    """

    def __init__(self, storage: Storage, name: str, index: int, *, limits: Limits) -> None:
        self.path = segment_path(name, index)
        self.file = SegmentFile(storage, self.path, limits=limits)
        self.size = self.file.size
        self.is_finished = self.file.summary_start is not None
        self.trailing_entries = 0
        self._name = name
        self._index = index

    def __enter__(self) -> SegmentReader:
        return self

    def __exit__(self, *_: object) -> None:
        self.file.close()

    def header(self) -> tuple[SegmentHeader, int]:
        """The header and the offset after it.

        Raises:
            UnknownVersionError: another format version.
            LogError: anything else that is not our header.
        """
        start = preamble()
        if self.file.read(0, min(len(start), self.size)) != start:
            raise self.damage(0, expected="the header of a Sightline log", got="other bytes")
        at = len(start)
        opcode, end = self.file.frame(at)
        raw = self.file.read(at, end - at)
        try:
            if opcode != Opcode.METADATA:
                raise ValueError(f"record {opcode}")
            record = Metadata.read(ReadDataStream(BytesIO(raw[FRAME_BYTES:])))
            version = record.metadata["format_version"]
            if record.name == METADATA_NAME and version != FORMAT_VERSION:
                raise self._unknown_version(version)
            header = SegmentHeader.from_record(record)
        except _PARSE_ERRORS as error:
            raise self.damage(at, expected="the segment's metadata", got=repr(error)) from error
        if record_bytes(header.as_record()) != raw:
            raise self.damage(at, expected="canonical segment metadata", got="other bytes")
        if (header.partition, header.index) != (self._name, self._index):
            raise self.damage(
                at,
                expected=f"segment {self._index} of log {self._name!r}",
                got=f"segment {header.index} of log {header.partition!r}",
            )
        return header, end

    def groups(self, *, check_payloads: bool = False, until: int | None = None) -> Iterator[Group]:
        """Committed groups in order, each linked to the one before.

        Args:
            check_payloads: also read every payload and compare its digest.
            until: stop quietly at this offset; default is the end of the segment.
        """
        header, at = self.header()
        head = header.start
        registry = _Registry()
        pending: list[StoredMessage] = []
        self.trailing_entries = 0
        stop = self.size if until is None else until
        while at < stop:
            opcode, end = self.file.frame(at)
            if opcode == Opcode.MESSAGE:
                message = self.file.message(at, end)
                if message.channel_id != CHAIN_CHANNEL_ID:
                    pending.append(message)
                    self.trailing_entries += 1
                else:
                    commit = self._commit(head, message)
                    entries = self._entries(header, commit, pending, registry)
                    if check_payloads:
                        for entry in entries:
                            self.payload(entry)
                    head = commit.head
                    pending = []
                    self.trailing_entries = 0
                    yield Group(commit, entries, end)
            elif opcode == Opcode.DATA_END:
                self.file.check_data_end(at, end)
                if pending:
                    raise self.damage(at, expected="a commit before the end", got="none")
                return
            else:
                self._register(registry, opcode, at, end)
            at = end
        if self.is_finished and until is None:
            raise self.damage(at, expected="the end of the data section", got="the end of the file")

    def payload(self, entry: StoredEntry) -> bytes:
        """The payload of an entry; empty if it was pruned. Checked against the chain."""
        if entry.offset < 0:
            return b""
        payload = self.file.read(entry.offset, entry.size)
        digest = payload_digest(payload)
        if digest != entry.linked.digest:
            raise self.damage(
                entry.offset,
                expected=f"entry {entry.sequence} with digest {entry.linked.digest[:16]}…",
                got=f"{digest[:16]}…",
            )
        return payload

    def damage(self, offset: int, *, expected: str, got: str) -> LogError:
        """The error for bytes at ``offset`` that our writer cannot have written."""
        return self.file.damage(offset, expected=expected, got=got)

    def _commit(self, head: ChainHead, message: StoredMessage) -> Commit:
        """The commit in ``message``, which must continue ``head``."""
        try:
            commit = parse_commit(self.file.read(message.offset, message.size))
        except ValueError as error:
            raise self.damage(message.start, expected=str(error), got="other bytes") from error
        if commit.previous != head:
            raise self.damage(
                message.start,
                expected=f"a commit that follows entry {head.sequence} with hash {head.hash[:16]}…",
                got=f"one that follows entry {commit.previous.sequence} with "
                f"{commit.previous.hash[:16]}…",
            )
        number = commit.head.sequence % SEQUENCE_MODULUS
        time_ns = commit.entries[-1].time_ns
        if (message.sequence, message.time_ns) != (number, time_ns):
            raise self.damage(
                message.start,
                expected=f"a commit with sequence {number} and time {time_ns}",
                got=f"sequence {message.sequence} and time {message.time_ns}",
            )
        return commit

    def _entries(
        self,
        header: SegmentHeader,
        commit: Commit,
        messages: Sequence[StoredMessage],
        registry: _Registry,
    ) -> tuple[StoredEntry, ...]:
        """The entries of ``commit`` with their places; ``messages`` must be exactly these."""
        expected_count = 0 if header.is_pruned else len(commit.entries)
        if len(messages) != expected_count:
            raise self.damage(
                messages[0].start if messages else self.header()[1],
                expected=f"{expected_count} entries before the commit of entry "
                f"{commit.head.sequence}",
                got=str(len(messages)),
            )
        numbered = enumerate(commit.entries, commit.first_sequence)
        if header.is_pruned:
            return tuple(StoredEntry(sequence, linked, -1, 0) for sequence, linked in numbered)
        entries = []
        for message, (sequence, linked) in zip(messages, numbered, strict=True):
            found = (registry.names.get(message.channel_id), message.time_ns, message.sequence)
            if found != ((linked.kind, linked.name), linked.time_ns, sequence % SEQUENCE_MODULUS):
                raise self.damage(
                    message.start,
                    expected=f"entry {sequence}: {linked.kind} {linked.name!r}, time "
                    f"{linked.time_ns}",
                    got=f"(kind and name, time, sequence) {found}",
                )
            entries.append(StoredEntry(sequence, linked, message.offset, message.size))
        return tuple(entries)

    def _register(self, registry: _Registry, opcode: int, at: int, end: int) -> None:
        try:
            is_ours = registry.add(opcode, self.file.read(at, end - at))
        except _PARSE_ERRORS as error:
            raise self.damage(at, expected="a schema or channel", got=repr(error)) from error
        if not is_ours:
            raise self.damage(
                at, expected="a message, schema or channel of the log", got=f"record {opcode}"
            )

    def _unknown_version(self, version: str) -> UnknownVersionError:
        return UnknownVersionError(
            expected=f"log format version {FORMAT_VERSION}",
            got=repr(version[:32]),
            where=self.path,
            action="open the log with the version of Sightline that wrote it",
        )
