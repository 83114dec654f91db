"""From folders of pictures to a model, to decisions and to figures, by the commands."""

import csv
import hashlib
import json
import shutil
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from typer.testing import CliRunner

from perceive.inspection.surface_cases import holed, mask_of_hole, surface
from sightline.act.batch_ledger import BatchLedger
from sightline.cli.main import app_for
from sightline.errors import RefusedError, SourceError, UsageError
from sightline.evidence.inspection.evaluation import evaluate_model
from sightline.evidence.inspection.inspecting import look_at
from sightline.evidence.inspection.picture_account import maps_note
from sightline.perceive.inspection.inspector_model import load_inspector
from sightline.sense.frames.part_pictures import find_part_pictures


def run(*arguments):
    done = CliRunner().invoke(app_for(arguments), arguments)
    if done.exception and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done.stdout


def write(path, pixels):
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), pixels)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    root = tmp_path_factory.mktemp("parts")
    for i in range(30):
        write(root / "good" / f"{i:03}.png", surface(i))
    for i in range(8):
        write(root / "hole" / f"{i:03}.png", holed(100 + i))
        write(root / "hole" / f"{i:03}_mask.png", mask_of_hole().astype(np.uint8) * 255)
    return root


def train(data, out, *more):
    arguments = ("--backbone", "handcrafted", "--drawn", "1", "--json", *more)
    return json.loads(run("train", "inspection", str(data), "-o", str(out), *arguments))


@pytest.fixture(scope="module")
def model(data, tmp_path_factory):
    out = tmp_path_factory.mktemp("model")
    return out, train(data, out)


def test_the_card_says_what_handcrafted_features_cost(model):
    assert "far worse" in model[1]["notes"][0]


def test_the_card_says_that_too_few_good_parts_were_given(model):
    threshold = model[1]["threshold"]
    assert threshold["held_back_parts"] == 30
    assert threshold["false_reject_rate_bound"] > threshold["false_reject_rate_asked"]


@pytest.fixture(scope="module")
def card_of_an_odd_part(data, tmp_path_factory):
    root = tmp_path_factory.mktemp("odd")
    shutil.copytree(data / "good", root / "parts" / "good")
    write(root / "parts" / "good" / "holed.png", holed(100))  # a person took it for good
    return train(root / "parts", root / "model")


def test_the_card_names_the_good_part_that_holds_the_threshold_up(card_of_an_odd_part):
    oddest = card_of_an_odd_part["oddest_good_parts"]
    assert len(oddest) == 5
    assert oddest[0]["image"] == "good/holed.png"
    assert oddest[0]["score"] > oddest[1]["score"] + 1


def test_the_card_says_what_a_threshold_without_the_oddest_part_would_find(card_of_an_odd_part):
    told = card_of_an_odd_part["other_thresholds"]
    by = {(one["false_rejects"], one["without_oddest"]): one for one in told}
    asked, without, more = by[0.05, 0], by[0.05, 1], by[0.2, 0]
    kept = card_of_an_odd_part["threshold"]["reject_from"]
    assert asked["reject_from"] == pytest.approx(kept, abs=1e-6)
    assert without["reject_from"] < asked["reject_from"] - 1
    assert without["found"] > asked["found"]
    assert more["bound"] > asked["bound"]
    assert {one["of"] for one in told} == {"drawn"}


def test_two_trainings_with_one_seed_give_one_digest(data, model, tmp_path):
    assert train(data, tmp_path / "again")["digest"] == model[1]["digest"]


def test_masks_are_learnt_from(data, tmp_path):
    card = train(data, tmp_path / "m", "--labels", "masks")
    assert card["data"]["learnt_bad_pictures"] == 8
    assert card["figures"]["held_back_image_auroc"]["value"] == 1.0


def test_heat_maps_are_unlike_those_of_an_inspector_that_has_learnt_nothing(model):
    assert model[1]["randomised_map_correlation"] < 0.5


def test_a_good_part_that_is_labelled_bad_too_is_named(data, tmp_path):
    copy = shutil.copytree(data, tmp_path / "parts")
    shutil.copy(copy / "good/004.png", copy / "hole/099.png")
    write(copy / "hole" / "099_mask.png", mask_of_hole().astype(np.uint8) * 255)
    with pytest.raises(SourceError, match=r"good/004\.png and hole/099\.png"):
        train(copy, tmp_path / "m", "--labels", "masks")
    assert not (tmp_path / "m").exists()


def test_boxes_are_learnt_from_boards_beside_their_templates_alone(data, tmp_path):
    with pytest.raises(SourceError, match="name them NAME_test and NAME_temp"):
        train(data, tmp_path / "m", "--labels", "boxes")


def test_an_evaluation_has_figures_with_intervals(data, model):
    found = json.loads(run("evaluate", "inspection", str(data), "--model", str(model[0]), "--json"))
    assert found["image"]["auroc"]["low"] <= found["image"]["auroc"]["value"] <= 1
    assert found["per_class"]["hole"]["auroc"]["value"] > 0.9
    assert set(found["pixel"]) == {"pixel_ap", "pixel_f1", "pixel_f1_best", "pro"}


def test_an_evaluation_says_how_many_pictures_the_model_was_learnt_from(data, model):
    done = CliRunner().invoke(
        app_for(("evaluate",)), ("evaluate", "inspection", str(data), "--model", str(model[0]))
    )
    assert "learnt from 30 of these 38 pictures" in done.stderr


def test_of_train_and_test_folders_the_test_is_kept_for_evaluation(data, tmp_path):
    parts = tmp_path / "parts"
    for i, path in enumerate(sorted((data / "good").iterdir())):
        write(parts / ("test" if i < 5 else "train") / "good" / path.name, surface(i))
    shutil.copytree(data / "hole", parts / "test" / "hole")
    assert train(parts, tmp_path / "m")["data"]["pictures"] == 25
    found = json.loads(
        run("evaluate", "inspection", str(parts), "--model", str(tmp_path / "m"), "--json")
    )
    assert (found["pictures"], found["learnt_from"]) == (13, 0)


def test_training_ends_with_what_was_learnt_and_what_is_promised(data, tmp_path):
    told = run(
        "train", "inspection", str(data), "-o", str(tmp_path / "m"), "--backbone", "handcrafted",
        "--drawn", "1",
    )  # fmt: skip
    assert "learnt    30 pictures of 30 good parts, 30 drawn defects" in told
    assert "of good parts are rejected (5.0% asked, 95% sure, by 30 parts" in told
    assert "of drawn defects, looked at like new parts" in told


def test_labels_without_a_marked_picture_are_refused(data, tmp_path):
    parts = tmp_path / "parts"
    shutil.copytree(data / "good", parts / "good")
    with pytest.raises(UsageError, match="pictures of bad parts with their masks"):
        train(parts, tmp_path / "m", "--labels", "masks")


def test_an_evaluation_counts_what_a_person_looks_at_beside_what_is_rejected(data, model):
    found = load_inspector(model[0])
    pictures = find_part_pictures(data)
    no_one = found.inspector.with_thresholds(reject_from=1e9, review_from=-1e9, mark_from=0.0)
    figures = evaluate_model(replace(found, inspector=no_one), pictures).as_mapping()
    assert figures["image"]["recall"]["value"] == 0
    assert figures["image"]["not_accepted"]["value"] == 1
    assert figures["false_rejects"]["rejected"] == 0
    assert figures["false_rejects"]["not_accepted"] == figures["false_rejects"]["good_parts"]


def test_predictions_are_a_table_boxes_and_maps_of_16_bits(data, model, tmp_path):
    run(
        "evaluate", "inspection", str(data), "--model", str(model[0]), "--predictions",
        str(tmp_path / "p"),
    )  # fmt: skip
    with (tmp_path / "p" / "predictions.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 38
    assert set(rows[0]) == {"image", "score", "alarm"}
    with (tmp_path / "p" / "boxes.csv").open() as file:
        assert next(csv.reader(file)) == ["image", "x1", "y1", "x2", "y2", "class", "score"]
    heat = cv2.imread(str(tmp_path / "p" / "maps" / "hole" / "000.png"), cv2.IMREAD_UNCHANGED)
    assert (heat.dtype, heat.shape) == (np.uint16, (64, 80))


@pytest.fixture(scope="module")
def inspected(model, tmp_path_factory):
    root, out = tmp_path_factory.mktemp("pictures"), tmp_path_factory.mktemp("run")
    write(root / "a_good.png", surface(500))
    write(root / "b_hole.png", holed(501))
    write(root / "c_small.png", surface(0)[:20, :20])
    write(root / "d_deep.png", surface(0).astype(np.uint16))
    write(root / "e_colour.png", np.dstack([surface(0), surface(1), surface(2)]))
    write(root / "f_black.png", np.zeros((64, 80), np.uint8))
    (root / "g_corrupt.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    with pytest.raises(RefusedError):  # five of seven
        run("inspect", str(root), "--model", str(model[0]), "-o", str(out))
    lines = (out / "decisions.jsonl").read_text().splitlines()
    return out, {line["image"]: line for line in map(json.loads, lines)}, root


@pytest.mark.parametrize(
    ("image", "code"),
    [
        ("c_small.png", "WRONG_SIZE"),
        ("d_deep.png", "WRONG_BIT_DEPTH"),
        ("e_colour.png", "WRONG_CHANNELS"),
        ("f_black.png", "BLACK"),
        ("g_corrupt.png", "UNREADABLE"),
    ],
)
def test_what_the_model_does_not_take_goes_to_review_with_its_code(inspected, image, code):
    line = inspected[1][image]
    assert (line["disposition"], line["code"]) == ("review", code)


def test_most_pictures_refused_is_an_error_that_names_the_codes(model, tmp_path):
    write(tmp_path / "in" / "a.png", surface(500))
    for i in range(2):
        write(tmp_path / "in" / f"small{i}.png", surface(0)[:20, :20])
    with pytest.raises(RefusedError, match="2 WRONG_SIZE of 3"):
        run("inspect", str(tmp_path / "in"), "--model", str(model[0]), "-o", str(tmp_path / "r"))
    assert len((tmp_path / "r" / "decisions.jsonl").read_text().splitlines()) == 3


def test_every_frame_of_a_video_is_a_picture(model, tmp_path):
    coder = cv2.VideoWriter_fourcc(*"MJPG")
    writer = cv2.VideoWriter(str(tmp_path / "line.avi"), coder, 5, (80, 64))
    for frame in (surface(500), holed(501), surface(502)):
        writer.write(np.dstack([frame] * 3))
    writer.release()
    run("inspect", str(tmp_path / "line.avi"), "--model", str(model[0]), "-o", str(tmp_path / "r"))
    lines = list(map(json.loads, (tmp_path / "r" / "decisions.jsonl").read_text().splitlines()))
    assert [(line["image"], line["at_s"]) for line in lines] == [
        ("frame_000000.png", 0.0), ("frame_000001.png", 0.2), ("frame_000002.png", 0.4)
    ]  # fmt: skip
    assert lines[1]["disposition"] == "reject"
    assert (tmp_path / "r" / "heat" / "frame_000001.png").exists()


def test_a_file_that_is_no_picture_and_no_video_is_an_error(model, tmp_path):
    (tmp_path / "notes.txt").write_text("hello")
    with pytest.raises(SourceError, match="a video with pictures"):
        run("inspect", str(tmp_path / "notes.txt"), "--model", str(model[0]), "-o", "r")


def test_masks_are_not_looked_at_as_pictures(model, tmp_path):
    write(tmp_path / "test" / "hole" / "000.png", holed(501))
    for mask in ("test/hole/000_mask.png", "ground_truth/hole/000.png"):
        write(tmp_path / mask, mask_of_hole().astype(np.uint8) * 255)
    run("inspect", str(tmp_path), "--model", str(model[0]), "-o", str(tmp_path / "r"))
    lines = (tmp_path / "r" / "decisions.jsonl").read_text().splitlines()
    assert [json.loads(line)["image"] for line in lines] == ["test/hole/000.png"]


def test_the_report_names_pictures_that_could_not_be_looked_at(inspected):
    text = (inspected[0] / "report.html").read_text()
    assert "Could not be looked at: 5" in text
    assert "WRONG_BIT_DEPTH" in text


def test_a_hole_is_rejected_and_boxed(inspected):
    line = inspected[1]["b_hole.png"]
    assert line["disposition"] == "reject"
    x1, y1, x2, y2, _ = line["boxes"][0]
    assert x1 < 40 < x2
    assert y1 < 32 < y2


def test_the_report_shows_the_hole(inspected):
    page = (inspected[0] / "report.html").read_text()
    assert "b_hole.png" in page
    assert "<script" not in page


def test_a_rejected_picture_is_explained_by_normal_patches_and_by_what_would_have_passed(
    data, inspected
):
    (line,) = map(json.loads, (inspected[0] / "explained.jsonl").read_text().splitlines())
    assert line["image"] == "b_hole.png"
    assert 24 <= line["x_px"] < 48
    assert 16 <= line["y_px"] < 40
    near = line["nearest_normal"][0]
    pixels = cv2.imread(str(data / near["image"]), cv2.IMREAD_UNCHANGED)
    assert near["image"].startswith("good/")
    assert near["sha256"] == hashlib.sha256(pixels.tobytes()).hexdigest()
    would = line["would_pass"]
    assert would["box_px"] == pytest.approx([32, 24, 48, 40], abs=2)
    assert 0.25 < would["contrast"] < 0.4  # two thirds of about 120
    assert would["without"] < inspected[1]["b_hole.png"]["score"] / 4
    assert 0 <= would["size_passes_px"] < would["size_px"]
    assert 0 <= would["contrast_passes"] < would["contrast"] / 2
    page = (inspected[0] / "report.html").read_text()
    assert "px long with a contrast of" in page
    assert "normal patch of good/" in page


def test_heat_that_does_not_depend_on_what_was_learnt_is_not_shown(model):
    found = load_inspector(model[0])
    card = {**found.artefact.card, "randomised_map_correlation": 0.6}
    other = replace(found, artefact=replace(found.artefact, card=card))
    shown, hidden = (look_at(one, holed(501), "hole", None)[1] for one in (found, other))
    is_red = [(one[..., 2].astype(int) - one[..., 1] > 60).any() for one in (shown, hidden)]
    assert is_red == [True, False]
    assert "Heat maps are not shown" in maps_note(card)


def test_a_model_that_was_changed_inspects_nothing(data, model, tmp_path):
    out = Path(shutil.copytree(model[0], tmp_path / "m"))
    (out / "arrays.npz").write_bytes(b"x")
    with pytest.raises(UsageError, match="as the card says"):
        run("inspect", str(data), "--model", str(out), "-o", str(tmp_path / "run"))


def test_grey_and_coloured_pictures_are_not_mixed(data, tmp_path):
    for i in range(20):
        write(tmp_path / "d" / "good" / f"{i}.png", surface(i))
    write(tmp_path / "d" / "good" / "x.png", np.dstack([surface(0), surface(1), surface(2)]))
    with pytest.raises(UsageError, match="all grey, or all coloured"):
        train(tmp_path / "d", tmp_path / "m")


def test_a_batch_of_pictures_is_looked_at_once_and_says_what_inspect_says(
    inspected, model, tmp_path, monkeypatch
):
    url, pictures = f"sqlite:///{tmp_path / 'b.sqlite'}", inspected[2]
    monkeypatch.setenv("SIGHTLINE_LEDGER", url)
    batch = ("batch", "inspect", str(pictures), "--model", str(model[0]), "--json")
    first, again = json.loads(run(*batch)), json.loads(run(*batch))
    with BatchLedger.open(url, create=False) as ledger:
        found = {name: result for name, status, result in ledger.items(first["job"])
                 if status == "done"}  # fmt: skip
    assert (again["done"], again["known"]) == (0, first["items"])
    assert first["done"] == len(found) > 0
    assert {name: one["disposition"] for name, one in found.items()} == {
        name: inspected[1][name]["disposition"] for name in found
    }
