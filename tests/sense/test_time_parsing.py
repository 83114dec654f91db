from __future__ import annotations

import datetime as dt

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sightline.sense.contract import TimeFormat, utc_ns
from sightline.sense.field_values import MAX_NS, MIN_NS, assumed_times, parse_times

NEW_YEAR_NS = utc_ns("2015-01-01T00:00:00Z")


def read(*values: object, time_format: TimeFormat = "iso8601") -> list[int | None]:
    return parse_times(pl.Series(values), time_format).ns.to_list()


@pytest.mark.parametrize(
    "text",
    [
        "2015-01-01T00:00:00Z",
        "2015-01-01 00:00:00Z",
        "2015-01-01T00:00Z",
        "2015-01-01T00:00:00.000000000Z",
        "2015-01-01T02:00:00+02:00",
        "2015-01-01T02:00:00+0200",
        "2014-12-31T19:00:00-05:00",
        "2015-01-01T02:00+02:00",
        "2015-01-01T00:00:00",
        "2015-01-01 00:00:00",
        "2015-01-01T00:00",
        "2015-01-01",
    ],
)
def test_iso_8601_text_is_read(text: str) -> None:
    assert read(text) == [NEW_YEAR_NS]


@pytest.mark.parametrize(
    "text",
    ["", "soon", "2015", "2015-13-01", "01.01.2015", " 2015-01-01T00:00:00Z", "1420070400", "-1"],
)
def test_other_text_is_not_read(text: str) -> None:
    assert read(text, "2015-01-01") == [None, NEW_YEAR_NS]


def test_nanoseconds_are_kept() -> None:
    assert read("2015-01-01T00:00:00.123456789Z") == [NEW_YEAR_NS + 123_456_789]


def test_rows_without_a_zone_are_named_in_a_mixed_column() -> None:
    column = pl.Series(["2015-01-01T00:00:00Z", "2015-01-01T00:00:00", None, "soon"])
    times = parse_times(column, "iso8601")
    assert times.zone_missing is not None
    assert times.zone_missing.to_list() == [False, True, False, False]


def test_a_year_beyond_64_bits_saturates_instead_of_wrapping() -> None:
    assert read("9999-01-01T00:00:00Z", "9999-01-01 00:00:00", "0001-01-01T00:00:00Z") == [
        MAX_NS,
        MAX_NS,
        MIN_NS,
    ]


def test_unix_text_keeps_every_digit() -> None:
    got = read("1420070400.123456789", "1420070400", "1.5e9", "x", time_format="unix_s")
    assert got == [NEW_YEAR_NS + 123_456_789, NEW_YEAR_NS, 1_500_000_000 * 10**9, None]


@pytest.mark.parametrize(
    ("time_format", "value"),
    [
        ("unix_s", 1_420_070_400),
        ("unix_ms", 1_420_070_400_000),
        ("unix_us", 1_420_070_400_000_000),
        ("unix_ns", 1_420_070_400_000_000_000),
    ],
)
def test_unix_integers_are_read_in_their_unit(time_format: TimeFormat, value: int) -> None:
    assert read(value, time_format=time_format) == [NEW_YEAR_NS]
    assert read(str(value), time_format=time_format) == [NEW_YEAR_NS]


def test_unix_floats_that_are_no_time_are_unreadable_or_saturate() -> None:
    got = read(0.25, float("nan"), float("inf"), 1e300, -1e300, time_format="unix_s")
    assert got == [250_000_000, None, None, MAX_NS, MIN_NS]


def test_a_number_is_no_iso_8601_time() -> None:
    assert read(5) == [None]


def test_a_typed_time_is_read_whatever_the_format_says() -> None:
    column = pl.Series([NEW_YEAR_NS // 10**6]).cast(pl.Datetime("ms", "Europe/Berlin"))
    times = parse_times(column, "unix_s")
    assert (times.ns.to_list(), times.zone_missing) == ([NEW_YEAR_NS], None)


def test_a_typed_time_without_a_zone_is_named() -> None:
    times = parse_times(pl.Series([dt.datetime(2015, 1, 1), None]), "iso8601")
    assert times.zone_missing is not None
    assert times.zone_missing.to_list() == [True, False]


def test_a_column_of_another_type_is_unreadable() -> None:
    assert read([1], [2]) == [None, None]
    assert read(True) == [None]


def test_assumed_times_count_rows_and_saturate() -> None:
    rows = pl.Series([0, 3, 10**9])
    assert assumed_times(rows, start_ns=5, period_ns=10**12).to_list() == [
        5,
        3 * 10**12 + 5,
        MAX_NS,
    ]


@settings(max_examples=50, derandomize=True)
@given(
    st.lists(
        st.datetimes(
            min_value=dt.datetime(1970, 1, 2),
            max_value=dt.datetime(2261, 12, 30),
            timezones=st.timezones().map(lambda _: dt.UTC)
            | st.integers(-840, 840).map(lambda m: dt.timezone(dt.timedelta(minutes=m))),
        ),
        min_size=1,
        max_size=20,
    )
)
def test_any_offset_reads_as_the_standard_library_reads_it(times: list[dt.datetime]) -> None:
    text = [t.isoformat() for t in times]
    assert read(*text) == [utc_ns(t) for t in text]
