"""JSON lines: one object per line, every value as text, a bad line loses only itself.

Values of different types in one field therefore do not disturb each other: admission reads the
text strictly by the contract. A number keeps its value, not its spelling (``2.50`` becomes
``2.5``). JSON has no NaN: write null, or the text ``"NaN"``.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np
import polars as pl

from sightline.limits import Limits
from sightline.records.refusal import RefusalReason
from sightline.sense.contract import Contract
from sightline.sense.field_values import BoolArray
from sightline.sense.source import RESERVED_COLUMNS, Chunk, error_words, rejected_file
from sightline.sense.source_columns import plain_name
from sightline.sense.sources.byte_lines import LineBlock, line_blocks, open_bytes
from sightline.sense.sources.line_chunks import chunk_of_lines, parse_lines

_SAMPLE_LINES = 1000
"""Lines per block in which names beyond the contract's are looked for; all if it refuses them."""


def read_json_lines(
    path: Path, *, origin: str, contract: Contract, limits: Limits
) -> Iterator[Chunk]:
    """Read a file of JSON lines (``.gz`` too) in chunks of at most ``limits.chunk_rows``."""
    try:
        stream = open_bytes(path)
    except OSError as error:
        yield rejected_file(origin, RefusalReason.FILE_UNREADABLE, error_words(error))
        return
    with stream:
        yield from read_json_stream(stream, origin=origin, contract=contract, limits=limits)


def read_json_stream(
    stream: BinaryIO, *, origin: str, contract: Contract, limits: Limits, is_live: bool = False
) -> Iterator[Chunk]:
    """Read JSON lines from bytes.

    Args:
        stream: bytes of the lines.
        origin: its name.
        contract: its columns are always looked for; others as far as the first lines have them.
        limits: bounds of lines and chunks.
        is_live: hand lines on as soon as they arrive.
    """
    parser = _Parser(contract)
    rows = 0
    for block in line_blocks(stream, limits=limits, is_live=is_live):
        if block.damage is not None:
            yield rejected_file(origin, RefusalReason.FILE_UNREADABLE, block.damage)
            return
        rows += len(block) + len(block.bad)
        frames, is_read, nested = parser.parse(block)
        yield chunk_of_lines(
            block,
            frames,
            is_read,
            origin=origin,
            expected="one JSON object",
            nested=nested,
            limits=limits,
        )
    if not rows:
        yield rejected_file(origin, RefusalReason.FILE_EMPTY, "expected lines, got none")


class _Parser:
    """Remembers the names met so far, so that the chunks of a stream look alike."""

    def __init__(self, contract: Contract) -> None:
        self._contract = contract
        self._met: dict[str, None] = {}
        self._sample = None if contract.extra_columns == "refuse" else _SAMPLE_LINES

    def parse(self, block: LineBlock) -> tuple[list[pl.DataFrame], BoolArray, dict[int, str]]:
        """Frames, bool[n] which lines they hold, and nested values: line index to field."""
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
        return frames, is_read, self._nested(block, frames, is_read)

    def _learn(self, block: LineBlock) -> None:
        count = len(block) if self._sample is None else min(len(block), self._sample)
        try:
            sample = pl.read_ndjson(block.slice(0, count), infer_schema_length=None)
        except pl.exceptions.PolarsError:
            return  # a bad line among them: the caller comes back without it
        self._met.update(dict.fromkeys(n for n in sample.columns if n not in RESERVED_COLUMNS))

    def _read(self, data: bytes) -> pl.DataFrame | None:
        plain = {plain_name(name) for name in self._met}
        # Where the name comes with a unit, the bare column must not appear beside it as null.
        wanted = [n for n in self._contract.columns if n in self._met or n not in plain]
        schema = dict.fromkeys([*self._met, *wanted], pl.String())
        try:
            return pl.read_ndjson(data, schema=schema)
        except pl.exceptions.PolarsError:
            return None

    def _nested(
        self, block: LineBlock, frames: list[pl.DataFrame], is_read: BoolArray
    ) -> dict[int, str]:
        """Lines with an object or a list in one of the contract's columns."""
        found: dict[int, str] = {}
        index = np.flatnonzero(is_read)
        for name in self._contract.columns:
            at = 0
            for frame in frames:
                if name in frame.columns:
                    text = frame[name]
                    looks_nested = text.str.starts_with("{") | text.str.starts_with("[")
                    for i in looks_nested.arg_true().to_list():
                        line = int(index[at + i])
                        # Only the line itself tells an object from a text that looks like one.
                        if isinstance(json.loads(block.line(line)).get(name), dict | list):
                            found.setdefault(line, name)
                at += frame.height
        return found


def _is_object(block: LineBlock) -> BoolArray:
    """bool[n]: lines that are one JSON object each."""
    whole = pl.Series(block.lines(), dtype=pl.String).str.json_path_match("$")
    found: BoolArray = whole.str.starts_with("{").fill_null(False).to_numpy()
    return found.copy()
