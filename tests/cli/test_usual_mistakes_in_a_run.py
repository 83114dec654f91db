"""Usual mistakes that only the data can show: what a run advises is done, and then it works."""

import re
import socket

import pytest
from typer.testing import CliRunner

from act.alert_receiver import AlertReceiver
from cli.following import follow
from cli.mistake_files import CONTRACT, write_right_files, write_rows, write_video
from sightline.cli.main import app_for
from sightline.errors import SightlineError


def sightline(*words):
    given = [str(word) for word in words]
    return CliRunner().invoke(app_for(given), given)


def problem_of(done):
    assert isinstance(done.exception, SightlineError), done.output
    return done.exception


@pytest.fixture
def house(tmp_path, monkeypatch):
    """A folder in which everything is right."""
    monkeypatch.chdir(tmp_path)
    write_right_files(tmp_path)
    write_rows(tmp_path / "rows.csv")
    return tmp_path


def run(out, *, source="telemetry=rows.csv", more=()):
    return sightline("run", "p.yaml", "--source", source, "--out", out, *more)


IN_THE_CONTRACT = {
    "times as a spreadsheet writes them": ({"row": "{day},sat-1,{v}"}, {}),
    "times as numbers": ({"row": "{ms},sat-1,{v}"}, {}),
    "text where a number was expected": ({}, {"format: iso8601": "format: unix_ms"}),
    "seconds that are read as milliseconds": (
        {"row": "{s},sat-1,{v}"}, {"format: iso8601": "format: unix_ms"}),
    "another name of a column": ({"header": "time,satellite,bus_volt"}, {}),
    "another name of the key": ({"header": "time,sat,bus_v"}, {}),
    "another name of the time": ({"header": "when,satellite,bus_v"}, {}),
    "decimal commas": (
        {"header": "time;satellite;bus_v", "row": "{iso};sat-1;{comma}"}, {}),
    "a range that is too narrow": ({}, {"[0, 40]": "[0, 5]"}),
}  # fmt: skip


@pytest.mark.parametrize("mistake", IN_THE_CONTRACT)
def test_what_a_run_advises_of_its_rows_is_done_and_works(house, mistake):
    rows, changed = IN_THE_CONTRACT[mistake]
    write_rows(house / "rows.csv", **rows)
    for right, wrong in changed.items():
        (house / "t.yaml").write_text(CONTRACT.replace(right, wrong))
    first = run("first")
    said = next(line for line in first.stderr.splitlines() if line.startswith("warning: "))
    assert "1970" in said or problem_of(first).exit_code == 5
    follow(where=said[said.index("see ") + 4 :], advice=said)
    again = run("again")
    assert again.exit_code == 0, again.output
    assert re.search(r"low raised issued +1", again.output)


def test_a_file_without_rows_is_replaced_as_it_says(house):
    (house / "empty.csv").write_text("")
    problem = problem_of(run("first", source="telemetry=empty.csv"))
    assert "the file has no rows" in problem.got
    assert "give --source files that have rows" in problem.action
    assert run("again").exit_code == 0


def test_a_misspelt_name_of_a_source_is_written_as_it_says(house):
    problem = problem_of(run("first", source="telemetri=rows.csv"))
    name = re.search(r"write --source (\w+)=", problem.action)[1]
    assert run("again", source=f"{name}=rows.csv").exit_code == 0


def test_a_folder_that_is_taken_is_exchanged_as_it_says(house):
    assert run("first").exit_code == 0
    assert "choose another folder" in problem_of(run("first")).action
    assert run("again").exit_code == 0


def test_a_dead_webhook_is_named_and_its_alerts_are_sent_again_as_it_says(house):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
    problem = problem_of(run("first", more=["--alerts", f"desk=http://127.0.0.1:{port}/x"]))
    assert problem.exit_code == 7
    assert "refused" in problem.got.lower()
    words = re.search(r"`sightline (outbox \S+ --alerts) …`", problem.action)[1].split()
    with AlertReceiver() as receiver:
        done = sightline(*words, f"desk={receiver.url}")
        assert done.exit_code == 0, done.output
    assert len(receiver.effects) == 2  # raised and cleared


def test_a_size_that_is_not_that_of_the_pictures_is_written_as_it_says(house):
    write_video(house / "east.mp4", (192, 144))
    write_video(house / "west.mp4", (128, 96))
    words = ["run", "s.yaml", "--source", "east=east.mp4", "--source", "west=west.mp4", "--out"]
    first = sightline(*words, "first")
    assert "warning: camera east: 15 frames refused" in first.stderr
    said = re.search(r"set (width_px: \d+), (height_px: \d+)", problem_of(first).got)
    for pair in said.groups():
        follow(where=f"{house}/s.yaml, line 6", advice=f"write `{pair}`")
    assert sightline(*words, "again").exit_code == 0


def test_two_cameras_that_are_swapped_are_swapped_back_as_it_says(house):
    write_video(house / "east.mp4", (160, 120))
    write_video(house / "west.mp4", (128, 96))
    given = {"east": "west.mp4", "west": "east.mp4"}

    def typed(out):
        sources = [word for n, file in given.items() for word in ("--source", f"{n}={file}")]
        return sightline("run", "s.yaml", *sources, "--out", out)

    got = problem_of(typed("first")).got
    one, other = re.search(
        r"swap the two, so that --source (\w+)= has what --source (\w+)= has now", got
    ).groups()
    given[one], given[other] = given[other], given[one]
    assert typed("again").exit_code == 0


@pytest.fixture
def alike(house):
    """Two cameras of one size, with the views that `init` has written; who gives which file."""
    site = (
        (house / "s.yaml")
        .read_text()
        .replace("width_px: 128, height_px: 96", "width_px: 160, height_px: 120")
    )
    for place, name in enumerate(("east", "west"), start=1):
        write_video(house / f"{name}.mp4", (160, 120), place=place)
        assert sightline("init", f"{name}.mp4", "-o", "mine").exit_code == 0
        view = re.search(
            r"^    view: .*\n", (house / f"mine/{name}.yaml").read_text(), re.MULTILINE
        )
        site = site.replace(f"  {name}:\n", f"  {name}:\n{view[0]}", 1)
        write_video(house / f"{name}.mp4", (160, 120), place=place, light=0.6)  # later that day
    (house / "s.yaml").write_text(site)
    return {"east": "east.mp4", "west": "west.mp4"}


def warnings_with(given, out):
    sources = [word for name, file in given.items() for word in ("--source", f"{name}={file}")]
    done = sightline("run", "s.yaml", *sources, "--out", out)
    assert done.exit_code == 0, done.output
    return [line for line in done.stderr.splitlines() if line.startswith("warning: camera")]


def test_two_cameras_of_one_size_that_are_swapped_are_swapped_back_as_it_says(alike):
    given = {"east": alike["west"], "west": alike["east"]}
    (said,) = warnings_with(given, "first")
    one, other = re.search(
        r"swap the two, so that --source (\w+)= has what --source (\w+)= has now", said
    ).groups()
    given[one], given[other] = given[other], given[one]
    assert warnings_with(given, "again") == []


def test_a_camera_that_is_given_twice_is_given_its_own_pictures_as_it_says(alike):
    given = {"east": alike["west"], "west": alike["west"]}
    (said,) = warnings_with(given, "first")
    name = re.search(r"it shows what west should show .*: give --source (\w+)= its own", said)[1]
    given[name] = f"{name}.mp4"
    assert warnings_with(given, "again") == []


def test_of_a_camera_that_was_turned_it_is_not_said_that_it_is_another_one(alike, house):
    write_video(house / "east.mp4", (160, 120), place=7)
    assert warnings_with(alike, "run") == []
