"""``sightline init``: what it writes runs at once and refuses nothing that the table has."""

import math
from pathlib import Path

import polars as pl
import pytest
from typer.testing import CliRunner

from sightline import notebook
from sightline.cli.main import app_for
from sightline.errors import SourceError, UsageError
from sightline.runtime import load_plan


def init(*words) -> str:
    arguments = ["init", *map(str, words)]
    done = CliRunner().invoke(app_for(arguments), arguments, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.output


def lines_of(n=600, *, bad=(), dropout=()):
    """Housekeeping of two satellites, as a ground station may write it."""
    yield "Time;Satellite;Bus Voltage [V];Panel Temp (degC);Mode"
    for i in range(n):
        for number, satellite in enumerate(("SAT-1", "SAT-2")):
            volt = 28 + math.sin(i / 9 + number) + 0.1 * math.sin(i * 1.7)
            value = "NA" if i in bad else f"{0 if i in dropout and not number else volt:.3f}"
            minute, second = divmod(10 * i, 60)
            hour, minute = divmod(minute, 60)
            time = f"2026-01-01 {hour:02d}:{minute:02d}:{second:02d}"
            yield f"{time};{satellite};{value.replace('.', ',')};{20 + i % 3};NOMINAL"


@pytest.fixture
def table(tmp_path) -> Path:
    path = tmp_path / "Housekeeping 2026.csv"
    path.write_text("\n".join(lines_of(bad=(77,), dropout=range(450, 470))) + "\n")
    return path


def run_it(tmp_path, name, source) -> tuple:
    report = notebook.run(
        tmp_path / "mine" / f"{name}.yaml", sources={name: source}, out=tmp_path / "run"
    )
    return report, notebook.decisions(tmp_path / "run")


def test_what_is_written_refuses_no_row_and_finds_the_dropout(table, tmp_path):
    said = init(table, "-o", tmp_path / "mine")
    report, decisions = run_it(tmp_path, "housekeeping_2026", table)
    assert "refused   no row" in said
    assert report.accounts.quarantined == {}
    assert report.accounts.decided == 1200
    raised = decisions.filter(pl.col("transition") == "raised", pl.col("kind") == "unusual")
    assert "SAT-1/Bus_Voltage" in raised["subject"].to_list()


def test_the_command_to_type_next_is_printed(table, tmp_path):
    said = init(table, "-o", tmp_path / "mine")
    assert "sightline run" in said
    assert "housekeeping_2026=" in said


def test_files_that_are_there_are_not_overwritten(table, tmp_path):
    init(table, "-o", tmp_path / "mine")
    before = (tmp_path / "mine" / "housekeeping_2026.yaml").read_text()
    with pytest.raises(UsageError, match="--name"):
        init(table, "-o", tmp_path / "mine")
    assert (tmp_path / "mine" / "housekeeping_2026.yaml").read_text() == before


def test_a_table_without_keys_is_one_series_by_its_file(tmp_path):
    path = tmp_path / "pump.csv"
    rows = [f"{1767225600 + i},{20 + i % 5}" for i in range(400)]
    path.write_text("\n".join(["time,level_m", *rows]) + "\n")
    init(path, "-o", tmp_path / "mine")
    report, _ = run_it(tmp_path, "pump", path)
    assert report.accounts.decided == 400


def test_a_short_table_runs_too(tmp_path):
    path = tmp_path / "short.csv"
    path.write_text("time,v\n" + "".join(f"2026-01-01T00:00:{i:02d}Z,{i}\n" for i in range(9)))
    init(path, "-o", tmp_path / "mine")
    report, _ = run_it(tmp_path, "short", path)
    assert report.accounts.decided == 9


def test_parquet_with_typed_times_runs_too(tmp_path):
    path = tmp_path / "typed.parquet"
    times = pl.datetime_range(
        pl.datetime(2026, 1, 1), pl.datetime(2026, 1, 1, 1), "10s", eager=True, time_zone="UTC"
    )
    frame = pl.DataFrame({"t": times, "device": ["d"] * len(times), "volt_v": range(len(times))})
    frame.write_parquet(path)
    init(path, "-o", tmp_path / "mine")
    report, _ = run_it(tmp_path, "typed", path)
    assert report.accounts.decided == len(times)


def test_rows_without_a_time_are_named_as_refused(tmp_path):
    path = tmp_path / "gaps.csv"
    rows = [f"2026-01-01T00:{i // 60:02d}:{i % 60:02d}Z,{i % 7}" for i in range(300)]
    rows[7] = "soon,3"
    path.write_text("\n".join(["time,v", *rows]) + "\n")
    said = init(path, "-o", tmp_path / "mine")
    assert "TIME_UNREADABLE 1" in said


def test_lines_that_cannot_be_read_are_named_as_refused(tmp_path):
    path = tmp_path / "gaps.csv"
    rows = [f"2026-01-01T00:{i // 60:02d}:{i % 60:02d}Z,{i % 7}" for i in range(300)]
    path.write_text("\n".join(["time,v", *rows, '"open,1', "3"]) + "\n")
    said = init(path, "-o", tmp_path / "mine")
    assert "2 of 302 rows would be refused" in said
    assert "LINE_UNREADABLE 2" in said


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"time,v,v\n1,2,3\n", "there twice"),
        (b"time,grad \xb0C\n1,2\n", "expected UTF-8"),
        (b'time,"v\n(m)"\n1,2\n', "not closed"),
        (b"time,v\n", "expected rows, got none"),
    ],
)
def test_a_table_that_cannot_be_read_is_refused_for_its_reason(tmp_path, content, why):
    path = tmp_path / "table.csv"
    path.write_bytes(content)
    with pytest.raises(SourceError, match=why):
        init(path, "-o", tmp_path / "mine")


def faulty_lines(n=1200):
    """One value of SAT-1 stands still, one of SAT-2 is missing, each for a sixth of the time."""
    yield "time,sat,bus_v,temp_c"
    for i in range(n):
        for number, name in enumerate(("SAT-1", "SAT-2")):
            at = f"2026-01-01T{i // 360:02d}:{i // 6 % 60:02d}:{i % 6}0Z"
            is_faulty = 700 <= i < 900
            volt = 28.0 if is_faulty and not number else 28 + math.sin(i / 9 + number)
            temp = "" if is_faulty and number else f"{20 + math.cos(i / 7):.3f}"
            yield f"{at},{name},{volt:.3f},{temp}"


def test_a_value_that_stops_changing_and_one_that_stops_coming_are_told(tmp_path):
    path = tmp_path / "bus.csv"
    path.write_text("\n".join(faulty_lines()) + "\n")
    init(path, "-o", tmp_path / "mine")
    _, decisions = run_it(tmp_path, "bus", path)
    raised = decisions.filter(pl.col("transition") == "raised")
    found = set(raised.select("kind", "subject").iter_rows())
    assert {("stuck", "SAT-1/bus_v"), ("empty", "SAT-2/temp_c")} <= found
    assert ("stuck", "SAT-2/bus_v") not in found


def test_a_value_that_rarely_changes_is_not_watched_for_standing_still(tmp_path):
    path = tmp_path / "mode.csv"
    rows = [
        f"2026-01-01T{i // 360:02d}:{i // 6 % 60:02d}:{i % 6}0Z,{i // 200},{i % 7}"
        for i in range(1200)
    ]
    path.write_text("\n".join(["time,mode,v", *rows]) + "\n")
    init(path, "-o", tmp_path / "mine")
    plan = load_plan(tmp_path / "mine" / "mode.yaml")
    assert plan.pipeline.stages["stuck_windows"].fields == ("v",)


def test_what_is_written_has_an_alert_desk(table, tmp_path):
    init(table, "-o", tmp_path / "mine")
    assert load_plan(tmp_path / "mine" / "housekeeping_2026.yaml").has_desk


def test_units_are_written_as_they_are_read(tmp_path):
    path = tmp_path / "t.csv"
    rows = [f"2026-01-01T00:00:{i:02d}Z,{i}" for i in range(9)]
    path.write_text("\n".join(["time,Temp (°C)", *rows]) + "\n", encoding="utf-8")
    init(path, "-o", tmp_path / "mine")
    assert "°C" in (tmp_path / "mine" / "t.contract.yaml").read_text(encoding="utf-8")


def test_of_rows_of_a_broker_some_are_asked_for_in_a_file(tmp_path):
    with pytest.raises(UsageError, match="some minutes of its rows into a file"):
        init("nats://127.0.0.1:4222/ROWS", "-o", tmp_path)


def piped(text, *words):
    arguments = ["init", "-", *map(str, words)]
    return CliRunner().invoke(app_for(arguments), arguments, input=text, catch_exceptions=False)


def test_rows_on_standard_input_are_described_like_a_file(table, tmp_path):
    said = piped(table.read_text(), "-o", tmp_path / "mine").output
    assert "--source rows=-" in said
    report, _ = run_it(tmp_path, "rows", table)
    assert report.accounts.quarantined == {}


def test_rows_without_a_key_are_one_series_on_standard_input_too(tmp_path):
    text = "\n".join(["time,v", *(f"2026-01-01T00:00:{i % 60:02d}Z,{i % 7}" for i in range(60))])
    piped(text, "-o", tmp_path / "mine")
    arguments = ["run", str(tmp_path / "mine" / "rows.yaml"), "--source", "rows=-"]
    arguments += ["--out", str(tmp_path / "run")]
    done = CliRunner().invoke(app_for(arguments), arguments, input=text)
    assert done.exit_code == 0, done.output
    assert notebook.decisions(tmp_path / "run").is_empty()


def test_more_rows_on_standard_input_than_are_looked_at_end_with_a_whole_line(
    table, tmp_path, monkeypatch
):
    monkeypatch.setattr("sightline.cli.init_command._MOST_PIPED_BYTES", 30_000)
    said = piped(table.read_text(), "-o", tmp_path / "mine").output
    assert "refused   no row" in said


def test_nothing_on_standard_input_is_an_error(tmp_path):
    with pytest.raises(SourceError):
        piped("", "-o", tmp_path / "mine")


def test_rows_in_json_lines_with_objects_run_too(tmp_path):
    path = tmp_path / "pump.jsonl"
    path.write_text(
        "".join(
            f'{{"at": "2026-01-01T00:{i // 60:02d}:{i % 60:02d}Z", "id": "p/1", '
            f'"read": {{"flow_lps": {3 + i % 2}}}}}\n'
            for i in range(600)
        )
    )
    init(path, "-o", tmp_path / "mine", "--name", "pump")
    report, _ = run_it(tmp_path, "pump", path)
    assert (report.accounts.decided, report.accounts.quarantined) == (600, {})


def test_a_table_with_date_and_time_of_day_apart_runs_too(tmp_path):
    path = tmp_path / "log.tsv"
    lines = [
        f"0{1 + i // 1440}.03.2026\t{i // 60 % 24:02d}:{i % 60:02d}\t{20 + i % 3}"
        for i in range(3000)
    ]
    path.write_text("\n".join(["Date\tTime\tTemp degC", *lines]) + "\n")
    assert "time      Date and Time" in init(path, "-o", tmp_path / "mine", "--name", "log")
    report, _ = run_it(tmp_path, "log", path)
    assert (report.accounts.decided, report.accounts.quarantined) == (3000, {})


def files_of(folder, *, names, start_days) -> Path:
    """A file of a day for each name, beginning so many days into the year."""
    folder.mkdir()
    for name, day in zip(names, start_days, strict=True):
        rows = [
            f"2026-01-{day + 1:02d}T{i // 60:02d}:{i % 60:02d}:00Z,{20 + i % 3}"
            for i in range(1440)
        ]
        (folder / f"{name}.csv").write_text("\n".join(["time,temp_c", *rows]) + "\n")
    return folder


def test_a_folder_with_a_file_a_day_is_one_series(tmp_path):
    folder = files_of(tmp_path / "pump", names=("a", "b", "c"), start_days=(0, 1, 2))
    init(folder, "-o", tmp_path / "mine")
    report, decisions = run_it(tmp_path, "pump", folder)
    assert report.accounts.decided == 3 * 1440
    assert decisions.height == 0  # no file that ends is a silent sensor


def test_a_folder_with_a_file_of_each_device_has_as_many_series(tmp_path):
    folder = files_of(tmp_path / "pumps", names=("north", "south"), start_days=(0, 0))
    assert "2 series by file" in init(folder, "-o", tmp_path / "mine")
    report, _ = run_it(tmp_path, "pumps", folder)
    assert (report.accounts.decided, report.accounts.superseded) == (2 * 1440, 0)


def test_a_folder_without_tables_is_refused(tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match="a folder with some"):
        init(tmp_path / "empty", "-o", tmp_path / "mine")
