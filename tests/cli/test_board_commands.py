"""Boards beside their templates: learnt, inspected and scored by the commands."""

import json

import cv2
import numpy as np
import pytest
from typer.testing import CliRunner

from perceive.inspection.board_cases import SIDE_PX, examples, template
from sightline.cli.main import app_for
from sightline.errors import SourceError, UsageError


def run(*arguments):
    arguments = [str(one) for one in arguments]
    done = CliRunner().invoke(app_for(arguments), arguments)
    if done.exception and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done.stdout


def write_boards(root, boards, *, begin=0):
    root.mkdir(parents=True, exist_ok=True)
    for number, one in enumerate(boards, start=begin):
        cv2.imwrite(str(root / f"b{number:02}_test.png"), one.picture)
        cv2.imwrite(str(root / f"b{number:02}_temp.png"), one.template)
        boxes = np.clip(one.boxes, 0, SIDE_PX).astype(int).tolist()
        lines = [f"{' '.join(map(str, b))} {k}" for b, k in zip(boxes, one.kinds, strict=True)]
        (root / f"b{number:02}.txt").write_text("\n".join(lines))
    return root


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("boards")
    data = write_boards(folder / "learnt", examples(16))
    card = json.loads(
        run("train", "inspection", data, "-o", folder / "model", "--labels", "boxes", "--json")
    )
    return folder / "model", card


@pytest.fixture
def others(tmp_path):
    return write_boards(tmp_path / "others", examples(4, begin=60))


def test_the_card_counts_boards_and_defects(model):
    data = model[1]["data"]
    assert data["boards"] == 16
    assert set(data["defects"].values()) == {16}


def test_two_trainings_give_one_digest(model, tmp_path):
    data = write_boards(tmp_path / "again", examples(16))
    again = run("train", "inspection", data, "-o", tmp_path / "m", "--labels", "boxes", "--json")
    assert json.loads(again)["digest"] == model[1]["digest"]


def test_boards_are_scored_with_and_without_kinds(model, others, tmp_path):
    found = json.loads(
        run(
            "lab",
            "evaluate",
            "inspection",
            others,
            "--model",
            model[0],
            "--predictions",
            tmp_path / "p",
            "--json",
        )
    )
    assert found["defects"] == 24
    assert found["f_at_iou_0.33"]["value"] > 0.85
    assert found["f_at_iou_0.33_without_kinds"]["value"] >= found["f_at_iou_0.33"]["value"]
    header = (tmp_path / "p" / "boxes.csv").read_text().splitlines()[0]
    assert header == "image,x1,y1,x2,y2,class,score"


def test_a_board_as_its_template_is_accepted_and_another_board_is_reviewed(model, tmp_path):
    root = tmp_path / "seen"
    root.mkdir()
    noise = np.random.default_rng(0).integers(0, 2, (SIDE_PX, SIDE_PX)).astype(np.uint8) * 255
    for name, picture in (("same", template(5)), ("other", noise)):
        cv2.imwrite(str(root / f"{name}_test.png"), picture)
        cv2.imwrite(str(root / f"{name}_temp.png"), template(5))
    run("inspect", root, "--model", model[0], "-o", tmp_path / "run", "--json")
    lines = [json.loads(one) for one in (tmp_path / "run/decisions.jsonl").read_text().splitlines()]
    said = {one["image"]: (one["disposition"], one["code"]) for one in lines}
    assert said == {
        "same_test.png": ("accept", ""),
        "other_test.png": ("review", "NOT_ALIGNED"),
    }


def test_a_picture_of_a_board_with_a_defect_has_a_drawn_box(model, others, tmp_path):
    run("inspect", others, "--model", model[0], "-o", tmp_path / "run")
    drawn = cv2.imread(str(tmp_path / "run/heat/b00_test.png"))
    assert (drawn == (0, 0, 230)).all(axis=2).sum() > 200


@pytest.mark.parametrize(
    ("line", "error"),
    [
        ("1 2 3", "x1 y1 x2 y2 kind"),
        ("10 10 5 20 1", "a box in 240 x 240 px"),
        ("10 10 300 20 1", "a box in 240 x 240 px"),
        ("10 10 30 20 7", "a kind from 1 to 6"),
    ],
)
def test_a_wrong_box_is_refused_with_its_line(others, tmp_path, line, error):
    (others / "b00.txt").write_text(f"5 5 20 20 1\n{line}\n")
    with pytest.raises(SourceError, match=error) as raised:
        run("train", "inspection", others, "-o", tmp_path / "m", "--labels", "boxes")
    assert "line 2" in str(raised.value)
    assert not (tmp_path / "m").exists()


def test_a_picture_without_its_template_is_refused(others, tmp_path):
    (others / "b00_temp.png").unlink()
    with pytest.raises(SourceError, match="a template"):
        run("train", "inspection", others, "-o", tmp_path / "m", "--labels", "boxes")


def test_a_path_that_leaves_the_folder_is_refused(others, tmp_path):
    (others / "index.csv").write_text("test,template,boxes\n../secret.png,b00_temp.png,\n")
    with pytest.raises(SourceError, match="paths below the folder"):
        run("train", "inspection", others, "-o", tmp_path / "m", "--labels", "boxes")


def test_boards_without_boxes_cannot_be_scored(model, others):
    for one in others.glob("*.txt"):
        one.unlink()
    with pytest.raises(UsageError, match="pairs with boxes"):
        run("lab", "evaluate", "inspection", others, "--model", model[0])
