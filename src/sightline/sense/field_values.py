"""Values and times in the columns of a source: text, numbers, typed date-times, whole columns."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl

from sightline.records.signals import NS_PER_S
from sightline.sense.calendar_text import (
    CalendarTimes,
    read_calendar,
    read_compact,
    read_iso_forms,
)
from sightline.sense.contract import FieldForm, TimeFormat

FEW_ROWS = 4096
"""Rows up to which one thread is faster than the pool, or as fast."""
_FEW_TEXTS = 256
"""Rows up to which looking at every text is faster than asking Polars to."""


def rows_where(frame: pl.DataFrame, wanted: npt.NDArray[np.bool_]) -> pl.DataFrame:
    """The rows of ``frame`` where ``wanted`` (bool[n]) is true, in their order."""
    mask = pl.Series(wanted)
    if frame.height > FEW_ROWS:
        return frame.filter(mask)
    return pl.DataFrame([column.filter(mask) for column in frame.get_columns()])


def rows_at(frame: pl.DataFrame, places: npt.NDArray[np.intp]) -> pl.DataFrame:
    """The rows of ``frame`` at ``places`` (int[n]), in that order."""
    at = pl.Series(places.astype(np.uint32))
    if frame.height > FEW_ROWS:
        return frame[at]
    # The threads that Polars would wake for many rows may be a long time in coming.
    columns = [column[at] for column in frame.get_columns()]
    return columns[0].to_frame().hstack(columns[1:])


def rows_outside(column: pl.Series, known: frozenset[str]) -> npt.NDArray[np.bool_] | None:
    """bool[n], rows whose text is not in ``known``; None when there is none. Nulls are inside."""
    if len(column) <= FEW_ROWS and known.issuperset(set(column.to_list()) - {None}):
        return None
    outside = ~column.is_in(list(known)).fill_null(True)
    return outside.to_numpy() if outside.any() else None


BoolArray = npt.NDArray[np.bool_]

MAX_EXACT_INTEGER = 2**53 - 1
"""Largest integer that Float64 keeps exactly, with every one below it."""

_BOOLEANS = {"true": 1.0, "false": 0.0, "1": 1.0, "0": 0.0}


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadField:
    """One field of n rows.

    Attributes:
        values: Float64[n] (NaN where there is no valid number) or String[n].
        missing: bool[n], null or empty in the source; None when there is none.
        unreadable: bool[n], of another type than the contract says; None when there is none.
        not_finite: bool[n], NaN or ±inf where the contract forbids it; None when there is none.
        extremes: of numbers, lowest and highest; see :func:`extremes`.
    """

    values: pl.Series
    missing: BoolArray | None = None
    unreadable: BoolArray | None = None
    not_finite: BoolArray | None = None
    extremes: tuple[float, float] = (math.nan, math.nan)


def read_field(column: pl.Series, form: FieldForm) -> ReadField:
    """Read ``column`` as the contract's type of field."""
    if form.missing:
        column = _without(column, form.missing)
    if form.decimal == "," and column.dtype == pl.String:
        # A point is no digit then: the mark makes the number unreadable.
        column = column.str.replace_all(".", "?", literal=True).str.replace(",", ".", literal=True)
    if form.type == "text":
        text, unreadable = read_text(column)
        return ReadField(values=text, missing=_nulls(text), unreadable=unreadable)
    if form.type == "boolean":
        values, missing, unreadable = _booleans(column)
        return ReadField(
            values=values, missing=missing, unreadable=unreadable, extremes=extremes(values)
        )
    values, missing, unreadable = _numbers(column)
    lowest, highest = extremes(values)
    not_finite = None
    if lowest == -math.inf or highest == math.inf or form.nan == "refuse":
        numbers = values.to_numpy()
        told = np.isinf(numbers) if form.nan == "invalid" else ~np.isfinite(numbers)
        told = told if missing is None else told & ~missing
        not_finite = _some(told if unreadable is None else told & ~unreadable)
    is_whole = column.dtype.is_integer() and lowest >= -MAX_EXACT_INTEGER
    if form.type == "integer" and not (is_whole and highest <= MAX_EXACT_INTEGER):
        numbers = values.to_numpy()
        with np.errstate(invalid="ignore"):
            is_inexact = (np.floor(numbers) != numbers) | (np.abs(numbers) > MAX_EXACT_INTEGER)
        inexact = _some(is_inexact & np.isfinite(numbers))
        if inexact is not None:
            unreadable = inexact if unreadable is None else unreadable | inexact
    return ReadField(
        values=values,
        missing=missing,
        unreadable=unreadable,
        not_finite=not_finite,
        extremes=(lowest, highest),
    )


def _without(column: pl.Series, missing: tuple[str, ...]) -> pl.Series:
    """The column with null where it says that there is no value."""
    if column.dtype == pl.String:
        says_so = column.str.strip_chars().is_in(list(missing))
    elif column.dtype.is_numeric():
        numbers = pl.Series(missing).cast(pl.Float64, strict=False).drop_nulls()
        says_so = column.cast(pl.Float64, strict=False).is_in(numbers.to_list())
    else:
        return column
    return column.set(says_so.fill_null(False), None) if says_so.any() else column


def extremes(values: pl.Series) -> tuple[float, float]:
    """Lowest and highest value of a Float64 or Int64 column, NaN and null aside.

    NaN, which compares as false with everything, where there is no value. Looking at two numbers
    is enough for most columns, and needs no mask.

    >>> extremes(pl.Series([2.0, float("nan"), 1.0]))
    (1.0, 2.0)
    """
    if len(values) and not values.null_count():
        numbers = values.to_numpy()
        low, high = numbers.min().item(), numbers.max().item()
        if not math.isnan(low):  # NumPy has looked before Polars would have begun
            return low, high
    lowest, highest = values.min(), values.max()
    if lowest is None or highest is None:
        return math.nan, math.nan
    return lowest, highest  # type: ignore[return-value]  # of these types they are numbers


def read_text(column: pl.Series) -> tuple[pl.Series, BoolArray | None]:
    """String[n], and the rows whose value is no text. Integers become decimal text."""
    dtype = column.dtype
    if isinstance(dtype, pl.String):
        return column, None
    if isinstance(dtype, pl.Categorical | pl.Enum) or dtype.is_integer():
        return column.cast(pl.String), None
    return _nothing(column, pl.String()), _values(column)


def read_sequence(column: pl.Series) -> tuple[pl.Series, BoolArray | None]:
    """Int64[n] (-1 where unusable), and the rows that are null, negative or beyond 63 bits."""
    if column.dtype.is_float():
        # An integer column with gaps often arrives as float; whole numbers are still exact.
        numbers = _no_nulls(column.cast(pl.Float64), math.nan).to_numpy()
        with np.errstate(invalid="ignore"):
            is_whole = (np.floor(numbers) == numbers) & (np.abs(numbers) <= MAX_EXACT_INTEGER)
        whole = pl.Series(np.where(is_whole, numbers, -1.0)).cast(pl.Int64)
    elif isinstance(column.dtype, pl.String) or column.dtype.is_integer():
        whole = _no_nulls(column.cast(pl.Int64, strict=False), -1)
    else:
        whole = _no_nulls(_nothing(column, pl.Int64()), -1)
    return whole, (whole < 0).to_numpy() if extremes(whole)[0] < 0 else None


def _numbers(column: pl.Series) -> tuple[pl.Series, BoolArray | None, BoolArray | None]:
    dtype = column.dtype
    if isinstance(dtype, pl.String):
        read = column.cast(pl.Float64, strict=False)
        missing = blank_rows(column)
        unread = _nulls(read)
        if unread is not None and missing is not None:
            unread = _some(unread & ~missing)
        return _no_nulls(read, math.nan), missing, unread
    if dtype.is_numeric():
        read = column.cast(pl.Float64, strict=False)
        return _no_nulls(read, math.nan), _nulls(column), None
    return _all_unreadable(column)


def _booleans(column: pl.Series) -> tuple[pl.Series, BoolArray | None, BoolArray | None]:
    dtype = column.dtype
    if isinstance(dtype, pl.Boolean):
        return _no_nulls(column.cast(pl.Float64), math.nan), _nulls(column), None
    if not (isinstance(dtype, pl.String) or dtype.is_integer()):
        return _all_unreadable(column)
    text = column.cast(pl.String)
    read = text.str.to_lowercase().replace_strict(_BOOLEANS, default=None, return_dtype=pl.Float64)
    missing, unread = blank_rows(text), _nulls(read)
    if unread is not None and missing is not None:
        unread = _some(unread & ~missing)
    return _no_nulls(read, math.nan), missing, unread


def _all_unreadable(column: pl.Series) -> tuple[pl.Series, BoolArray | None, BoolArray | None]:
    return pl.Series(np.full(len(column), np.nan)), _nulls(column), _values(column)


def blank_rows(text: pl.Series) -> BoolArray | None:
    """bool[n], rows of a String column that are null or empty; None when there is none."""
    if len(text) <= _FEW_TEXTS:
        few = text.to_list()
        if "" not in few and None not in few:
            return None
    blank = text == ""
    if text.null_count():
        blank = text.is_null() | blank
    return blank.to_numpy() if blank.any() else None


# Asking for the number of nulls costs nothing; looking for them, or replacing none, costs a trip
# to Polars' thread pool.


def _no_nulls(column: pl.Series, value: float) -> pl.Series:
    return column.fill_null(value) if column.null_count() else column


def _nulls(column: pl.Series) -> BoolArray | None:
    return column.is_null().to_numpy() if column.null_count() else None


def _values(column: pl.Series) -> BoolArray | None:
    return column.is_not_null().to_numpy() if column.null_count() < len(column) else None


def _nothing(column: pl.Series, dtype: pl.DataType) -> pl.Series:
    return pl.Series(column.name, [None], dtype=dtype).new_from_index(0, len(column))


def _some(mask: BoolArray) -> BoolArray | None:
    return mask if mask.any() else None


MAX_NS = int(np.iinfo(np.int64).max)
MIN_NS = -MAX_NS

_UNIT_NS: dict[str, int] = {"unix_s": NS_PER_S, "unix_ms": 1_000_000, "unix_us": 1000, "unix_ns": 1}
_TYPED_NS: dict[str, int] = {"ms": 1_000_000, "us": 1000, "ns": 1}

_ZONE_AT_END = r"(?:[Zz]|:\d\d(?:\.\d+)? ?[+-]\d\d:?\d\d)$"
_ZONED = (
    "%+",
    "%Y-%m-%dT%H:%M%:z",
    "%Y-%m-%d %H:%M%:z",
    "%Y-%m-%dT%H:%MZ",
    "%Y-%m-%d %H:%MZ",
)
_ZONELESS = (
    "%Y-%m-%dT%H:%M:%S%.f",
    "%Y-%m-%d %H:%M:%S%.f",
    "%Y-%m-%dT%H:%M",
    "%Y-%m-%d %H:%M",
    "%Y-%m-%d",
)
# Polars wraps silently outside the years that int64 nanoseconds can hold (1677-09 to 2262-04).
_FIRST_SAFE_YEAR, _FIRST_UNSAFE_YEAR = "1678", "2262"


@dataclass(frozen=True, slots=True, kw_only=True)
class ParsedTimes:
    """Times of n rows.

    Attributes:
        ns: Int64[n], UTC ns; null where no time could be read.
        zone_missing: Boolean[n], True where the row states no zone (read as UTC); None where
            no row can lack one, as with numbers.
    """

    ns: pl.Series
    zone_missing: pl.Series | None


def parse_times(column: pl.Series, time_format: TimeFormat) -> ParsedTimes:
    """Read ``column`` as times. Never raises; a column of an unsuitable type is all null.

    ISO 8601 text: date and time of day separated by ``T`` or a blank, seconds and fraction
    optional, ``Z`` or an offset optional (``+02:00``, ``+0200``, ``+02``, several in one column); a
    date alone is its midnight; ordinal, week and basic forms. Unix times: integers, or decimals
    with a fraction. The other forms: see :data:`.TimeForm`.

    >>> text = pl.Series(["1970-01-01T00:00:01Z", "1970-01-01 00:00:02", "?"])
    >>> parse_times(text, "iso8601").ns.to_list()
    [1000000000, 2000000000, None]
    """
    dtype = column.dtype
    if isinstance(dtype, pl.Categorical | pl.Enum):
        column, dtype = column.cast(pl.String), pl.String()
    if isinstance(dtype, pl.Date):
        column, dtype = column.cast(pl.Datetime("us")), pl.Datetime("us")
    if isinstance(dtype, pl.Datetime):
        ns = _times(column.to_physical(), _TYPED_NS[dtype.time_unit])
        is_zoneless = dtype.time_zone is None
        return ParsedTimes(ns=ns, zone_missing=column.is_not_null() if is_zoneless else None)
    if isinstance(dtype, pl.String):
        return _text_times(column, time_format)
    if dtype.is_numeric():
        if time_format in _UNIT_NS:
            return _unix_numbers(column, time_format)
        if time_format == "filetime" or time_format in _EPOCH_DAYS:
            return ParsedTimes(ns=_counted_times(column, time_format), zone_missing=None)
        if time_format == "compact":
            # A float of this size holds its digits exactly.
            whole = column.cast(pl.Int64, strict=False) if dtype.is_float() else column
            return _with_zones(read_compact(whole.cast(pl.String)))
    return ParsedTimes(ns=_nothing(column, pl.Int64()), zone_missing=None)


def with_clock(date: pl.Series, clock: pl.Series) -> pl.Series:
    """String[n]: the date and the time of day of each row, text or typed, with a blank between.

    Null where either is. Named like ``date``.

    >>> with_clock(pl.Series("Date", ["03.01.2026"]), pl.Series(["7:30:00"])).to_list()
    ['03.01.2026 7:30:00']
    """
    if isinstance(date.dtype, pl.Datetime):
        date = date.dt.date()
    words = [c.cast(pl.String, strict=False).str.strip_chars() for c in (date, clock)]
    return pl.select(pl.concat_str(words, separator=" ")).to_series().alias(date.name)


def assumed_times(row: pl.Series, *, start_ns: int, period_ns: int) -> pl.Series:
    """Int64[n]: ``start_ns + row * period_ns``, saturating."""
    offset = _times(row, period_ns)
    most = MAX_NS - start_ns
    return (offset.clip(upper_bound=most) if extremes(offset)[1] > most else offset) + start_ns


def _text_times(text: pl.Series, time_format: TimeFormat) -> ParsedTimes:
    match time_format:
        case "iso8601":
            return _all_iso(text)
        case counted if counted == "filetime" or counted in _EPOCH_DAYS:
            return ParsedTimes(ns=_counted_times(text, time_format), zone_missing=None)
        case "compact":
            return _with_zones(read_compact(text))
        case "day-first" | "month-first" | "year-first":
            return _with_zones(read_calendar(text, time_format))
        case unit if unit in _UNIT_NS:
            return _unix_text(text, unit)
        case pattern:
            ns = _saturated(_utc_ns(text, pattern), text)
            has_zone = "%z" in pattern or "%:z" in pattern or "%+" in pattern
            return ParsedTimes(ns=ns, zone_missing=None if has_zone else ns.is_not_null())


def _with_zones(read: CalendarTimes) -> ParsedTimes:
    return ParsedTimes(ns=read.ns, zone_missing=pl.Series(read.zoneless))


_EPOCH_DAYS: dict[str, float] = {
    "excel_days": 25_569,  # from 1899-12-30
    "julian_days": 2_440_587.5,  # from noon of 4714-11-24 BC
    "mjd_days": 40_587,  # from 1858-11-17
    "matlab_days": 719_529,  # from the year 0
}
"""1970-01-01 in days of each count."""
_FILETIME_EPOCH = 116_444_736_000_000_000  # 1970-01-01 in 100 ns since 1601


def _counted_times(column: pl.Series, time_format: TimeFormat) -> pl.Series:
    """Int64[n] of counted days, to the ms that they hold, or of Windows' 100 ns."""
    if time_format == "filetime":
        ticks = column.cast(pl.Int64, strict=False)
        return _times(ticks.clip(lower_bound=-_FILETIME_EPOCH) - _FILETIME_EPOCH, 100)
    days = column.cast(pl.Float64, strict=False)
    ms = ((days - _EPOCH_DAYS[time_format]) * 86_400_000).round()
    return _float_times(ms, 1_000_000)


def _all_iso(text: pl.Series) -> ParsedTimes:
    """The usual forms at the speed of a pattern, then the rest of ISO 8601."""
    usual = _iso(text)
    if not _has_unread(usual.ns, text):
        return usual
    other = read_iso_forms(text.set(usual.ns.is_not_null(), None))
    if other.ns.null_count() == len(text):
        return usual
    zoneless = pl.Series(other.zoneless)
    return ParsedTimes(
        ns=usual.ns.zip_with(usual.ns.is_not_null(), other.ns),
        zone_missing=zoneless if usual.zone_missing is None else usual.zone_missing | zoneless,
    )


def _iso(text: pl.Series) -> ParsedTimes:
    has_zone = text.str.contains(_ZONE_AT_END)
    if has_zone.all():  # nulls aside
        return ParsedTimes(ns=_read(text, _ZONED), zone_missing=None)
    zoneless = _read(text.set(has_zone, None), _ZONELESS)
    if not has_zone.any():
        return ParsedTimes(ns=zoneless, zone_missing=zoneless.is_not_null())
    zoned = _read(text.set(~has_zone, None), _ZONED)
    ns = pl.select(pl.coalesce(zoned, zoneless)).to_series()
    return ParsedTimes(ns=ns, zone_missing=zoneless.is_not_null())


def _read(text: pl.Series, formats: tuple[str, ...]) -> pl.Series:
    """Int64[n]: each row by the first of ``formats`` that fits it."""
    ns = _nothing(text, pl.Int64())
    rest = text
    for time_format in _likely_first(text, formats):
        if rest.null_count() == len(rest):
            break
        read = _utc_ns(rest, time_format)
        if read.null_count() < len(read):
            is_first = ns.null_count() == len(ns)
            ns = read if is_first else pl.select(pl.coalesce(ns, read)).to_series()
        if not _has_unread(ns, text):
            break
        rest = text.set(ns.is_not_null(), None)
    return _saturated(ns, text)


def _likely_first(text: pl.Series, formats: tuple[str, ...]) -> Iterator[str]:
    """The formats that fit the first row, then the others: a column rarely has more than one."""
    probe = text.drop_nulls().head(1) if text.null_count() else text.head(1)
    others = []
    for time_format in formats:
        if _utc_ns(probe, time_format).null_count():
            others.append(time_format)
        else:
            yield time_format
    yield from others


def _utc_ns(text: pl.Series, time_format: str) -> pl.Series:
    return text.str.to_datetime(time_format, time_unit="ns", strict=False).to_physical()


def _has_unread(ns: pl.Series, text: pl.Series) -> bool:
    return ns.null_count() > text.null_count()


def _saturated(ns: pl.Series, text: pl.Series) -> pl.Series:
    lowest, highest = text.min(), text.max()
    if (
        isinstance(lowest, str)
        and isinstance(highest, str)
        and lowest >= _FIRST_SAFE_YEAR
        and highest < _FIRST_UNSAFE_YEAR
    ):
        return ns
    is_signed = text < "0"  # a year with a sign, or a leading blank
    if is_signed.any():
        ns = ns.set(is_signed, None)
    early = (text < _FIRST_SAFE_YEAR) & ns.is_not_null()
    late = (text >= _FIRST_UNSAFE_YEAR) & ns.is_not_null()
    if early.any():
        ns = ns.set(early, MIN_NS)
    return ns.set(late, MAX_NS) if late.any() else ns


def _unix_text(text: pl.Series, time_format: TimeFormat) -> ParsedTimes:
    whole = text.cast(pl.Int64, strict=False)
    ns = _times(whole, _UNIT_NS[time_format])
    if _has_unread(ns, text):
        rest = text.set(whole.is_not_null(), None)
        # A decimal keeps the nanoseconds that a float of this size has lost.
        decimal = rest.cast(pl.Decimal(38, 9), strict=False)
        exact = (decimal * _UNIT_NS[time_format]).cast(pl.Int64, strict=False)
        unread = rest.set(exact.is_not_null(), None)
        rough = _float_times(unread.cast(pl.Float64, strict=False), _UNIT_NS[time_format])
        ns = pl.select(pl.coalesce(ns, exact, rough)).to_series()
    return ParsedTimes(ns=ns, zone_missing=None)


def _unix_numbers(column: pl.Series, time_format: TimeFormat) -> ParsedTimes:
    unit_ns = _UNIT_NS[time_format]
    if column.dtype.is_integer():
        whole = column.cast(pl.Int64, strict=False)
        ns = _times(whole, unit_ns)
        if whole.null_count() > column.null_count():
            ns = ns.set(whole.is_null() & column.is_not_null(), MAX_NS)
    else:
        ns = _float_times(column.cast(pl.Float64), unit_ns)
    return ParsedTimes(ns=ns, zone_missing=None)


_MOST_FLOAT = 2**63 - 1024  # the last float that int64 holds


def _float_times(column: pl.Series, unit_ns: int) -> pl.Series:
    """Whole units and fraction apart, so that the fraction keeps all the digits the float has."""
    values = column.to_numpy()
    most = min(MAX_NS // unit_ns - 1, _MOST_FLOAT)
    if len(values) and MIN_NS // unit_ns <= values.min() and values.max() <= most:  # none is NaN
        whole = np.floor(values)
        ns = whole.astype(np.int64) * unit_ns
        fraction = values - whole
        if fraction.any():
            ns += np.rint(fraction * unit_ns).astype(np.int64)
        return pl.Series(ns)
    bounded = np.clip(np.nan_to_num(values), MIN_NS // unit_ns, most)
    whole = np.floor(bounded)
    ns = whole.astype(np.int64) * unit_ns + np.rint((bounded - whole) * unit_ns).astype(np.int64)
    ns = np.where(values > MAX_NS // unit_ns - 1, MAX_NS, ns)
    ns = np.where(values < MIN_NS // unit_ns, MIN_NS, ns)
    read = pl.Series(ns)
    unreadable = pl.Series(~np.isfinite(values))
    return read.set(unreadable, None) if unreadable.any() else read


def _times(count: pl.Series, unit_ns: int) -> pl.Series:
    """Int64[n] ``count * unit_ns`` that saturates instead of wrapping."""
    count = count.cast(pl.Int64, strict=False)
    if unit_ns == 1 or not len(count):
        return count
    bound = MAX_NS // unit_ns
    lowest, highest = extremes(count)
    if -bound <= lowest and highest <= bound:
        return count * unit_ns
    above, below = count > bound, count < -bound
    ns = count.clip(-bound, bound) * unit_ns
    if above.any():
        ns = ns.set(above, MAX_NS)
    return ns.set(below, MIN_NS) if below.any() else ns
