"""``sightline detect`` on anybody's file: what is read, found, written, drawn and refused."""

import json
from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest
from typer.testing import CliRunner

from sightline.cli.main import app_for
from sightline.errors import SourceError, UsageError
from sightline.evidence.series_detection import (
    detect_series,
    draw_detections,
    most_severe,
    write_detections,
)
from sightline.evidence.series_file import read_series

ROWS, FAULT = 2000, slice(1500, 1560)
START = datetime(2026, 1, 1, tzinfo=UTC)


def values(seed=0, *, has_fault=True):
    rng = np.random.default_rng(seed)
    found = np.sin(np.arange(ROWS) / 6) + rng.normal(0, 0.05, ROWS)
    if has_fault:
        found[FAULT] = 0.5
    return found


def stamps():
    return [(START + timedelta(seconds=10 * i)).isoformat() for i in range(ROWS)]


def csv_of(tmp_path, **columns):
    path = tmp_path / "pump.csv"
    pl.DataFrame({"when": stamps(), "level": values()} | columns).write_csv(path)
    return path


def run(*arguments):
    given = ["detect", *map(str, arguments)]
    return CliRunner().invoke(app_for(given), given)


# --- reading ------------------------------------------------------------------------------------


def test_csv_parquet_and_npz_give_the_same_series(tmp_path):
    csv = csv_of(tmp_path)
    pl.read_csv(csv).write_parquet(tmp_path / "pump.parquet")
    np.savez(tmp_path / "pump.npz", when=np.arange(ROWS) * 10.0 + START.timestamp(), level=values())
    found = [
        read_series(tmp_path / f"pump.{kind}", time="when", value="level").series[0]
        for kind in ("csv", "parquet", "npz")
    ]
    for one in found[1:]:
        np.testing.assert_array_equal(one.time_ns, found[0].time_ns)
        np.testing.assert_allclose(one.values, found[0].values)


@pytest.mark.parametrize("scale", [1, 1000, 1_000_000, 1_000_000_000])
def test_the_unit_of_numbers_since_1970_is_told_by_their_size(tmp_path, scale):
    when = (np.arange(ROWS) * 10 + int(START.timestamp())) * scale
    series = read_series(csv_of(tmp_path, when=when), time="when", value="level").series[0]
    assert series.time_ns[0] == int(START.timestamp()) * 10**9
    assert (np.diff(series.time_ns) == 10 * 10**9).all()


def test_rows_that_come_late_are_sorted_and_counted(tmp_path):
    path = csv_of(tmp_path)
    rows = pl.read_csv(path)
    pl.concat([rows[100:], rows[:100]]).write_csv(path)
    read = read_series(path, time="when", value="level")
    assert (np.diff(read.series[0].time_ns) > 0).all()
    assert read.out_of_order == 1
    assert read.series[0].row[0] == ROWS - 100


def test_rows_without_a_readable_time_are_left_out_and_counted(tmp_path):
    path = csv_of(tmp_path, when=["?", *stamps()[1:]])
    read = read_series(path, time="when", value="level")
    assert (read.without_time, len(read.series[0].values)) == (1, ROWS - 1)


def test_missing_values_are_missing_and_not_zero(tmp_path):
    level = values().tolist()
    level[5] = None
    assert np.isnan(
        read_series(csv_of(tmp_path, level=level), time="when", value="level").series[0].values[5]
    )


def test_a_column_of_an_array_with_two_axes_is_named_with_its_place(tmp_path):
    np.savez(tmp_path / "a.npz", test=np.stack([values(), np.ones(ROWS)], axis=1))
    found = read_series(tmp_path / "a.npz", time=None, value="test:1").series[0]
    assert set(found.values) == {1.0}


def test_a_column_that_is_not_there_is_named_with_those_that_are(tmp_path):
    with pytest.raises(UsageError, match="when, level"):
        read_series(csv_of(tmp_path), time="when", value="pressure")


def test_a_column_of_words_is_no_series(tmp_path):
    with pytest.raises(UsageError, match="a column of numbers"):
        read_series(csv_of(tmp_path), time=None, value="when")


def test_a_file_that_is_not_what_its_name_says_is_refused(tmp_path):
    path = tmp_path / "pump.parquet"
    path.write_bytes(b"when,level\n")
    with pytest.raises(SourceError, match="parquet"):
        read_series(path, time="when", value="level")


# --- detecting ----------------------------------------------------------------------------------


def test_each_key_is_a_series_of_its_own(tmp_path):
    path = tmp_path / "two.csv"
    both = [
        pl.DataFrame({"pump": name, "when": stamps(), "level": values(seed, has_fault=seed == 1)})
        for seed, name in enumerate(["a", "b"])
    ]
    pl.concat(both).sort("when").write_csv(path)
    read = read_series(path, time="when", value="level", key="pump")
    found = {s.key: detect_series(s) for s in read.series}
    assert [len(found[k].events) for k in ("a", "b")] == [0, 1]
    assert FAULT.start - 16 < found["b"].events[0, 0] <= FAULT.start


def test_a_series_that_is_too_short_is_not_scored_and_says_so(tmp_path):
    path = tmp_path / "short.csv"
    pl.DataFrame({"level": [1.0] * 20}).write_csv(path)
    found = run(path, "--value", "level")
    assert found.exit_code == 0
    assert "too little to learn from" in found.stdout


def test_the_table_has_a_row_for_each_row_of_the_file(tmp_path):
    read = read_series(csv_of(tmp_path), time="when", value="level")
    write_detections(tmp_path / "out.csv", [detect_series(s) for s in read.series])
    written = pl.read_csv(tmp_path / "out.csv")
    assert written.columns == ["row", "key", "time", "value", "score", "event", "weaker"]
    assert written["row"].to_list() == list(range(ROWS))
    inside = written.filter(pl.col("event") == 1)["row"]
    assert FAULT.start - 16 < inside.min() <= FAULT.start


def test_the_picture_says_how_many_series_it_leaves_out(tmp_path):
    pytest.importorskip("matplotlib", reason="the extra `report` is not installed")
    read = read_series(csv_of(tmp_path), time="when", value="level")
    even = read_series(csv_of(tmp_path), time=None, value="level")
    found = [detect_series(s) for s in (*read.series, *even.series)]
    assert draw_detections(tmp_path / "out.png", found[:1], title="pump") == 0
    assert (tmp_path / "out.png").read_bytes().startswith(b"\x89PNG")


def test_the_picture_begins_with_the_series_that_is_furthest_from_normal(tmp_path):
    both = [
        pl.DataFrame({"pump": name, "when": stamps(), "level": values(seed, has_fault=seed == 1)})
        for seed, name in enumerate(["calm", "odd"])
    ]
    path = tmp_path / "pumps.csv"
    pl.concat(both).sort("when").write_csv(path)
    read = read_series(path, time="when", value="level", key="pump")
    found = [detect_series(series) for series in read.series]
    assert [one.series.key for one in most_severe(found)] == ["odd", "calm"]
    assert [one.series.key for one in most_severe(found, most=1)] == ["odd"]


def test_an_event_with_rows_that_could_not_be_scored_still_has_its_greatest_score(tmp_path):
    level = values()
    level[1530:1534] = np.nan
    read = read_series(csv_of(tmp_path, level=level), time="when", value="level")
    found = detect_series(read.series[0])
    assert all(np.isfinite(found.greatest_scores()))


# --- the command --------------------------------------------------------------------------------


def test_the_command_finds_writes_and_prints(tmp_path):
    arguments = [csv_of(tmp_path), "--time", "when", "--value", "level"]
    found = run(*arguments, "-o", tmp_path / "out.csv", "--json")
    plain = json.loads(found.stdout)
    assert plain["series"][0]["events"] == 1
    assert plain["rows"] == pl.read_csv(tmp_path / "out.csv").height


@pytest.mark.parametrize("train", ["1000", "2026-01-01T02:46:40Z"])
def test_what_is_learnt_is_given_as_rows_or_as_a_time(tmp_path, train):
    arguments = [csv_of(tmp_path), "--time", "when", "--value", "level", "--json"]
    plain = json.loads(run(*arguments, "--train", train).stdout)
    assert plain["series"][0]["learnt_rows"] == 1000


def test_a_training_end_that_is_neither_is_refused(tmp_path):
    found = run(csv_of(tmp_path), "--value", "level", "--train", "soon")
    assert isinstance(found.exception, UsageError)


def test_what_is_learnt_of_events_is_said_and_when_it_lasts_is_an_option(tmp_path):
    level = values(has_fault=False)
    level[600:900] += 9.0
    level[1200:1500] += 9.0
    path = csv_of(tmp_path, level=level)
    told_again = {}
    for after in (80, 512):
        given = (path, "--time", "when", "--value", "level", "--json", "--learns-after", after)
        found = json.loads(run(*given).stdout)
        assert found["learning"]["learns_after_rows"] == after
        assert any(f"lasted for {after} rows" in note for note in found["notes"])
        events = found["series"][0]["first_events"]
        told_again[after] = max(e["greatest_score"] for e in events if e["last_row"] > 1200)
    assert told_again[80] < 0.75 * told_again[512]
