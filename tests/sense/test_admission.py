from __future__ import annotations

import datetime as dt
import math
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sightline.records.signals import QUARANTINE_SCHEMA, SIGNAL_SCHEMA
from sightline.sense import Contract, admit
from sightline.sense.admission import (
    Admitter,
    Batch,
    Share,
    event_time_ns,
    receipt_time_ns,
)

PLAIN: dict[str, Any] = {
    "contract": "telemetry",
    "key": ["satellite"],
    "event_time": {"column": "time", "format": "unix_s", "earliest": "1970-01-01T00:00:10Z"},
    "sequence": {"column": "sequence"},
    "fields": {
        "mode": {"type": "text", "allowed": ["nominal", "safe"], "required": False},
        "snr_db": {"type": "number", "unit": "dB", "range": [-10, 40]},
    },
    "timing": {"clock_skew_s": 2},
}


def contract(**changes: Any) -> Contract:
    return Contract.model_validate(PLAIN | changes)


def rows(n: int = 2, **columns: Any) -> pl.DataFrame:
    plain: dict[str, Any] = {
        "satellite": ["sat-001"] * n,
        "time": list(range(100, 100 + n)),
        "sequence": list(range(n)),
        "snr_db": [12.5] * n,
        "mode": ["nominal"] * n,
        "_origin": ["a"] * n,
        "_row": list(range(n)),
        "_received_ns": [200 * 10**9] * n,
    }
    return pl.DataFrame(plain | columns, strict=False)


def reasons(raw: pl.DataFrame, **changes: Any) -> list[tuple[str, str]]:
    refused = admit(contract(**changes), raw).refused
    return list(zip(refused["reason"], refused["field"], strict=True))


def test_admitted_rows_have_the_canonical_layout() -> None:
    signals = admit(contract(), rows()).signals
    fields = {"snr_db": pl.Float64(), "mode": pl.String()}
    assert dict(signals.schema) == SIGNAL_SCHEMA | fields
    first = ("sat-001", "", 100 * 10**9, 0, "a", 0, 12.5, "nominal")
    assert signals.row(0) == first


def test_refused_rows_have_the_quarantine_layout() -> None:
    admission = admit(contract(), rows(snr_db=[99.0, 1.0]))
    assert dict(admission.refused.schema) == QUARANTINE_SCHEMA
    assert dict(admission.signals.schema) == dict(admit(contract(), rows()).signals.schema)


def test_a_batch_without_the_needed_columns_still_has_both_layouts() -> None:
    admission = admit(contract(), rows().drop("snr_db"))
    assert dict(admission.signals.schema) == dict(admit(contract(), rows()).signals.schema)
    assert admission.refused["field"].to_list() == ["snr_db", "snr_db"]


def test_an_empty_batch_gives_empty_tables() -> None:
    admission = admit(contract(), rows().head(0))
    assert (admission.signals.height, admission.refused.height) == (0, 0)


def test_a_categorical_origin_becomes_text() -> None:
    raw = rows().with_columns(pl.col("_origin").cast(pl.Categorical))
    assert admit(contract(), raw).signals.schema["_origin"] == pl.String


def test_integer_keys_become_decimal_text() -> None:
    assert admit(contract(), rows(satellite=[7, 8])).signals["_key"].to_list() == ["7", "8"]


def test_a_key_of_several_parts_is_joined() -> None:
    raw = rows(channel=[3, 4])
    signals = admit(contract(key=["satellite", "channel"]), raw).signals
    assert signals["_key"].to_list() == ["sat-001/3", "sat-001/4"]


def test_the_group_is_carried() -> None:
    signals = admit(contract(group="region"), rows(region=["eu", "us"])).signals
    assert signals["_group"].to_list() == ["eu", "us"]


def test_a_field_may_read_a_column_of_another_name() -> None:
    fields = {"flow_lps": {"type": "number", "unit": "L/s", "column": "Volume Flow"}}
    signals = admit(contract(fields=fields), rows(**{"Volume Flow": ["1.5", "2"]})).signals
    assert signals["flow_lps"].to_list() == [1.5, 2.0]


def test_booleans_become_one_and_zero() -> None:
    fields = {"valid": {"type": "boolean"}}
    for column in ([True, False], ["TRUE", "false"], [1, 0], ["1", "0"]):
        signals = admit(contract(fields=fields), rows(valid=column)).signals
        assert signals["valid"].to_list() == [1.0, 0.0]


def test_an_absent_optional_number_is_nan_and_an_absent_optional_text_null() -> None:
    fields = {
        "a": {"type": "number", "unit": "1", "required": False},
        "b": {"type": "text", "required": False},
    }
    signals = admit(contract(fields=fields), rows()).signals
    assert math.isnan(signals["a"][0])
    assert signals["b"][0] is None


def test_numeric_fields_never_hold_null() -> None:
    fields = {"a": {"type": "number", "unit": "1", "required": False}}
    for column in (["", None], [None, 1.0], ["NaN", "1"]):
        assert admit(contract(fields=fields), rows(a=column)).signals["a"].null_count() == 0


def test_a_row_that_fails_several_checks_has_the_first_reason() -> None:
    everything = rows(1, satellite=[""], time=[1], sequence=[-1], snr_db=[math.inf], mode=["party"])
    assert reasons(everything) == [("SCHEMA", "satellite")]
    assert reasons(everything.with_columns(satellite=pl.lit("s"))) == [("TIME_RANGE", "time")]
    later = everything.with_columns(satellite=pl.lit("s"), time=pl.lit(100))
    assert reasons(later) == [("SEQUENCE", "sequence")]
    last = later.with_columns(sequence=pl.lit(0))
    assert reasons(last) == [("UNKNOWN_VALUE", "mode")]  # fields in the contract's order


def test_refused_rows_keep_their_order_whatever_their_reasons() -> None:
    raw = rows(4, snr_db=[99.0, 1.0, math.inf, 1.0], sequence=[0, -1, 2, 3])
    refused = admit(contract(), raw).refused
    assert refused["_row"].to_list() == [0, 1, 2]
    assert refused["reason"].to_list() == ["RANGE", "SEQUENCE", "NOT_FINITE"]


def test_the_ends_of_a_range_are_inside() -> None:
    assert reasons(rows(snr_db=[-10.0, 40.0])) == []


def test_nan_is_not_out_of_range() -> None:
    signals = admit(contract(), rows(1, snr_db=[math.nan])).signals
    assert math.isnan(signals["snr_db"][0])


def test_an_open_end_of_a_range_admits_anything() -> None:
    fields = {"snr_db": {"type": "number", "unit": "dB", "range": [0, None]}}
    assert reasons(rows(snr_db=[1e300, -1.0]), fields=fields) == [("RANGE", "snr_db")]


def test_a_time_is_skewed_only_beyond_the_allowed_skew() -> None:
    assert reasons(rows(time=[202, 203])) == [("CLOCK_SKEW", "time")]


def test_without_a_receipt_time_no_clock_is_skewed() -> None:
    assert reasons(rows(time=[10**6, 10**6]).drop("_received_ns")) == []
    assert reasons(rows(1, time=[10**6], _received_ns=[None])) == []


def test_whole_floats_are_good_sequence_numbers() -> None:
    assert reasons(rows(3, sequence=[1.0, 2.5, None])) == [("SEQUENCE", "sequence")] * 2


def test_an_explanation_shows_expected_and_found() -> None:
    refused = admit(contract(), rows(1, snr_db=["high"])).refused
    assert refused["detail"][0] == 'expected a number, got "high"'


def test_the_copy_of_a_row_shows_what_json_cannot() -> None:
    refused = admit(contract(), rows(1, snr_db=[math.inf])).refused
    assert '"snr_db":"inf"' in refused["raw"][0]


def test_event_times_that_admission_would_refuse_are_null() -> None:
    raw = rows(4, time=["100", "soon", "1", "99999999999999999999"])
    assert event_time_ns(contract(), raw).to_list() == [100 * 10**9, None, None, None]
    assert event_time_ns(contract(), raw.drop("time")).to_list() == [None] * 4


def test_receipt_times_come_from_their_column() -> None:
    receipt = {"receipt_time": {"column": "received", "format": "unix_s"}}
    raw = rows(received=["101", "soon"])
    times = receipt_time_ns(contract(**receipt), raw)
    assert times is not None
    assert times.to_list() == [101 * 10**9, None]


def test_without_a_receipt_column_there_are_no_receipt_times() -> None:
    receipt = {"receipt_time": {"column": "received"}}
    assert receipt_time_ns(contract(), rows()) is None
    assert receipt_time_ns(contract(**receipt), rows()) is None


CELLS = st.one_of(
    st.none(),
    st.sampled_from(["", "1", "-1", "99", "NaN", "inf", "1e3", "x", "2015-01-01T00:00:00Z"]),
    st.text(max_size=5),
)


@settings(max_examples=50, derandomize=True)
@given(st.lists(st.tuples(CELLS, CELLS, CELLS, CELLS, CELLS), min_size=1, max_size=30))
def test_every_row_comes_out_once(cells: list[tuple[str | None, ...]]) -> None:
    names = ("satellite", "time", "sequence", "snr_db", "mode")
    columns = {
        name: pl.Series(column, dtype=pl.String)
        for name, column in zip(names, zip(*cells, strict=True), strict=True)
    }
    admission = admit(contract(), rows(len(cells), **columns))
    places = [*admission.signals["_row"], *admission.refused["_row"]]
    assert sorted(places) == list(range(len(cells)))
    assert admission.signals["_row"].is_sorted()
    assert admission.refused["_row"].is_sorted()
    assert admission.signals["_time_ns"].null_count() == 0
    assert admission.signals["snr_db"].is_infinite().sum() == 0


@settings(max_examples=50, derandomize=True)
@given(st.lists(st.tuples(CELLS, CELLS, CELLS, CELLS, CELLS), min_size=1, max_size=30), st.data())
def test_a_share_of_a_batch_is_admitted_as_it_would_be_alone(
    cells: list[tuple[str | None, ...]], data: st.DataObject
) -> None:
    names = ("satellite", "time", "sequence", "snr_db", "mode")
    columns = {
        name: pl.Series(column, dtype=pl.String)
        for name, column in zip(names, zip(*cells, strict=True), strict=True)
    }
    batch, admitter = Batch(rows(len(cells), **columns)), Admitter(contract())
    cut = data.draw(st.integers(0, len(cells)))
    for share in (Share(batch, 0, cut), Share(batch, cut, len(cells))):
        shared, alone = share.admission(admitter), admit(contract(), share.rows)
        assert shared.signals.equals(alone.signals)
        assert shared.refused.equals(alone.refused)
        kept = [None if one.kept is None else one.kept.tolist() for one in (shared, alone)]
        assert kept[0] == kept[1]


@pytest.mark.parametrize(
    "column",
    [
        pl.Series([[1.0], None]),
        pl.Series([{"a": 1}, None]),
        pl.Series([b"\xff", None]),
        pl.Series([True, None]),
        pl.Series([None, None]),
        pl.Series([1, 2]).cast(pl.Duration("us")),
    ],
    ids=lambda column: str(column.dtype),
)
def test_a_column_of_any_type_in_any_place_loses_no_row(column: pl.Series) -> None:
    for name in ("satellite", "time", "sequence", "snr_db", "mode"):
        admission = admit(contract(), rows().with_columns(column.alias(name)))
        assert admission.signals.height + admission.refused.height == 2


def dated(**changes: Any) -> Contract:
    return contract(event_time={"column": "date", "clock": "clock", **changes})


def dated_rows(**columns: Any) -> pl.DataFrame:
    return rows(_received_ns=[None, None], **columns)


def test_a_date_and_a_time_of_day_are_one_time() -> None:
    raw = dated_rows(date=["2026-01-01", "2026-01-01"], clock=["00:00:01", "00:00:02.5"])
    (one, two) = admit(dated(), raw).signals["_time_ns"]
    assert two - one == 1_500_000_000


def test_typed_dates_and_times_of_day_are_read_too() -> None:
    raw = dated_rows(
        date=[dt.date(1970, 1, 1), dt.date(1970, 1, 2)], clock=[dt.time(0, 0, 1), dt.time(0, 0, 2)]
    )
    assert admit(dated(), raw).signals["_time_ns"].to_list() == [10**9, 86_402 * 10**9]


def test_a_row_without_its_time_of_day_is_refused() -> None:
    raw = dated_rows(date=["2026-01-01", "2026-01-01"], clock=["00:00:01", None])
    assert reasons(raw, event_time={"column": "date", "clock": "clock"}) == [
        ("TIME_UNREADABLE", "date")
    ]


def test_rows_of_one_date_are_no_duplicates_of_each_other() -> None:
    assert {"date", "clock"} <= {*dated().duplicate_columns}


def test_a_contract_without_a_time_of_day_keeps_its_digest() -> None:
    assert "clock" not in contract().model_dump(mode="json")["event_time"]


def test_constants_are_columns_of_every_row() -> None:
    told = contract(key=["plant", "satellite"], constants={"plant": "north"})
    assert admit(told, rows()).signals["_key"].to_list() == ["north/sat-001"] * 2


def test_constants_are_no_extra_columns() -> None:
    told = contract(constants={"plant": "north"}, extra_columns="refuse")
    assert admit(told, rows()).refused.height == 0
