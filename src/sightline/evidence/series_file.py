"""Anybody's table of measurements as series: a time, a value, and perhaps a key per row.

The readers are those of a run (:mod:`.files`, :mod:`.text_files`); what a contract says there, the
whole column or the user says here. A cell that cannot be read costs its row or its value, is
counted by reason and shown; a table of which most cannot be read is an error.
"""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt
import polars as pl

from sightline.errors import SightlineError, SourceError, UsageError
from sightline.limits import DEFAULT_LIMITS
from sightline.perceive.normal.features import GREATEST
from sightline.perceive.normal.settings import LEAST_SPREAD
from sightline.records.refusal import RefusalReason
from sightline.records.signals import NS_PER_S, ORIGIN, ROW
from sightline.records.windows import FloatArray, IntArray
from sightline.sense.admission import plain_name
from sightline.sense.contract import TimeFormat
from sightline.sense.field_values import with_clock
from sightline.sense.files import TABLES, column_names, read_table
from sightline.sense.source import Chunk
from sightline.sense.written_numbers import Decimal, read_numbers, stand_in_of
from sightline.sense.written_times import TIME_FORMS, WrittenTimes, read_times

BoolArray = npt.NDArray[np.bool_]

MAX_ROWS = 50_000_000
"""Rows of one file; more is a SourceError before they are read into memory."""
MAX_SERIES = 10_000
"""Keys in one file; more is a SourceError."""
_LEAST_RANGE = 1e3 * LEAST_SPREAD  # of values: smaller differences count as none
_MOST_UNREAD = 0.5  # share of lines, times or values beyond which a table counts as unread
_SHOWN_CHARS = 60


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
class Unread:
    """What could not be read, for one reason.

    Attributes:
        what: ``line``, ``time`` or ``value``; a line and a time cost their row.
        reason: for a person.
        rows: how many.
        example: the first, as it stands there.
        row: where that is, from 0 below the header; -1 where it has no place.
    """

    what: str
    reason: str
    rows: int
    example: str
    row: int

    def __str__(self) -> str:
        place = f" (row {self.row}: {self.example!r})" if self.row >= 0 else f" ({self.example})"
        return f"{self.rows} {self.what}{'s' * (self.rows > 1)} {self.reason}{place}"


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadingOptions:
    """What the user says about a table that it does not say itself.

    Attributes:
        time_format: one of :data:`.TIME_FORMS`, or a pattern of strptime.
        zone: IANA name of the zone of times that state none; None: UTC.
        decimal: the decimal sign of numbers in text.
        header_line: which line of a text file is the header, from 1, blank lines not counted.
        missing: texts, or numbers, that say that there is no value.
    """

    time_format: TimeFormat | None = None
    zone: str | None = None
    decimal: Decimal | None = None
    header_line: int | None = None
    missing: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.time_format is not None and self.time_format not in TIME_FORMS:
            _check_pattern(self.time_format)
        if self.zone is not None:
            _check_zone(self.zone)
        if self.decimal not in (None, ".", ","):
            raise UsageError(
                expected="a point or a comma",
                got=self.decimal,
                where="--decimal",
                action='give --decimal "." or --decimal ","',
            )
        if self.header_line is not None and self.header_line < 1:
            raise UsageError(
                expected="a line from 1",
                got=str(self.header_line),
                where="--header-line",
                action="count lines from 1, without blank ones",
            )


def _check_pattern(pattern: str) -> None:
    error: str | None = None
    if "%" not in pattern:
        error = pattern
    else:
        try:
            pl.Series(["?"]).str.to_datetime(pattern, time_unit="ns", strict=False)
        except pl.exceptions.PolarsError as problem:
            error = f"{pattern} ({str(problem).splitlines()[0]})"
    if error is not None:
        raise UsageError(
            expected=f"{', '.join(TIME_FORMS)}, or a pattern",
            got=error,
            where="--time-format",
            action="for example day-first, or '%d.%m.%Y %H:%M:%S'",
        )


def _check_zone(zone: str) -> None:
    try:
        ZoneInfo(zone)
    except (ValueError, OSError, KeyError):
        raise UsageError(
            expected="the name of a time zone",
            got=zone,
            where="--zone",
            action="for example Europe/Berlin, or UTC",
        ) from None


_NO_OPTIONS = ReadingOptions()


@dataclass(frozen=True, slots=True, kw_only=True)
class SeriesFile:
    """What was read.

    Attributes:
        series: in order of key.
        rows: in the file, those whose line could not be read among them.
        without_time: rows that were left out, because their time could not be read.
        out_of_order: rows that came after a later one of their key, and were sorted.
        unread: what could not be read, by reason.
        notes: what was found out about the table, for a person.
    """

    series: tuple[Series, ...]
    rows: int
    without_time: int
    out_of_order: int
    unread: tuple[Unread, ...] = ()
    notes: tuple[str, ...] = ()


def read_series(
    path: Path,
    *,
    time: str | None,
    value: str,
    key: str | None = None,
    options: ReadingOptions = _NO_OPTIONS,
) -> SeriesFile:
    """Read a table, one of :data:`.TABLES`, or ``.npz``.

    Args:
        path: of the file.
        time: column (array) of times, in any form that :func:`.read_times` reads; ``DATE+CLOCK``
            where they stand in two columns. None: rows are evenly spaced and in order.
        value: column (array) of values; of an array with two axes its first column, or
            ``NAME:K`` for column K.
        key: column (array) that tells series apart, as text.
        options: what the table does not say.

    Raises:
        UsageError: a column that is not there, or of which most is no number or no time; a file of
            another kind.
        SourceError: the file cannot be read, mostly cannot, or is too large.
    """
    names = [*_time_columns(time), value, *([] if key is None else [key])]
    table, unread = _read(path, names, options)
    return _series(table, unread, time=time, value=value, key=key, where=str(path), options=options)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ReadColumns:
    """Columns of numbers at times, row by row in the order of the file.

    Attributes:
        time_ns: int64[n]; rows whose time could not be read are not among them.
        values: float64[n] by name of the column; NaN where there is no number.
        unread: what could not be read, by reason.
        notes: what was found out about the table, for a person.
    """

    time_ns: IntArray
    values: Mapping[str, FloatArray]
    unread: tuple[Unread, ...]
    notes: tuple[str, ...]


def read_columns(
    path: Path, *, time: str, values: Sequence[str], options: ReadingOptions = _NO_OPTIONS
) -> ReadColumns:
    """Read columns of numbers that belong together. Arguments and errors: :func:`read_series`."""
    table, unread = _read(path, [*_time_columns(time), *values], options)
    for column in values:
        _check_column(table, column, str(path))
    row, stamps = table[ROW].to_numpy(), _time_column(table, time, str(path))
    times = read_times(
        stamps, time_format=options.time_format, zone=options.zone, also_missing=options.missing
    )
    bad_times = _bad_times(times, stamps, row)
    _check_times(times, bad_times, where=f"{path}, column {time}", rows=len(table))
    is_timed = times.ns.is_not_null().to_numpy()
    time_ns = times.ns.drop_nulls().to_numpy().astype(np.int64)
    found: dict[str, FloatArray] = {}
    notes = [_times_note(times, time_ns), *times.notes]
    for column in values:
        numbers, bad, more = _values(table[column], row, str(path), options)
        found[column] = numbers[is_timed]
        unread += bad
        notes += more
    return ReadColumns(
        time_ns=time_ns, values=found, unread=(*unread, *bad_times), notes=tuple(notes)
    )


def series_of(
    table: pl.DataFrame,
    *,
    time: str | None,
    value: str,
    key: str | None = None,
    where: str,
    options: ReadingOptions = _NO_OPTIONS,
) -> SeriesFile:
    """As :func:`read_series`, of a table that is there.

    Args:
        table: with the columns; ``_row`` numbers its rows where it has that column.
        time, value, key: columns.
        where: names the table in errors.
        options: what the table does not say.

    Raises:
        UsageError: a column that is not there, or of which most is no number or no time.
        SourceError: no rows, or too many keys.
    """
    return _series(table, [], time=time, value=value, key=key, where=where, options=options)


def _series(
    table: pl.DataFrame,
    unread: list[Unread],
    *,
    time: str | None,
    value: str,
    key: str | None,
    where: str,
    options: ReadingOptions,
) -> SeriesFile:
    for column in (value, *([] if key is None else [key])):
        _check_column(table, column, where)
    if not len(table):
        raise SourceError(
            expected="rows", got="none", where=where, action="see whether this is the right file"
        )
    row = table[ROW].to_numpy() if ROW in table.columns else np.arange(len(table), dtype=np.int64)
    keys, notes = _keys(table, key, where)
    numbers, bad_values, more = _values(table[value], row, where, options)
    notes += more
    time_ns, is_timed = None, np.ones(len(table), np.bool_)
    bad_times: list[Unread] = []
    if time is not None:
        stamps = _time_column(table, time, where)
        times = read_times(
            stamps,
            time_format=options.time_format,
            zone=options.zone,
            key=keys if key is not None else None,
            also_missing=options.missing,
        )
        bad_times = _bad_times(times, stamps, row)
        is_timed = times.ns.is_not_null().to_numpy()
        _check_times(times, bad_times, where=f"{where}, column {time}", rows=len(table))
        time_ns = times.ns.fill_null(0).to_numpy().astype(np.int64)
        notes += [_times_note(times, time_ns[is_timed]), *times.notes]
    names = keys.unique().sort()
    if len(names) > MAX_SERIES:
        raise SourceError(
            expected=f"at most {MAX_SERIES} keys",
            got=str(len(names)),
            where=f"{where}, column {key}",
            action="split the file, or give another key",
        )
    codes = keys.replace_strict(names, pl.int_range(len(names), eager=True)).to_numpy()
    order, bounds, late = _ordered(codes, time_ns, is_timed, len(names))
    if time_ns is not None:
        notes += _order_notes(
            codes,
            time_ns,
            is_timed=is_timed,
            order=order,
            row=row,
            late=late,
            has_key=key is not None,
        )
    found = [
        Series(
            key=name,
            time_ns=None if time_ns is None else time_ns[rows],
            values=numbers[rows],
            row=row[rows].astype(np.int64),
        )
        for name, rows in zip(names.to_list(), np.split(order, bounds), strict=True)
    ]
    lines = sum(one.rows for one in unread if one.row >= 0)
    return SeriesFile(
        series=tuple(found),
        rows=len(table) + lines,
        without_time=int((~is_timed).sum()),
        out_of_order=len(late),
        unread=(*unread, *bad_times, *bad_values),
        notes=tuple(notes),
    )


# --- the columns ----------------------------------------------------------------------------------


def _check_column(table: pl.DataFrame, column: str, where: str) -> None:
    if column not in table.columns:
        raise _no_column(where, column, table.columns)


def _no_column(where: Path | str, column: str, names: Iterable[str]) -> UsageError:
    there = [name for name in names if name not in (ORIGIN, ROW)]
    return UsageError(
        expected=f"a column {column!r}",
        got=_cut(", ".join(there[:20])),
        where=str(where),
        action="name one of these; --header-line N where the header is another line",
    )


def _time_columns(time: str | None) -> list[str]:
    """The columns that may hold the times: the one named, or two joined by ``+``."""
    if time is None:
        return []
    return [time, *time.split("+")] if "+" in time else [time]


def _time_column(table: pl.DataFrame, time: str, where: str) -> pl.Series:
    if time in table.columns:
        return _as_text_where_words(table[time])
    date, *clocks = parts = time.split("+")
    for part in parts:
        _check_column(table, part if clocks else time, where)
    written = table[date]
    for clock in clocks:
        written = with_clock(written, table[clock])
    return written.alias(time)


def _as_text_where_words(column: pl.Series) -> pl.Series:
    if isinstance(column.dtype, pl.Categorical | pl.Enum):
        return column.cast(pl.String)
    return column


def _keys(table: pl.DataFrame, key: str | None, where: str) -> tuple[pl.Series, list[str]]:
    """String[n] of keys, "" where there is none."""
    if key is None:
        return pl.Series("key", [""], pl.String).new_from_index(0, len(table)), []
    column = table[key]
    if column.dtype.is_nested() or column.dtype in (pl.Binary, pl.Object):
        raise UsageError(
            expected="a column of texts or integers",
            got=str(column.dtype),
            where=f"{where}, column {key}",
            action="name another column as --key",
        )
    if column.dtype.is_float():
        # Integers with gaps come as floats; they keep their own names.
        column = column.cast(pl.Float64).fill_nan(None)
        whole = column.cast(pl.Int64, strict=False)
        if column.eq_missing(whole.cast(pl.Float64)).all():
            column = whole
    keys = column.cast(pl.String)
    without = int((keys.is_null() | (keys == "")).sum())
    note = [f"{without} rows have no key: they are a series of their own"] if without else []
    return keys.fill_null("").alias("key"), note


def _values(
    column: pl.Series, row: IntArray, where: str, options: ReadingOptions
) -> tuple[FloatArray, list[Unread], list[str]]:
    where = f"{where}, column {column.name}"
    column = _as_text_where_words(column)
    notes: tuple[str, ...] = ()
    is_ambiguous = False
    if column.dtype == pl.String:
        read = read_numbers(column, decimal=options.decimal, also_missing=options.missing)
        values, missing, unread = read.values, read.missing, read.unread
        notes, is_ambiguous = read.notes, read.is_ambiguous
    elif column.dtype.is_numeric() or column.dtype in (pl.Boolean, pl.Null):
        values = (
            column.cast(pl.Float64, strict=False).fill_null(np.nan).to_numpy().astype(np.float64)
        )
        missing, unread = np.isnan(values), np.zeros(len(values), np.bool_)
    else:
        raise _no_numbers(f"{column.dtype}", where)
    as_read, values = values, values.copy()
    for number in _numbers_among(options.missing):
        is_sentinel = values == number
        missing, values[is_sentinel] = missing | is_sentinel, np.nan
    absurd = np.abs(values) > GREATEST
    values[absurd] = np.nan
    stand_in = None if options.missing else stand_in_of(values)
    if stand_in is not None:
        is_stand_in = values == stand_in
        missing, values[is_stand_in] = missing | is_stand_in, np.nan
        notes = (
            *notes,
            f"{int(is_stand_in.sum())} values are {stand_in:g} and count as none, being far from "
            "all others; where they are measured, --missing NA lets them stand",
        )
    reason = "are no number" if unread.sum() != 1 else "is no number"
    if is_ambiguous:
        reason = "may be either of two numbers: --decimal tells which"
    bad = [
        *_unread("value", reason, unread, column, row),
        *_unread("value", "beyond any measurement", absurd & ~np.isinf(as_read), column, row),
        *_unread("value", "without a finite size", np.isinf(as_read), column, row),
    ]
    if missing.any() and not missing.all():
        first = row[np.flatnonzero(missing)[0]]
        none = f"{int(missing.sum())} of {len(column)} rows have no {column.name!r}"
        notes = (*notes, f"{none}, first row {first}")
    n_bad = int((unread | absurd).sum())
    if n_bad > _MOST_UNREAD * int((~missing).sum()) or missing.all():
        if not n_bad:
            raise _no_numbers(f"{len(column)} cells without a value", where)
        raise _no_numbers("; ".join(map(str, bad)), where, is_ambiguous=is_ambiguous)
    spread = float(np.nanmax(values) - np.nanmin(values))
    if 0 < spread < _LEAST_RANGE:
        raise UsageError(
            expected=f"numbers that differ by {_LEAST_RANGE:g} or more",
            got=f"{spread:.3g} between the least and the greatest",
            where=where,
            action="give the values in a smaller unit",
        )
    return values, bad, list(notes)


def _no_numbers(got: str, where: str, *, is_ambiguous: bool = False) -> UsageError:
    action = "name the column of values; --decimal and --missing say how its numbers are written"
    if is_ambiguous:
        action = 'give --decimal "." or --decimal ","'
    return UsageError(expected="a column of numbers", got=got, where=where, action=action)


def _numbers_among(texts: Sequence[str]) -> list[float]:
    found = pl.Series(texts, dtype=pl.String).cast(pl.Float64, strict=False)
    return [number for number in found.drop_nulls().to_list() if np.isfinite(number)]


def _bad_times(times: WrittenTimes, column: pl.Series, row: IntArray) -> list[Unread]:
    unread = times.ns.is_null().to_numpy() & ~times.missing & ~times.unbelievable
    return [
        *_unread("time", "missing", times.missing, column, row),
        *_unread("time", "not read", unread, column, row),
        *_unread("time", f"unbelievable as {times.form}", times.unbelievable, column, row),
    ]


def _check_times(times: WrittenTimes, bad: list[Unread], *, where: str, rows: int) -> None:
    if times.ambiguous is not None:
        example, one, other, options = times.ambiguous
        raise UsageError(
            expected="times that can be read in one way",
            got=f"{example!r}, which may be {one} ({options[0]}) or {other} ({options[1]})",
            where=where,
            action=f"give --time-format {options[0]} or --time-format {options[1]}",
        )
    if times.ns.count() <= (1 - _MOST_UNREAD) * rows:
        raise UsageError(
            expected="a column of times",
            got="; ".join(map(str, bad)),
            where=where,
            action=(
                "read are ISO 8601, dates of the calendar with the year, the day or the month "
                "first, and numbers: unix_s to unix_ns, excel_days, filetime, YYYYMMDDhhmmss; give "
                "--time-format, for example '%d.%m.%Y %H:%M:%S'"
            ),
        )


def _unread(
    what: str, reason: str, which: BoolArray, column: pl.Series, row: IntArray
) -> list[Unread]:
    at = np.flatnonzero(which)
    if not len(at):
        return []
    first = column[int(at[0])]
    return [
        Unread(
            what=what,
            reason=reason,
            rows=len(at),
            example=_cut("" if first is None else str(first)),
            row=int(row[at[0]]),
        )
    ]


def _cut(text: str) -> str:
    return text if len(text) <= _SHOWN_CHARS else text[: _SHOWN_CHARS - 1] + "…"


# --- order ----------------------------------------------------------------------------------------


def _ordered(
    codes: IntArray, time_ns: IntArray | None, is_timed: BoolArray, keys: int
) -> tuple[IntArray, IntArray, IntArray]:
    """Rows with a time by key and time; where each key but the first begins; rows that came late.

    One sort for all keys: a step per key and row would make many keys slow.
    """
    rows = np.flatnonzero(is_timed)
    by_key = rows[np.argsort(codes[rows], kind="stable")]
    late = np.empty(0, np.int64)
    if time_ns is not None:
        same_key = np.diff(codes[by_key]) == 0
        late = by_key[1:][same_key & (np.diff(time_ns[by_key]) < 0)]
        by_key = by_key[np.lexsort((time_ns[by_key], codes[by_key]))]
    bounds = np.searchsorted(codes[by_key], np.arange(1, keys))
    return by_key, bounds, late


def _times_note(times: WrittenTimes, time_ns: IntArray) -> str:
    first, last = (
        np.datetime64(int(t), "s") for t in (time_ns.min() // 10**9, time_ns.max() // 10**9)
    )
    return f"times run from {first}Z to {last}Z, read as {times.form}"


def _order_notes(
    codes: IntArray,
    time_ns: IntArray,
    *,
    is_timed: BoolArray,
    order: IntArray,
    row: IntArray,
    late: IntArray,
    has_key: bool,
) -> list[str]:
    notes = []
    if len(late):
        first = int(late[0])
        before = np.flatnonzero(is_timed[:first] & (codes[:first] == codes[first]))[-1]
        back_s = (int(time_ns[before]) - int(time_ns[first])) / NS_PER_S
        notes.append(
            f"times go back {len(late)} times, first at row {row[first]} by {back_s:g} s: the rows "
            "were sorted; where a clock was set back, its hours are interleaved now (--zone)"
        )
    is_doubled = (np.diff(codes[order]) == 0) & (np.diff(time_ns[order]) == 0)
    if is_doubled.any():
        at = order[1:][is_doubled]
        advice = "" if has_key else "; several devices in one file? --key tells them apart"
        notes.append(
            f"{len(at)} rows have the time of another row of their series (first: row "
            f"{row[at].min()}){advice}"
        )
    return notes


# --- the files ------------------------------------------------------------------------------------


def _read(
    path: Path, columns: Sequence[str], options: ReadingOptions
) -> tuple[pl.DataFrame, list[Unread]]:
    name = path.name.lower()
    if not path.is_file():
        got = "a folder" if path.is_dir() else "no plain file" if path.exists() else "nothing"
        raise SourceError(expected="a file", got=got, where=str(path), action="check the path")
    if name.endswith(TABLES):
        chunks = read_table(
            path,
            origin=path.name,
            limits=DEFAULT_LIMITS,
            wanted=[name for name in dict.fromkeys(columns) if "+" not in name],
            header_line=options.header_line,
            columns=columns,
        )
        return _gathered(path, chunks, columns)
    if name.endswith(".npz"):
        return _archive(path, columns), []
    raise UsageError(
        expected="a file .csv, .tsv, .txt, .jsonl, .parquet or .npz",
        got=path.name,
        where=str(path),
        action="convert it, or rename it if that is what it is",
    )


def _gathered(
    path: Path, chunks: Iterable[Chunk], columns: Sequence[str]
) -> tuple[pl.DataFrame, list[Unread]]:
    """The columns of all chunks, and the lines that could not be read."""
    frames, refused, rows = [], [], 0
    for chunk in chunks:
        if chunk.rejected.height:
            refused.append(chunk.rejected)
        if chunk.frame.height:
            frames.append(_picked(chunk.frame, columns, path))
        rows += chunk.frame.height
        if rows > MAX_ROWS:
            raise SourceError(
                expected=f"at most {MAX_ROWS} rows",
                got="more",
                where=str(path),
                action="split it by time or key",
            )
    unread = _lines(refused)
    lines = sum(one.rows for one in unread)
    if not frames or lines > _MOST_UNREAD * (rows + lines):
        suffix = path.name.lower().removesuffix(".gz").rpartition(".")[2]
        action = "see whether it is what its name says, and mend the lines named"
        if any("UTF-8" in f"{one.reason} {one.example}" for one in unread):
            action += "; text of another encoding: iconv -f WINDOWS-1252 -t UTF-8 makes it UTF-8"
        raise SourceError(
            expected=f"a readable .{suffix} file",
            got="; ".join(map(str, unread)) or "no rows",
            where=str(path),
            action=action,
        )
    return pl.concat(frames), unread


def _picked(frame: pl.DataFrame, columns: Sequence[str], path: Path) -> pl.DataFrame:
    """The columns asked for, as far as they are there; of two for a time, either may be missing."""
    by_plain_name = {plain_name(name): name for name in reversed(frame.columns)}
    found = {}
    for column in columns:
        name = column if column in frame.columns else by_plain_name.get(column)
        if name is not None:
            found[column] = frame[name]
        elif not any("+" in other and column in other.split("+") for other in columns) and (
            "+" not in column
        ):
            raise _no_column(path, column, _all_names(path, frame))
    if not found:
        raise _no_column(path, columns[0], _all_names(path, frame))
    return pl.DataFrame(found).with_columns(frame[ROW])


def _all_names(path: Path, frame: pl.DataFrame) -> list[str]:
    """Names of all columns of a file; of Parquet only those asked for are in the frame."""
    is_parquet = path.name.lower().endswith(".parquet")
    return column_names(path) if is_parquet else frame.columns


_LINE_WORDS = {
    RefusalReason.LINE_UNREADABLE: "not read",
    RefusalReason.LINE_TOO_LONG: "too long",
    RefusalReason.ENCODING: "not UTF-8",
}


def _lines(refused: Sequence[pl.DataFrame]) -> list[Unread]:
    if not refused:
        return []
    table = pl.concat(refused)
    found = []
    for (reason,), rows in table.group_by("reason", maintain_order=True):
        row, detail, raw = rows.select(ROW, "detail", "raw").row(0)
        words = _LINE_WORDS.get(RefusalReason(reason))
        if words is None:
            found.append(
                Unread(
                    what="part",
                    reason="of the file not read",
                    rows=len(rows),
                    example=detail,
                    row=-1,
                )
            )
        else:
            words = f"{words}, {detail}" if reason == RefusalReason.LINE_UNREADABLE else words
            found.append(
                Unread(what="line", reason=words, rows=len(rows), example=_cut(raw), row=row)
            )
    return found


def _archive(path: Path, columns: Sequence[str]) -> pl.DataFrame:
    try:
        with np.load(path, allow_pickle=False) as archive:
            found = {
                column: _array(archive, column, path)
                for column in dict.fromkeys(columns)
                if column.partition(":")[0] in archive.files or "+" not in column
            }
        return pl.DataFrame(found)
    except SightlineError:
        raise
    except (
        OSError,
        EOFError,
        ValueError,
        KeyError,
        TypeError,
        AttributeError,
        zipfile.BadZipFile,
        zlib.error,
        pl.exceptions.PolarsError,
    ) as error:
        raise SourceError(
            expected="a readable .npz file with arrays of one length",
            got=f"{type(error).__name__}: {str(error)[:200]}",
            where=str(path),
            action="see whether it is what its name says",
        ) from error


def _array(archive: Any, column: str, path: Path) -> npt.NDArray[Any]:
    """One axis of an array of the archive, of a type that Polars takes."""
    name, has_place, place = column.partition(":")
    if column in archive.files:
        name, has_place, place = column, "", ""
    if name not in archive.files:
        raise _no_column(path, name, archive.files)
    array: npt.NDArray[Any] = archive[name]
    if array.ndim == 2:
        width = array.shape[1]
        if not (place or "0").isdecimal() or int(place or 0) >= width:
            raise UsageError(
                expected=f"one of the {width} columns of {name!r}, counted from 0",
                got=place or "0",
                where=str(path),
                action=f"for example {name}:0",
            )
        array = array[:, int(place or 0)]
    elif array.ndim != 1 or has_place:
        raise UsageError(
            expected=f"{name!r} with one axis, or two and a column",
            got=f"the shape {array.shape}" + (f" and column {place}" if has_place else ""),
            where=str(path),
            action="name an array [rows], or [rows, columns] as NAME:K",
        )
    return plain_array(array, where=f"{path}, {name}")


def plain_array(array: npt.NDArray[Any], *, where: str) -> npt.NDArray[Any]:
    """An array of a type that Polars takes, of the same numbers, times or texts.

    Raises:
        UsageError: it holds something else.
    """
    kind, size = array.dtype.kind, array.dtype.itemsize
    if kind == "M":
        array = array.astype("datetime64[us]" if array.dtype != "datetime64[ns]" else array.dtype)
    elif kind == "S":
        array = array.astype("U")
    elif kind == "f" and size > np.dtype(np.float64).itemsize:
        array = array.astype(np.float64)
    elif kind not in "fiubU":
        raise UsageError(
            expected="numbers, times or texts",
            got=str(array.dtype),
            where=where,
            action="name another array, or convert it",
        )
    return np.ascontiguousarray(array.astype(array.dtype.newbyteorder("=")))
