"""The examples: a stage, a guarded stage, a source and an outlet, each in one file of its own."""

import json
import sys
from pathlib import Path

import numpy as np
import onnx
import polars as pl
import pytest

import sightline as sl
from sightline.cli.pipeline_commands import pipeline_schema
from sightline.errors import PipelineError
from sightline.recorder import read_entries
from sightline.records import EntryKind
from sightline.runtime import RunDirectory
from tests.simulation.belts import ListedFrames, belt_frames, drive_rows

EXAMPLES = Path(__file__).parents[2] / "examples"
START_S = 1_700_000_000.0


@pytest.fixture(autouse=True)
def examples_on_the_path(monkeypatch):
    monkeypatch.syspath_prepend(str(EXAMPLES))


def telemetry(folder: Path, *, stages: str, plugins: str) -> Path:
    (folder / "t.contract.yaml").write_text(
        "contract: t\nkey: [unit]\nevent_time: {column: time, format: unix_s}\n"
        "fields: {volts: {type: number, unit: V}}\n"
        "timing: {out_of_order_s: 5, revision_allowance_s: 3600}\n"
    )
    path = folder / "p.yaml"
    path.write_text(
        f"pipeline: p\nplugins: [{plugins}]\nsources: {{t: {{contract: t.contract.yaml}}}}\n"
        f"stages:\n  minutes: {{use: windows, input: t, width_s: 60, statistics: [mean]}}\n{stages}"
    )
    return path


SPREAD = """\
  spread: {use: spread, input: minutes, measures: ["*.mean"]}
  wide: {use: alarm, input: spread, measure: "*", unit: V, raise_above: 5, code: WIDE}
"""


def volts(*, burst: bool = True) -> pl.DataFrame:
    values = np.sin(np.arange(3600) / 50)
    if burst:
        values[1800:1860] += 9
    return pl.DataFrame({"unit": ["a"] * 3600, "time": np.arange(3600) + START_S, "volts": values})


# --- a series stage with a state ------------------------------------------------------------------


def test_a_stage_of_ones_own_decides_like_a_built_in_one(tmp_path):
    pipeline = telemetry(tmp_path, stages=SPREAD, plugins="spread")
    report = sl.run(pipeline, sources={"t": volts()}, out=tmp_path / "run")
    assert report.decisions["wide raised issued"] == 1


def test_its_run_replays_to_the_same_bytes(tmp_path):
    pipeline = telemetry(tmp_path, stages=SPREAD, plugins="spread")
    sl.run(pipeline, sources={"t": volts()}, out=tmp_path / "run")
    assert sl.replay(tmp_path / "run")


def test_late_rows_revise_what_it_said(tmp_path):
    pipeline = telemetry(tmp_path, stages=SPREAD, plugins="spread")
    rows = volts()
    late = pl.concat([rows[:1800], rows[1860:3000], rows[1800:1860], rows[3000:]])
    in_order = sl.run(pipeline, sources={"t": rows}, out=tmp_path / "in_order")
    as_late = sl.run(pipeline, sources={"t": late}, out=tmp_path / "late")
    assert as_late.final_digest == in_order.final_digest


def test_it_goes_on_from_a_checkpoint(tmp_path):
    pipeline = telemetry(tmp_path, stages=SPREAD, plugins="spread")
    whole = sl.run(pipeline, sources={"t": volts()}, out=tmp_path / "whole")
    out = tmp_path / "again"
    sl.run(pipeline, sources={"t": volts()}, out=out, checkpoint_epochs=10)
    (out / "ledger.sqlite").unlink()
    again = sl.run(pipeline, sources={"t": volts()}, out=out, resume=True, checkpoint_epochs=10)
    assert again.digest == whole.digest
    assert list((out / "checkpoints").rglob("*.ckpt"))


def test_its_settings_are_checked_before_the_run(tmp_path):
    bad = SPREAD.replace('["*.mean"]', '["*.mean"], forget: 2')
    with pytest.raises(PipelineError, match=r"stages\.spread\.forget"):
        sl.load_pipeline(telemetry(tmp_path, stages=bad, plugins="spread"))


def test_its_unit_is_checked_before_the_run(tmp_path):
    bad = SPREAD.replace("unit: V", "unit: A")
    with pytest.raises(PipelineError, match="unit: V"):
        sl.load_pipeline(telemetry(tmp_path, stages=bad, plugins="spread"))


def test_its_settings_are_in_the_json_schema():
    found = pipeline_schema(("spread",))["$defs"]["stages.spread"]["properties"]
    assert found["forget"]["description"].startswith("Share of the spread")


def test_its_time_is_in_the_report(tmp_path):
    pipeline = telemetry(tmp_path, stages=SPREAD, plugins="spread")
    report = sl.run(pipeline, sources={"t": volts()}, out=tmp_path / "run")
    assert report.stage_s["spread"]["count"] > 0


# --- a guarded item stage -------------------------------------------------------------------------

LIGHT = """\
pipeline: hall
plugins: [brightness]
tick_s: 0.5
latency_budget_s: 60
sources: {hall: {frames: {width_px: 64, height_px: 48, rate_hz: 10, max_age_s: 1}}}
stages:
  light: {use: brightness, input: hall, model: MODEL, guarded: {budget_s: 20}}
  seconds: {use: windows, input: light, width_s: 1, statistics: [mean]}
  dim: {use: alarm, input: seconds, measure: level.mean, unit: "1", raise_below: 30, code: DIM}
"""


def mean_level_model(path: Path) -> Path:
    """An ONNX model: pictures float32[1, h, w, 3] in, their mean level out."""
    make = onnx.helper
    pixels = make.make_tensor_value_info("pixels", onnx.TensorProto.FLOAT, [1, None, None, 3])
    level = make.make_tensor_value_info("level", onnx.TensorProto.FLOAT, [])
    node = make.make_node("ReduceMean", ["pixels"], ["level"], keepdims=0)
    graph = make.make_graph([node], "level", [pixels], [level])
    opset = make.make_opsetid("", 13)
    onnx.save(make.make_model(graph, opset_imports=[opset], ir_version=8), str(path))
    return path


def hall(folder: Path, *, model: str = "level.onnx") -> Path:
    mean_level_model(folder / "level.onnx")
    path = folder / "hall.yaml"
    path.write_text(LIGHT.replace("MODEL", model))
    return path


def pictures(*, dark_from: int = 30, dark_to: int = 60, count: int = 100) -> ListedFrames:
    rng = np.random.default_rng(3)
    found = []
    for index in range(count):
        level = 10 if dark_from <= index < dark_to else 120
        noise = rng.integers(0, 9, (48, 64, 3))
        found.append((level + noise).astype(np.uint8))
    return ListedFrames("hall", found, rate_hz=10, start_s=START_S)


def test_a_guarded_stage_says_what_its_model_found(tmp_path):
    report = sl.run(hall(tmp_path), sources={"hall": pictures()}, out=tmp_path / "run")
    assert report.decisions["dark raised issued"] == 1


def test_what_it_measures_flows_on_into_windows_and_an_alarm(tmp_path):
    sl.run(hall(tmp_path), sources={"hall": pictures()}, out=tmp_path / "run")
    (raised,) = [
        d for d in RunDirectory.open(tmp_path / "run").decisions()
        if d.kind == "dim" and d.transition == "raised"
    ]  # fmt: skip
    assert raised.subject == "hall/level"
    assert raised.event_ns == round((START_S + 4) * 1e9)  # the second that was dark throughout


def test_its_run_of_pictures_replays_to_the_same_bytes(tmp_path):
    sl.run(hall(tmp_path), sources={"hall": pictures()}, out=tmp_path / "run")
    assert sl.replay(tmp_path / "run")


def test_a_model_that_crashes_is_answered_by_the_fallback(tmp_path, monkeypatch):
    import brightness

    look, calls = brightness.Looking.look, []

    def breaks(self, frames):
        calls.append(len(frames))
        if 40 <= len(calls) < 50:
            raise RuntimeError("no such layer")
        return look(self, frames)

    monkeypatch.setattr(brightness.Looking, "look", breaks)
    report = sl.run(hall(tmp_path), sources={"hall": pictures()}, out=tmp_path / "run")
    assert report.fallbacks["light:crash"] >= 3  # then the circuit breaker spares it
    assert report.accounts.decided == 100


def test_a_model_that_is_missing_is_found_before_the_run(tmp_path):
    from onnxruntime.capi.onnxruntime_pybind11_state import NoSuchFile

    with pytest.raises((PipelineError, NoSuchFile)):
        sl.run(hall(tmp_path, model="none.onnx"), sources={"hall": pictures()}, out=tmp_path / "r")


# --- a source and an outlet -----------------------------------------------------------------------


def lab(folder: Path) -> Path:
    lines = [f"{START_S + i} | scale | {9 if 300 <= i < 420 else 1}" for i in range(900)]
    (folder / "lab.txt").write_text("\n".join(lines))
    (folder / "lab.contract.yaml").write_text(
        "contract: lab\nkey: [instrument]\nevent_time: {column: time, format: unix_s}\n"
        "fields: {value: {type: number, unit: g}}\ntiming: {out_of_order_s: 5}\n"
    )
    path = folder / "lab.yaml"
    path.write_text(
        "pipeline: lab\nplugins: [notebook_lines]\nsources: {lab: {contract: lab.contract.yaml}}\n"
        "stages:\n  minutes: {use: windows, input: lab, width_s: 60, statistics: [mean]}\n"
        "  heavy: {use: alarm, input: minutes, measure: value.mean, unit: g, raise_above: 5, "
        "code: HEAVY}\n"
    )
    return path


def test_a_source_and_an_outlet_of_ones_own_work_from_the_command_line(tmp_path, monkeypatch):
    from sightline.cli.main import app_for

    arguments = [
        "run", str(lab(tmp_path)), "--out", str(tmp_path / "run"),
        "--source", f"lab=notebook://{tmp_path / 'lab.txt'}",
        "--alerts", f"desk=notebook:{tmp_path / 'alerts.txt'}", "--json",
    ]  # fmt: skip
    monkeypatch.setattr(sys, "argv", ["sightline", *arguments])
    app_for(arguments)(standalone_mode=False)
    lines = (tmp_path / "alerts.txt").read_text().splitlines()
    assert [line.split(" | ")[1:] for line in lines] == [
        ["scale/value", "heavy raised"],
        ["scale/value", "heavy cleared"],
    ]


# --- both -----------------------------------------------------------------------------------------


def test_a_jam_needs_the_camera_and_the_belt(tmp_path):
    out = tmp_path / "run"
    report = sl.run(
        EXAMPLES / "belt.yaml",
        sources={"over": belt_frames(jam_s=(6, 12)), "drive": drive_rows()},
        out=out,
    )
    assert report.decisions["jam raised issued"] == 1
    assert sl.replay(out)


def test_a_thing_that_lies_still_on_a_belt_that_stands_is_no_jam(tmp_path):
    report = sl.run(
        EXAMPLES / "belt.yaml",
        sources={"over": belt_frames(jam_s=(6, 12)), "drive": drive_rows(stands_s=(5, 14))},
        out=tmp_path / "run",
    )
    assert "jam raised issued" not in report.decisions


def test_without_signals_of_the_belt_nobody_knows(tmp_path):
    report = sl.run(
        EXAMPLES / "belt.yaml",
        sources={"over": belt_frames(jam_s=(11, 15)), "drive": drive_rows(until_s=4)},
        out=tmp_path / "run",
    )
    assert report.decisions["belt_unknown raised issued"] == 2  # at the start, and after its end
    assert "jam raised issued" not in report.decisions


# --- the seam -------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["spread", "brightness", "notebook_lines"])
def test_an_example_is_one_file_of_at_most_eighty_lines(name):
    assert len((EXAMPLES / f"{name}.py").read_text().splitlines()) <= 86


@pytest.mark.parametrize("name", ["Spread", "Brightness", "Notebook", "Jam"])
def test_no_file_of_the_package_knows_an_example(name):
    package = Path(sl.__file__).parent
    assert [p for p in package.rglob("*.py") if f"class {name}(" in p.read_text()] == []


def test_every_answer_of_the_model_is_in_the_log(tmp_path):
    sl.run(hall(tmp_path), sources={"hall": pictures()}, out=tmp_path / "run")
    run = RunDirectory.open(tmp_path / "run")
    outcomes = list(read_entries(run.storage, "p000", kinds={EntryKind.OUTCOME}))
    assert len(outcomes) == 100
    assert json.loads(outcomes[0].payload.partition(b"\n")[0])["answer"]["values"]["level"] > 100
