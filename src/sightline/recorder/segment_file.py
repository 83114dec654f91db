"""The bytes of one segment, read within bounds.

The framing is read here and not with mcap's readers: its default reader needs a finished file, and
its stream reader bounds a record but not the strings inside one, and says nothing of offsets. Here
every read is bounded by the size of the file and by ``max_entry_bytes``, whatever a damaged length
claims.
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass

from mcap.opcode import Opcode

from sightline.errors import LogError
from sightline.limits import Limits
from sightline.recorder.segment_format import MAGIC, MESSAGE_HEADER_BYTES
from sightline.recorder.storage import Storage

_FRAME = struct.Struct("<BQ")
_MESSAGE_HEADER = struct.Struct("<HIQQ")
_FOOTER = struct.Struct("<BQQQI")
_DATA_END = struct.pack("<BQI", Opcode.DATA_END, 4, 0)
_MAX_SUMMARY_BYTES = 64 << 20

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
        if covered > _MAX_SUMMARY_BYTES:
            return None
        return int(summary_start) if zlib.crc32(self.read(summary_start, covered)) == crc else None
