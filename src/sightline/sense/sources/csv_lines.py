"""CSV files: text columns, one row per line, a bad line loses only itself.

Quoting follows RFC 4180 except that a quoted field may not hold a line break: a stray quote would
otherwise swallow the rest of the file. Such a row comes out as LINE_UNREADABLE, once per line.
The separator is whichever of ``, ; tab |`` occurs most in the header.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import polars as pl

from sightline.limits import Limits
from sightline.records.refusal import RefusalReason
from sightline.sense.field_values import BoolArray
from sightline.sense.source import Chunk, error_words, name_problem, rejected_file
from sightline.sense.sources.byte_lines import LineBlock, line_blocks, open_bytes
from sightline.sense.sources.line_chunks import chunk_of_lines, parse_lines

_SEPARATORS = ",;\t|"
_QUOTE = '"'


def read_csv(path: Path, *, origin: str, limits: Limits) -> Iterator[Chunk]:
    """Read a CSV file (``.gz`` too) in chunks of at most ``limits.chunk_rows``.

    Every column is text; an empty field is null. Rows are numbered from 0 after the header.
    """
    try:
        stream = open_bytes(path)
    except OSError as error:
        yield rejected_file(origin, RefusalReason.FILE_UNREADABLE, error_words(error))
        return
    header: _Header | None = None
    rows = 0
    with stream:
        for lines in line_blocks(stream, limits=limits):
            block = lines
            if block.damage is not None:
                yield rejected_file(origin, RefusalReason.FILE_UNREADABLE, block.damage)
                return
            if header is None:
                if block.bad and (not len(block) or block.bad[0].row < block.row[0]):
                    detail = f"the header cannot be read: {block.bad[0].detail}"
                    yield rejected_file(origin, RefusalReason.FILE_UNREADABLE, detail)
                    return
                header = _Header(block.line(0))
                if header.problem is not None:
                    yield rejected_file(
                        origin, RefusalReason.FILE_UNREADABLE, header.problem, raw=header.line
                    )
                    return
                keep = np.ones(len(block), np.bool_)
                keep[0] = False
                block = block.only(keep)
            rows += len(block) + len(block.bad)
            frames, is_read = _parse(block, header)
            yield chunk_of_lines(
                block.renumbered(-1),
                frames,
                is_read,
                origin=origin,
                expected=f"{len(header.names)} fields separated by {header.separator!r}",
                limits=limits,
            )
    if not rows:
        detail = "expected a header, got 0 bytes" if header is None else "expected rows, got none"
        raw = "" if header is None else header.line
        yield rejected_file(origin, RefusalReason.FILE_EMPTY, detail, raw=raw)


class _Header:
    """The first line of a file: its names and separator."""

    def __init__(self, line: str) -> None:
        self.line = line
        counts = {s: line.count(s) for s in _SEPARATORS}
        self.separator = max(_SEPARATORS, key=lambda s: counts[s])
        self.names: list[str] = []
        if "\r" in line:
            self.problem: str | None = "lines that end in CR alone; convert them to LF"
            return
        try:
            self.names = next(csv.reader([line], delimiter=self.separator))
        except csv.Error as error:
            self.problem = f"the header cannot be read: {error}"
        else:
            self.problem = name_problem(self.names)


def _parse(block: LineBlock, header: _Header) -> tuple[list[pl.DataFrame], BoolArray]:
    """Frames of the lines that can be read, and bool[n]: which they are."""
    schema = dict.fromkeys(header.names, pl.String())

    def parse(data: bytes) -> pl.DataFrame | None:
        try:
            return pl.read_csv(
                data,
                has_header=False,
                schema=schema,
                separator=header.separator,
                quote_char=_QUOTE,
                raise_if_empty=False,
            )
        except pl.exceptions.PolarsError:
            return None

    is_whole = _is_whole(block, header)
    frames, is_read = parse_lines(block.only(is_whole), parse)
    is_whole[is_whole] = is_read
    return frames, is_whole


def _is_whole(block: LineBlock, header: _Header) -> BoolArray:
    """bool[n]: lines with the right number of fields and properly placed quotes."""
    n = len(block)
    if not n:
        return np.ones(0, np.bool_)
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
    found: BoolArray = is_good & (fields == len(header.names))
    return found
