"""Text files as lines, and CSV: one row a line; a bad line loses only itself.

Blank lines are no rows. A line that is too long or not UTF-8 keeps its row number and is handed
over beside the good ones. Files are read in blocks of whole lines, in bounded memory.

CSV: every column is text. Quoting follows RFC 4180. In a file a quoted field may hold line breaks,
as notes of people do: such a row has the number of its first line, and ends within a hundred lines.
Where it could as well be rows with stray quotes, because a line between, or both the first and the
last, has enough separators for a row, each of its lines comes out as LINE_UNREADABLE: a stray quote
must swallow no rows. So does each line of such a row on standard input, where nobody can wait for
its end. The header is the first line, or one of the next hundred where that
has all the columns looked for and the first has not: titles and comments may stand above it. The
separator is whichever of ``, ; tab |`` shows those columns, or else occurs most in the header. A
column without a name is called by its place, ``column 1``; empty fields beyond the header, as after
a comma at each line's end, are no fields.

Bytes: UTF-8, or UTF-16 with its byte order mark, or without one where every other byte of the
beginning is zero. Lines end in LF, CR LF, or in CR alone.
"""

from __future__ import annotations

import codecs
import csv
import gzip
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import Any, BinaryIO, Self

import numpy as np
import polars as pl

from sightline.limits import Limits
from sightline.records.refusal import RefusalReason
from sightline.records.windows import IntArray
from sightline.sense.admission import plain_name
from sightline.sense.field_values import BoolArray
from sightline.sense.refused_rows import no_rejections, rejected
from sightline.sense.source import (
    Chunk,
    error_words,
    name_problem,
    placed,
    rejected_file,
)

_NEWLINE, _RETURN = 10, 13
_HEAD_BYTES = 4096  # looked at for the encoding and the line ends
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
        return self.bytes_of(i).rstrip(b"\r\n").decode()

    def bytes_of(self, i: int) -> bytes:
        """The i-th good line as it stands in ``data``."""
        return self.data[self.start[i] : self.stop[i]]

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
    """The file's bytes, decompressed where its name ends in ``.gz``; UTF-16 becomes UTF-8, and CR
    becomes LF where the beginning has no LF.
    """
    stream: Any = (gzip.open if path.suffix.lower() == ".gz" else open)(path, "rb")
    try:
        head = stream.peek(_HEAD_BYTES)
    except _READ_ERRORS:
        return stream  # type: ignore[no-any-return]  # who reads it meets the error again
    encoding = _utf16(head)
    if encoding is not None:
        decoder = codecs.getincrementaldecoder(encoding)(errors="replace")
        return _Rewritten(stream, lambda piece: decoder.decode(piece, not piece).encode())  # type: ignore[return-value]
    if b"\r" in head and b"\n" not in head:
        return _Rewritten(stream, lambda piece: piece.replace(b"\r", b"\n"))  # type: ignore[return-value]
    return stream  # type: ignore[no-any-return]


def _utf16(head: bytes) -> str | None:
    """The UTF-16 that bytes begin with; None where they are something else."""
    if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16"
    even, odd = (head[i::2].count(0) for i in (0, 1))
    if max(even, odd) <= len(head) // 4 or min(even, odd):
        return None
    return "utf-16-be" if even else "utf-16-le"


class _Rewritten:
    """A stream whose bytes are rewritten as they are read; the empty piece ends it."""

    def __init__(self, stream: Any, rewrite: Callable[[bytes], bytes]) -> None:
        self._stream = stream
        self._rewrite = rewrite

    def read(self, size: int) -> bytes:
        """The next bytes, none only at the end."""
        while True:
            piece: bytes = self._stream.read1(size)
            rewritten = self._rewrite(piece)
            if rewritten or not piece:
                return rewritten

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stream.close()


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
    read = getattr(stream, "read1", None) or stream.read
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


Parse = Callable[[bytes], pl.DataFrame | None]
"""One row per line of the bytes, or None when they cannot be read as they are."""


def parse_lines(block: LineBlock, parse: Parse) -> tuple[list[pl.DataFrame], BoolArray]:
    """Parse a block at once; where that fails, halve it until the lines at fault stand alone.

    Returns:
        Frames in order, and bool[n]: the lines they hold.
    """
    frames: list[pl.DataFrame] = []
    is_read = np.zeros(len(block), np.bool_)
    spans = [(0, len(block))] if len(block) else []
    while spans:
        first, stop = spans.pop()
        frame = parse(block.slice(first, stop))
        if frame is not None and frame.height == stop - first:
            frames.append(frame)
            is_read[first:stop] = True
        elif stop - first > 1:
            middle = (first + stop) // 2
            spans += [(middle, stop), (first, middle)]
    return frames, is_read


def chunk_of_lines(
    block: LineBlock,
    frames: list[pl.DataFrame],
    is_read: BoolArray,
    *,
    origin: str,
    expected: str,
    unfit: Mapping[int, tuple[str, str]] | None = None,
    limits: Limits,
) -> Chunk:
    """A chunk that accounts for every line of ``block``.

    Args:
        block: the lines.
        frames: rows of the lines in ``is_read`` (bool[n]), in order.
        is_read: which lines were parsed; the others become LINE_UNREADABLE.
        origin: name of the file.
        expected: what a line should have been, for a person.
        unfit: lines among the parsed ones that hold no plain value where one should be, with the
            field and what it holds; they become SCHEMA.
        limits: bounds the copies of lines.
    """
    parts = [
        rejected(
            origin=origin,
            rows=[line.row],
            reason=line.reason,
            detail=line.detail,
            raw=[line.text],
            limits=limits,
        )
        for line in block.bad
    ]
    if not is_read.all():
        lost = block.only(~is_read)
        parts.append(
            rejected(
                origin=origin,
                rows=lost.row.tolist(),
                reason=RefusalReason.LINE_UNREADABLE,
                detail=f"expected {expected}",
                raw=[lost.line(i) for i in range(len(lost))],
                limits=limits,
            )
        )
    frame, row = pl.DataFrame(), block.row[is_read]
    if frames:
        frame = frames[0] if len(frames) == 1 else pl.concat(frames, how="diagonal")
        frame = placed(frame, origin=origin, rows=pl.Series(row))
    if unfit:
        parts += [
            rejected(
                origin=origin,
                rows=[int(block.row[i])],
                reason=RefusalReason.SCHEMA,
                field=field,
                detail=f"expected a plain value, got {got}",
                raw=[block.line(i)],
                limits=limits,
            )
            for i, (field, got) in unfit.items()
        ]
        is_plain = np.ones(len(block), np.bool_)
        is_plain[list(unfit)] = False
        frame = frame.filter(pl.Series(is_plain[is_read]))
    told = pl.concat(parts).sort("_row", maintain_order=True) if parts else no_rejections()
    return Chunk(origin=origin, frame=frame, rejected=told)


_SEPARATORS = ",;\t|"
_QUOTE = '"'
_HEADER_LINES = 100
"""Lines among which the header is looked for."""
_EMPTY_FIELDS = 8
"""Empty fields beyond the header that a line may have."""
_ROW_LINES = 100
"""Lines of a file that one row may have."""


def read_csv(
    path: Path,
    *,
    origin: str,
    limits: Limits,
    wanted: Sequence[str] = (),
    header_line: int | None = None,
) -> Iterator[Chunk]:
    """Read a CSV file (``.gz`` too) in chunks of at most ``limits.chunk_rows`` and a hundred rows.

    Every column is text; an empty field is null. Rows are numbered from 0 after the header.

    Args:
        path: of the file.
        origin: its name.
        limits: bounds of lines and chunks.
        wanted: columns by which the header is known, with or without a unit in their names.
        header_line: which line is the header, from 1, blank lines not counted. None: found out.
    """
    try:
        stream = open_bytes(path)
    except OSError as error:
        yield rejected_file(origin, RefusalReason.FILE_UNREADABLE, error_words(error))
        return
    with stream:
        blocks = line_blocks(stream, limits=limits)
        yield from csv_chunks(
            blocks,
            origin=origin,
            limits=limits,
            wanted=wanted,
            header_line=header_line,
            joins_lines=True,
        )


def csv_chunks(
    blocks: Iterable[LineBlock],
    *,
    origin: str,
    limits: Limits,
    wanted: Sequence[str] = (),
    header_line: int | None = None,
    joins_lines: bool = False,
) -> Iterator[Chunk]:
    """Lines of CSV as chunks of rows; see :func:`read_csv`.

    Args:
        blocks: the lines.
        origin: name of the file.
        limits: bounds of lines and chunks.
        wanted: columns by which the header is known.
        header_line: which line is the header; None: found out.
        joins_lines: a quoted field may hold line breaks. Lines that may go on in the next block
            wait for it.
    """
    lines = iter(blocks)
    first = next(lines, None)
    if first is not None and first.damage is not None:
        yield rejected_file(origin, RefusalReason.FILE_UNREADABLE, first.damage)
        return
    if first is None:
        detail = "expected a header, got 0 bytes"
        yield rejected_file(origin, RefusalReason.FILE_EMPTY, detail)
        return
    header = _find_header(first, wanted, header_line)
    if header.problem is not None:
        yield rejected_file(origin, RefusalReason.FILE_UNREADABLE, header.problem, raw=header.line)
        return
    below = tuple(line for line in first.bad if line.row > header.row)
    lines = chain([replace(first.only(first.row > header.row), bad=below)], lines)
    if joins_lines:
        lines = _whole_rows(lines, header, limits)
    rows = 0
    for block in lines:
        if block.damage is not None:
            yield rejected_file(origin, RefusalReason.FILE_UNREADABLE, block.damage)
            return
        rows += len(block) + len(block.bad)
        frames, is_read = _parse(block, header)
        yield chunk_of_lines(
            block.renumbered(-1 - header.row),
            frames,
            is_read,
            origin=origin,
            expected=f"{len(header.names)} fields separated by {header.separator!r}",
            limits=limits,
        )
    if not rows:
        detail = "expected rows, got none"
        yield rejected_file(origin, RefusalReason.FILE_EMPTY, detail, raw=header.line)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Header:
    """The line with the names of the columns.

    Attributes:
        line: as it stands there.
        row: its number among the lines that are not blank, from 0.
        separator: between its fields.
        names: of the columns; "" was replaced.
        problem: why the file cannot be read under it; None where it can.
    """

    line: str
    row: int
    separator: str
    names: list[str]
    problem: str | None = None


def _find_header(block: LineBlock, wanted: Sequence[str], header_line: int | None) -> _Header:
    if header_line is not None:
        at = np.flatnonzero(block.row == header_line - 1)
        if len(at):
            return _header_in(block, int(at[0]), wanted)
        detail = f"no readable line {header_line} among the first {len(block) + len(block.bad)}"
        return _no_header(detail)
    if wanted:
        for i in range(min(len(block), _HEADER_LINES)):
            if _separator_showing(block.line(i), wanted) is not None:
                return _header_in(block, i, wanted)
    if block.bad and (not len(block) or block.bad[0].row < block.row[0]):
        return _no_header(block.bad[0].detail)
    return _header_in(block, 0, wanted)


def _no_header(detail: str) -> _Header:
    problem = f"the header cannot be read: {detail}"
    return _Header(line="", row=-1, separator=",", names=[], problem=problem)


def _header_in(block: LineBlock, i: int, wanted: Sequence[str]) -> _Header:
    line = block.line(i)
    separator = _separator_showing(line, wanted) or max(_SEPARATORS, key=line.count)
    problem: str | None = None
    try:
        names = _fields_of(line, separator)
    except csv.Error as error:
        names, problem = [], f"the header cannot be read: {error}"
    else:
        names = _with_names(names, wanted)
        problem = name_problem(names)
        if _is_open(line, separator):
            problem = "a quote of the header is not closed on its line: a row is one line"
    return _Header(
        line=line, row=int(block.row[i]), separator=separator, names=names, problem=problem
    )


def _separator_showing(line: str, wanted: Sequence[str]) -> str | None:
    """The separator under which a line holds all of ``wanted``; None when there is none."""
    if not wanted:
        return None
    for separator in sorted(_SEPARATORS, key=line.count, reverse=True):
        try:
            found = set(_fields_of(line, separator))
        except csv.Error:
            continue
        if found.union(map(plain_name, found)).issuperset(wanted):
            return separator
    return None


def _fields_of(line: str, separator: str) -> list[str]:
    return next(csv.reader([line], delimiter=separator), [])


def _is_open(line: str, separator: str) -> bool:
    try:
        list(csv.reader([line], delimiter=separator, strict=True))
    except csv.Error as error:
        return "unexpected end" in str(error)
    return False


def _with_names(names: Sequence[str], wanted: Sequence[str]) -> list[str]:
    """The names, with one for each column without; repeats that nobody wants are told apart."""
    found: list[str] = []
    for place, given in enumerate(names, start=1):
        name = given or f"column {place}"
        is_repeated = name in found and bool(wanted) and name not in wanted
        found.append(f"{name} (column {place})" if is_repeated else name)
    return found


def _parse(block: LineBlock, header: _Header) -> tuple[list[pl.DataFrame], BoolArray]:
    """Frames of the lines that can be read, and bool[n]: which they are."""
    is_whole, has_more = _is_whole(block, header)
    if not has_more.any():
        frames, is_read = parse_lines(block.only(is_whole), _parser(header, header.names))
        is_whole[is_whole] = is_read
        return frames, is_whole
    # Lines with more fields are read where all that is beyond the header is empty.
    beyond = [f"\n{i}" for i in range(_EMPTY_FIELDS)]  # a name that no line can hold
    is_read = is_whole | has_more
    parsed, is_accepted = parse_lines(
        block.only(is_read), _parser(header, [*header.names, *beyond])
    )
    is_read[is_read] = is_accepted
    frames, is_empty = [], [np.empty(0, np.bool_)]
    for frame in parsed:
        empty = frame.select(
            pl.all_horizontal(pl.col(n).is_null() | (pl.col(n) == "") for n in beyond)
        ).to_series()
        frames.append(frame.select(header.names).filter(empty))
        is_empty.append(empty.to_numpy())
    is_read[is_read] = np.concatenate(is_empty)
    return [frame for frame in frames if frame.height], is_read


def _parser(header: _Header, names: Sequence[str]) -> Parse:
    schema = dict.fromkeys(names, pl.String())

    def parse(data: bytes) -> pl.DataFrame | None:
        try:
            return pl.read_csv(
                data,
                has_header=False,
                schema=schema,
                separator=header.separator,
                quote_char=_QUOTE,
                raise_if_empty=False,
                missing_columns="insert",
            )
        except pl.exceptions.PolarsError:
            return None

    return parse


def _whole_rows(
    blocks: Iterable[LineBlock], header: _Header, limits: Limits
) -> Iterator[LineBlock]:
    """The blocks with the lines of each row as one line; what may go on in the next block waits."""
    held: LineBlock | None = None
    for block in blocks:
        if block.damage is not None:
            yield from () if held is None else (held,)
            yield block
            return
        whole, held = _joined(block if held is None else _joint(held, block), header, limits)
        yield whole
    if held is not None:
        yield held


def _joint(first: LineBlock, second: LineBlock) -> LineBlock:
    """Two blocks of one file, one after the other, as one."""
    by = len(first.data)
    return LineBlock(
        data=first.data + second.data,
        start=np.concatenate([first.start, second.start + by]),
        stop=np.concatenate([first.stop, second.stop + by]),
        row=np.concatenate([first.row, second.row]),
        bad=first.bad + second.bad,
    )


def _joined(
    block: LineBlock, header: _Header, limits: Limits
) -> tuple[LineBlock, LineBlock | None]:
    """The lines of each row as one line, and the lines at the end of which a row may go on."""
    n = len(block)
    if _QUOTE.encode() not in block.data:
        return block, None
    codes = np.frombuffer(block.data, np.uint8)
    odd = np.flatnonzero(_counts(codes == ord(_QUOTE), block) % 2)
    if not len(odd):
        return block, None
    # A row of several lines begins and ends with a line of oddly many quotes.
    begins, ends = odd[:-1], odd[1:]
    # Counted as if there were no quotes: whether a line could be a row by itself.
    is_long = _counts(codes == ord(header.separator), block) + 1 >= len(header.names)
    long_so_far = np.cumsum(is_long)
    may_be = (
        (block.row[ends] - block.row[begins] == ends - begins)  # no bad line lies between
        & (ends - begins < _ROW_LINES)
        & (block.stop[ends] - block.start[begins] <= limits.max_line_bytes)
        & (long_so_far[ends - 1] == long_so_far[begins])
        & ~(is_long[begins] & is_long[ends])
    )
    is_row = np.zeros(len(begins), np.bool_)
    for first in (0, 1):  # of two neighbours, which share a line, one at a time
        at = first + 2 * np.flatnonzero(may_be[first::2])
        one_each = _packed(block.data, block.start[begins[at]], block.stop[ends[at]], at, ())
        is_whole, has_more = _is_whole(one_each, header)
        is_row[at] = is_whole | has_more
    # A line that ends a row begins none: of neighbours that both could be rows every other is.
    place = np.arange(len(begins))
    run_began = np.maximum.accumulate(np.where(is_row, -1, place))
    is_row &= (place - run_began) % 2 == 1
    step = np.zeros(n + 1, np.int64)
    np.add.at(step, begins[is_row] + 1, 1)
    np.subtract.at(step, ends[is_row] + 1, 1)
    stop = block.stop.copy()
    stop[begins[is_row]] = block.stop[ends[is_row]]
    keep = np.cumsum(step[:-1]) == 0
    last = int(odd[-1])
    is_open = not (len(is_row) and is_row[-1]) and n - last < _ROW_LINES
    waits = last if is_open else n  # from this line on
    late = tuple(line for line in block.bad if is_open and line.row > block.row[last])
    early = block.bad[: len(block.bad) - len(late)]
    keep[waits:] = False
    whole = _packed(block.data, block.start[keep], stop[keep], block.row[keep], early)
    if not is_open:
        return whole, None
    rest = slice(waits, n)
    return whole, _packed(block.data, block.start[rest], block.stop[rest], block.row[rest], late)


def _counts(is_one: BoolArray, block: LineBlock) -> IntArray:
    """int64[n]: how many bytes of each line are so."""
    found: IntArray = np.add.reduceat(is_one, block.start, dtype=np.int64)
    return found


def _is_whole(block: LineBlock, header: _Header) -> tuple[BoolArray, BoolArray]:
    """bool[n] each, lines with well placed quotes: the right number of fields; a few more."""
    n = len(block)
    if not n:
        return np.ones(0, np.bool_), np.zeros(0, np.bool_)
    codes = np.frombuffer(block.data, np.uint8)
    is_separator = codes == ord(header.separator)
    is_good = np.ones(n, np.bool_)
    if _QUOTE.encode() in block.data:
        at = np.flatnonzero(codes == ord(_QUOTE))
        line = np.searchsorted(block.stop, at, side="right")
        count = np.bincount(line, minlength=n)
        is_good &= count % 2 == 0
        nth = np.arange(len(at)) - (np.cumsum(count) - count)[line]
        is_opening = nth % 2 == 0
        # A quote opens at the start of a field and closes at its end; two in a row are one literal.
        before = codes[np.maximum(at - 1, 0)]
        after = codes[np.minimum(at + 1, len(codes) - 1)]
        separator, quote = ord(header.separator), ord(_QUOTE)
        starts = (at == block.start[line]) | (before == separator) | (before == quote)
        ends = np.isin(after, [separator, quote, ord("\r"), ord("\n")])
        is_placed = np.where(is_opening, starts, ends)
        is_good[line[~is_placed]] = False
        # Between an opening and a closing quote a separator is a character like any other.
        depth = np.zeros(len(codes) + 1, np.int8)
        balanced = is_good[line]
        depth[at[balanced & is_opening]] += 1
        depth[at[balanced & ~is_opening]] -= 1
        is_separator &= np.cumsum(depth[:-1], dtype=np.int8) == 0
    fields = np.add.reduceat(is_separator, block.start, dtype=np.int64) + 1
    more = fields - len(header.names)
    return is_good & (more == 0), is_good & (more > 0) & (more <= _EMPTY_FIELDS)


def begins_as_csv(block: LineBlock, wanted: Sequence[str]) -> bool:
    """Whether the first line is no JSON object and names a column that the contract needs."""
    if not len(block) or block.line(0).lstrip().startswith("{"):
        return False
    names = range(min(len(block), _HEADER_LINES))
    return any(_separator_showing(block.line(i), [name]) for i in names for name in wanted)
