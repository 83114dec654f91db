"""What is found out about a table that nobody described."""

import math

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sightline.errors import UsageError
from sightline.sense.describing import describe_table

START_S = 1_767_225_600  # 2026-01-01T00:00:00Z


def iso(seconds):
    return [str(np.datetime64(int((START_S + s) * 1000), "ms")) + "Z" for s in seconds]


def table(n=200, keys=("a", "b"), **columns):
    """Rows of several keys in turn, ten seconds apart."""
    times = [10 * i for i in range(n) for _ in keys]
    frame = {
        "time": iso(times),
        "satellite": list(keys) * n,
        "bus_v": [f"{28 + 0.1 * math.sin(t):.3f}" for t in times],
    }
    return pl.DataFrame({**frame, **columns})


def describe(frame, **options):
    return describe_table(frame, where="t.csv", **options)


def test_time_key_and_rate_of_a_wide_table():
    found = describe(table())
    assert (found.time, found.key, found.keys, found.period_s) == ("time", ("satellite",), 2, 10.0)


def test_a_long_table_is_told_apart_by_its_channel_too():
    frame = pl.DataFrame(
        {
            "timestamp": iso([i for i in range(100) for _ in range(4)]),
            "sat": ["a", "a", "b", "b"] * 100,
            "parameter": ["volt", "temp"] * 200,
            "value": [str(i % 7) for i in range(400)],
        }
    )
    found = describe(frame)
    assert set(found.key) == {"sat", "parameter"}
    assert [field.name for field in found.fields] == ["value"]


def test_a_table_of_one_series_has_no_key():
    found = describe(table(keys=("a",)).drop("satellite"))
    assert (found.key, found.keys) == ((), 1)


def test_epoch_seconds_are_found_by_their_name():
    frame = table().with_columns(
        pl.Series("time", [str(START_S + 10 * (i // 2)) for i in range(400)])
    )
    assert describe(frame).time_format == "unix_s"


def test_a_column_of_receipt_is_no_event_time():
    frame = table().with_columns(pl.Series("received_time", iso(range(400))))
    assert describe(frame).time == "time"


def test_without_times_the_rows_are_in_order():
    found = describe(table().drop("time"))
    assert found.time is None
    assert math.isnan(found.period_s)


def test_times_that_may_mean_two_things_are_asked_about():
    days = [f"0{1 + i % 9}/0{1 + i % 7}/2026 00:00:{i % 60:02d}" for i in range(400)]
    with pytest.raises(UsageError, match="--time-format"):
        describe(table().with_columns(pl.Series("time", days)))


@pytest.mark.parametrize(
    ("column", "name", "unit"),
    [
        ("wheel speed [rpm]", "wheel_speed", "rpm"),
        ("Temp (degC)", "Temp", "degC"),
        ("bus_current_ma", "bus_current_ma", "mA"),
        ("mode count", "mode_count", "1"),
        ("2nd", "f_2nd", "1"),
    ],
)
def test_a_field_is_named_for_its_column_and_has_the_unit_it_states(column, name, unit):
    frame = table().with_columns(pl.Series(column, [str(i % 5) for i in range(400)]))
    field = describe(frame).fields[-1]
    assert (field.name, field.column, field.unit) == (name, column, unit)


def test_words_among_numbers_are_named_as_missing():
    values = ["Bad" if i == 333 else str(i) for i in range(400)]
    field = describe(table().with_columns(pl.Series("level", values))).fields[-1]
    assert (field.missing, field.has_gaps) == (("Bad",), True)


def test_decimal_commas_are_found():
    values = [f"{i},5" for i in range(400)]
    assert describe(table().with_columns(pl.Series("level", values))).fields[-1].decimal == ","


def test_a_column_of_words_becomes_no_field_and_is_named():
    notes = [f"note {i}" for i in range(400)]
    unused = dict(describe(table().with_columns(pl.Series("remark", notes))).unused)
    assert "note 0" in unused["remark"]


def test_a_counter_of_the_source_is_its_sequence():
    found = describe(table().with_columns(pl.Series("seq", [str(i) for i in range(400)])))
    assert found.sequence == "seq"
    assert [field.name for field in found.fields] == ["bus_v"]


def test_lateness_is_that_beside_newer_rows_of_the_same_key():
    frame = table(keys=("a",))
    late = pl.concat([frame[:50], frame[100:], frame[50:100]])
    assert describe(late).late_s == 10 * (199 - 50)


def test_keys_that_come_one_after_the_other_are_not_late():
    frame = table().sort("satellite", "time")
    assert describe(frame).late_s == 0


def test_a_column_that_is_not_there_is_refused_with_those_that_are():
    with pytest.raises(UsageError, match="satellite"):
        describe(table(), time="tme")


def test_a_table_without_numbers_is_refused():
    with pytest.raises(UsageError, match="numbers"):
        describe(table().drop("bus_v"))


@given(seed=st.integers(0, 2**16), keys=st.integers(1, 5), period_s=st.sampled_from([1, 7, 60]))
def test_the_order_of_the_columns_changes_nothing(seed, keys, period_s):
    rng = np.random.default_rng(seed)
    names = [f"sat-{k}" for k in range(keys)]
    frame = table(40, names).with_columns(
        pl.Series("time", iso([period_s * i for i in range(40) for _ in names]))
    )
    turned = frame.select(rng.permutation(frame.columns).tolist())
    one, other = describe(frame), describe(turned)
    assert (one.time, one.key, one.period_s) == (other.time, other.key, other.period_s)


def test_a_comma_is_what_the_other_columns_of_the_file_say():
    n = 400
    grouped = [f"4,{200 + i % 90}" for i in range(n)]
    alone = describe(table(pressure=grouped, starts=list(range(n))).drop("bus_v"))
    assert [column for column, _ in alone.unused] == ["pressure"]
    beside = describe(table(pressure=grouped, temp=[f"55,{i % 9}" for i in range(n)]).drop("bus_v"))
    assert [(f.name, f.decimal) for f in beside.fields] == [("pressure", ","), ("temp", ",")]


def test_a_comma_stays_in_doubt_beside_numbers_with_points():
    found = describe(table(pressure=["4,201"] * 400, temp=["55,3"] * 400))
    assert [column for column, _ in found.unused] == ["pressure"]


def dated(frame):
    """The same rows with date and time of day in columns of their own."""
    time = pl.col("time").str.to_datetime(time_zone="UTC")
    return frame.with_columns(
        time.dt.strftime("%d.%m.%Y").alias("Datum"), time.dt.strftime("%H:%M:%S").alias("Uhrzeit")
    ).drop("time")


def test_dates_with_the_time_of_day_in_another_column_are_one_time():
    found = describe(dated(table(n=2000)))
    assert (found.time, found.clock, found.time_format) == ("Datum", "Uhrzeit", "day-first")
    assert (found.key, found.period_s) == (("satellite",), 10.0)


def test_date_and_time_of_day_may_be_named():
    found = describe(dated(table(n=2000)), time="Datum+Uhrzeit")
    assert (found.time, found.clock, found.period_s) == ("Datum", "Uhrzeit", 10.0)


def test_a_time_of_day_beside_whole_times_is_no_part_of_them():
    frame = table().with_columns(pl.lit("08:00:00").alias("shift_begins"))
    assert describe(frame).clock is None
