"""``sightline init`` with a folder of pictures of parts: a line that runs, and is reviewed."""

import json

import cv2
import numpy as np
import pytest
from typer.testing import CliRunner

from perceive.inspection.surface_cases import holed, surface
from sightline.cli.main import app_for
from sightline.errors import UsageError
from sightline.evidence.inspection.training import open_backbone, train_inspector
from sightline.perceive.inspection import InspectionSettings
from sightline.sense.frames.part_pictures import find_part_pictures


def run(*arguments):
    arguments = tuple(map(str, arguments))
    done = CliRunner().invoke(app_for(arguments), arguments)
    if done.exception and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done.stdout


def write(path, pixels):
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), pixels)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    root = tmp_path_factory.mktemp("learnt")
    for i in range(30):
        write(root / "parts" / "good" / f"{i:03}.png", surface(i))
    train_inspector(
        find_part_pictures(root / "parts"),
        root / "inspector",
        backbone=open_backbone("handcrafted"),
        settings=InspectionSettings(simulated_per_picture=1),
    )
    return root / "inspector"


@pytest.fixture
def pictures(tmp_path):
    folder = tmp_path / "today"
    for name, pixels in (("p2", surface(500)), ("p10", holed(501)), ("p11", surface(502))):
        write(folder / f"{name}.png", pixels)
    return folder


def typed(told):
    """The command that is printed as the next one."""
    line = next(line for line in told.splitlines() if line.startswith("next"))
    return line.split()[2:]


def test_each_picture_is_a_part_with_the_name_of_its_file(pictures, model, tmp_path):
    command = typed(run("init", pictures, "--model", model, "-o", tmp_path / "mine"))
    run(*command[:-1], tmp_path / "RUN")
    table = tmp_path / "parts.csv"
    run("parts", tmp_path / "RUN", "-o", table)
    rows = [line.split(",") for line in table.read_text().splitlines()]
    at = [rows[0].index(name) for name in ("serial", "disposition", "mode")]
    assert [[row[i] for i in at] for row in rows[1:]] == [
        ["p2", "accept", "primary"],
        ["p10", "scrap", "primary"],
        ["p11", "accept", "primary"],
    ]


def test_what_was_run_can_be_reviewed(pictures, model, tmp_path):
    command = typed(run("init", pictures, "--model", model, "-o", tmp_path / "mine"))
    run(*command[:-1], tmp_path / "RUN")
    queue = json.loads(run("review", tmp_path / "RUN", "--json"))["queue"]
    assert {one["serial"] for one in queue} >= {"p10"}


def test_pictures_of_several_sizes_are_told_with_what_becomes_of_them(pictures, model, tmp_path):
    write(pictures / "p12.png", np.vstack([surface(503), surface(503)])[:70])
    told = run("init", pictures, "--model", model, "-o", tmp_path / "mine")
    assert "of 4 looked at: 1 WRONG_SIZE" in told


def test_without_a_model_it_says_how_to_learn_one(pictures, tmp_path):
    with pytest.raises(UsageError, match="sightline train inspection DIR -o MODEL"):
        run("init", pictures, "-o", tmp_path / "mine")


def test_pictures_with_a_rate_are_frames_of_a_camera(pictures, tmp_path):
    command = typed(run("init", pictures, "--rate-hz", "4", "-o", tmp_path / "mine"))
    assert "rate_hz: 4" in (tmp_path / "mine" / "today.yaml").read_text()
    told = run(*command[:-1], tmp_path / "RUN")
    assert "received 3 = decided 3" in told


def test_folders_of_classes_are_for_training_first(tmp_path):
    write(tmp_path / "set" / "train" / "good" / "0.png", surface(0))
    with pytest.raises(UsageError, match="learn an inspector from folders of classes"):
        run("init", tmp_path / "set", "-o", tmp_path / "mine")


def test_pictures_that_the_model_does_not_take_are_refused(model, tmp_path):
    write(tmp_path / "in" / "0.png", np.dstack([surface(0), surface(1), surface(2)]))
    with pytest.raises(UsageError, match="WRONG_CHANNELS"):
        run("init", tmp_path / "in", "--model", model, "-o", tmp_path / "mine")


def test_the_folder_of_inspect_is_no_run_and_it_says_what_to_do(pictures, model, tmp_path):
    run("inspect", pictures, "--model", model, "-o", tmp_path / "looked")
    with pytest.raises(UsageError, match="sightline init PICTURES --model MODEL"):
        run("review", tmp_path / "looked", "--json")
