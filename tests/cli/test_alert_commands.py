"""``sightline alerts`` and ``sightline alert``, and plans with mistakes in the section."""

import json
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from sightline.cli.alert_commands import parse_until
from sightline.cli.main import app_for
from sightline.cli.sources import parse_controls
from sightline.errors import PipelineError, UsageError
from sightline.runtime import Pipeline, load_plan, make_plan
from simulation.alerting_runs import CONTRACT, PIPELINE, at, fleet_plan, fleet_rows, names

SAT = "sat-001"


def sightline(*arguments):
    given = [str(a) for a in arguments]
    return CliRunner().invoke(app_for(given), given)


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """A pipeline file with its contract, table of subjects, rows and operator inputs; a run."""
    folder = tmp_path_factory.mktemp("project")
    (folder / "fleet.contract.yaml").write_text(yaml.safe_dump(dict(CONTRACT)))
    table = {name: {"gateway": f"g-{i % 2}"} for i, name in enumerate(names(12))}
    (folder / "gateways.yaml").write_text(yaml.safe_dump(table))
    section = {"hold_s": 20, "by": ["gateway"], "subjects_file": "gateways.yaml"}
    write_pipeline(folder, section)
    quiet = {n: (200, 300) for i, n in enumerate(names(12)) if i % 2}
    fleet_rows(quiet=quiet, high={"sat-004": [(60, 400)]}).write_parquet(folder / "rows.parquet")
    mask = {"control": "mask", "subject": "sat-002", "from_ns": at(0), "until_ns": at(9000),
            "reason": "antenna"}  # fmt: skip
    (folder / "controls.jsonl").write_text(json.dumps(mask) + "\n")
    done = sightline(
        "run", folder / "fleet.yaml", "--source", f"t={folder / 'rows.parquet'}", "--out",
        folder / "run", "--control", folder / "controls.jsonl", "--alerts",
        f"jsonl:{folder / 'told.jsonl'}",
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    (folder / "summary.txt").write_text(done.output)
    return folder


def write_pipeline(folder: Path, section):
    sources = {"t": {"contract": "fleet.contract.yaml"}}
    plain = {**PIPELINE, "sources": sources, "alerting": section}
    (folder / "fleet.yaml").write_text(yaml.safe_dump(json.loads(json.dumps(plain))))


def test_the_summary_of_a_run_says_what_was_told(project):
    text = (project / "summary.txt").read_text()
    assert "raised 7 = told 7" in text
    assert "alert 1, group 1" in text


def test_a_file_gets_the_messages(project):
    lines = [json.loads(line) for line in (project / "told.jsonl").read_text().splitlines()]
    assert [(m["kind"], m["subject"], m["count"]) for m in lines] == [
        ("alert", "sat-004/value", 1),
        ("group", "gateway=g-1", 6),
    ]
    assert lines[1]["text"].startswith("2026-01-01T00:")


def test_a_message_says_what_was_measured_since_when_and_how_to_ask_why(project):
    alert = json.loads((project / "told.jsonl").read_text().splitlines()[0])
    decision, measured = alert["named"][0][:8], alert["measured"][0]
    assert f"{measured['value']:.4g} (threshold {measured['threshold']:.4g})" in alert["text"]
    assert " since 2026-01-01T00:0" in alert["text"]
    assert alert["text"].endswith(f"sightline explain RUN {decision}")
    assert sightline("explain", project / "run", decision, "--quick").exit_code == 0


def test_an_alarm_that_does_not_stand_cannot_be_acknowledged(project):
    done = sightline("alert", "acknowledge", project / "run", "sat-04/value")
    assert isinstance(done.exception, UsageError)
    assert "sat-004/value" in done.exception.expected
    assert not list((project / "run" / "controls").glob("*.json"))


def test_times_of_operator_inputs_can_be_dates(tmp_path):
    lines = [
        {"control": "mask", "subject": "a", "from": "2026-01-01T00:00:00Z", "until_ns": at(60)},
        {"control": "contacts", "source": "t", "contacts": [
            {"key": "a", "start": "2026-01-01T00:00:00", "end": "2026-01-01T01:00:00+01:00"}]},
    ]  # fmt: skip
    path = tmp_path / "controls.jsonl"
    path.write_text("\n".join(map(json.dumps, lines)))
    mask, contacts = parse_controls([path])
    assert (mask["from_ns"], mask["until_ns"]) == (at(0), at(60))
    assert contacts["contacts"] == [{"key": "a", "start_ns": at(0), "end_ns": at(0)}]


def test_a_time_of_an_operator_input_that_is_none_is_named(tmp_path):
    path = tmp_path / "controls.jsonl"
    path.write_text(json.dumps({"control": "shelve", "subject": "a", "until": "noon"}))
    with pytest.raises(UsageError, match="noon"):
        parse_controls([path])


def test_standing_alarms_masks_and_sums_are_shown(project):
    found = json.loads(sightline("alerts", project / "run", "--json").output)
    standing = {row["subject"]: row for row in found["standing"]}
    assert standing["sat-004/value"]["state"] == "unacknowledged"
    assert standing["sat-004/value"]["message_id"] == "desk-1"
    assert standing["sat-001"]["message_id"] == "desk-2"
    assert [(h["subject"], h["reason"]) for h in found["hidden"]] == [("sat-002", "antenna")]
    assert found["raised"] == sum(found["fates"].values()) == 7
    text = sightline("alerts", project / "run").output
    assert "unacknowledged" in text
    assert "until 2026-01-01T02:30:00Z: antenna" in text
    assert "raised 7 = told 7" in text


def test_the_report_of_the_log_says_the_same(project):
    found = json.loads(sightline("report", project / "run", "--json").output)
    assert found["alerting"] == {
        "raised": 7, "fates": {"told": 7}, "messages": {"alert": 1, "group": 1},
    }  # fmt: skip
    assert "raised 7 = told 7" in sightline("report", project / "run").output


def test_a_finished_run_takes_no_acknowledgement_and_says_so(project):
    done = sightline("alert", "acknowledge", project / "run", SAT)
    assert isinstance(done.exception, UsageError)
    assert "a run that has ended" in done.exception.got


def test_the_run_replays_and_verifies(project):
    assert sightline("replay", project / "run").exit_code == 0
    assert sightline("verify", project / "run").exit_code == 0


def test_the_table_of_subjects_is_in_the_plan_and_so_in_the_run(project):
    form = load_plan(project / "fleet.yaml").pipeline.alerting
    assert form.subjects["sat-003"] == {"gateway": "g-1"}
    assert form.subjects_file is None


@pytest.mark.parametrize(
    ("section", "problem"),
    [
        ({"by": ["gatewa"]}, "write 'gateway'"),
        ({"digest_by": "colour"}, "alerting.by"),
        ({"latching": ["HIHG"]}, "write 'HIGH'"),
        ({"storm": {"max_messages": 2, "calm_below": 5}}, "calm_below"),
        ({"subjects_file": "x.yaml"}, "read from its file"),
        ({"stages": {"silent": {"code": "HIGH"}}}, "a code of its own"),
    ],
)
def test_a_mistake_in_the_section_is_found_before_the_run(section, problem):
    with pytest.raises(PipelineError, match=problem):
        fleet_plan(**section)


def test_a_missing_table_of_subjects_is_named(project, tmp_path):
    (tmp_path / "fleet.contract.yaml").write_text(yaml.safe_dump(dict(CONTRACT)))
    write_pipeline(tmp_path, {"subjects_file": "none.yaml"})
    with pytest.raises(PipelineError, match=r"none\.yaml"):
        load_plan(tmp_path / "fleet.yaml")


def test_without_the_section_a_plan_has_the_digest_it_had():
    with_none = fleet_plan(name=None)
    plain = {**PIPELINE, "stages": dict(PIPELINE["stages"])}
    assert "alerting" not in plain
    never = make_plan(Pipeline.model_validate(plain), with_none.contracts)
    assert with_none.digest == never.digest
    assert not with_none.has_fan_in
    assert fleet_plan().digest != with_none.digest


def test_an_end_can_be_a_date_or_a_time_from_now():
    assert parse_until("90s", now_ns=5) == 90_000_000_005
    assert parse_until("2026-01-01T00:00:00Z", now_ns=0) == at(0)
    with pytest.raises(UsageError):
        parse_until("soon", now_ns=0)
