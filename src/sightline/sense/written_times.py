"""Times in a table that nobody described: the whole column tells the form that they are written in.

A form is taken where it reads most rows as times of the calendar; what it does not read is counted,
never bent until it fits. Where two forms read a column equally well, neither is taken: the user is
asked. A contract states the form instead (:class:`.EventTime`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import get_args

import numpy as np
import polars as pl

from sightline.sense.calendar_text import Order, date_orders, read_calendar
from sightline.sense.contract import TimeForm, TimeFormat, utc_ns
from sightline.sense.field_values import MAX_NS, MIN_NS, BoolArray, ParsedTimes, parse_times
from sightline.sense.written_numbers import read_numbers, says_missing

TIME_FORMS: tuple[str, ...] = get_args(TimeForm)

_BELIEVABLE_NS = (utc_ns("1980-01-01T00:00:00Z"), utc_ns("2100-01-01T00:00:00Z"))
"""What numbers must mean to be taken for times of a form that nobody named."""
_FORM_BELIEVABLE_NS: dict[str, tuple[int, int]] = {
    # Later numbers may be hours of a test; earlier ns are ticks of .NET of this century.
    "excel_days": (utc_ns("1990-01-01T00:00:00Z"), utc_ns("2050-01-01T00:00:00Z")),
    "unix_ns": (utc_ns("1991-01-01T00:00:00Z"), _BELIEVABLE_NS[1]),
    # Later ones are seconds since 1900, as NTP counts, of this century.
    "unix_s": (_BELIEVABLE_NS[0], utc_ns("2069-01-01T00:00:00Z")),
}
_DAY_FORMS: tuple[TimeForm, ...] = ("julian_days", "mjd_days", "matlab_days")
"""Counts of days that are as well seconds of a test: which of the two, the user says."""
_NUMBER_FORMS: tuple[TimeForm, ...] = (
    "unix_s",
    "unix_ms",
    "unix_us",
    "unix_ns",
    "filetime",
    "excel_days",
    "compact",
)
_CENTURY_S = 3.1e9
_LEAST_SHARE = 0.5
_LEAST_EXCEL_SHARE = 0.9  # 40,000 is a day of 2009, and a second of a test that ran half a day

_WORDS: dict[str, str] = {
    "iso8601": "ISO 8601",
    "unix_s": "seconds since 1970",
    "unix_ms": "milliseconds since 1970",
    "unix_us": "microseconds since 1970",
    "unix_ns": "nanoseconds since 1970",
    "excel_days": "days as spreadsheets count",
    "julian_days": "Julian days",
    "mjd_days": "modified Julian days",
    "matlab_days": "days as MATLAB counts",
    "filetime": "100 ns since 1601",
    "compact": "digits YYYYMMDDhhmmss",
    "day-first": "dates with the day first",
    "month-first": "dates with the month first",
    "year-first": "dates with the year first",
}
_DATES_IN_WORDS, _DATES = "dates in words", "dates of the calendar"
_FORMATS: dict[str, TimeFormat] = {
    **{words: form for form, words in _WORDS.items()},
    # No date of these has three numbers: whichever may be the first, they are read alike.
    _DATES_IN_WORDS: "day-first",
    _DATES: "day-first",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class WrittenTimes:
    """Times of n rows.

    Attributes:
        ns: Int64[n], UTC ns; null where no time could be read.
        missing: bool[n], rows that say that they have no time.
        unbelievable: bool[n], rows that the form reads as a time that cannot be meant.
        form: how they were read, for a person.
        time_format: the same as a contract states it.
        ambiguous: (example, one reading, the other, options) where two forms fit equally; the
            rows are not read then.
        notes: what was found out, for a person.
    """

    ns: pl.Series
    missing: BoolArray
    unbelievable: BoolArray
    form: str
    time_format: TimeFormat
    ambiguous: tuple[str, str, str, tuple[str, str]] | None = None
    notes: tuple[str, ...] = ()


def read_times(
    column: pl.Series,
    *,
    time_format: TimeFormat | None = None,
    zone: str | None = None,
    key: pl.Series | None = None,
    also_missing: tuple[str, ...] = (),
) -> WrittenTimes:
    """Read a column of text, numbers or typed times. Never raises on what it holds.

    Args:
        column: of n rows.
        time_format: how the times are written; None: the column tells.
        zone: IANA name of the zone of times that state none; None: UTC.
        key: of each row, where there are several series: of an hour that a clock repeats, the
            rows from where the clock of their series goes back are the second.
        also_missing: texts that say that there is no time.

    >>> read_times(pl.Series(["45352.5", "45352.75"])).form
    'days as spreadsheets count'
    >>> read_times(pl.Series([1709251200, 1709251200000, 1709251201])).unbelievable.tolist()
    [False, True, False]
    """
    if column.dtype == pl.String:
        missing = says_missing(column, also_missing)
        column = column.str.strip_chars().set(pl.Series(missing), None)
    else:
        missing = column.is_null().to_numpy()
        if column.dtype.is_float():
            missing = missing | np.isnan(column.cast(pl.Float64).fill_null(np.nan).to_numpy())
    if time_format is not None:
        read = _Reading(parse_times(column, time_format), _WORDS.get(time_format, time_format))
    elif column.dtype == pl.String:
        read = _of_text(column)
    elif column.dtype.is_numeric():
        read = _of_numbers(column)
    else:
        read = _Reading(parse_times(column, "iso8601"), "times of the file")
    ns, notes = read.times.ns, list(read.notes)
    if zone is not None and read.times.zone_missing is not None:
        ns, note = _in_zone(ns, read.times.zone_missing, zone, key)
        notes += note
    is_beyond = ((ns >= MAX_NS) | (ns <= MIN_NS)).fill_null(False).to_numpy()
    if read.unbelievable is not None:
        is_beyond = is_beyond | read.unbelievable
    unbelievable = is_beyond & ~missing
    return WrittenTimes(
        ns=ns.set(pl.Series(unbelievable | missing), None),
        missing=missing,
        unbelievable=unbelievable,
        form=read.form,
        time_format=time_format or _FORMATS.get(read.form, "iso8601"),
        ambiguous=read.ambiguous,
        notes=tuple(notes),
    )


@dataclass(frozen=True, slots=True)
class _Reading:
    times: ParsedTimes
    form: str
    unbelievable: BoolArray | None = None
    ambiguous: tuple[str, str, str, tuple[str, str]] | None = None
    notes: tuple[str, ...] = ()


def _of_text(text: pl.Series) -> _Reading:
    numbers = read_numbers(text)
    if 2 * numbers.text.count() > text.count():
        return _of_numbers(numbers.text)
    orders, example = date_orders(text)
    order: Order | None = None
    notes: tuple[str, ...] = ()
    if orders:
        best = max(orders.values())
        likely = [o for o, rows in orders.items() if rows == best]
        differing = _differing(text, likely) if len(likely) > 1 else None
        if differing is not None and 2 * best > text.count():
            example = differing
            one, other = likely[:2]
            nothing = pl.Series([None], dtype=pl.Int64).new_from_index(0, len(text))
            return _Reading(
                ParsedTimes(ns=nothing, zone_missing=None),
                "dates of three numbers",
                ambiguous=(example, _shown(example, one), _shown(example, other), (one, other)),
            )
        order = likely[0]
        notes = (f"{example} is read as {_shown(example, order)} ({_WORDS[order]})",)
    iso = parse_times(text, "iso8601")
    if iso.ns.null_count() == text.null_count():
        return _Reading(iso, _WORDS["iso8601"])
    rest = read_calendar(text.set(iso.ns.is_not_null(), None), order)
    zoneless = pl.Series(rest.zoneless)
    if iso.zone_missing is not None:
        zoneless = zoneless | iso.zone_missing
    ns = iso.ns.zip_with(iso.ns.is_not_null(), rest.ns)
    form = _WORDS["iso8601"] if rest.ns.count() == 0 else _WORDS.get(order or "", _DATES_IN_WORDS)
    if order is None and rest.ns.count():
        form = _DATES
    return _Reading(ParsedTimes(ns=ns, zone_missing=zoneless), form, notes=notes)


def _differing(text: pl.Series, orders: list[Order]) -> str | None:
    """A date that two orders read as two days; None where they read all alike."""
    one, other = (read_calendar(text, order).ns for order in orders[:2])
    differs = ~one.eq_missing(other)
    return str(text.filter(differs)[0]) if differs.any() else None


def _shown(example: str, order: Order) -> str:
    ns = read_calendar(pl.Series([example]), order).ns[0]
    return "no date" if ns is None else str(np.datetime64(int(ns), "ns"))[:10]


def _of_numbers(column: pl.Series) -> _Reading:
    """Numbers, or text that is numbers, in the form under which most of them are believable."""
    found: list[tuple[int, TimeForm, ParsedTimes, BoolArray]] = []
    for form in _NUMBER_FORMS:
        times = parse_times(column, form)
        low, high = _FORM_BELIEVABLE_NS.get(form, _BELIEVABLE_NS)
        is_believable = ((times.ns >= low) & (times.ns < high)).fill_null(False).to_numpy()
        found.append((int(is_believable.sum()), form, times, is_believable))
    found.sort(key=lambda one: -one[0])
    rows, form, times, is_believable = found[0]
    finite = _finite(column)
    is_number = column.cast(pl.Float64, strict=False).is_not_null().to_numpy()
    least_share = _LEAST_EXCEL_SHARE if form == "excel_days" else _LEAST_SHARE
    if rows <= least_share * finite.count():
        # Numbers of no calendar: a test's own seconds, or years before computers.
        seconds = parse_times(column, "unix_s")
        is_near = (finite.abs() < _CENTURY_S).fill_null(False).to_numpy()
        if is_near.sum() > _LEAST_SHARE * len(is_near):
            days = _maybe_days(column, finite, seconds)
            if days is not None:
                return days
            return _Reading(
                seconds,
                _WORDS["unix_s"],
                unbelievable=~is_near & is_number,
                notes=("times are small numbers, read as seconds: of a test, or since 1970",),
            )
        return _Reading(times, "numbers of no known form", unbelievable=~is_believable & is_number)
    rival_rows, rival, rival_times, _ = found[1]
    if rival_rows == rows:
        at = int(np.flatnonzero(is_believable)[0])
        example = str(column[at])
        shown = [str(np.datetime64(int(t.ns[at]), "ns"))[:19] for t in (times, rival_times)]
        return _Reading(
            times,
            "numbers",
            unbelievable=np.ones(len(column), np.bool_),
            ambiguous=(example, shown[0], shown[1], (form, rival)),
        )
    return _Reading(times, _WORDS[form], unbelievable=~is_believable & is_number)


def _maybe_days(column: pl.Series, finite: pl.Series, seconds: ParsedTimes) -> _Reading | None:
    """Small numbers that are days of some calendar as well as seconds of a test."""
    if (finite.round() == finite).all():
        return None  # whole ones are seconds: a row a day has a date
    low, high = _FORM_BELIEVABLE_NS["excel_days"]
    for form in _DAY_FORMS:
        ns = parse_times(column, form).ns
        is_believable = ((ns >= low) & (ns < high)).fill_null(False)
        if is_believable.sum() > _LEAST_EXCEL_SHARE * finite.count():
            at = int(is_believable.arg_max() or 0)
            day = str(np.datetime64(int(ns[at]), "ns"))[:19]
            return _Reading(
                seconds,
                "numbers",
                unbelievable=np.ones(len(column), np.bool_),
                ambiguous=(str(column[at]), "a second of a test", day, ("unix_s", form)),
            )
    return None


def _finite(column: pl.Series) -> pl.Series:
    numbers = column.cast(pl.Float64, strict=False)
    return numbers.set(~numbers.is_finite().fill_null(False), None)


def _in_zone(
    ns: pl.Series, zoneless: pl.Series, zone: str, key: pl.Series | None
) -> tuple[pl.Series, list[str]]:
    """UTC of the times without a zone, by the clock on the wall there."""
    local = ns.set(~zoneless.fill_null(False), None).cast(pl.Datetime("ns"))
    first, second = (
        local.dt.replace_time_zone(zone, ambiguous=which, non_existent="null").to_physical()
        for which in ("earliest", "latest")
    )
    is_repeated = (first != second).fill_null(False)
    notes = []
    if is_repeated.any():
        # Within one series a clock that goes back in such an hour has begun its second pass.
        rows = pl.DataFrame(
            {
                "local": local.to_physical(),
                "repeated": is_repeated,
                "key": pl.Series([""]).new_from_index(0, len(ns)) if key is None else key,
                "day": local.dt.truncate("1d").to_physical(),
            }
        )
        went_back = (pl.col("local").diff().over("key") < 0) & pl.col("repeated")
        is_second = rows.select(went_back.cum_max().over("key", "day")).to_series()
        is_second = (is_second & is_repeated).fill_null(False)
        first = second.zip_with(is_second, first)
        notes.append(
            f"{int(is_repeated.sum())} times lie in an hour that the clocks of {zone} repeat; "
            f"{int(is_second.sum())} are taken as its second pass"
        )
    is_skipped = first.is_null() & local.is_not_null()
    if is_skipped.any():
        notes.append(f"{int(is_skipped.sum())} times lie in an hour that the clocks of {zone} skip")
    return first.zip_with(zoneless.fill_null(False), ns), notes
