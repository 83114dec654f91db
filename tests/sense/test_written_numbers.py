"""Numbers as people write them: what a column's commas, marks and units mean."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sightline.sense.written_numbers import WrittenNumbers, read_numbers


def read(*texts: str | None, **options: object) -> WrittenNumbers:
    return read_numbers(pl.Series(texts, dtype=pl.String), **options)  # type: ignore[arg-type]


def values(*texts: str | None, **options: object) -> list[float | None]:
    return [None if np.isnan(v) else v for v in read(*texts, **options).values.tolist()]


@pytest.mark.parametrize(
    ("texts", "numbers"),
    [
        (["1,023.5", "900.1"], [1023.5, 900.1]),
        (["1,023", "99.8"], [1023.0, 99.8]),
        (["1,234,567"], [1234567.0]),
        (["20", "20,5"], [20.0, 20.5]),
        (["1.023,5", "998,5"], [1023.5, 998.5]),
        (["0,500", "1,000"], [0.5, 1.0]),
        (["1,5e3"], [1500.0]),
        (["1 023,5", "2,5"], [1023.5, 2.5]),
        (["1\u202f023,5"], [1023.5]),
        (["1'023.5"], [1023.5]),
        (["−5", "+5"], [-5.0, 5.0]),
        ([" 7 "], [7.0]),
        (["12 dB", "13 dB"], [12.0, 13.0]),
        (["true", "False"], [1.0, 0.0]),
        (["1E5", "1e-3"], [100000.0, 0.001]),
    ],
)
def test_numbers_of_people_are_read(texts: list[str], numbers: list[float]) -> None:
    assert values(*texts) == numbers


def test_a_comma_that_may_mean_two_things_is_not_guessed() -> None:
    found = read("1,023", "998")
    assert (found.unread.tolist(), found.is_ambiguous) == ([True, False], True)


def test_a_comma_means_what_the_user_says() -> None:
    assert values("1,023", "998", decimal=",") == [1.023, 998.0]
    assert values("1,023", "998", decimal=".") == [1023.0, 998.0]


def test_a_point_that_groups_nothing_is_unread_where_commas_are_decimal() -> None:
    assert read("20.5", decimal=",").unread.tolist() == [True]


def test_one_odd_comma_does_not_move_the_points_of_the_others() -> None:
    assert values("1.234", "2.345", "3.456", "1,5") == [1.234, 2.345, 3.456, None]


def test_a_unit_on_one_row_alone_is_not_passed_over() -> None:
    assert values("5 kPa", "5000", "5001") == [None, 5000.0, 5001.0]


def test_what_says_that_there_is_no_value_is_missing_and_not_unread() -> None:
    found = read("NA", "n/a", "NULL", "-", "--", "", None, "NaN", "-999", also_missing=["-999"])
    assert found.missing.all()
    assert not found.unread.any()


@settings(max_examples=100, derandomize=True)
@given(
    st.lists(st.integers(-(10**7), 10**7), min_size=2, max_size=20).filter(
        lambda cents: any(c % 10 for c in cents)
    ),
    st.sampled_from([".", ","]),
    st.sampled_from(["", " ", "'", "\u00a0", "\u202f", "group"]),
)
def test_a_column_with_hundredths_is_read_whatever_its_signs(
    cents: list[int], decimal: str, mark: str
) -> None:
    other = "," if decimal == "." else "."
    signs = {ord(","): other if mark == "group" else mark, ord("."): decimal}
    texts = [f"{c / 100:,.2f}".translate(signs) for c in cents]
    assert values(*texts) == pytest.approx([c / 100 for c in cents])
