"""What every source gives: streams of chunks."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import polars as pl

from sightline.records.refusal import RefusalReason
from sightline.records.signals import ORIGIN, RECEIVED_NS, ROW
from sightline.sense.refused_rows import rejected


@dataclass(frozen=True, slots=True, kw_only=True)
class Chunk:
    """Some consecutive rows of one stream.

    Attributes:
        origin: where they are from: file (relative to the source's location), ``stdin``, …
        frame: the source's own columns, text or typed, then ``_origin`` (String) and ``_row``
            (Int64, 0-based data row in the origin; lines that could not be read count too).
        rejected: lines or files that could not be read into rows, in QUARANTINE_SCHEMA.
    """

    origin: str
    frame: pl.DataFrame
    rejected: pl.DataFrame


@dataclass(frozen=True, slots=True, kw_only=True)
class Stream:
    """One arrival sequence, such as a file.

    Attributes:
        origin: its name.
        chunks: starts reading from the beginning; any number of times on a durable source.
    """

    origin: str
    chunks: Callable[[], Iterator[Chunk]]


class Source(Protocol):
    """Something that rows come from.

    Attributes:
        name: the source's name in the pipeline.
        durable: whether the same rows can be read again after a crash.
        ignored: files that lie there but that no reader takes, for the run's report.
    """

    @property
    def name(self) -> str: ...
    @property
    def durable(self) -> bool: ...
    @property
    def ignored(self) -> tuple[str, ...]: ...

    def streams(self) -> list[Stream]:
        """Every stream, in a stable order."""
        ...

    def fingerprint(self) -> Sequence[Mapping[str, str | int]]:
        """Identity of the content for the log: origin, bytes and SHA-256 of each stream.

        Empty where the content cannot be read twice.
        """
        ...


RESERVED_COLUMNS = (ORIGIN, ROW, RECEIVED_NS)
"""Columns that Sightline adds to raw rows; a file may not have its own."""


def placed(frame: pl.DataFrame, *, origin: str, rows: pl.Series) -> pl.DataFrame:
    """``frame`` with ``_origin`` and ``_row`` (Int64[n])."""
    return frame.with_columns(pl.lit(origin, dtype=pl.String).alias(ORIGIN), rows.alias(ROW))


def name_problem(names: Sequence[str]) -> str | None:
    """Why a file with these column names cannot be read, or None."""
    for i, name in enumerate(names):
        if name in names[:i]:
            return f"the column {name!r} is there twice"
        if not name:
            return f"column {i + 1} has no name"
        if name in RESERVED_COLUMNS:
            return f"the column name {name!r} is reserved"
    return None


def rejected_file(origin: str, reason: RefusalReason, detail: str, *, raw: str = "") -> Chunk:
    """A chunk without rows that says why a file, or the rest of it, could not be read."""
    return Chunk(
        origin=origin,
        frame=pl.DataFrame(),
        rejected=rejected(origin=origin, rows=[-1], reason=reason, detail=detail, raw=[raw]),
    )


def error_words(error: BaseException) -> str:
    """What a library said, on one line."""
    return " ".join(str(error).split()) or type(error).__name__
