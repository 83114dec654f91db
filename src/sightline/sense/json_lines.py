"""JSON lines: one object a line, every value as text.

So values of different types in one field do not disturb each other: admission reads the text
strictly by the contract. A number keeps its value, not its spelling (``2.50`` becomes ``2.5``).
JSON has no NaN: write null, or the text ``"NaN"``. A bad line loses only itself, as in
:mod:`.text_files`, where lines come from.
"""

from __future__ import annotations

import io
import itertools
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import polars as pl

from sightline.limits import Limits
from sightline.records.refusal import RefusalReason
from sightline.records.windows import IntArray
from sightline.sense.admission import plain_name
from sightline.sense.contract import Contract
from sightline.sense.field_values import BoolArray
from sightline.sense.source import RESERVED_COLUMNS, Chunk, error_words, rejected_file
from sightline.sense.text_files import (
    LineBlock,
    begins_as_csv,
    chunk_of_lines,
    csv_chunks,
    line_blocks,
    open_bytes,
    parse_lines,
)

_SAMPLE_LINES = 1000
"""Lines per block in which names beyond the contract's are looked for; all if it refuses them."""
_MOST_DEEP = 8
"""Objects within objects of which the values become columns."""


def read_json_lines(
    path: Path, *, origin: str, contract: Contract | None, limits: Limits
) -> Iterator[Chunk]:
    """Read a file of JSON lines (``.gz`` too) in chunks of at most ``limits.chunk_rows``.

    Without a contract the columns are those of the first lines of each block.
    """
    try:
        stream = open_bytes(path)
    except OSError as error:
        yield rejected_file(origin, RefusalReason.FILE_UNREADABLE, error_words(error))
        return
    with stream:
        blocks = line_blocks(stream, limits=limits)
        yield from _json_chunks(blocks, JsonParser(contract), origin=origin, limits=limits)


def read_text_stream(
    stream: BinaryIO, *, origin: str, contract: Contract, limits: Limits, is_live: bool = False
) -> Iterator[Chunk]:
    """Read JSON lines from bytes, or CSV where a header of the contract's columns comes first.

    Args:
        stream: bytes of the lines.
        origin: its name.
        contract: its columns are always looked for; others as far as the first lines have them.
        limits: bounds of lines and chunks.
        is_live: hand lines on as soon as they arrive.
    """
    blocks = line_blocks(stream, limits=limits, is_live=is_live)
    first = next(blocks, None)
    if first is None:
        yield from _json_chunks((), JsonParser(contract), origin=origin, limits=limits)
        return
    blocks = itertools.chain([first], blocks)
    wanted = contract.needed_columns
    if begins_as_csv(first, wanted):
        yield from csv_chunks(blocks, origin=origin, limits=limits, wanted=wanted)
    else:
        yield from _json_chunks(blocks, JsonParser(contract), origin=origin, limits=limits)


def json_rows(data: bytes, parser: JsonParser, *, origin: str, limits: Limits) -> Iterator[Chunk]:
    """Read JSON lines that came together, such as those of some messages.

    Args:
        data: whole lines, none of them blank.
        parser: remembers the fields of what came before.
        origin: their name.
        limits: bounds of lines.
    """
    return _json_chunks(
        line_blocks(io.BytesIO(data), limits=limits), parser, origin=origin, limits=limits
    )


def _json_chunks(
    blocks: Iterable[LineBlock], parser: JsonParser, *, origin: str, limits: Limits
) -> Iterator[Chunk]:
    rows = 0
    for block in blocks:
        if block.damage is not None:
            yield rejected_file(origin, RefusalReason.FILE_UNREADABLE, block.damage)
            return
        rows += len(block) + len(block.bad)
        frames, is_read, unfit = parser.parse(block)
        yield chunk_of_lines(
            block,
            frames,
            is_read,
            origin=origin,
            expected="one JSON object",
            unfit=unfit,
            limits=limits,
        )
    if not rows:
        yield rejected_file(origin, RefusalReason.FILE_EMPTY, "expected lines, got none")


class JsonParser:
    """Remembers the names met so far, so that the chunks of a stream look alike.

    A value inside an object is a column of its own, named with points: ``readings.bus.voltage_v``.
    """

    def __init__(self, contract: Contract | None) -> None:
        self._columns = () if contract is None else contract.columns
        self._met: dict[str, tuple[str, ...]] = {}
        """Name of a column to the names that lead to it from the outside in."""
        is_closed = contract is not None and contract.extra_columns == "refuse"
        self._sample = None if is_closed else _SAMPLE_LINES

    def parse(
        self, block: LineBlock
    ) -> tuple[list[pl.DataFrame], BoolArray, dict[int, tuple[str, str]]]:
        """Frames, bool[n] which lines they hold, and what is unfit among them: line index to the
        field and what it holds.
        """
        if not len(block):
            return [], np.ones(0, np.bool_), {}
        self._learn(block)
        frame = self._read(block.data)
        is_read = np.ones(len(block), np.bool_)
        if frame is not None and frame.height == len(block):
            frames = [frame]
        else:
            is_read = _is_object(block)
            objects = block.only(is_read)
            self._learn(objects)
            frames, is_accepted = parse_lines(objects, self._read)
            is_read[is_read] = is_accepted
        return frames, is_read, self._unfit(block, frames, is_read)

    def _learn(self, block: LineBlock) -> None:
        count = len(block) if self._sample is None else min(len(block), self._sample)
        try:
            sample = pl.read_ndjson(block.slice(0, count), infer_schema_length=None)
        except pl.exceptions.PolarsError:
            return  # a bad line among them: the caller comes back without it
        for name, dtype in sample.schema.items():
            for path in _leaves((name,), dtype):
                if ".".join(path) not in RESERVED_COLUMNS:
                    self._met.setdefault(".".join(path), path)

    def _read(self, data: bytes) -> pl.DataFrame | None:
        plain = {plain_name(name) for name in self._met}
        # Where the name comes with a unit, the bare column must not appear beside it as null.
        wanted = [n for n in self._columns if n in self._met or n not in plain]
        paths = {name: self._met.get(name, (name,)) for name in (*self._met, *wanted)}
        schema = dict.fromkeys((path[0] for path in paths.values()), pl.String())
        try:
            frame = pl.read_ndjson(data, schema=schema)
        except pl.exceptions.PolarsError:
            return None
        return frame.select(_inside(path).alias(name) for name, path in paths.items())

    def _unfit(
        self, block: LineBlock, frames: list[pl.DataFrame], is_read: BoolArray
    ) -> dict[int, tuple[str, str]]:
        """Lines with an object, a list, or two values in one of the contract's columns."""
        found: dict[int, tuple[str, str]] = {}
        index = np.flatnonzero(is_read)
        for name in self._columns:
            at = 0
            for frame in frames:
                if name in frame.columns:
                    text = frame[name]
                    looks_nested = text.str.starts_with("{") | text.str.starts_with("[")
                    for i in looks_nested.arg_true().to_list():
                        line = int(index[at + i])
                        # Only the line itself tells an object from a text that looks like one.
                        if isinstance(json.loads(block.line(line)).get(name), dict | list):
                            found.setdefault(line, (name, "an object or a list"))
                at += frame.height
        for name in self._columns or self._met:
            for i in self._lines_with_two(block, frames, name, index):
                found.setdefault(i, (name, "two"))
        return found

    def _lines_with_two(
        self, block: LineBlock, frames: list[pl.DataFrame], name: str, index: IntArray
    ) -> Iterator[int]:
        """Lines of ``index`` that give a column twice: nobody can tell which value is meant."""
        last = self._met.get(name, (name,))[-1]
        values = sum(
            len(frame) - frame[column].null_count()
            for frame in frames
            for column in frame.columns
            if self._met.get(column, (column,))[-1] == last
        )
        key = json.dumps(last, ensure_ascii=False).encode()
        if block.data.count(key) <= values:  # each is a value of its own line
            return
        for i in map(int, index):
            if block.bytes_of(i).count(key) > 1 and _gives_twice(block.line(i), last):
                yield i


def _leaves(path: tuple[str, ...], dtype: Any) -> Iterator[tuple[str, ...]]:
    """The values that an object comes to; what is too deep, or has quotes in a name, stays text."""
    inner = dtype.fields if isinstance(dtype, pl.Struct) else []
    if not inner or len(path) == _MOST_DEEP or any("'" in f.name for f in inner):
        yield path
        return
    for field in inner:
        yield from _leaves((*path, field.name), field.dtype)


def _inside(path: tuple[str, ...]) -> pl.Expr:
    if len(path) == 1:
        return pl.col(path[0])
    return pl.col(path[0]).str.json_path_match("$" + "".join(f"['{name}']" for name in path[1:]))


def _gives_twice(line: str, name: str) -> bool:
    """Whether an object of a line has a name more than once."""
    is_twice = False

    def look(pairs: list[tuple[str, Any]]) -> None:
        nonlocal is_twice
        is_twice |= [key for key, _ in pairs].count(name) > 1

    json.loads(line, object_pairs_hook=look)
    return is_twice


def _is_object(block: LineBlock) -> BoolArray:
    """bool[n]: lines that are one JSON object each."""
    whole = pl.Series(block.lines(), dtype=pl.String).str.json_path_match("$")
    found: BoolArray = whole.str.starts_with("{").fill_null(False).to_numpy()
    return found.copy()
