"""Rows as an Arrow IPC stream, from somebody who may mean harm.

A stream says in its metadata how many rows it has and, before each compressed buffer, how large
that becomes. So a few kilobytes that would unpack to gigabytes are refused before anything is
unpacked: the sums are made from the metadata alone. The decompressor is bound by what the stream
says, so one that says too little is refused by it.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import polars as pl

from sightline.errors import LogError
from sightline.limits import DEFAULT_LIMITS

_CONTINUATION = 0xFFFFFFFF
_SCHEMA, _DICTIONARY, _BATCH = 1, 2, 3  # MessageHeader of the Arrow format
_LEAST_VIEW_BYTES = 12  # a text of so many bytes stands in its view


def read_arrow(
    payload: bytes,
    *,
    where: str,
    most_bytes: int = DEFAULT_LIMITS.max_unpacked_bytes,
    most_rows: int = DEFAULT_LIMITS.max_epoch_rows,
) -> pl.DataFrame:
    """The rows of an Arrow IPC stream.

    Args:
        payload: the stream.
        where: what to call it in an error.
        most_bytes: it may unpack to, texts written out.
        most_rows: it may have.

    Raises:
        LogError: it is no such stream, or would unpack to more.
    """
    try:
        unpacked_bytes = check_unpacked(payload, most_bytes=most_bytes, most_rows=most_rows)
        frame = pl.read_ipc_stream(payload)
    except (
        ValueError,
        IndexError,
        struct.error,
        OSError,
        pl.exceptions.PolarsError,
        pl.exceptions.PanicException,
    ) as error:
        raise LogError(
            expected=f"rows as an Arrow stream, at most {most_rows} and {most_bytes} bytes of them",
            got=" ".join(f"{len(payload)} bytes: {error}".split())[:200],
            where=where,
            action="do not use a run directory that holds this; restore it from a copy",
        ) from error
    texts = [c for c in frame.get_columns() if c.dtype in (pl.String, pl.Binary)]
    # No text is longer than all buffers together: mostly that is enough to know.
    if len(texts) * frame.height * max(unpacked_bytes, _LEAST_VIEW_BYTES) > most_bytes:
        _check_texts(texts, where, most_bytes)
    return frame


def check_unpacked(payload: bytes, *, most_bytes: int, most_rows: int) -> int:
    """Bytes of all buffers when unpacked; nothing is unpacked.

    Raises:
        ValueError: the stream is none, or would unpack to more.
    """
    rows = unpacked_bytes = 0
    for kind, header, body in _messages(payload):
        if kind == _SCHEMA:
            continue
        batch = header if kind == _BATCH else header.table(1)
        if batch is None:
            raise ValueError("a dictionary without values")
        length = batch.i64(0)
        if kind == _BATCH:
            rows += length
        nodes = [_I64_PAIR.unpack_from(payload, at) for at in batch.structs(1, 16)]
        if min([length, *(n for n, _ in nodes)]) < 0:
            raise ValueError("a negative number of rows")
        if max([length, *(n for n, _ in nodes)]) > most_bytes:
            raise ValueError(f"columns of {max(n for n, _ in nodes)} values")
        is_packed = batch.table(3) is not None
        for at in batch.structs(2, 16):
            offset, size = _I64_PAIR.unpack_from(payload, at)
            if offset < 0 or size < 0 or body + offset + size > len(payload):
                raise ValueError("a buffer that lies outside")
            if is_packed and size >= 8:
                (unpacked,) = _I64.unpack_from(payload, body + offset)
                if unpacked < -1:
                    raise ValueError("a buffer of negative size")
                size = size if unpacked == -1 else unpacked
            unpacked_bytes += size
        if unpacked_bytes > most_bytes:
            raise ValueError(f"{unpacked_bytes} bytes when unpacked")
        if rows > most_rows:
            raise ValueError(f"{rows} rows")
    return unpacked_bytes


def _check_texts(texts: Sequence[pl.Series], where: str, most_bytes: int) -> None:
    """Texts of a stream may be views of one another: many long ones in few bytes."""
    total = 0
    for column in texts:
        if column.dtype == pl.String:
            total += int(column.str.len_bytes().cast(pl.Int64).sum() or 0)
        else:
            total += int(column.bin.size().cast(pl.Int64).sum() or 0)
    if total > most_bytes:
        raise LogError(
            expected=f"texts of at most {most_bytes} bytes together",
            got=f"{total} bytes",
            where=where,
            action="do not use a run directory that holds this; restore it from a copy",
        )


# --- the little of Arrow's metadata that is needed: Message, RecordBatch, DictionaryBatch ---------

_I64 = struct.Struct("<q")
_I64_PAIR = struct.Struct("<qq")
_I32 = struct.Struct("<i")
_U32 = struct.Struct("<I")
_U16 = struct.Struct("<H")


@dataclass(frozen=True, slots=True)
class _Table:
    """A FlatBuffers table at ``at`` in ``data``, which ends at ``end``."""

    data: bytes
    at: int
    end: int

    def _field(self, index: int) -> int | None:
        """Where a field's value is; None where it has its default."""
        vtable = self.at - _I32.unpack_from(self.data, self._within(self.at, 4))[0]
        size = _U16.unpack_from(self.data, self._within(vtable, 4))[0]
        place = 4 + 2 * index
        if place + 2 > size:
            return None
        offset = _U16.unpack_from(self.data, self._within(vtable + place, 2))[0]
        return self.at + offset if offset else None

    def _within(self, at: int, size: int) -> int:
        if at < 0 or at + size > self.end:
            raise ValueError("metadata that points outside itself")
        return at

    def i64(self, index: int) -> int:
        at = self._field(index)
        return 0 if at is None else int(_I64.unpack_from(self.data, self._within(at, 8))[0])

    def u8(self, index: int) -> int:
        at = self._field(index)
        return 0 if at is None else self.data[self._within(at, 1)]

    def _target(self, index: int) -> int | None:
        at = self._field(index)
        if at is None:
            return None
        return at + int(_U32.unpack_from(self.data, self._within(at, 4))[0])

    def table(self, index: int) -> _Table | None:
        at = self._target(index)
        return None if at is None else _Table(self.data, self._within(at, 4), self.end)

    def structs(self, index: int, size: int) -> Iterator[int]:
        """Where each struct of a vector is."""
        at = self._target(index)
        if at is None:
            return
        count = int(_U32.unpack_from(self.data, self._within(at, 4))[0])
        self._within(at, 4 + count * size)
        for position in range(count):
            yield at + 4 + position * size


def _messages(payload: bytes) -> Iterator[tuple[int, _Table, int]]:
    """Kind, header and start of the body of each message of a stream."""
    at = 0
    while at + 4 <= len(payload):
        (size,) = _U32.unpack_from(payload, at)
        at += 4
        if size == _CONTINUATION:
            if at + 4 > len(payload):
                raise ValueError("a stream that is cut")
            (size,) = _U32.unpack_from(payload, at)
            at += 4
        if size == 0:
            return
        end = at + size
        if end > len(payload) or size < 4:
            raise ValueError("a stream that is cut")
        message = _Table(payload, at + int(_U32.unpack_from(payload, at)[0]), end)
        kind, header, body_bytes = message.u8(1), message.table(2), message.i64(3)
        if kind not in (_SCHEMA, _DICTIONARY, _BATCH) or header is None or body_bytes < 0:
            raise ValueError("a message that is no schema, dictionary or batch")
        yield kind, header, end
        at = end + body_bytes
