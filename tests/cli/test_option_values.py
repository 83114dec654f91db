"""Options of ``sightline run``: inputs from files that grow, and secrets that are never printed."""

import json
import os
import time
from pathlib import Path

import pytest

from sightline.cli.outlets import parse_actuators
from sightline.cli.run_command import _followed
from sightline.cli.sources import open_sources
from sightline.errors import UsageError
from sightline.limits import Limits
from simulation.site_cases import plan_of, yard

PRESS = {"control": "reset", "machine": "saw", "is_down": True}


def without_ids(controls):
    return [{k: v for k, v in control.items() if k != "id"} for control in controls]


def test_operator_inputs_are_read_from_a_file_that_grows(tmp_path):
    path = tmp_path / "controls.jsonl"
    newest = _followed([path])
    assert newest() == []
    path.write_text(json.dumps(PRESS) + "\n" + '{"control": "res')
    assert without_ids(newest()) == [PRESS]
    assert newest() == []
    with path.open("a") as file:
        file.write('et"}\nnot json\n')
    assert without_ids(newest()) == [{"control": "reset"}, {}]


@pytest.mark.parametrize("put", [os.mkfifo, Path.mkdir], ids=["pipe", "folder"])
def test_operator_inputs_that_cannot_be_read_hold_up_nothing_and_are_told_once(
    tmp_path, put, capsys
):
    path = tmp_path / "controls.jsonl"
    newest = _followed([path])
    put(path)
    assert newest() == newest() == []
    assert capsys.readouterr().err.count("operator inputs") == 1


def test_equal_lines_of_a_file_are_inputs_of_their_own(tmp_path):
    path = tmp_path / "controls.jsonl"
    path.write_text((json.dumps(PRESS) + "\n") * 2)
    first, second = _followed([path])()
    assert first["id"] != second["id"]


def test_a_file_that_is_read_again_gives_its_lines_the_same_ids(tmp_path):
    path = tmp_path / "controls.jsonl"
    line = json.dumps(PRESS) + "\n"
    path.write_text(line)
    newest = _followed([path])
    one = newest()
    path.write_text(line * 2)
    in_pieces = one + newest()
    assert _followed([path])() == in_pieces


def test_a_file_has_the_same_ids_however_its_path_is_written(tmp_path, monkeypatch):
    path = tmp_path / "controls.jsonl"
    path.write_text(json.dumps(PRESS) + "\n")
    monkeypatch.chdir(tmp_path)
    assert _followed([Path("controls.jsonl")])() == _followed([path])()


def test_an_id_that_a_line_brings_is_kept(tmp_path):
    path = tmp_path / "controls.jsonl"
    path.write_text(json.dumps({**PRESS, "id": "mine"}) + "\n")
    (control,) = _followed([path])()
    assert control["id"] == "mine"


def test_a_line_that_is_too_long_is_handed_on_as_no_input(tmp_path):
    path = tmp_path / "controls.jsonl"
    path.write_text(json.dumps({**PRESS, "note": "x" * 300}) + "\n" + json.dumps(PRESS) + "\n")
    newest = _followed([path], Limits(control_line_bytes=200))
    found = [control for _ in range(6) for control in newest()]
    assert [c for c in without_ids(found) if c] == [PRESS]
    assert {} in without_ids(found)


def test_a_line_that_is_too_long_counts_once(tmp_path):
    path = tmp_path / "controls.jsonl"
    path.write_text(json.dumps({**PRESS, "note": "x" * 900}) + "\n" + json.dumps(PRESS) + "\n")
    newest = _followed([path], Limits(control_line_bytes=200))
    found = [control for _ in range(12) for control in newest()]
    assert without_ids(found) == [{}, PRESS]


def test_the_end_of_a_line_that_is_too_long_is_no_input_of_its_own(tmp_path):
    path = tmp_path / "controls.jsonl"
    line = json.dumps(PRESS)
    path.write_text(" " * 200 + line + "\n")
    newest = _followed([path], Limits(control_line_bytes=200))
    assert without_ids([control for _ in range(6) for control in newest()]) == [{}]


@pytest.mark.parametrize(
    "location",
    ["rtsp://admin:hunter2@10.0.0.5/s?token=abc", "RTSP://admin:hunter2@10.0.0.5/s"],
)
@pytest.mark.parametrize("name", ["esat", "east"])
def test_a_password_in_an_address_is_in_no_error_message(location, name):
    plan = plan_of(yard())
    given = [f"{name}={location}", f"{name}={location}"]
    with pytest.raises(UsageError) as caught:
        open_sources(plan, given, wall_ns=time.time_ns)
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    "item",
    [
        "swa=https://u:hunter2@h/x",
        "saw=mqtts://u:hunter2@h",
        "saw=mqtt://u:hunter2@h:99999/x",
        "https://u:hunter2@h/x",
    ],
)
def test_a_password_of_an_actuator_is_in_no_error_message(item):
    with pytest.raises(UsageError) as caught:
        parse_actuators(["saw"], [item], pipeline="yard")
    assert "hunter2" not in str(caught.value)
