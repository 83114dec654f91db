"""From blocks of lines to chunks of rows; lines that no parser takes are handed over beside."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import polars as pl

from sightline.limits import Limits
from sightline.records.refusal import RefusalReason
from sightline.sense.field_values import BoolArray
from sightline.sense.refused_rows import no_rejections, rejected
from sightline.sense.source import Chunk, placed
from sightline.sense.sources.byte_lines import LineBlock

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
    nested: Mapping[int, str] | None = None,
    limits: Limits,
) -> Chunk:
    """A chunk that accounts for every line of ``block``.

    Args:
        block: the lines.
        frames: rows of the lines in ``is_read`` (bool[n]), in order.
        is_read: which lines were parsed; the others become LINE_UNREADABLE.
        origin: name of the file.
        expected: what a line should have been, for a person.
        nested: lines among the parsed ones that hold an object or a list where a value should
            be, with the field; they become SCHEMA.
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
                raw=lost.lines(),
                limits=limits,
            )
        )
    frame, row = pl.DataFrame(), block.row[is_read]
    if frames:
        frame = frames[0] if len(frames) == 1 else pl.concat(frames, how="diagonal")
        frame = placed(frame, origin=origin, rows=pl.Series(row))
    if nested:
        parts += [
            rejected(
                origin=origin,
                rows=[int(block.row[i])],
                reason=RefusalReason.SCHEMA,
                field=field,
                detail="expected a plain value, got an object or a list",
                raw=[block.line(i)],
                limits=limits,
            )
            for i, field in nested.items()
        ]
        is_plain = np.ones(len(block), np.bool_)
        is_plain[list(nested)] = False
        frame = frame.filter(pl.Series(is_plain[is_read]))
    told = pl.concat(parts).sort("_row", maintain_order=True) if parts else no_rejections()
    return Chunk(origin=origin, frame=frame, rejected=told)
