"""``sightline init gateway|site``: what is written runs as it is printed, and has to be told of."""

import json
import shlex

import pytest
from typer.testing import CliRunner

from sightline.cli.main import app_for
from sightline.errors import UsageError


def sightline(*words):
    given = [str(word) for word in words]
    return CliRunner().invoke(app_for(given), given)


def next_words(output, run):
    line = next(one for one in output.splitlines() if one.startswith("next "))
    words = shlex.split(line)[2:]
    return [str(run) if word == "RUN" else word for word in words]


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("gateway", "STUCK_VALUE"),
        # the tutorial of the camera does the same
        pytest.param("site", "IN_FORBIDDEN_ZONE", marks=pytest.mark.soak),
    ],
)
def test_what_init_writes_of_an_application_runs_and_alerts(tmp_path, monkeypatch, name, told):
    monkeypatch.chdir(tmp_path)
    made = sightline("init", name, "-o", "mine")
    assert made.exit_code == 0, made.output
    words = [*next_words(made.output, "RUN"), "--alerts", "jsonl:told.jsonl"]
    done = sightline(*words)
    assert done.exit_code == 0, done.output
    lines = (tmp_path / "told.jsonl").read_text().splitlines()
    assert told in {json.loads(line)["code"] for line in lines}
    again = sightline("init", name, "-o", "mine")
    assert isinstance(again.exception, UsageError)  # nothing is written over


def test_a_file_that_is_called_as_an_application_is_not_taken_for_it(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "gateway").write_text("")
    done = sightline("init", "gateway", "-o", "mine")
    assert isinstance(done.exception, UsageError)
    assert "./gateway" in done.exception.action
