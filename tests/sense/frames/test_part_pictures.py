"""Folders of pictures of parts: what is read, and what is refused by name."""

import cv2
import numpy as np
import pytest

from sightline.errors import SourceError, UsageError
from sightline.sense.frames.part_pictures import (
    Refused,
    find_part_pictures,
    read_mask,
    read_picture,
)

GREY = np.full((20, 30), 120, np.uint8)


def write(path, pixels=GREY):
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), pixels)
    return path


def classes(root):
    write(root / "MT_Free" / "exp1_num_10.jpg")
    write(root / "MT_Free" / "exp1_num_10.png")
    write(root / "MT_Free" / "exp2_num_25.jpg")
    write(root / "MT_Hole" / "exp1_num_90.jpg")
    write(root / "MT_Hole" / "exp1_num_90.png")
    return root


def test_a_png_beside_a_jpeg_is_its_mask(tmp_path):
    found = find_part_pictures(classes(tmp_path))
    assert [(p.name, p.is_good, p.mask and p.mask.name) for p in found] == [
        ("MT_Free/exp1_num_10.jpg", True, "exp1_num_10.png"),
        ("MT_Free/exp2_num_25.jpg", True, None),
        ("MT_Hole/exp1_num_90.jpg", False, "exp1_num_90.png"),
    ]


def parted(root):
    write(root / "train" / "good" / "000.png")
    write(root / "test" / "good" / "001.png")
    write(root / "test" / "cut" / "000.png")
    write(root / "ground_truth" / "cut" / "000_mask.png")
    return root


def test_train_and_test_folders_are_read(tmp_path):
    found = find_part_pictures(parted(tmp_path))
    assert [(p.name, p.is_good, p.mask and p.mask.name) for p in found] == [
        ("train/good/000.png", True, None),
        ("test/cut/000.png", False, "000_mask.png"),
        ("test/good/001.png", True, None),
    ]


@pytest.mark.parametrize(
    ("side", "names"),
    [("train", ["train/good/000.png"]), ("test", ["test/cut/000.png", "test/good/001.png"])],
)
def test_of_a_parted_folder_one_side_is_read(tmp_path, side, names):
    assert [p.name for p in find_part_pictures(parted(tmp_path), side=side)] == names


def test_a_side_that_is_not_there_is_said(tmp_path):
    write(tmp_path / "train" / "good" / "000.png")
    with pytest.raises(SourceError, match="folders of classes in test"):
        find_part_pictures(tmp_path, side="test")


def test_a_mask_of_two_pictures_of_one_name_is_refused(tmp_path):
    write(parted(tmp_path) / "train" / "cut" / "000.png")
    with pytest.raises(SourceError, match="one picture for each mask"):
        find_part_pictures(tmp_path, side="test")


def test_the_pattern_says_which_part_a_picture_shows(tmp_path):
    found = find_part_pictures(classes(tmp_path), part_pattern=r"num_(\d+)")
    assert [p.part for p in found] == ["10", "25", "90"]


def test_numbers_within_the_gap_are_one_part(tmp_path):
    found = find_part_pictures(classes(tmp_path), part_pattern=r"num_(\d+)", part_gap=20)
    assert [p.part for p in found] == ["10", "10", "90"]


@pytest.mark.parametrize("pattern", ["num_(", "num", r"lot_(\d+)"])
def test_a_pattern_that_does_not_fit_is_refused(tmp_path, pattern):
    with pytest.raises(UsageError, match="--part"):
        find_part_pictures(classes(tmp_path), part_pattern=pattern)


def test_an_empty_class_is_refused(tmp_path):
    (classes(tmp_path) / "MT_Crack").mkdir()
    with pytest.raises(SourceError, match="MT_Crack: expected pictures of a class"):
        find_part_pictures(tmp_path)


def test_a_label_without_a_picture_is_refused(tmp_path):
    write(classes(tmp_path) / "MT_Hole" / "exp9_num_7.png")
    with pytest.raises(SourceError, match="a picture for each mask"):
        find_part_pictures(tmp_path)


def test_no_good_class_is_refused(tmp_path):
    write(tmp_path / "MT_Hole" / "1.jpg")
    with pytest.raises(SourceError, match="a class of good parts"):
        find_part_pictures(tmp_path)


def test_the_good_class_can_be_named(tmp_path):
    write(tmp_path / "A" / "1.jpg")
    assert find_part_pictures(tmp_path, good="A")[0].is_good


def test_a_mask_of_another_size_is_refused(tmp_path):
    path = write(tmp_path / "m.png")
    with pytest.raises(SourceError, match="a mask of 31 x 20 px"):
        read_mask(path, height_px=20, width_px=31)


def code(path):
    found = read_picture(path)
    return found.code if isinstance(found, Refused) else None


def test_a_whole_picture_is_read(tmp_path):
    assert code(write(tmp_path / "a.png")) is None


def test_a_picture_of_16_bits_is_refused(tmp_path):
    assert code(write(tmp_path / "a.png", GREY.astype(np.uint16))) == "WRONG_BIT_DEPTH"


def test_a_black_picture_is_refused(tmp_path):
    assert code(write(tmp_path / "a.png", np.zeros_like(GREY))) == "BLACK"


def test_a_corrupt_file_is_refused(tmp_path):
    path = write(tmp_path / "a.jpg")
    path.write_bytes(path.read_bytes()[:200])
    assert code(path) == "UNREADABLE"


def test_a_missing_file_is_refused(tmp_path):
    assert code(tmp_path / "none.png") == "UNREADABLE"
