"""Parquet files: typed columns, row group by row group."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from sightline.limits import Limits
from sightline.records.refusal import RefusalReason
from sightline.sense.refused_rows import no_rejections
from sightline.sense.source import Chunk, error_words, name_problem, placed, rejected_file

_UNREADABLE = (OSError, pa.ArrowException, ValueError)
_UNIT_KEY = b"unit"


def read_parquet(path: Path, *, origin: str, limits: Limits) -> Iterator[Chunk]:
    """Read a Parquet file in chunks of at most ``limits.chunk_rows``.

    A unit in a field's metadata (key ``unit``) becomes part of the column's name, ``flow [L/s]``,
    where admission compares it with the contract. A damaged row group is FILE_UNREADABLE from the
    damage to its end; the groups after it are read.
    """
    try:
        with pq.ParquetFile(path, page_checksum_verification=True) as file:
            names = _names(file.schema_arrow)
            problem = name_problem(names)
            if problem is not None:
                yield rejected_file(origin, RefusalReason.FILE_UNREADABLE, problem)
            elif not file.metadata.num_rows:
                detail = "expected rows, got none"
                yield rejected_file(origin, RefusalReason.FILE_EMPTY, detail)
            else:
                yield from _row_groups(file, names, origin, limits)
    except _UNREADABLE as error:
        is_empty = path.is_file() and path.stat().st_size == 0
        reason = RefusalReason.FILE_EMPTY if is_empty else RefusalReason.FILE_UNREADABLE
        yield rejected_file(origin, reason, error_words(error))


def _row_groups(file: Any, names: list[str], origin: str, limits: Limits) -> Iterator[Chunk]:
    first = 0
    for group in range(file.metadata.num_row_groups):
        stop = first + file.metadata.row_group(group).num_rows
        at = first
        try:
            for batch in file.iter_batches(batch_size=limits.chunk_rows, row_groups=[group]):
                frame = _frame(batch, names)
                rows = pl.int_range(at, at + frame.height, dtype=pl.Int64, eager=True)
                at += frame.height
                frame = placed(frame, origin=origin, rows=rows)
                yield Chunk(origin=origin, frame=frame, rejected=no_rejections())
        except _UNREADABLE as error:
            detail = f"rows {at} to {stop - 1} could not be read: {error_words(error)}"
            yield rejected_file(origin, RefusalReason.FILE_UNREADABLE, detail)
        first = stop


def _names(schema: Any) -> list[str]:
    names: list[str] = []
    for field in schema:
        unit = (field.metadata or {}).get(_UNIT_KEY)
        names.append(field.name if unit is None else f"{field.name} [{unit.decode()}]")
    return names


def _frame(batch: Any, names: list[str]) -> pl.DataFrame:
    frame = pl.from_arrow(pa.Table.from_batches([batch]).rename_columns(names))
    assert isinstance(frame, pl.DataFrame)
    # Dictionaries differ from batch to batch; plain text can be joined.
    return frame.with_columns(pl.col(pl.Categorical, pl.Enum).cast(pl.String))
