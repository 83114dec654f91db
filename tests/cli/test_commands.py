"""The commands as a user types them: output, files and exit codes."""

import contextlib
import io
import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import polars as pl
import pytest
import yaml

from sightline.cli import main

CONTRACT = """
contract: readings
key: [sensor]
event_time: {column: time, format: iso8601}
fields:
  level: {type: number, unit: m, range: [0, 10]}
timing: {out_of_order_s: 0, revision_allowance_s: 60}
silence: {timeout_s: 120}
"""
PIPELINE = """
pipeline: tank
tick_s: 60
sources: {readings: {contract: readings.contract.yaml}}
stages:
  minute: {use: windows, input: readings, width_s: 60, statistics: [count, mean, max]}
  full: {use: alarm, input: minute, measure: level.max, unit: m, raise_above: 8, clear_below: 5,
         code: TANK_FULL, severity: critical}
"""


def sightline(*arguments, stdin=None):
    """Run the command as its process does, in this one unless it is given standard input."""
    arguments = ["sightline", *map(str, arguments)]
    if stdin is not None:
        return subprocess.run(
            [sys.executable, "-c", "from sightline.cli import main; main()", *arguments[1:]],
            capture_output=True,
            text=True,
            input=stdin,
            timeout=120,
            check=False,
        )
    out, err, code = io.StringIO(), io.StringIO(), None
    with (
        pytest.MonkeyPatch.context() as patch,
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
    ):
        patch.setattr(sys, "argv", arguments)
        try:
            main.__wrapped__()  # without the end of the process
        except SystemExit as leave:
            code = leave.code
    return SimpleNamespace(returncode=code or 0, stdout=out.getvalue(), stderr=err.getvalue())


def readings(levels):
    lines = ["sensor,time,level"]
    for minute, level in enumerate(levels):
        lines.append(f"a,2026-01-01T00:{minute:02d}:30Z,{level}")
    return "\n".join(lines) + "\n"


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    folder = tmp_path_factory.mktemp("project")
    (folder / "readings.contract.yaml").write_text(CONTRACT)
    (folder / "tank.yaml").write_text(PIPELINE)
    (folder / "readings.csv").write_text(readings([1, 2, 9, 9, 3, 1, 77, "wet", 1, 1]))
    done = sightline(
        "run",
        folder / "tank.yaml",
        "--source",
        f"readings={folder / 'readings.csv'}",
        "--out",
        folder / "run",
        "--alerts",
        f"jsonl:{folder / 'alerts.jsonl'}",
        "--json",
    )
    assert done.returncode == 0, done.stderr
    (folder / "report.json").write_text(done.stdout)
    return folder


def test_a_run_reports_where_every_row_went(project):
    accounts = json.loads((project / "report.json").read_text())["accounts"]
    assert (accounts["received"], accounts["decided"]) == (10, 8)
    assert accounts["quarantined"] == {"RANGE": 1, "SCHEMA": 1}
    assert accounts["balanced"]


def test_alerts_reach_the_sink(project):
    said = [json.loads(line) for line in (project / "alerts.jsonl").read_text().splitlines()]
    assert [(d["kind"], d["transition"]) for d in said] == [("full", "raised"), ("full", "cleared")]


def test_standard_input_is_a_source(project, tmp_path):
    rows = pl.read_csv(project / "readings.csv", infer_schema_length=0).write_ndjson()
    done = sightline(
        "run",
        project / "tank.yaml",
        "--source",
        "readings=-",
        "--out",
        tmp_path / "run",
        "--json",
        stdin=rows,
    )
    assert done.returncode == 0, done.stderr
    first = json.loads((project / "report.json").read_text())
    assert json.loads(done.stdout)["digest"] == first["digest"]


def test_a_replay_of_the_same_bytes_exits_with_zero(project):
    done = sightline("replay", project / "run", "--json")
    assert (done.returncode, json.loads(done.stdout)["identical"]) == (0, True)


def test_a_comparison_that_differs_exits_with_one_and_names_the_stage(project, tmp_path):
    changed = yaml.safe_load(PIPELINE)
    changed["stages"]["full"]["raise_above"] = 8.5
    changed["stages"]["full"]["clear_below"] = 2.5
    changed["sources"]["readings"]["contract"] = str(project / "readings.contract.yaml")
    (tmp_path / "tank.yaml").write_text(yaml.safe_dump(changed, sort_keys=False))
    run = sightline(
        "run",
        tmp_path / "tank.yaml",
        "--source",
        f"readings={project / 'readings.csv'}",
        "--out",
        tmp_path / "run",
        "--json",
    )
    assert run.returncode == 0, run.stderr
    done = sightline("replay", project / "run", "--against", tmp_path / "run")
    assert done.returncode == 1
    assert "stage 'full' differs first" in done.stdout


def test_verify_prints_the_equation(project):
    done = sightline("verify", project / "run")
    assert done.returncode == 0
    assert "received 10 = decided 8" in done.stdout


def test_verify_finds_a_flipped_byte(project, tmp_path):
    import shutil

    copy = tmp_path / "run"
    shutil.copytree(project / "run", copy)
    segment = next(copy.glob("log/p000/*.mcap"))
    data = bytearray(segment.read_bytes())
    at = data.index(b"TANK_FULL")
    data[at] ^= 1
    segment.write_bytes(bytes(data))
    done = sightline("verify", copy)
    assert (done.returncode, "broken" in done.stdout) == (1, True)


def test_explain_says_why_and_draws_it(project, tmp_path):
    said = json.loads((project / "alerts.jsonl").read_text().splitlines()[0])
    done = sightline(
        "explain", project / "run", said["decision_id"][:8], "--svg", tmp_path / "why.svg"
    )
    assert done.returncode == 0, done.stderr
    assert "TANK_FULL: level.max 9 m, threshold 8 m" in done.stdout
    assert "⠀" in done.stdout
    assert (tmp_path / "why.svg").read_text().startswith("<svg")


def test_an_unknown_decision_is_a_usage_error(project):
    done = sightline("explain", project / "run", "zzzz")
    assert (done.returncode, "the id of one decision" in done.stderr) == (2, True)


def test_quarantine_lists_rows_with_reason_and_place(project):
    done = sightline("quarantine", project / "run", "--json")
    sample = {r["reason"]: r for r in json.loads(done.stdout)["sample"]}
    assert (sample["RANGE"]["_row"], sample["SCHEMA"]["_row"]) == (6, 7)


def test_refused_rows_can_be_fed_in_again_under_a_wider_contract(project, tmp_path):
    (tmp_path / "wide.yaml").write_text(CONTRACT.replace("[0, 10]", "[0, 100]"))
    done = sightline(
        "quarantine",
        project / "run",
        "--feed-again",
        tmp_path / "wide.yaml",
        "--out",
        tmp_path / "again",
        "--json",
    )
    assert done.returncode == 0, done.stderr
    accounts = json.loads(done.stdout)["accounts"]
    assert (accounts["received"], accounts["decided"]) == (2, 1)


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["run", "absent.yaml", "--out", "x"], 4, "No such file"),
        (["run", "tank.yaml", "--out", "x"], 5, "sources readings"),
        (["run", "tank.yaml", "--source", "other=x", "--out", "x"], 2, "once for each of readings"),
        (["run", "tank.yaml", "--source", "readings=absent.csv", "--out", "x"], 5, "absent.csv"),
        (["run", "tank.yaml", "--source", "readings=readings.csv", "--out", "run"], 2, "--resume"),
        (["run", "tank.yaml", "--out", "x", "--speed", "fast"], 2, "60x"),
        (["replay", "absent"], 6, "a run directory"),
        (["verify", "."], 6, "run.json"),
        (["schema", "nonsense"], 2, "sightline schema -h"),
    ],
)
def test_each_mistake_has_its_exit_code_and_says_what_to_do(
    project, monkeypatch, arguments, code, says
):
    monkeypatch.chdir(project)
    done = sightline(*arguments)
    assert (done.returncode, says in done.stderr + done.stdout) == (code, True), done.stderr
    assert "Traceback" not in done.stderr


def test_a_manifest_that_does_not_fit_is_a_log_error(project, tmp_path):
    manifest = json.loads((project / "run" / "run.json").read_text())
    manifest["plan"]["contracts"]["readings"]["nonsense"] = 1
    (tmp_path / "run.json").write_text(json.dumps(manifest))
    done = sightline("verify", tmp_path)
    assert (done.returncode, "Traceback" in done.stderr) == (6, False)


def test_schemas_are_printed_for_editors():
    assert json.loads(sightline("schema", "contract").stdout)["title"] == "Contract"


def test_the_demo_writes_report_alerts_and_picture(tmp_path):
    done = sightline(
        "demo",
        "--out",
        tmp_path / "demo",
        "--speed",
        "max",
        "--minutes",
        12,
        "--satellites",
        12,
        "--past-days",
        0,
        "--json",
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["accounts"]["balanced"]
    page = (tmp_path / "demo" / "report.html").read_text()
    assert "received" in page
    assert "<script" not in page
    assert (tmp_path / "demo" / "alert.svg").exists()
    assert Path(tmp_path / "demo" / "alerts.jsonl").stat().st_size > 0
