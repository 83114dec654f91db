"""``sightline decisions``: listing, filtering and writing what a run decided."""

import json
from pathlib import Path

import polars as pl
import pytest
from typer.testing import CliRunner

from sightline import notebook
from sightline.cli.main import app_for
from sightline.errors import UsageError

CONTRACT = """
contract: readings
key: [tank]
event_time: {column: time}
fields: {level: {type: number, unit: m}}
"""
PIPELINE = """
pipeline: tanks
tick_s: 60
sources: {readings: {contract: readings.contract.yaml}}
stages:
  minute: {use: windows, input: readings, width_s: 60, statistics: [max]}
  full: {use: alarm, input: minute, measure: level.max, unit: m, raise_above: 8, clear_below: 5,
         code: TANK_FULL, severity: critical}
"""
LEVELS = {"north": [1, 9, 1, 9, 1, 1], "south": [1, 1, 1, 9, 9, 9]}


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("tanks")
    (folder / "readings.contract.yaml").write_text(CONTRACT)
    (folder / "tanks.yaml").write_text(PIPELINE)
    rows = [
        {"tank": tank, "time": f"2026-01-01T00:0{minute}:30Z", "level": level}
        for tank, levels in LEVELS.items()
        for minute, level in enumerate(levels)
    ]
    table = pl.DataFrame(rows)
    notebook.run(folder / "tanks.yaml", sources={"readings": table}, out=folder / "run")
    return folder / "run"


def ask(run: Path, *options: str | Path) -> str:
    words = ["decisions", str(run), *map(str, options)]
    done = CliRunner().invoke(app_for(words), words, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.output


def changes(run: Path, *options: str) -> list[tuple[str, str]]:
    newest = json.loads(ask(run, *options, "--json"))["newest"]
    return [(d["subject"], d["transition"]) for d in newest]


def test_all_decisions_are_listed_in_order_of_event_time(run):
    north = [("north/level", t) for t in ("raised", "cleared", "raised", "cleared")]
    assert sorted(changes(run)) == sorted([*north, ("south/level", "raised")])
    newest = json.loads(ask(run, "--json"))["newest"]
    assert [d["event_ns"] for d in newest] == sorted(d["event_ns"] for d in newest)


def test_a_subject_may_be_given_with_a_star(run):
    assert changes(run, "--subject", "so*") == [("south/level", "raised")]


def test_only_what_was_cleared(run):
    assert changes(run, "--transition", "cleared") == [("north/level", "cleared")] * 2


def test_what_stands_was_raised_and_not_cleared_since(run):
    assert changes(run, "--standing") == [("south/level", "raised")]


def test_times_bound_the_event_time(run):
    early = ("--since", "2026-01-01T00:01:00Z", "--until", "2026-01-01T00:04:00Z")
    assert changes(run, *early, "--subject", "south*") == []
    assert len(changes(run, *early)) == 2


def test_the_newest_come_last_and_the_rest_is_counted(run):
    shown = ask(run, "--last", "1")
    assert "the newest 1 of 5 decisions" in shown


def test_a_filter_that_leaves_nothing_says_of_how_many(run):
    assert "none of 5 decisions" in ask(run, "--kind", "other")


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_the_table_has_value_threshold_and_unit(run, tmp_path, suffix):
    out = tmp_path / f"decisions.{suffix}"
    ask(run, "-o", out)
    table = pl.read_csv(out) if suffix == "csv" else pl.read_parquet(out)
    first = table.row(0, named=True)
    assert (table.height, first["value"], first["threshold"], first["unit"]) == (5, 9.0, 8.0, "m")


def test_another_ending_is_refused_with_those_that_can_be_written(run, tmp_path):
    with pytest.raises(UsageError, match=r"\.parquet"):
        ask(run, "-o", tmp_path / "decisions.xlsx")


def test_a_time_without_a_zone_is_refused(run):
    with pytest.raises(UsageError, match="zone"):
        ask(run, "--since", "yesterday")
