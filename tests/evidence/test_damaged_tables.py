"""Tables with faults: what one bad cell costs, what is told of it, and what is an error."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from sightline.cli.main import app_for
from sightline.errors import SourceError, UsageError
from sightline.evidence.series_file import ReadingOptions, SeriesFile, read_series

ROWS, START_S = 40, 1_709_251_200
LINES = [f"{START_S + 60 * i},{20 + i / 10:.1f},ok" for i in range(ROWS)]


def csv(folder: Path, *lines: str, header: str = "time,value,note") -> Path:
    path = folder / "table.csv"
    path.write_text("".join(f"{line}\n" for line in (header, *lines)), encoding="utf-8")
    return path


def read(path: Path, key: str | None = None, **options: object) -> SeriesFile:
    given = ReadingOptions(**options)  # type: ignore[arg-type]
    return read_series(path, time="time", value="value", key=key, options=given)


def command(*arguments: object):
    given = ["detect", *map(str, arguments)]
    return CliRunner().invoke(app_for(given), given)


def times(found: SeriesFile) -> list[int]:
    assert found.series[0].time_ns is not None
    return found.series[0].time_ns.tolist()


# --- one bad cell ---------------------------------------------------------------------------------


@settings(
    max_examples=150,
    derandomize=True,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    row=st.integers(0, ROWS - 1),
    place=st.integers(0, 2),
    cell=st.one_of(
        st.sampled_from(
            [
                "", "NA", "s", "degC", "Bad", "inf", "-inf", "nan", "1e400", "1709251200000",
                '"', '"open', 'a "b" c', "1,5", '"1,5"', "1.234.567", "12 dB", "20240301000000",
                "2024-03-01", "01/02/2024", "true", "--", "\\", "007", "1E5", "\x00", "\u202f",
                "133537248000000000", "45352.5", "#", "'", "= 5", "\r", ";", "\t", "0", "-1",
            ]
        ),
        st.text(st.characters(codec="utf-8", exclude_characters="\n"), max_size=12),
        st.floats().map(repr),
        st.integers(-(2**65), 2**65).map(str),
    ),
)  # fmt: skip
def test_any_one_damaged_cell_costs_at_most_its_row(
    tmp_path: Path, row: int, place: int, cell: str
) -> None:
    lines = [line.split(",") for line in LINES]
    lines[row][place] = cell
    found = read(csv(tmp_path, *(",".join(line) for line in lines)))
    series = found.series[0]
    assert series.time_ns is not None
    kept = series.row != row
    others = np.arange(ROWS) != row
    assert (
        series.time_ns[kept].tolist() == ((START_S + 60 * np.arange(ROWS)[others]) * 10**9).tolist()
    )
    np.testing.assert_allclose(series.values[kept], (20 + np.arange(ROWS) / 10)[others], atol=1e-9)


def test_a_row_of_units_below_the_header_costs_itself(tmp_path: Path) -> None:
    found = read(csv(tmp_path, "s,degC,-", *LINES))
    assert (found.without_time, len(times(found))) == (1, ROWS)
    assert [(one.what, one.rows, one.example) for one in found.unread] == [
        ("time", 1, "s"),
        ("value", 1, "degC"),
    ]


def test_headers_in_the_middle_cost_themselves(tmp_path: Path) -> None:
    found = read(csv(tmp_path, *LINES[:20], "time,value,note", *LINES[20:]))
    assert (found.without_time, len(times(found))) == (1, ROWS)


def test_a_type_that_shows_late_is_the_type_of_the_column(tmp_path: Path) -> None:
    lines = [f"{START_S + i},{'0.25' if i == 10_500 else '0'}" for i in range(11_000)]
    found = read(csv(tmp_path, *lines, header="time,value"))
    assert found.series[0].values[10_500] == 0.25


# --- what stands around the rows ------------------------------------------------------------------


@pytest.mark.parametrize(
    "content",
    [
        b"time,value,\n1709251200,20.5,\n1709251260,21,\n",
        b"time,value\n1709251200,20.5,\n1709251260,21,\n",
        b"# made by a logger\n\n# 2 columns\ntime,value\n1709251200,20.5\n1709251260,21\n",
        b"sep=;\ntime;value\n1709251200;20,5\n1709251260;21\n",
        b"time\tvalue\n1709251200\t20.5\n1709251260\t21\n",
        b"\xef\xbb\xbftime,value\r\n1709251200,20.5\r\n1709251260,21\r\n",
        b"time,value\r1709251200,20.5\r1709251260,21\r",
        "time,value\n1709251200,20.5\n1709251260,21\n".encode("utf-16"),
        "time,value\n1709251200,20.5\n1709251260,21\n".encode("utf-16-le"),
        "time,value\n1709251200,20.5\n1709251260,21\n".encode("utf-16-be"),
        b',time,value [degC],note,note\n0,1709251200,20.5,"a, b",\n1,1709251260,21,,\n',
        b"date;value;time\n;20,5;01.03.2024 00:00:00\n;21;01.03.2024 00:01:00\n",
    ],
)  # fmt: skip
def test_the_table_is_found_in_what_stands_around_it(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "table.csv"
    path.write_bytes(content)
    found = read(path)
    assert times(found) == [START_S * 10**9, (START_S + 60) * 10**9]
    assert found.series[0].values.tolist() == [20.5, 21.0]


def test_a_header_that_is_not_the_first_line_can_be_named(tmp_path: Path) -> None:
    path = csv(tmp_path, "time,value,", *LINES, header="time,value,from an older program")
    assert len(times(read(path, header_line=2))) == ROWS


def test_a_date_and_a_clock_in_two_columns_are_one_time(tmp_path: Path) -> None:
    lines = ["01.03.2024,00:00:00,1", "01.03.2024,00:01:00,2"]
    path = csv(tmp_path, *lines, header="date,clock,value")
    found = read_series(path, time="date+clock", value="value")
    assert times(found) == [START_S * 10**9, (START_S + 60) * 10**9]


# --- nothing read is no success -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        (["soon,1,x"] * 9, "soon"),
        (["03/01/2024,1,x"] * 9, "month-first"),
        (["01/01/2024,1,x", *["02/01/2024,1,x"] * 8], "'02/01/2024'"),
        (['1709251200,"1,023",x'] * 9, "--decimal"),
        (["1709251200,Bad,x"] * 9, "Bad"),
        (["1709251200,,x"] * 9, "without a value"),
        ([",1,x"] * 9, "9 times missing"),
    ],
)
def test_a_table_of_which_most_cannot_be_read_is_an_error_with_an_example(
    tmp_path: Path, lines: list[str], words: str
) -> None:
    with pytest.raises(UsageError, match=words):
        read(csv(tmp_path, *lines))


@pytest.mark.parametrize("lines", [[], ["1"] * 9, ['"open,1,2'] * 9])
def test_a_file_without_rows_that_can_be_read_is_an_error(tmp_path: Path, lines: list[str]) -> None:
    with pytest.raises(SourceError):
        read(csv(tmp_path, *lines))


def test_a_header_with_a_line_break_is_refused_for_its_open_quote(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="a quote of the header is not closed"):
        read(csv(tmp_path, *LINES, header='time,"value\n(degC)",note'))


def test_text_of_another_encoding_is_refused_with_what_converts_it(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    path.write_bytes("\n".join(["time,value", *["1,20 °C"] * 9]).encode("latin-1"))
    with pytest.raises(SourceError, match="iconv"):
        read(path)


def test_dates_that_both_orders_read_alike_are_not_ambiguous(tmp_path: Path) -> None:
    found = read(csv(tmp_path, "01/01/2024,1,x", "02/02/2024,2,x"))
    assert np.diff(times(found)).tolist() == [32 * 86_400 * 10**9]


def test_rows_without_a_value_are_counted(tmp_path: Path) -> None:
    found = read(csv(tmp_path, *LINES[:30], *[f"{START_S + 3000 + i},," for i in range(10)]))
    assert "10 of 40 rows have no 'value', first row 30" in found.notes


def test_a_series_with_a_value_in_every_second_row_is_scored(tmp_path: Path) -> None:
    lines = [f"{i},{i % 10 if i % 2 else ''}" for i in range(800)]
    path = csv(tmp_path, *lines, header="time,value")
    found = command(path, "--time", "time", "--value", "value", "--json")
    (one,) = json.loads(found.stdout)["series"]
    assert (one["rows"], one["missing"], one["widths"][0]) == (400, 400, 16)


def test_rows_that_were_all_learnt_from_are_told_to_be_not_scored(tmp_path: Path) -> None:
    path = csv(tmp_path, *[f"{i},{i % 10}" for i in range(400)], header="time,value")
    found = command(path, "--time", "time", "--value", "value", "--train", "400")
    assert "1 series not scored: all their rows were learnt from" in found.stdout


def test_what_was_not_read_is_told_with_its_reason_and_an_example(tmp_path: Path) -> None:
    lines = [*LINES[:3], "NA,1,x", f"{START_S},Bad,x", '1,"', *LINES[6:]]
    found = command(csv(tmp_path, *lines), "--time", "time", "--value", "value", "--json")
    plain = json.loads(found.stdout)
    assert [(one["what"], one["row"], one["example"]) for one in plain["unread"]] == [
        ("line", 5, '1,"'),
        ("time", 3, "NA"),
        ("value", 4, "Bad"),
    ]


# --- keys, repeats, order -------------------------------------------------------------------------


def test_keys_are_texts(tmp_path: Path) -> None:
    names = ["007", "7", "1E5", "100000", "0x1F", "18446744073709551617"]
    lines = [f"{START_S + i},{k},{name}" for i in range(5) for k, name in enumerate(names)]
    found = read(csv(tmp_path, *lines), key="note")
    assert {one.key: one.values[0] for one in found.series} == {n: k for k, n in enumerate(names)}


def test_a_key_that_no_integer_holds_is_a_key(tmp_path: Path) -> None:
    path = parquet(tmp_path, pa.array([1.0, 2.0, 3.0]), key=pa.array([1e300, 7.0, None]))
    assert [one.key for one in read(path, key="key").series] == ["", "1e+300", "7.0"]


def test_rows_of_one_time_and_a_clock_set_back_are_noted(tmp_path: Path) -> None:
    found = read(csv(tmp_path, *LINES[:20], *LINES[10:]))
    notes = " ".join(found.notes)
    assert "go back 1 times" in notes
    assert "10 rows have the time of another row" in notes
    assert "--key" in notes


def test_many_keys_are_told_apart_as_one_by_one(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    keys, at = rng.integers(0, 50, 2000), rng.integers(0, 500, 2000)
    path = csv(tmp_path, *(f"{START_S + t},{i},{k}" for i, (t, k) in enumerate(zip(at, keys))))  # noqa: B905
    for one in read(path, key="note").series:
        rows = np.flatnonzero(keys.astype(str) == one.key)
        assert one.row.tolist() == rows[np.argsort(at[rows], kind="stable")].tolist()


# --- columns of other types -----------------------------------------------------------------------


def parquet(folder: Path, value: pa.Array, **columns: pa.Array) -> Path:
    path = folder / "table.parquet"
    at = pa.array(range(START_S, START_S + len(value)), pa.timestamp("s", "Asia/Kolkata"))
    pq.write_table(pa.table({"time": at, "value": value} | columns), path)
    return path


@pytest.mark.parametrize(
    "value",
    [
        pa.array(["1.5", "2.5", "x", "3.5"]).dictionary_encode(),
        pa.array([1.5, 2.5, None, 3.5]).dictionary_encode(),
        pa.array([1.5, 2.5, float("inf"), 3.5], pa.float32()),
        pa.array(["1.50", "2.50", None, "3.50"]).cast(pa.decimal128(20, 2)),
        pa.array(["1.50", "2.50", None, "3.50"]).cast(pa.decimal256(60, 2)),
        pa.array(["1,5", "2,5", "n/a", "3,5"]),
    ],
)
def test_numbers_are_read_whatever_holds_them(tmp_path: Path, value: pa.Array) -> None:
    found = read(parquet(tmp_path, value)).series[0].values
    assert found[[0, 1, 3]].tolist() == [1.5, 2.5, 3.5]
    assert np.isnan(found[2])


@pytest.mark.parametrize(
    "value",
    [
        pa.array([[1.0], [2.0]]),
        pa.array([{"a": 1}, {"a": 2}]),
        pa.array([b"a", b"b"]),
        pa.array([1, 2], pa.duration("s")),
        pa.array([1, 2], pa.timestamp("s")),
        pa.nulls(2),
    ],
)
def test_a_column_that_holds_no_numbers_is_refused_by_name(tmp_path: Path, value: pa.Array) -> None:
    with pytest.raises(UsageError, match="column value: expected a column of numbers"):
        read(parquet(tmp_path, value))


def test_a_column_that_nobody_asked_for_is_not_read(tmp_path: Path) -> None:
    odd = pa.array(["1.5"] * 2).cast(pa.decimal256(60, 2))
    nested = pa.array([[1], [2]], pa.list_view(pa.int32()))
    found = read(parquet(tmp_path, pa.array([1.0, 2.0]), odd=odd, nested=nested))
    assert found.series[0].values.tolist() == [1.0, 2.0]


def test_columns_that_nobody_asked_for_may_have_one_name_or_none(tmp_path: Path) -> None:
    column = pa.array([1.0, 2.0])
    table = pa.Table.from_arrays([column] * 5, names=["time", "value", "x", "x", ""])
    pq.write_table(table, tmp_path / "t.parquet")
    assert len(read(tmp_path / "t.parquet").series[0].values) == 2


def test_a_column_that_is_not_in_a_parquet_file_is_named_beside_all_that_are(
    tmp_path: Path,
) -> None:
    with pytest.raises(UsageError, match="got time, value, pressure"):
        read_series(
            parquet(tmp_path, pa.array([1.0]), pressure=pa.array([1.0])), time="time", value="valu"
        )


@pytest.mark.parametrize("value", ["two:7", "two:²", "two:x", "cube", "words:1", "complex", "gone"])
def test_an_array_or_a_place_that_is_not_there_is_refused(tmp_path: Path, value: str) -> None:
    np.savez(
        tmp_path / "a.npz",
        two=np.ones((5, 2)),
        cube=np.ones((5, 2, 2)),
        words=np.array(["a"] * 5),
        complex=np.ones(5, complex),
    )
    with pytest.raises(UsageError):
        read_series(tmp_path / "a.npz", time=None, value=value)


# --- what is written ------------------------------------------------------------------------------


@pytest.mark.parametrize("option", ["-o", "--plot"])
@pytest.mark.parametrize("link", ["", "symlink", "hardlink", "dots"])
def test_nothing_is_written_over_the_input(tmp_path: Path, option: str, link: str) -> None:
    path = csv(tmp_path, *LINES)
    before = path.read_bytes()
    out = tmp_path / "out.png"
    if link == "symlink":
        out.symlink_to(path)
    elif link == "hardlink":
        out.hardlink_to(path)
    else:
        out = tmp_path / ".." / tmp_path.name / path.name if link else path
    found = command(path, "--time", "time", "--value", "value", option, out)
    assert isinstance(found.exception, UsageError)
    assert path.read_bytes() == before


def test_scores_and_picture_are_two_files(tmp_path: Path) -> None:
    out = tmp_path / "a.png"
    found = command(csv(tmp_path, *LINES), "--value", "value", "-o", out, "--plot", out)
    assert isinstance(found.exception, UsageError)


def test_a_picture_of_an_unknown_kind_is_refused_before_the_work(tmp_path: Path) -> None:
    found = command(csv(tmp_path, *LINES), "--value", "value", "--plot", tmp_path / "a.txt")
    assert isinstance(found.exception, UsageError)


@pytest.mark.parametrize(
    "options",
    [
        ["--zone", "Mars/Base"],
        ["--decimal", "x"],
        ["--header-line", "0"],
        ["--time-format", "%Q"],
        ["--time-format", "whatever"],
    ],
)
def test_an_option_that_says_nothing_is_refused(tmp_path: Path, options: list[str]) -> None:
    found = command(csv(tmp_path, *LINES), "--time", "time", "--value", "value", *options)
    assert isinstance(found.exception, UsageError)


def test_many_series_are_told_by_their_number(tmp_path: Path) -> None:
    lines = [f"{START_S + i},{i},{k}" for k in range(200) for i in range(3)]
    found = command(csv(tmp_path, *lines), "--time", "time", "--value", "value", "--key", "note")
    assert "200 series not scored" in found.stdout
    assert len(found.stdout.splitlines()) < 10


def test_text_that_is_a_table_reads_as_the_same_table_of_types(tmp_path: Path) -> None:
    path = csv(tmp_path, *LINES)
    pl.read_csv(path).write_parquet(tmp_path / "table.parquet")
    text, typed = read(path), read(tmp_path / "table.parquet")
    assert times(text) == times(typed)
    assert text.series[0].values.tolist() == typed.series[0].values.tolist()


# --- values and times that are not what they look like --------------------------------------------


def rows_with(folder: Path, at: dict[int, str]) -> Path:
    return csv(
        folder, *(f"{START_S + 60 * i},{at.get(i, f'{20 + i / 10:.1f}')},ok" for i in range(ROWS))
    )


def test_a_value_beyond_any_measurement_is_none_and_is_told(tmp_path: Path) -> None:
    found = read(rows_with(tmp_path, {3: "1e300", 4: "-1.7e308"}))
    assert np.isnan(found.series[0].values[3:5]).all()
    assert any("2 values beyond any measurement" in str(note) for note in found.unread)


def test_nines_far_from_all_others_are_no_value_and_are_told(tmp_path: Path) -> None:
    found = read(rows_with(tmp_path, {3: "-9999", 9: "-9999.0"}))
    assert np.isnan(found.series[0].values[[3, 9]]).all()
    assert any("2 values are -9999 and count as none" in note for note in found.notes)


def test_nines_stand_where_the_user_says_what_is_missing(tmp_path: Path) -> None:
    found = read(rows_with(tmp_path, {3: "-9999"}), missing=("NA",))
    assert found.series[0].values[3] == -9999.0


def test_values_whose_differences_vanish_are_an_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="smaller unit"):
        read(csv(tmp_path, *(f"{START_S + 60 * i},{i}e-310,ok" for i in range(ROWS))))


@pytest.mark.parametrize(
    ("day", "form"),
    [(2460372.75, "julian_days"), (60372.25, "mjd_days"), (739314.25, "matlab_days")],
)
def test_days_that_may_be_seconds_are_read_with_the_option_that_the_error_names(
    tmp_path: Path, day: float, form: str
) -> None:
    path = csv(tmp_path, *(f"{day + i / 1440:.6f},{i},ok" for i in range(ROWS)))
    with pytest.raises(UsageError, match=form):
        read(path)
    found = times(read(path, time_format=form))
    assert abs(found[0] - 1_709_445_600 * 10**9) < 10**8  # 2024-03-03 06:00
    assert abs(found[1] - found[0] - 60 * 10**9) < 10**8


def test_seconds_since_1900_are_not_read_as_times_of_2094(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="unbelievable"):
        read(csv(tmp_path, *(f"{START_S + 2_208_988_800 + 60 * i},{i},ok" for i in range(ROWS))))


def test_digits_of_another_script_are_no_time(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="times not read"):
        read(csv(tmp_path, *(f"٢٠٢٤-٠٣-٠٣ ٠٦:{i:02d}:٠٠,{i},ok" for i in range(ROWS))))
