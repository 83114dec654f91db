"""Signals: rows of sensor data that passed their contract, columnar, in one canonical layout."""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

NS_PER_S = 1_000_000_000

# Columns that every admitted row has, whatever its source called them.
KEY = "_key"
GROUP = "_group"
TIME_NS = "_time_ns"
SEQUENCE = "_sequence"
# Where a row came from; carried by raw and by admitted rows.
ORIGIN = "_origin"
ROW = "_row"
RECEIVED_NS = "_received_ns"

SIGNAL_SCHEMA: dict[str, pl.DataType] = {
    KEY: pl.String(),
    GROUP: pl.String(),
    TIME_NS: pl.Int64(),
    SEQUENCE: pl.Int64(),
    ORIGIN: pl.String(),
    ROW: pl.Int64(),
}

QUARANTINE_SCHEMA: dict[str, pl.DataType] = {
    ORIGIN: pl.String(),  # file (relative), "stdin", …
    ROW: pl.Int64(),  # 0-based row or line in the origin; -1 for a whole file
    "reason": pl.String(),  # a RefusalReason
    "field": pl.String(),  # the field at fault, "" for the whole row
    "detail": pl.String(),  # expected and found, for a person
    "raw": pl.String(),  # the row as JSON (or the line as read), cut at a limit
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Signals:
    """A batch of admitted rows.

    Attributes:
        source: name of the source in the pipeline.
        frame: one row per sample. Columns of :data:`SIGNAL_SCHEMA`, then one Float64 column per
            numeric value field, in the units of the contract (NaN: measured as invalid; null
            never occurs), then String columns for text fields.
            ``_time_ns`` is UTC ns since 1970 and non-negative; ``_sequence`` is the source's own
            counter, -1 where there is none.
    """

    source: str
    frame: pl.DataFrame
