"""Runs of which most rows are refused say so, with the first row, the cause and the line."""

import pytest

from sightline import notebook
from sightline.errors import RefusedError, SourceError
from sightline.runtime import RunOptions, load_plan, run_pipeline
from sightline.sense import open_source

CONTRACT = """\
contract: tank
key: [tank]
event_time: {column: time}
fields:
  level: {type: number, unit: m, range: [0, 5]}
"""
PIPELINE = """\
pipeline: tanks
sources: {rows: {contract: tank.yaml}}
stages: {minutes: {use: windows, input: rows, width_s: 60, statistics: [mean]}}
"""


def run(folder, levels, *, header="time,tank,level", told=None):
    (folder / "tank.yaml").write_text(CONTRACT)
    (folder / "p.yaml").write_text(PIPELINE)
    rows = [f"2026-01-01T00:{i // 60:02d}:{i % 60:02d}Z,a,{v}" for i, v in enumerate(levels)]
    (folder / "rows.csv").write_text("\n".join([header, *rows]) + "\n")
    plan = load_plan(folder / "p.yaml")
    source = open_source("rows", str(folder / "rows.csv"), plan.contracts["rows"])
    return run_pipeline(
        plan, {"rows": source}, folder / "run", options=RunOptions(),
        on_trouble=[].append if told is None else told.append,
    )  # fmt: skip


def test_a_few_refused_rows_are_no_problem(tmp_path):
    told = []
    assert run(tmp_path, [9] * 20 + [1] * 80, told=told).problem() is None
    assert told == []


def test_most_rows_refused_have_an_exit_code_of_their_own(tmp_path):
    problem = run(tmp_path, [9] * 80 + [1] * 20).problem()
    assert isinstance(problem, RefusedError)
    assert problem.exit_code == 10
    assert "80 of 100 refused, most as RANGE: rows.csv, row 0: level" in problem.got
    assert "tank.yaml, line 5, fields.level" in problem.got


def test_every_row_refused_is_a_source_that_cannot_be_read(tmp_path):
    problem = run(tmp_path, [1] * 60, header="when,tank,level").problem()
    assert isinstance(problem, SourceError)
    assert problem.exit_code == 5
    assert "tank.yaml, line 3, event_time" in problem.got


def test_a_table_with_the_newest_row_first_is_told_to_be_sorted(tmp_path):
    (tmp_path / "tank.yaml").write_text(CONTRACT)
    (tmp_path / "p.yaml").write_text(PIPELINE)
    rows = [f"2026-01-01T{23 - i // 60:02d}:{59 - i % 60:02d}:00Z,a,1" for i in range(100)]
    (tmp_path / "rows.csv").write_text("\n".join(["time,tank,level", *rows]) + "\n")
    plan = load_plan(tmp_path / "p.yaml")
    source = open_source("rows", str(tmp_path / "rows.csv"), plan.contracts["rows"])
    problem = run_pipeline(plan, {"rows": source}, tmp_path / "run").problem()
    assert isinstance(problem, RefusedError)
    assert "the newest row is the first: sort the rows by time" in problem.got


def test_it_is_told_while_the_run_goes_on(tmp_path):
    told = []
    run(tmp_path, [9] * 100, told=told)
    assert len(told) == 1
    assert "row 0" in told[0]


@pytest.mark.parametrize("text", ["", "time,tank,level\n"])
def test_a_file_without_rows_is_no_success(tmp_path, text):
    (tmp_path / "tank.yaml").write_text(CONTRACT)
    (tmp_path / "p.yaml").write_text(PIPELINE)
    (tmp_path / "rows.csv").write_text(text)
    report = notebook.run(
        tmp_path / "p.yaml", sources={"rows": tmp_path / "rows.csv"}, out=tmp_path / "run"
    )
    assert report.problem().exit_code == 5
