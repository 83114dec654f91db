"""A model on disk is whole and unchanged, or it is refused."""

import json

import numpy as np
import pytest

from sightline.errors import UsageError
from sightline.models import InputContract, load_artefact, save_artefact

CONTRACT = InputContract(
    channels=1,
    bit_depth=8,
    min_width_px=100,
    max_width_px=300,
    min_height_px=100,
    max_height_px=300,
)


def saved(folder, **changes):
    given = {
        "kind": "inspection",
        "contract": CONTRACT,
        "graphs": {"backbone": b"graph"},
        "arrays": {"memory": np.arange(6, dtype=np.float32).reshape(2, 3)},
        "card": {"seed": 1},
    }
    return save_artefact(folder, **(given | changes))


def test_what_was_saved_is_loaded(tmp_path):
    digest = saved(tmp_path / "m")
    model = load_artefact(tmp_path / "m", kind="inspection", digest=digest)
    assert model.digest == digest
    assert model.contract == CONTRACT
    assert model.graphs == {"backbone": b"graph"}
    assert model.arrays["memory"].tolist() == [[0, 1, 2], [3, 4, 5]]


def test_equal_models_have_equal_digests(tmp_path):
    assert saved(tmp_path / "a") == saved(tmp_path / "b")


def test_another_seed_is_another_model(tmp_path):
    assert saved(tmp_path / "a") != saved(tmp_path / "b", card={"seed": 2})


@pytest.mark.parametrize("name", ["backbone.onnx", "arrays.npz"])
def test_a_changed_file_is_refused(tmp_path, name):
    saved(tmp_path)
    (tmp_path / name).write_bytes((tmp_path / name).read_bytes() + b"x")
    with pytest.raises(UsageError, match="as the card says"):
        load_artefact(tmp_path, kind="inspection")


def test_a_model_of_another_digest_is_refused(tmp_path):
    saved(tmp_path)
    with pytest.raises(UsageError, match="digest"):
        load_artefact(tmp_path, kind="inspection", digest="0" * 64)


def test_a_model_of_another_kind_is_refused(tmp_path):
    saved(tmp_path)
    with pytest.raises(UsageError, match="kind detector"):
        load_artefact(tmp_path, kind="detector")


def test_a_missing_file_is_refused(tmp_path):
    saved(tmp_path)
    (tmp_path / "arrays.npz").unlink()
    with pytest.raises(UsageError, match=r"arrays\.npz"):
        load_artefact(tmp_path, kind="inspection")


def test_a_card_cannot_name_a_file_elsewhere(tmp_path):
    saved(tmp_path / "m")
    card = json.loads((tmp_path / "m" / "card.json").read_text())
    card["files"] = {"../secret.npz": "0" * 64}
    (tmp_path / "m" / "card.json").write_text(json.dumps(card))
    with pytest.raises(UsageError, match="names of files in the folder"):
        load_artefact(tmp_path / "m", kind="inspection")


def test_arrays_of_objects_are_not_loaded(tmp_path):
    with pytest.raises(ValueError, match="allow_pickle"):
        saved(tmp_path, arrays={"memory": np.array([{}], dtype=object)})


def test_a_folder_with_something_else_is_not_written_to(tmp_path):
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(UsageError, match="something else"):
        saved(tmp_path)


@pytest.mark.parametrize(
    ("picture", "code"),
    [
        (np.zeros((200, 200), np.uint8), None),
        (np.zeros((200, 200), np.uint16), "WRONG_BIT_DEPTH"),
        (np.zeros((200, 200), np.float32), "WRONG_BIT_DEPTH"),
        (np.zeros((200, 200, 3), np.uint8), "WRONG_CHANNELS"),
        (np.zeros((200, 301), np.uint8), "WRONG_SIZE"),
        (np.zeros((99, 200), np.uint8), "WRONG_SIZE"),
    ],
)
def test_a_picture_is_held_against_the_contract(picture, code):
    breach = CONTRACT.breach(picture)
    assert (breach and breach[0]) == code
