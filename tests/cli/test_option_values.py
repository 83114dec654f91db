"""Options of ``sightline run``: inputs from files that grow, and secrets that are never printed."""

import json
import time

import pytest

from sightline.cli.outlets import parse_actuators
from sightline.cli.run_command import _followed
from sightline.cli.sources import open_sources
from sightline.errors import UsageError
from simulation.site_cases import plan_of, yard


def test_operator_inputs_are_read_from_a_file_that_grows(tmp_path):
    path = tmp_path / "controls.jsonl"
    newest = _followed([path])
    assert newest() == []
    press = {"control": "reset", "machine": "saw", "is_down": True}
    path.write_text(json.dumps(press) + "\n" + '{"control": "res')
    assert newest() == [press]
    assert newest() == []
    with path.open("a") as file:
        file.write('et"}\nnot json\n')
    assert newest() == [{"control": "reset"}, {}]


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
