"""Label files of the published data sets, read within bounds.

Labels are strict: a score computed from part of a file would look like a score. What is missing,
too large or malformed is a :class:`.SourceError` that names the place.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from benchmarks.alert_scores.events import Intervals
from benchmarks.published.nab_score import NabProfile
from sightline.errors import SourceError

MAX_LABEL_BYTES = 16 << 20
"""One label or result file. A larger one is a SourceError before it is read."""


def read_nasa_labels(path: Path) -> dict[str, Intervals]:
    """``labeled_anomalies.csv`` as labelled sequences by channel.

    A channel may have more than one line (P-2 has): their sequences are joined.

    Raises:
        SourceError: the file cannot be read as that.
    """
    found: dict[str, list[tuple[int, int]]] = {}
    for number, row in enumerate(csv.DictReader(io.StringIO(_text(path))), start=2):
        try:
            pairs = json.loads(row["anomaly_sequences"])
            found.setdefault(row["chan_id"], []).extend((int(a), int(b)) for a, b in pairs)
        except (KeyError, TypeError, ValueError) as error:
            raise _wrong(path, f"line {number}", "chan_id and [[first, last], …]", error) from error
    return {channel: Intervals.of(sorted(pairs)) for channel, pairs in found.items()}


def read_nab_windows(path: Path) -> dict[str, tuple[tuple[datetime, datetime], ...]]:
    """``combined_windows.json``: first and last time of each window, by file.

    Raises:
        SourceError: the file cannot be read as that.
    """
    plain = _json(path)
    try:
        return {
            str(name): tuple(
                (datetime.fromisoformat(first), datetime.fromisoformat(last))
                for first, last in windows
            )
            for name, windows in plain.items()
        }
    except (TypeError, ValueError) as error:
        raise _wrong(path, "windows", "[first time, last time] pairs by file", error) from error


def read_nab_profiles(path: Path) -> dict[str, NabProfile]:
    """``profiles.json``: weights by name of the profile.

    Raises:
        SourceError: the file cannot be read.
        UsageError: an entry is no profile.
    """
    return {str(name): NabProfile.from_mapping(entry) for name, entry in _json(path).items()}


def window_rows(
    timestamp: pl.Series, windows: tuple[tuple[datetime, datetime], ...], *, where: str
) -> tuple[tuple[int, int], ...]:
    """Windows of times as windows of rows: the first row at each time, as the benchmark takes it.

    Args:
        timestamp: Datetime[n] without time zone.
        windows: (first, last) times, each of which some row has.
        where: for the error.

    Raises:
        SourceError: a time that no row has.
    """
    first_row: dict[datetime, int] = {}
    if windows:
        wanted = sorted({time for window in windows for time in window})
        is_wanted = timestamp.is_in(wanted)
        rows = np.flatnonzero(is_wanted.to_numpy())
        for row in rows[::-1].tolist():
            first_row[timestamp[row]] = row
        missing = [time for time in wanted if time not in first_row]
        if missing:
            raise SourceError(
                expected="rows at the ends of each window",
                got=f"none at {missing[0]}",
                where=where,
                action="score the file that the windows were made for, with all of its rows",
            )
    return tuple((first_row[first], first_row[last]) for first, last in windows)


def _json(path: Path) -> Mapping[str, Any]:
    try:
        plain = json.loads(_text(path))
    except ValueError as error:
        raise _wrong(path, "file", "a JSON object", error) from error
    if not isinstance(plain, dict):
        raise _wrong(path, "file", "a JSON object", TypeError(type(plain).__name__))
    return plain


def _text(path: Path) -> str:
    try:
        with path.open("rb") as file:
            content = file.read(MAX_LABEL_BYTES + 1)
        if len(content) > MAX_LABEL_BYTES:
            raise ValueError(f"more than {MAX_LABEL_BYTES} bytes")
        return content.decode()
    except (OSError, ValueError) as error:
        raise _wrong(path, "file", "a readable UTF-8 file", error) from error


def _wrong(path: Path, place: str, expected: str, error: Exception) -> SourceError:
    return SourceError(
        expected=expected,
        got=f"{type(error).__name__}: {str(error)[:200]}",
        where=f"{path}, {place}",
        action="take the file as it was published",
    )
