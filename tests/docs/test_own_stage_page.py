"""``docs/own-stage.md``: the files of the page, written out and run."""

import sys

import numpy as np
import polars as pl
import pytest

import sightline as sl
from sightline.records import Frame
from tests.docs.page_files import write_files

START_S = 1_700_000_000


@pytest.fixture
def page(tmp_path, monkeypatch):
    """A folder with every file of the page."""
    write_files("docs/own-stage.md", tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    yield tmp_path
    for name in ("spread", "light"):
        sys.modules.pop(name, None)


def telemetry():
    """An hour of one satellite, with a minute that is 9 V too high."""
    volts = np.sin(np.arange(3600) / 50)
    volts[1800:1860] += 9
    return pl.DataFrame(
        {
            "satellite": ["sat-1"] * 3600,
            "time": np.arange(3600.0) + START_S,
            "bus_voltage_v": volts,
        }
    )


class Hall:
    """Ten seconds of a hall at 10 Hz, dark for three of them."""

    stream = "hall"
    durable = True  # a recording

    def __iter__(self):
        for index in range(100):
            level = 10 if 30 <= index < 60 else 120
            at_ns = (START_S * 10 + index) * 100_000_000
            yield Frame(
                stream="hall",
                index=index,
                capture_ns=at_ns,
                received_ns=at_ns,
                pixels=np.full((48, 64, 3), level, np.uint8),
            )


def test_the_page_has_the_files_it_speaks_of(page):
    assert {path.name for path in page.iterdir()} == {
        "spread.py",
        "telemetry.contract.yaml",
        "spread.yaml",
        "light.py",
        "light.yaml",
    }


def test_the_series_stage_of_the_page_decides_and_replays(page):
    report = sl.run(page / "spread.yaml", sources={"telemetry": telemetry()}, out=page / "run")
    assert report.decisions["wide raised issued"] == 1
    assert sl.replay(page / "run")


def test_the_item_stage_of_the_page_decides_and_replays(page):
    report = sl.run(page / "light.yaml", sources={"hall": Hall()}, out=page / "run")
    assert report.decisions["dark raised issued"] == 1
    assert sl.replay(page / "run")


def test_what_the_item_stage_of_the_page_measures_flows_on_into_an_alarm(page):
    report = sl.run(page / "light.yaml", sources={"hall": Hall()}, out=page / "run")
    assert report.decisions["dim raised issued"] == 1
