"""Tables and pictures that a notebook has are sources, and functions are receivers."""

import threading

import numpy as np
import polars as pl
import pytest

import sightline as sl
from sightline.errors import UsageError
from sightline.runtime.pipeline import parse_pipeline
from sightline.runtime.pipeline_file import written_out
from sightline.runtime.planner import make_plan
from simulation.site_cases import camera, walker, yard

CONTRACT = """\
contract: t
key: [sat]
event_time: {column: time}
fields: {v: {type: number, unit: V}}
"""
PIPELINE = """\
pipeline: p
sources: {t: {contract: t.yaml}}
stages:
  w: {use: windows, input: t, width_s: 10, statistics: [mean]}
  high: {use: alarm, input: w, measure: v.mean, unit: V, raise_above: 5, code: HIGH}
"""


@pytest.fixture
def pipeline(tmp_path):
    (tmp_path / "t.yaml").write_text(CONTRACT)
    (tmp_path / "p.yaml").write_text(PIPELINE)
    return tmp_path / "p.yaml"


def columns():
    times = np.datetime64("2026-01-01T00:00:00") + np.arange(60).astype("m8[s]")
    return {
        "time": [f"{t}Z" for t in np.datetime_as_string(times)],
        "sat": ["a"] * 60,
        "v": np.where(np.arange(60) >= 30, 9.0, 1.0),
    }


def pandas_table():
    return pytest.importorskip("pandas", reason="no pandas: pip install it").DataFrame(columns())


@pytest.mark.parametrize(
    "table",
    [lambda: pl.DataFrame(columns()), columns, pandas_table],
    ids=["polars", "numpy", "pandas"],
)
def test_a_table_is_a_source_and_a_function_gets_the_alerts(pipeline, tmp_path, table):
    told = []
    sl.run(pipeline, sources={"t": table()}, out=tmp_path / "run", alerts={"me": told.append})
    assert [(one["subject"], one["reasons"][0]["code"]) for one in told] == [("a/v", "HIGH")]


def test_a_function_that_fails_is_asked_again(pipeline, tmp_path):
    asked = []

    def failing(alert):
        asked.append(alert)
        if len(asked) == 1:
            raise ValueError("not now")

    report = sl.run(
        pipeline, sources={"t": columns()}, out=tmp_path / "run", alerts={"me": failing}
    )
    assert len(asked) == 2
    assert report.problem() is None


def test_a_table_of_decisions_is_flat_with_value_threshold_unit_and_group(pipeline, tmp_path):
    sl.run(pipeline, sources={"t": columns()}, out=tmp_path / "run")
    [row] = sl.decisions(tmp_path / "run").to_dicts()
    assert (row["measure"], row["value"], row["threshold"], row["unit"], row["group"]) == (
        "v.mean", 9.0, 5.0, "V", "",
    )  # fmt: skip


def yard_plan():
    return make_plan(written_out(parse_pipeline(yard(), where="yard.yaml"), None), {}, where="y")


def test_pictures_are_a_camera_and_a_function_gets_its_commands(tmp_path):
    pictures = [frame.pixels for frame in camera(seconds=3, things=[walker()])]
    levels = []
    report = sl.run(
        yard_plan(),
        sources={"east": np.stack(pictures)},
        out=tmp_path / "run",
        commands={"saw": lambda command: levels.append(command["level"])},
    )
    assert report.cameras["east"].usable == len(pictures)
    assert set(levels) <= {"none", "warn", "slow", "stop"}
    assert levels
    assert sl.replay(tmp_path / "run")


def test_what_is_no_picture_is_refused(tmp_path):
    with pytest.raises(UsageError, match="float64"):
        sl.run(yard_plan(), sources={"east": np.zeros((2, 4, 4))}, out=tmp_path / "run")


def test_alerts_of_a_function_come_on_a_thread_that_is_not_the_callers(pipeline, tmp_path):
    threads = []
    sl.run(
        pipeline, sources={"t": columns()}, out=tmp_path / "run",
        alerts={"me": lambda alert: threads.append(threading.current_thread())},
    )  # fmt: skip
    assert threads[0] is not threading.main_thread()
