"""Dates and times of day written as text, in the forms of ISO 8601 and in those of people.

A text is taken apart into its numbers, and these become a time; what is no date of the calendar is
no time. Which of two numbers is the month is not decided here: see :mod:`.written_times`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
import polars as pl

from sightline.records.signals import NS_PER_S
from sightline.records.windows import IntArray

BoolArray = npt.NDArray[np.bool_]

Order = Literal["day-first", "month-first", "year-first"]
"""What the first of three numbers of a date is: 01.03.2024, 03/01/2024, 24-03-01."""

_FIRST_YEAR, _LAST_YEAR = 1678, 2261  # wholly within int64 ns
_S_PER_DAY = 86_400
_MONTHS = {
    name: number
    for number, name in enumerate(
        ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"), 1
    )
}

# [0-9], not \d: that fits digits of every script, and only these are read as numbers.
_FRACTION = r"(?:[.,](?P<f>[0-9]{1,9})[0-9]*)?"
_CLOCK = (
    rf"(?P<h>[0-9]{{1,2}})(?::(?P<mi>[0-9]{{2}})(?::(?P<s>[0-9]{{2}}){_FRACTION})?)?"
    r"(?: ?(?P<ap>[AaPp])\.?[Mm]\.?)?"
)
_BASIC_CLOCK = rf"(?P<h>[0-9]{{2}})(?:(?P<mi>[0-9]{{2}})(?:(?P<s>[0-9]{{2}}){_FRACTION})?)?"
_ZONE = r"(?: ?(?P<z>[Zz]|(?i:UTC|GMT)|(?i:UTC|GMT)?[+-][0-9]{1,2}(?::?[0-9]{2})?))?"
_T = "(?:[Tt ]|, ?| {2,})"
_WEEKDAY = r"(?:[A-Za-z]{3,9},? )?"
_NAME = r"(?P<mon>[A-Za-z]{3,9})\.?"

_ISO = (
    rf"^(?P<y>[0-9]{{4}})-(?P<m>[0-9]{{2}})-(?P<d>[0-9]{{2}})(?:[T ]{_CLOCK}{_ZONE})?$",
    rf"^(?P<y>[0-9]{{4}})-(?P<doy>[0-9]{{3}})(?:[T ]{_CLOCK}{_ZONE})?$",
    rf"^(?P<y>[0-9]{{4}})-W(?P<w>[0-9]{{2}})(?:-(?P<wd>[0-9]))?(?:[T ]{_CLOCK}{_ZONE})?$",
    rf"^(?P<y>[0-9]{{4}})(?P<m>[0-9]{{2}})(?P<d>[0-9]{{2}})T{_BASIC_CLOCK}{_ZONE}$",
    rf"^(?P<y>[0-9]{{4}})(?P<doy>[0-9]{{3}})T{_BASIC_CLOCK}{_ZONE}$",
    rf"^(?P<y>[0-9]{{4}})W(?P<w>[0-9]{{2}})(?P<wd>[0-9])?(?:T{_BASIC_CLOCK}{_ZONE})?$",
)
_CUSTOMARY = (
    rf"^(?P<y>[0-9]{{4}})[-/.:](?P<m>[0-9]{{1,2}})[-/.:](?P<d>[0-9]{{1,2}})(?:(?:{_T}|:){_CLOCK}{_ZONE})?$",
    rf"^(?P<y>[0-9]{{4}})[-/:](?P<doy>[0-9]{{3}})(?:(?:{_T}|[:/]){_CLOCK}{_ZONE})?$",
    rf"^(?P<y>[0-9]{{4}})(?P<m>[0-9]{{2}})(?P<d>[0-9]{{2}})[ _-]{_CLOCK}{_ZONE}$",
    rf"^(?P<y>[0-9]{{4}})(?P<m>[0-9]{{2}})(?P<d>[0-9]{{2}})[ _-]{_BASIC_CLOCK}{_ZONE}$",
    rf"^{_WEEKDAY}(?P<d>[0-9]{{1,2}})(?:st|nd|rd|th)?[-/ .]{_NAME},?[-/ ]"
    rf"(?P<y>[0-9]{{4}}|[0-9]{{2}})(?:(?:{_T}|:){_CLOCK}{_ZONE})?$",
    rf"^{_WEEKDAY}{_NAME} +(?P<d>[0-9]{{1,2}})(?:st|nd|rd|th)?,? +(?P<y>[0-9]{{4}})"
    rf"(?:{_T}{_CLOCK}{_ZONE})?$",
    rf"^{_WEEKDAY}{_NAME} +(?P<d>[0-9]{{1,2}}) +{_CLOCK}{_ZONE} +(?P<y>[0-9]{{4}})$",
)
_COMPACT = (
    rf"^(?P<y>[0-9]{{4}})(?P<m>[0-9]{{2}})(?P<d>[0-9]{{2}})(?:{_BASIC_CLOCK})?$",
    r"^(?P<y>[0-9]{4})(?P<doy>[0-9]{3})$",
)
_THREE_NUMBERS = (
    r"^(?P<a>[0-9]{1,2})(?P<sep>[-/.])(?P<b>[0-9]{1,2})[-/.](?P<c>[0-9]{4}|[0-9]{2})"
    rf"(?:{_T}{_CLOCK}{_ZONE})?$"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class CalendarTimes:
    """Times of n rows.

    Attributes:
        ns: Int64[n], ns since 1970 by the clock of its zone, or UTC where it states one; null
            where no time could be read.
        zoneless: bool[n], rows that were read and state no zone.
    """

    ns: pl.Series
    zoneless: BoolArray


def read_iso_forms(text: pl.Series) -> CalendarTimes:
    """ISO 8601, all of it: ordinal, week and basic dates, ``+00``, ``24:00``, ``:60``.

    >>> read_iso_forms(pl.Series(["1970-002T00:00Z", "19700102T000000+00"])).ns.to_list()
    [86400000000000, 86400000000000]
    """
    return _first_of(text, _ISO)


def read_compact(text: pl.Series) -> CalendarTimes:
    """Digits alone: ``YYYYMMDDhhmmss``, or less from the right, or ``YYYYDDD``.

    >>> read_compact(pl.Series(["197001020000", "1970002"])).ns.to_list()
    [86400000000000, 86400000000000]
    """
    return _first_of(text, _COMPACT)


def read_calendar(text: pl.Series, order: Order | None) -> CalendarTimes:
    """ISO 8601 and the forms of people and programs: ``2024/03/01``, ``1 Mar 2024 12:00 AM UTC``.

    Args:
        text: String[n].
        order: of dates of three numbers; None: these are not read.
    """
    patterns = (*_ISO, *_CUSTOMARY)
    return _first_of(text.str.strip_chars(), patterns, order)


def date_orders(text: pl.Series) -> tuple[dict[Order, int], str]:
    """How many dates of three numbers each order reads, and an example; empty without any.

    Dates with dots are written day first everywhere; they count for that order alone.

    >>> date_orders(pl.Series(["13/01/2024", "01/02/2024"]))[0]
    {'day-first': 2, 'month-first': 1}
    """
    parts = _parts(text.str.strip_chars(), _THREE_NUMBERS)
    is_date = parts["a"].is_not_null()
    if not is_date.any():
        return {}, ""
    example = str(text.filter(is_date)[0])
    if (parts["sep"].drop_nulls() == ".").all():
        return {"day-first": int(is_date.sum())}, example
    has_short_year = bool((parts["c"].str.len_bytes() == 2).any())
    orders: tuple[Order, ...] = ("day-first", "month-first")
    if has_short_year:
        orders = (*orders, "year-first")
    read = {order: len(parts) - _times(parts, order).ns.null_count() for order in orders}
    return {order: n for order, n in read.items() if n}, example


def _first_of(
    text: pl.Series, patterns: tuple[str, ...], order: Order | None = None
) -> CalendarTimes:
    ns = pl.Series([None], dtype=pl.Int64).new_from_index(0, len(text))
    zoneless = np.zeros(len(text), np.bool_)
    rest = text
    for pattern in (*patterns, *([_THREE_NUMBERS] if order is not None else [])):
        if rest.null_count() == len(rest):
            break
        if not rest.str.contains(pattern).any():  # most forms fit no row, and reading costs more
            continue
        read = _times(_parts(rest, pattern), order)
        is_read = read.ns.is_not_null()
        if is_read.any():
            ns = read.ns.zip_with(is_read, ns)
            zoneless |= read.zoneless
            rest = rest.set(is_read, None)
    return CalendarTimes(ns=ns, zoneless=zoneless)


def _parts(text: pl.Series, pattern: str) -> pl.DataFrame:
    """Columns of texts by the names of the pattern's groups; null where it does not fit."""
    return text.str.extract_groups(pattern).struct.unnest()


def _times(parts: pl.DataFrame, order: Order | None) -> CalendarTimes:
    days, is_day = _dates(parts, order)
    clock_ns, is_clock = _clocks(parts)
    good = is_day & is_clock
    ns = days * _S_PER_DAY * NS_PER_S + clock_ns
    zoneless = good.copy()
    if "z" in parts.columns:
        offset_s, is_zone = _offset_s(parts["z"])
        ns = ns - offset_s * NS_PER_S
        zoneless &= ~is_zone
    return CalendarTimes(ns=pl.Series(ns).set(pl.Series(~good), None), zoneless=zoneless)


def _number(parts: pl.DataFrame, name: str, default: int) -> IntArray:
    """int64[n] of a group of the pattern; ``default`` where it is not there."""
    if name not in parts.columns:
        return np.full(len(parts), default, np.int64)
    found: IntArray = parts[name].cast(pl.Int64).fill_null(default).to_numpy()
    return found


_PLACES: dict[Order | None, tuple[str, str, str]] = {
    "day-first": ("a", "b", "c"),
    "month-first": ("b", "a", "c"),
    "year-first": ("c", "b", "a"),
}
"""Which group is day, month and year."""


def _dates(parts: pl.DataFrame, order: Order | None) -> tuple[IntArray, BoolArray]:
    """Days since 1970-01-01, and bool[n]: days of the calendar."""
    day_name, month_name, year_name = _PLACES[order] if "a" in parts.columns else ("d", "m", "y")
    year = _number(parts, year_name, 0)
    written = parts[year_name].str.len_bytes().fill_null(0).to_numpy()
    year = np.where(written == 2, np.where(year < 69, 2000, 1900) + year, year)
    good = (written >= 2) & (year >= _FIRST_YEAR) & (year <= _LAST_YEAR)
    year = np.where(good, year, 2000)
    if "doy" in parts.columns:
        day = _number(parts, "doy", 1)
        good &= (day >= 1) & (day <= _days(year + 1, 1, 1) - _days(year, 1, 1))
        return _days(year, 1, day), good
    if "w" in parts.columns:
        week, weekday = _number(parts, "w", 1), _number(parts, "wd", 1)
        good &= (week >= 1) & (week <= 53) & (weekday >= 1) & (weekday <= 7)
        days = _monday_of_week_1(year) + 7 * (week - 1) + weekday - 1
        return days, good & (days < _monday_of_week_1(year + 1))
    day, month = _number(parts, day_name, 1), _number(parts, month_name, 1)
    if "mon" in parts.columns:
        name = parts["mon"].str.to_lowercase().str.head(3)
        number = name.replace_strict(_MONTHS, default=0, return_dtype=pl.Int64)
        month = number.fill_null(0).to_numpy()
    good &= (month >= 1) & (month <= 12) & (day >= 1)
    month = np.where(good, month, 1)
    days = _days(year, month, day)
    return days, good & (days < _days(year + month // 12, month % 12 + 1, 1))


def _clocks(parts: pl.DataFrame) -> tuple[IntArray, BoolArray]:
    """Time of day in ns, and bool[n]: times that a clock shows; ``24:00`` and ``:60`` are."""
    hour, minute, second = (_number(parts, name, 0) for name in ("h", "mi", "s"))
    good = (minute < 60) & (second <= 60)
    good &= (hour < 24) | ((hour == 24) & (minute == 0) & (second == 0))
    if "ap" in parts.columns:
        half = parts["ap"].str.to_lowercase()
        is_half = half.is_not_null().to_numpy()
        good &= ~is_half | ((hour >= 1) & (hour <= 12))
        is_afternoon = (half == "p").fill_null(False).to_numpy()
        hour = np.where(is_half, hour % 12 + 12 * is_afternoon, hour)
    ns = (hour * 3600 + minute * 60 + second) * NS_PER_S
    if "f" in parts.columns:
        ns = ns + parts["f"].str.pad_end(9, "0").cast(pl.Int64).fill_null(0).to_numpy()
    return ns, good


def _offset_s(zone: pl.Series) -> tuple[IntArray, BoolArray]:
    parts = zone.str.extract_groups(
        r"(?P<sign>[+-])(?P<h>[0-9]{1,2}):?(?P<m>[0-9]{2})?$"
    ).struct.unnest()
    hours, minutes = (parts[p].cast(pl.Int64).fill_null(0).to_numpy() for p in ("h", "m"))
    sign = np.where((parts["sign"] == "-").fill_null(False).to_numpy(), -1, 1)
    return sign * (hours * 3600 + minutes * 60), zone.is_not_null().to_numpy()


def _days(year: IntArray, month: IntArray | int, day: IntArray | int) -> IntArray:
    """int64[n], days since 1970-01-01; ``day`` may be beyond its month."""
    months = (year - 1970) * 12 + np.asarray(month, np.int64) - 1
    begin = months.astype("datetime64[M]").astype("datetime64[D]").astype(np.int64)
    found: IntArray = begin + day - 1
    return found


def _monday_of_week_1(year: IntArray) -> IntArray:
    """Days since 1970-01-01 of the Monday of the week that holds 4 January."""
    fourth = _days(year, 1, 4)
    found: IntArray = fourth - (fourth + 3) % 7
    return found
