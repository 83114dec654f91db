"""Stages of one's own beside those that Sightline brings."""

import json
import os
import sys

import polars as pl
import pytest

from sightline.cli.runs import open_run
from sightline.errors import LogError, PipelineError
from sightline.runtime import RunDirectory, RunOptions, load_plan, run_pipeline
from sightline.runtime.pipeline import load_pipeline, parse_pipeline
from sightline.runtime.run_directory import _manifest_text
from sightline.sense import MemorySource
from simulation.live_runs import plan as live_plan
from simulation.live_runs import reading
from simulation.site_cases import camera

PIPELINE = """
pipeline: p
plugins: [{module}]
sources: {{t: {{contract: t.yaml}}}}
stages:
  w: {{use: windows, input: t, width_s: 60}}
"""
STAGE = """
from sightline.runtime.stage import Stage

class Own(Stage):
    use = "{use}"
"""


def write(folder, *, module, use):
    (folder / f"{module}.py").write_text(STAGE.format(use=use))
    path = folder / "p.yaml"
    path.write_text(PIPELINE.format(module=module))
    return path


def test_a_stage_of_a_plugin_beside_the_pipeline_file_is_found(tmp_path):
    path = write(tmp_path, module="own_stage_that_is_found", use="found")
    path.write_text(path.read_text() + "  own: {use: found, input: w}\n")
    assert load_pipeline(path).stages["own"].use == "found"


def test_two_stages_of_one_name_are_refused_and_both_are_named(tmp_path):
    path = write(tmp_path, module="own_stage_called_windows", use="windows")
    with pytest.raises(PipelineError, match="one stage called 'windows'") as caught:
        load_pipeline(path)
    assert "sightline.runtime.stages.windows:WindowsStage" in caught.value.got
    assert "own_stage_called_windows:Own" in caught.value.got


def test_a_key_that_is_given_twice_in_a_pipeline_file_is_refused_with_its_lines(tmp_path):
    path = tmp_path / "p.yaml"
    path.write_text(
        "pipeline: p\n"
        "sources: {t: {contract: t.yaml}}\n"
        "stages:\n"
        "  w: {use: windows, input: t, width_s: 60}\n"
        "  w: {use: presence, input: t, width_s: 10}\n"
    )
    with pytest.raises(PipelineError, match="each key once") as caught:
        load_pipeline(path)
    assert "line 5" in caught.value.where
    assert "first in line 4" in caught.value.got


def test_a_stage_that_is_not_installed_is_named_with_its_place():
    plain = {"pipeline": "p", "sources": {}, "stages": {"x": {"use": "nowhere"}}}
    with pytest.raises(PipelineError, match=r"stages\.x\.use"):
        parse_pipeline(plain, where="p.yaml")


# --- plugins beside a pipeline file ---------------------------------------------------------------


def test_a_plugin_beside_another_pipeline_of_the_same_name_is_refused(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    module = "own_stage_of_two_folders"
    load_pipeline(write(tmp_path / "a", module=module, use="of_two_folders"))
    second = write(tmp_path / "b", module=module, use="of_two_folders")
    with pytest.raises(PipelineError, match="the module beside the pipeline file") as caught:
        load_pipeline(second)
    assert str(tmp_path / "a" / f"{module}.py") in caught.value.got


def test_two_pipelines_in_one_folder_share_its_plugin(tmp_path):
    path = write(tmp_path, module="own_stage_of_one_folder", use="of_one_folder")
    other = tmp_path / "other.yaml"
    other.write_text(path.read_text())
    assert load_pipeline(path).plugins == load_pipeline(other).plugins


LOOKING = """
from sightline.runtime.item_stage import ItemStage
from sightline.runtime.settings import GuardSettings, ItemSettings

class BrightSettings(ItemSettings):
    guarded: GuardSettings

class Bright(ItemStage):
    use = "bright"
    Settings = BrightSettings
    looks = True
    finds = ("level",)

    def look(self, frames):
        return [{"level": float(frame.pixels.mean())} for frame in frames]

    def on_item(self, turn):
        found = turn.found
        if found is not None:
            turn.flag("BRIGHT", when=True, value=found["level"], threshold=0.0, unit="1")
"""
CAMERA_PIPELINE = """
pipeline: p
plugins: [own_stage_in_a_process]
latency_budget_s: 30
sources:
  east: {frames: {width_px: 320, height_px: 240, rate_hz: 10, max_age_s: 1}}
stages:
  bright: {use: bright, input: east, guarded: {budget_s: 20, run_on: process}}
"""


def test_a_stage_of_a_plugin_beside_the_file_looks_in_a_process_of_its_own(tmp_path):
    (tmp_path / "own_stage_in_a_process.py").write_text(LOOKING)
    path = tmp_path / "p.yaml"
    path.write_text(CAMERA_PIPELINE)
    report = run_pipeline(
        load_plan(path),
        {"east": camera(seconds=1)},
        tmp_path / "run",
        options=RunOptions(durable=False),
    )
    assert report.fallbacks == {}
    assert report.decisions == {"bright raised issued": 1}


SERIES = """
import numpy as np
from sightline.runtime.settings import SeriesSettings
from sightline.runtime.stage import Stage

class DoubledSettings(SeriesSettings):
    measures: tuple[str, ...]

class Doubled(Stage):
    use = "doubled"
    Settings = DoubledSettings

    def compute(self, windows):
        return np.stack([2 * windows.values(m) for m in windows.step.reads], axis=1)
"""
ROW_PIPELINE = """
pipeline: p
plugins: [own_stage_in_a_worker]
partitions: 2
sources: {t: {contract: t.yaml}}
stages:
  w: {use: windows, input: t, width_s: 10, statistics: [mean]}
  twice: {use: doubled, input: w, measures: [v.mean]}
  high: {use: alarm, input: twice, measure: twice.v, unit: V, raise_above: 15, code: HIGH}
"""
CONTRACT = """
contract: t
key: [k]
event_time: {column: at, format: unix_ns}
fields: {v: {type: number, unit: V}}
"""


def test_a_stage_of_a_plugin_beside_the_file_runs_in_worker_processes(tmp_path):
    (tmp_path / "own_stage_in_a_worker.py").write_text(SERIES)
    (tmp_path / "t.yaml").write_text(CONTRACT)
    path = tmp_path / "p.yaml"
    path.write_text(ROW_PIPELINE)
    at_ns = [10**18 + i * 10**9 for i in range(100)]
    rows = pl.DataFrame({"k": ["a", "b"] * 50, "at": at_ns, "v": [10.0] * 100})
    report = run_pipeline(
        load_plan(path),
        {"t": MemorySource("t", {"t": rows})},
        tmp_path / "run",
        options=RunOptions(durable=False, workers=2),
    )
    assert report.decisions == {"high raised issued": 2}


# --- run directories that somebody sent -----------------------------------------------------------


@pytest.fixture
def received(tmp_path, monkeypatch):
    """A run directory that names a module which Python would find, and which says when it runs."""
    out, elsewhere = tmp_path / "run", tmp_path / "elsewhere"
    rows = reading(1.0)
    run_pipeline(
        live_plan(), {"t": MemorySource("t", {"t": rows})}, out, options=RunOptions(durable=False)
    )
    elsewhere.mkdir()
    (elsewhere / "sent_by_somebody.py").write_text("import os; os.environ['WAS_RUN'] = '1'\n")
    monkeypatch.syspath_prepend(elsewhere)
    monkeypatch.setenv("WAS_RUN", "0")
    monkeypatch.delitem(sys.modules, "sent_by_somebody", raising=False)
    given = json.loads(json.dumps(RunDirectory.open(out).given))
    given["plan"]["pipeline"]["plugins"] = ["sent_by_somebody"]
    state = json.loads((out / "run.json").read_bytes())["state"]
    (out / "run.json").write_bytes(_manifest_text(given, state))
    return out


@pytest.mark.parametrize("trusted", [(), ("another_module",)])
def test_a_received_run_has_nothing_imported_that_its_reader_did_not_name(received, trusted):
    with pytest.raises(LogError, match="sent_by_somebody"):
        RunDirectory.open(received, plugins=trusted, has_logs=False)
    assert os.environ["WAS_RUN"] == "0"


def test_a_plugin_of_a_received_run_may_be_trusted_by_name(received):
    RunDirectory.open(received, plugins=["sent_by_somebody"], has_logs=False)
    assert os.environ["WAS_RUN"] == "1"


def test_a_folder_of_plugins_may_be_trusted_for_every_command(received, monkeypatch):
    monkeypatch.setenv("SIGHTLINE_PLUGINS", str(received.parent / "elsewhere"))
    open_run(received, has_logs=False)
    assert os.environ["WAS_RUN"] == "1"
