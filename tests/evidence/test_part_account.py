"""Why a part was decided: its own pictures, and what the inspector sees in them."""

import shutil

import cv2
import numpy as np
import pytest
from typer.testing import CliRunner

from sightline import notebook
from sightline.cli.main import app_for


def command(*arguments):
    given = [str(one) for one in arguments]
    done = CliRunner().invoke(app_for(given), given, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.output


@pytest.fixture(scope="module")
def line(tmp_path_factory):
    """A line of one station with its inspector, and the run of it."""
    folder = tmp_path_factory.mktemp("line")
    command("lab", "simulate", "line", folder / "line", "--parts", 12, "--defects", 0.3)
    for picture in sorted((folder / "line" / "train" / "good").iterdir())[20:]:
        picture.unlink()
    command(
        "train", "inspection", folder / "line" / "train", "-o", folder / "line" / "inspector",
        "--backbone", "handcrafted", "--labels", "none", "--drawn", 1,
    )  # fmt: skip
    notebook.run(
        folder / "line" / "inspection.yaml",
        sources={"camera": folder / "line" / "top", "process": folder / "line" / "process.csv"},
        out=folder / "run",
    )
    return folder


@pytest.fixture(scope="module")
def refused(line):
    """The first decision not to accept a part."""
    table = notebook.decisions(line / "run")
    return table.filter(table["kind"].str.starts_with("part_"))["decision_id"][0]


def test_the_account_of_a_part_is_of_its_own_picture(line, refused):
    said = command("explain", line / "run", refused)
    assert "picture    look  camera:" in said
    assert "rejected from" in said
    assert "no frame had come" not in said


def test_it_says_what_would_have_passed_and_which_good_patches_are_nearest(line, refused):
    said = command("explain", line / "run", refused)
    assert "px long with a contrast of" in said
    assert said.count("nearest normal patch: good/") == 3


def test_quickly_no_picture_is_looked_at_again(line, refused):
    said = command("explain", line / "run", refused, "--quick")
    assert "rejected from" in said
    assert "nearest normal patch" not in said


def test_its_picture_marks_the_place(line, refused, tmp_path):
    command("explain", line / "run", refused, "-o", tmp_path / "part.png")
    drawn = cv2.imread(str(tmp_path / "part.png")).astype(int)
    assert (np.abs(drawn - (0, 220, 255)).sum(axis=2) < 12).any()


def test_another_inspector_by_now_is_said_and_not_asked(line, refused, tmp_path):
    shutil.copytree(line, tmp_path / "moved")
    shutil.rmtree(line / "line" / "inspector")
    try:
        said = command("explain", line / "run", refused)
    finally:
        shutil.copytree(tmp_path / "moved" / "line" / "inspector", line / "line" / "inspector")
    assert "not looked at again" in said
    assert "rejected from" in said


def test_a_report_shows_the_parts_and_their_own_pictures(line, tmp_path):
    command("report", line / "run", "-o", tmp_path / "report.html")
    page = (tmp_path / "report.html").read_text()
    assert "<h2>Parts</h2>" in page
    assert "pictures of line-1/" in page
    assert "the site at part_" not in page
    assert "not over by the end" not in page
