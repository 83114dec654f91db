"""Times in a table that nobody described: which form a column tells, and what is not guessed."""

from __future__ import annotations

import datetime as dt

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sightline.sense.written_times import WrittenTimes, read_times

MARCH = dt.datetime(2024, 3, 1, tzinfo=dt.UTC)
MARCH_NS = int(MARCH.timestamp()) * 10**9


def read(*cells: object, **options: object) -> WrittenTimes:
    return read_times(pl.Series(cells, strict=False), **options)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "text",
    [
        "2024-03-01",
        "2024-03-01T00:00:00Z",
        "2024-03-01 00:00:00+00",
        "2024-03-01 00:00:00 UTC",
        "2024-03-01 00:00:00,000",
        "2024-061T00:00:00.000Z",
        "2024-W09-5",
        "2024W095T000000Z",
        "20240301T000000Z",
        "2024061T0000Z",
        "2024-02-29T24:00:00Z",
        "2024-02-29T23:59:60Z",
        "2024/03/01 00:00:00",
        "2024/3/1 0:00",
        "2024:061:00:00:00",
        "2024.03.01 00:00",
        "20240301 000000",
        "20240301 00:00:00",
        "01.03.2024 00:00:00",
        "01-Mar-2024 00:00:00",
        "1 March 2024",
        "Mar 1, 2024 12:00:00 AM",
        "Fri, 01 Mar 2024 00:00:00 GMT",
        "Fri Mar  1 00:00:00 2024",
        "Fri Mar  1 00:00:00 UTC 2024",
        "01/Mar/2024:00:00:00 +0000",
        "1.7092512E9",
        "1709251200,0",
        "1,709,251,200",
        "1709251200",
        "1709251200000",
        "1709251200000000",
        "1709251200000000000",
        "133537248000000000",
        "45352.0",
        "20240301000000",
        "202403010000",
        "20240301",
        "2024061",
        " 2024-03-01 ",
    ],
)
def test_a_form_that_can_mean_one_thing_is_read(text: str) -> None:
    assert read(text, text).ns.to_list() == [MARCH_NS, MARCH_NS]


@pytest.mark.parametrize(
    ("text", "forms"),
    [
        ("03/01/2024 12:00:00 AM", ("day-first", "month-first")),
        ("01-03-2024", ("day-first", "month-first")),
        ("01/03/24", ("day-first", "month-first")),
        ("2024030100", ("unix_s", "compact")),
    ],
)
def test_a_form_that_can_mean_two_things_is_shown_and_not_read(
    text: str, forms: tuple[str, str]
) -> None:
    found = read(text, text)
    assert found.ns.null_count() == 2
    assert found.ambiguous is not None
    assert found.ambiguous[3] == forms


def test_a_thirteenth_day_tells_which_number_is_the_month() -> None:
    assert str(np.datetime64(read("01/13/2024", "01/02/2024").ns[1], "ns"))[:10] == "2024-01-02"
    assert str(np.datetime64(read("13/01/2024", "01/02/2024").ns[1], "ns"))[:10] == "2024-02-01"


@pytest.mark.parametrize(
    ("text", "form"),
    [
        ("03/01/2024 12:00:00 AM", "month-first"),
        ("01/03/2024", "day-first"),
        ("24/03/01", "year-first"),
        ("1|3|2024", "%d|%m|%Y"),
        ("20240301", "compact"),
        ("45352", "excel_days"),
        ("1709251200000", "unix_ms"),
    ],
)
def test_a_form_that_is_named_is_read(text: str, form: str) -> None:
    assert read(text, time_format=form).ns.to_list() == [MARCH_NS]


@pytest.mark.parametrize(
    "cells", [["soon", "later"], ["12:00:00"], [638448000000000000], ["2024-02-30"]]
)
def test_what_is_no_time_of_a_known_form_is_not_read(cells: list[object]) -> None:
    assert read(*cells).ns.null_count() == len(cells)


@pytest.mark.parametrize(
    "odd", [1709251200000, 1709251200.0 * 1e9, float("inf"), -1, 0, 5, 20240301000000, 1e300]
)
def test_one_number_of_another_unit_is_unbelievable_and_moves_no_other(odd: float) -> None:
    found = read(1709251200.0, 1709251201.0, float(odd), 1709251203.0)
    assert found.unbelievable.tolist() == [False, False, True, False]
    assert found.ns[3] == MARCH_NS + 3 * 10**9


def test_small_numbers_are_seconds_and_said_to_be() -> None:
    found = read(0.0, 0.5, 1.0)
    assert found.ns.to_list() == [0, 5 * 10**8, 10**9]
    assert "seconds" in found.notes[0]


def test_an_hour_that_a_clock_repeats_is_told_apart_by_the_clock_going_back() -> None:
    found = read(
        "2024-10-27 02:00", "2024-10-27 02:30", "2024-10-27 02:00", "2024-10-27 02:30",
        "2024-10-27 03:00", zone="Europe/Berlin",
    )  # fmt: skip
    minutes = np.diff(found.ns.to_numpy()) // (60 * 10**9)
    assert minutes.tolist() == [30, 30, 30, 30]


def test_an_hour_that_a_clock_skips_is_not_read() -> None:
    found = read("2024-03-31 02:30", "2024-03-31 03:30", zone="Europe/Berlin")
    assert found.ns.is_null().to_list() == [True, False]


def test_a_zone_does_not_move_times_that_state_theirs() -> None:
    assert read("2024-03-01T00:00:00Z", zone="Asia/Tokyo").ns.to_list() == [MARCH_NS]


FORMS = [
    "%Y-%m-%dT%H:%M:%SZ", "%Y-%m-%d %H:%M:%S", "%Y-%m-%d %H:%M:%S+00", "%Y-%m-%d %H:%M:%S UTC",
    "%Y/%m/%d %H:%M:%S", "%d.%m.%Y %H:%M:%S", "%d-%b-%Y %H:%M:%S", "%Y%m%dT%H%M%SZ",
    "%Y%m%d%H%M%S", "%G-W%V-%uT%H:%M:%S", "%Y-%jT%H:%M:%SZ", "%a, %d %b %Y %H:%M:%S GMT",
    "%b %d, %Y %I:%M:%S %p", "%d %B %Y %H:%M:%S",
]  # fmt: skip


@settings(max_examples=150, derandomize=True, deadline=None)
@given(
    st.lists(
        st.integers(788_918_400, 2_366_841_600),  # from 1995 to 2045
        min_size=1,
        max_size=20,
    ),
    st.sampled_from([*FORMS, "s", "ms", "us", "ns", "excel", "filetime"]),
    st.booleans(),
)
def test_a_column_in_any_readable_form_gives_the_same_times(
    seconds: list[int], form: str, is_text: bool
) -> None:
    cells: list[object]
    if "%" in form:
        cells = [dt.datetime.fromtimestamp(s, dt.UTC).strftime(form) for s in seconds]
    elif form == "excel":
        cells = [s / 86400 + 25569 for s in seconds]
    elif form == "filetime":
        cells = [(s + 11_644_473_600) * 10**7 for s in seconds]
    else:
        cells = [s * {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}[form] for s in seconds]
    if is_text:
        cells = [str(cell) for cell in cells]
    assert read(*cells).ns.to_list() == [s * 10**9 for s in seconds]
