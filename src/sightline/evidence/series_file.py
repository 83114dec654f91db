"""Anybody's file of measurements as series: a time, a value, and perhaps a key per row."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import polars as pl

from sightline.errors import SourceError, UsageError
from sightline.records.windows import FloatArray, IntArray
from sightline.sense.field_values import parse_times

MAX_ROWS = 50_000_000
"""Rows of one file; more is a SourceError before they are read into memory."""
MAX_SERIES = 10_000
"""Keys in one file; more is a SourceError."""
_UNITS: tuple[Literal["unix_s", "unix_ms", "unix_us", "unix_ns"], ...] = (
    "unix_s",
    "unix_ms",
    "unix_us",
    "unix_ns",
)
_LARGEST = (1e11, 1e14, 1e17)  # unix seconds, ms and µs of the year 5138


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Series:
    """The rows of one key, in order of time.

    Attributes:
        key: its name; ``""`` where the file has no key.
        time_ns: int64[n], UTC ns, not descending; None where the file has no time: row numbers.
        values: float64[n]; NaN where the file has none.
        row: int64[n], place in the file, from 0.
    """

    key: str
    time_ns: IntArray | None
    values: FloatArray
    row: IntArray


@dataclass(frozen=True, slots=True, kw_only=True)
class SeriesFile:
    """What was read.

    Attributes:
        series: in order of key.
        rows: in the file.
        without_time: rows that were left out, because their time could not be read.
        out_of_order: rows that came after a later one of their key, and were sorted.
    """

    series: tuple[Series, ...]
    rows: int
    without_time: int
    out_of_order: int


def read_series(path: Path, *, time: str | None, value: str, key: str | None = None) -> SeriesFile:
    """Read ``.csv``, ``.parquet`` or ``.npz``.

    Args:
        path: of the file.
        time: column (array) of times: ISO 8601, or numbers since 1970 in s, ms, µs or ns, told
            apart by their size. None: rows are evenly spaced and in order.
        value: column (array) of values; of an array with two axes its first column, or
            ``NAME:K`` for column K.
        key: column (array) that tells series apart.

    Raises:
        UsageError: a column that is not there or holds no numbers, or a file of another kind.
        SourceError: the file cannot be read, or is too large.
    """
    columns = [name for name in (time, value, key) if name is not None]
    return series_of(_read(path, columns), time=time, value=value, key=key, where=str(path))


def series_of(
    table: pl.DataFrame, *, time: str | None, value: str, key: str | None = None, where: str
) -> SeriesFile:
    """As :func:`read_series`, of a table that is there.

    Args:
        table: with the columns.
        time, value, key: columns.
        where: names the table in errors.

    Raises:
        UsageError: a column that is not there or holds no numbers.
        SourceError: too many keys.
    """
    for column in (time, value, key):
        if column is not None and column not in table.columns:
            raise _no_column(where, column, table.columns)
    numbers = _numbers(table[value], where)
    times = None if time is None else _times_ns(table[time])
    is_timed = np.ones(len(table), np.bool_) if times is None else times.is_not_null().to_numpy()
    keys = (
        pl.Series("key", [""], pl.String).new_from_index(0, len(table))
        if key is None
        else table[key].cast(pl.String).fill_null("")
    )
    names = sorted(keys.unique().to_list())
    if len(names) > MAX_SERIES:
        raise SourceError(
            expected=f"at most {MAX_SERIES} keys",
            got=str(len(names)),
            where=f"{where}, column {key}",
            action="split the file, or give another key",
        )
    time_ns = None if times is None else times.fill_null(0).to_numpy().astype(np.int64)
    codes = keys.replace_strict(names, list(range(len(names))), return_dtype=pl.Int64).to_numpy()
    found, late = [], 0
    for code, name in enumerate(names):
        rows = np.flatnonzero((codes == code) & is_timed)
        if time_ns is not None:
            late += int((np.diff(time_ns[rows]) < 0).sum())
            rows = rows[np.argsort(time_ns[rows], kind="stable")]
        found.append(
            Series(
                key=name,
                time_ns=None if time_ns is None else time_ns[rows],
                values=numbers[rows],
                row=rows.astype(np.int64),
            )
        )
    return SeriesFile(
        series=tuple(found),
        rows=len(table),
        without_time=int((~is_timed).sum()),
        out_of_order=late,
    )


def _read(path: Path, columns: Sequence[str]) -> pl.DataFrame:
    readers: dict[str, Any] = {".csv": _csv, ".parquet": _parquet, ".npz": _archive}
    reader = readers.get(path.suffix.lower())
    if reader is None:
        raise UsageError(
            expected="a file .csv, .parquet or .npz",
            got=path.name,
            where="sightline detect",
            action="convert it, or rename it if that is what it is",
        )
    try:
        table: pl.DataFrame = reader(path, columns)
    except (OSError, ValueError, KeyError, pl.exceptions.PolarsError) as error:
        raise SourceError(
            expected=f"a readable {path.suffix} file",
            got=f"{type(error).__name__}: {str(error)[:200]}",
            where=str(path),
            action="see whether it is what its name says",
        ) from error
    if len(table) > MAX_ROWS:
        raise SourceError(
            expected=f"at most {MAX_ROWS} rows",
            got=str(len(table)),
            where=str(path),
            action="split it by time or key",
        )
    return table


def _csv(path: Path, columns: Sequence[str]) -> pl.DataFrame:
    with path.open("rb") as file:
        head = file.readline(1 << 20).decode(errors="replace")
    separator = max(",;\t", key=head.count)
    frame = pl.scan_csv(path, separator=separator, infer_schema_length=10_000)
    return _picked(frame, columns, path)


def _parquet(path: Path, columns: Sequence[str]) -> pl.DataFrame:
    return _picked(pl.scan_parquet(path), columns, path)


def _picked(frame: pl.LazyFrame, columns: Sequence[str], path: Path) -> pl.DataFrame:
    names = frame.collect_schema().names()
    for column in columns:
        if column not in names:
            raise _no_column(path, column, names)
    # One row more than the bound tells that there are too many, without reading them all.
    return frame.select(columns).head(MAX_ROWS + 1).collect()


def _archive(path: Path, columns: Sequence[str]) -> pl.DataFrame:
    with np.load(path, allow_pickle=False) as archive:
        found = {}
        for column in columns:
            name, _, place = column.partition(":")
            if name not in archive.files:
                raise _no_column(path, name, archive.files)
            array = archive[name]
            if array.ndim == 2:
                array = array[:, int(place or 0)]
            found[column] = np.ascontiguousarray(array)
    return pl.DataFrame(found)


def _no_column(where: Path | str, column: str, names: Sequence[str]) -> UsageError:
    return UsageError(
        expected=f"a column {column!r}",
        got=", ".join(names[:20]),
        where=str(where),
        action="name one of these",
    )


def _numbers(column: pl.Series, where: str) -> FloatArray:
    found = column.cast(pl.Float64, strict=False)
    if found.null_count() > column.null_count() and found.null_count() == len(found):
        raise UsageError(
            expected="a column of numbers",
            got=f"{column.dtype}, for example {column[0]!r}",
            where=f"{where}, column {column.name}",
            action="name the column of values",
        )
    return found.to_numpy().astype(np.float64)


def _times_ns(column: pl.Series) -> pl.Series:
    if not column.dtype.is_numeric():
        return parse_times(column, "iso8601").ns
    size = float(column.abs().max() or 0.0)  # type: ignore[arg-type]
    return parse_times(column, _UNITS[int(np.searchsorted(_LARGEST, size))]).ns
