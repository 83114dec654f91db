"""Text files as blocks of whole lines, in bounded memory, with every line accounted for.

A row is one line. Blank lines are no rows. A line that is too long or not UTF-8 keeps its row
number and is handed over beside the good ones.
"""

from __future__ import annotations

import codecs
import gzip
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO

import numpy as np

from sightline.limits import Limits
from sightline.records.refusal import RefusalReason
from sightline.records.windows import IntArray
from sightline.sense.field_values import BoolArray

_NEWLINE, _RETURN = 10, 13
_BLOCK_LINES = 8
"""Size of a block, in lines of the greatest length: room for the longest, few calls for short."""
_READ_ERRORS = (OSError, EOFError, zlib.error)


@dataclass(frozen=True, slots=True, kw_only=True)
class BadLine:
    """A line that cannot be parsed: row number, why, and how it begins."""

    row: int
    reason: RefusalReason
    detail: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LineBlock:
    r"""Consecutive lines of a file.

    Attributes:
        data: the good lines, each with its line end, nothing else between them.
        start: int64[n], offset of each good line in ``data``.
        stop: int64[n], offset behind it, its ``\n`` included.
        row: int64[n], row number of each good line.
        bad: the others.
        damage: why the file could not be read beyond these lines; None while it can.
    """

    data: bytes
    start: IntArray
    stop: IntArray
    row: IntArray
    bad: tuple[BadLine, ...]
    damage: str | None = None

    def __len__(self) -> int:
        return len(self.start)

    def line(self, i: int) -> str:
        """The i-th good line without its end."""
        return self.data[self.start[i] : self.stop[i]].rstrip(b"\r\n").decode()

    def slice(self, first: int, stop: int) -> bytes:
        """Bytes of the good lines ``first`` to ``stop``, the latter excluded."""
        return self.data[self.start[first] : self.stop[stop - 1]] if stop > first else b""

    def lines(self) -> list[str]:
        """The good lines without their ends."""
        text = self.data.decode().split("\n")[: len(self)]
        return [line.removesuffix("\r") for line in text]

    def only(self, keep: BoolArray) -> LineBlock:
        """The block with some of its good lines (bool[n])."""
        if keep.all():
            return self
        return _packed(self.data, self.start[keep], self.stop[keep], self.row[keep], self.bad)

    def renumbered(self, by: int) -> LineBlock:
        """The block with other row numbers, as when a header does not count."""
        bad = tuple(replace(line, row=line.row + by) for line in self.bad)
        return replace(self, row=self.row + by, bad=bad)


def open_bytes(path: Path) -> BinaryIO:
    """The file's bytes, decompressed where its name ends in ``.gz``."""
    if path.suffix.lower() == ".gz":
        return gzip.open(path, "rb")  # type: ignore[return-value]
    return path.open("rb")


def line_blocks(stream: BinaryIO, *, limits: Limits, is_live: bool = False) -> Iterator[LineBlock]:
    """Cut ``stream`` into blocks of at most ``limits.chunk_rows`` lines.

    Args:
        stream: bytes; a leading byte order mark is dropped.
        limits: ``max_line_bytes`` (a longer line is skipped without being kept) and ``chunk_rows``.
        is_live: hand on what is there at once instead of waiting for a whole block.
    """
    reader = _LineReader(limits)
    damage: str | None = None
    pieces = _pieces(stream, size=_BLOCK_LINES * limits.max_line_bytes, is_live=is_live)
    for piece in pieces:
        if isinstance(piece, str):
            damage = piece
            break
        yield from reader.feed(piece)
    yield from reader.finish(damage)


class _LineReader:
    """Finds the lines in pieces of a file; holds at most one unfinished line."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._rest = b""
        self._is_skipping = False  # inside a line that is too long
        self._row = 0
        self._is_first = True

    def feed(self, piece: bytes) -> Iterator[LineBlock]:
        data = self._rest + piece
        self._rest = b""
        if self._is_first:
            if len(data) < len(codecs.BOM_UTF8):
                self._rest = data
                return
            data = data.removeprefix(codecs.BOM_UTF8)
            self._is_first = False
        if self._is_skipping:
            end = data.find(b"\n")
            if end < 0:
                return
            self._is_skipping = False
            data = data[end + 1 :]
        end = data.rfind(b"\n") + 1
        self._rest = data[end:]
        yield from self._blocks(data[:end])
        if len(self._rest) > self._limits.max_line_bytes:
            yield _packed(b"", _NONE, _NONE, _NONE, (self._too_long(self._rest),))
            self._is_skipping, self._rest = True, b""

    def finish(self, damage: str | None) -> Iterator[LineBlock]:
        rest, self._rest = self._rest, b""
        rest = rest.removeprefix(codecs.BOM_UTF8) if self._is_first else rest
        if damage is None:
            if rest:
                yield from self._blocks(rest + b"\n")
            return
        # The line at the damage is half a line, and must not pass for a whole one.
        got = f"{damage}; the line begun there: {_head(rest, self._limits)!r}" if rest else damage
        yield LineBlock(data=b"", start=_NONE, stop=_NONE, row=_NONE, bad=(), damage=got)

    def _blocks(self, data: bytes) -> Iterator[LineBlock]:
        if not data:
            return
        codes = np.frombuffer(data, np.uint8)
        stop = np.flatnonzero(codes == _NEWLINE).astype(np.int64) + 1
        start = np.concatenate([np.zeros(1, np.int64), stop[:-1]])
        length = stop - start - 1
        has_return = (length > 0) & (codes[np.maximum(stop - 2, 0)] == _RETURN)
        is_line = length - has_return > 0
        start, stop = start[is_line], stop[is_line]
        row = self._row + np.arange(len(start), dtype=np.int64)
        self._row += len(start)
        for first in range(0, len(start), self._limits.chunk_rows):
            part = slice(first, first + self._limits.chunk_rows)
            yield self._block(data, start[part], stop[part], row[part])

    def _block(self, data: bytes, start: IntArray, stop: IntArray, row: IntArray) -> LineBlock:
        bad: list[BadLine] = []
        is_bad = stop - start - 1 > self._limits.max_line_bytes
        for i in np.flatnonzero(is_bad).tolist():
            bad.append(self._too_long(data[start[i] : stop[i]], row=int(row[i])))
        for i in _not_utf8(data, start, stop).tolist():
            if not is_bad[i]:
                is_bad[i] = True
                bad.append(
                    BadLine(
                        row=int(row[i]),
                        reason=RefusalReason.ENCODING,
                        detail="expected UTF-8, got other bytes",
                        text=_head(data[start[i] : stop[i]], self._limits),
                    )
                )
        bad.sort(key=lambda line: line.row)
        good = ~is_bad
        return _packed(data, start[good], stop[good], row[good], tuple(bad))

    def _too_long(self, line: bytes, *, row: int | None = None) -> BadLine:
        if row is None:
            row, self._row = self._row, self._row + 1
        return BadLine(
            row=row,
            reason=RefusalReason.LINE_TOO_LONG,
            detail=f"expected at most {self._limits.max_line_bytes} bytes in a line, got more",
            text=_head(line, self._limits),
        )


_NONE: IntArray = np.empty(0, np.int64)


def _packed(
    data: bytes, start: IntArray, stop: IntArray, row: IntArray, bad: tuple[BadLine, ...]
) -> LineBlock:
    """A block whose data holds the given lines and nothing else."""
    length = stop - start
    if length.sum() != len(data):
        codes = np.frombuffer(data, np.uint8)
        # +1 where a line begins, -1 behind its end: the running sum is 1 inside kept lines.
        edge = np.zeros(len(data) + 1, np.int8)
        np.add.at(edge, start, 1)
        np.subtract.at(edge, stop, 1)
        data = codes[np.cumsum(edge[:-1], dtype=np.int8).astype(np.bool_)].tobytes()
        stop = np.cumsum(length)
        start = stop - length
    return LineBlock(data=data, start=start, stop=stop, row=row, bad=bad)


def _not_utf8(data: bytes, start: IntArray, stop: IntArray) -> IntArray:
    """Indices of the lines that are not UTF-8. One step per such line, not per line."""
    found: list[int] = []
    if not len(stop) or data.isascii():
        return _NONE
    at, view = int(start[0]), memoryview(data)[: stop[-1]]
    while at < len(view):
        try:
            codecs.utf_8_decode(view[at:], "strict", True)
        except UnicodeDecodeError as error:
            i = int(np.searchsorted(stop, at + error.start, side="right"))
            found.append(i)
            at = int(stop[i])
        else:
            break
    return np.array(found, np.int64)


def _head(line: bytes, limits: Limits) -> str:
    return line[: 4 * limits.max_raw_chars].decode("utf-8", "replace").rstrip("\r\n")


def _pieces(stream: BinaryIO, *, size: int, is_live: bool) -> Iterator[bytes | str]:
    """Bytes of ``stream``; at the first error, what was read before it, then the error's words.

    ``read1`` makes one system call: a plain ``read`` would lose what it had when an error came.
    """
    read = getattr(stream, "read1", stream.read)
    held: list[bytes] = []
    while True:
        try:
            piece = read(size)
        except _READ_ERRORS as error:
            yield b"".join(held)
            yield " ".join(str(error).split()) or type(error).__name__
            return
        held.append(piece)
        if not piece or is_live or sum(map(len, held)) >= size:
            yield b"".join(held)
            held = []
        if not piece:
            return
