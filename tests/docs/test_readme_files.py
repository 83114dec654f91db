"""The README: its files, written out and run; its lines of Python."""

import re
import sys

import numpy as np
import polars as pl
import pytest

import sightline as sl
from tests.docs.page_files import ROOT, write_files

README = (ROOT / "README.md").read_text(encoding="utf-8")


@pytest.fixture
def page(tmp_path, monkeypatch):
    """A folder with every file of the README."""
    write_files("README.md", tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    yield tmp_path
    sys.modules.pop("jumps", None)


def telemetry():
    """Forty minutes of one battery that is low for two of them."""
    seconds = np.arange(2400)
    volts = np.where((seconds >= 1200) & (seconds < 1320), 23.0, 28.0)
    volts += 0.1 * np.sin(seconds / 7)
    start = np.datetime64("2026-01-01T00:00:00")
    times = np.datetime_as_string(start + seconds.astype("m8[s]")).astype(object) + "Z"
    return pl.DataFrame(
        {"satellite": ["sat-1"] * 2400, "time": times.tolist(), "bus_voltage_v": volts}
    )


def test_the_pipeline_of_the_readme_decides_and_replays(page):
    out = page / "runs"
    report = sl.run(page / "battery.yaml", sources={"telemetry": telemetry()}, out=out)
    assert report.decisions["low raised issued"] == 1
    assert report.accounts.quarantined == {}
    assert sl.replay(out)


def test_the_stage_of_the_readme_runs_in_that_pipeline(page):
    pipeline = page / "battery.yaml"
    jumps = (
        "  jumps: {use: jumps, input: minutes, measures: ['*.mean']}\n"
        "  jump: {use: alarm, input: jumps, measure: '*', unit: V, raise_above: 4, code: JUMP}\n"
    )
    pipeline.write_text("plugins: [jumps]\n" + pipeline.read_text() + jumps)
    report = sl.run(pipeline, sources={"telemetry": telemetry()}, out=page / "run")
    assert report.decisions["jump raised issued"] == 1  # when the battery comes back


def test_the_site_of_the_readme_has_nothing_wrong(page):
    block = next(b for b in re.findall(r"```yaml\n(.*?)```", README, re.DOTALL) if "use: site" in b)
    (page / "site.yaml").write_text(block)
    assert sorted(sl.load_pipeline(page / "site.yaml").cameras) == ["east"]


def test_the_python_of_the_readme_runs(page, monkeypatch):
    block = next(b for b in re.findall(r"```python\n(.*?)```", README, re.DOTALL) if "sl.run" in b)
    monkeypatch.chdir(page)
    names = {
        "table": telemetry(),
        "boxes": np.array([[10.0, 20, 40, 100]]),
        "scores": np.array([0.9]),
    }
    exec(block, names)
    assert names["report"].decisions["low raised issued"] == 1
    assert names["found"].scores.height == 2400
    assert names["ids"].tolist() == [-1]
