"""Cells, memory, place and head, each against a plain reference."""

import numpy as np
import pytest

from perceive.inspection.surface_cases import surface
from sightline.errors import UsageError
from sightline.perceive.inspection.cell_head import learn_surroundings
from sightline.perceive.inspection.cells import BackboneCells, HandcraftedCells, grid_of
from sightline.perceive.inspection.defect_head import _gradients, learn_head
from sightline.perceive.inspection.patch_memory import cover, learn_patches
from sightline.perceive.inspection.simulated_defects import _grain_is_upright, draw_defect
from sightline.perceive.inspection.usual_place import learn_usual

RANDOM = np.random.default_rng(0)


def test_distances_are_those_to_the_nearest_vector():
    patches = RANDOM.normal(size=(200, 5)).astype(np.float32)
    memory = learn_patches(patches, size=30, seed=0)
    cells = RANDOM.normal(size=(3, 4, 5)).astype(np.float32)
    flat = (cells.reshape(-1, 5) - memory.mean) / memory.scale
    plain = np.linalg.norm(flat[:, None] - memory.vectors[None], axis=2).min(axis=1)
    assert memory.distances(cells).ravel() == pytest.approx(plain, abs=1e-4)


def test_the_nearest_patches_are_told():
    memory = learn_patches(RANDOM.normal(size=(200, 5)).astype(np.float32), size=30, seed=0)
    cell = memory.vectors[7] * memory.scale + memory.mean
    assert memory.nearest(cell, count=3)[0] == 7


def test_a_cover_is_within_twice_the_best_radius():
    groups = np.repeat(np.arange(6) * 10.0, 20)
    points = (groups[:, None] + RANDOM.uniform(-0.5, 0.5, (120, 2))).astype(np.float32)
    chosen = points[cover(points, size=6, seed=0)]
    radius = np.linalg.norm(points[:, None] - chosen[None], axis=2).min(axis=1).max()
    assert radius <= 2 * np.sqrt(2)


def test_the_gradient_is_that_of_the_loss():
    rows = RANDOM.normal(size=(20, 4))
    wanted = (RANDOM.random(20) > 0.5).astype(float)
    parameters = [RANDOM.normal(size=s) for s in ((4, 5), (5, 3), (3, 1), 5, 3, 1)]

    def loss():
        w1, w2, w3, b1, b2, b3 = parameters
        odds = (np.maximum(np.maximum(rows @ w1 + b1, 0) @ w2 + b2, 0) @ w3 + b3)[:, 0]
        return (np.logaddexp(0, odds) - wanted * odds).mean()

    found = _gradients(rows, wanted[:, None], parameters)
    for parameter, gradient in zip(parameters, found, strict=True):
        at = (0,) * parameter.ndim
        before = loss()
        parameter[at] += 1e-6
        assert (loss() - before) / 1e-6 == pytest.approx(gradient[at], abs=1e-4)
        parameter[at] -= 1e-6


def test_a_head_learns_what_can_be_told_apart():
    seen = RANDOM.normal(size=(4000, 8)).astype(np.float32)
    wanted = (seen[:, 0] * seen[:, 1] > 0).astype(np.float32)
    head = learn_head(seen, wanted, hidden=(32, 16), rounds=20, batch=256, seed=0)
    last = (seen - head.mean) / head.scale
    for weight, bias in zip(head.weights[:2], head.biases[:2], strict=True):
        last = np.maximum(last @ weight + bias, 0)
    odds = (last @ head.weights[2] + head.biases[2])[:, 0]
    assert ((odds > 0) == (wanted > 0)).mean() > 0.9


def test_of_a_lone_cell_the_difference_to_those_about_it_is_seen():
    cells = RANDOM.normal(size=(20, 5)).astype(np.float32)
    around = learn_surroundings(cells)
    flat = np.tile(cells[0], (9, 9, 1))
    alone = flat.copy()
    alone[4, 4] += 1
    near = slice(10, 15)
    seen = around.rows(alone).reshape(9, 9, -1)[..., near]
    assert np.abs(around.rows(flat)[:, near]).max() < 1e-4
    assert seen[4, 4] == pytest.approx(around.basis.sum(axis=0) * 8 / 9, abs=1e-4)
    assert np.abs(seen[0]).max() < 1e-4


def test_the_grain_is_told_from_the_picture():
    upright = np.tile(RANDOM.normal(size=(1, 90)) * 20 + 120, (120, 1)).astype(np.float32)
    assert _grain_is_upright(upright[:, :, None])
    assert not _grain_is_upright(upright.T[:, :, None])


def test_places_count_where_they_differ():
    border = np.zeros((24, 24), np.float32)
    border[:4] = 10
    maps = [border + RANDOM.normal(size=border.shape).astype(np.float32) for _ in range(30)]
    usual = learn_usual(maps)
    assert usual.is_by_place
    assert abs(usual.deviations(border)[[0, 12, 23]]).max() < 2


def test_places_do_not_count_where_they_are_alike():
    maps = [RANDOM.normal(size=(24, 24)).astype(np.float32) for _ in range(30)]
    usual = learn_usual(maps)
    assert not usual.is_by_place
    assert len(np.unique(usual.mean)) == 1


@pytest.mark.parametrize("seed", range(12))
def test_a_drawn_defect_changes_the_picture_where_its_mask_is(seed):
    picture = surface(0, height=120, width=160)
    drawn, mask = draw_defect(picture, surface(1), np.random.default_rng(seed))
    assert drawn.shape == picture.shape
    assert drawn.dtype == np.uint8
    changed = np.abs(drawn.astype(int) - picture) > 2
    if mask.any():
        far = ~(np.asarray(mask, bool))
        assert changed[mask].mean() > changed[far].mean()


def test_a_coloured_picture_keeps_its_colours():
    picture = np.dstack([surface(0), surface(1), surface(2)])
    drawn, _ = draw_defect(picture, picture, np.random.default_rng(0))
    assert drawn.shape == picture.shape


@pytest.mark.parametrize("shape", [(64, 80), (61, 77), (61, 77, 3)])
def test_handcrafted_cells_cover_the_picture(shape):
    cells = HandcraftedCells()
    found = cells(RANDOM.integers(0, 256, shape).astype(np.uint8))
    assert found.shape == (*grid_of(*shape[:2], scale=1.0), cells.channels)


def backbone(*, output="maps"):
    onnx = pytest.importorskip("onnx")
    helper, kinds = onnx.helper, onnx.TensorProto
    picture = helper.make_tensor_value_info("picture", kinds.UINT8, ["b", 3, "h", "w"])
    shapes = {"maps": ["b", 3, "u", "v"], "flat": ["b", "n"]}
    out = helper.make_tensor_value_info("out", kinds.FLOAT, shapes[output])
    nodes = [helper.make_node("Cast", ["picture"], ["wide"], to=kinds.FLOAT)]
    if output == "maps":
        pool = {"kernel_shape": [4, 4], "strides": [4, 4]}
        nodes.append(helper.make_node("AveragePool", ["wide"], ["out"], **pool))
    else:
        nodes.append(helper.make_node("Flatten", ["wide"], ["out"]))
    model = helper.make_model(
        helper.make_graph(nodes, "g", [picture], [out]), opset_imports=[helper.make_opsetid("", 17)]
    )
    model.ir_version = 8
    return model.SerializeToString()


@pytest.mark.parametrize("shape", [(64, 80), (61, 77), (61, 77, 3)])
def test_cells_of_any_backbone_are_its_maps_on_one_grid(shape):
    picture = RANDOM.integers(0, 256, shape).astype(np.uint8)
    found = BackboneCells(backbone(), where="b")(picture)
    assert found.shape == (*grid_of(*shape[:2], scale=1.0), 6)
    first = picture[:8, :8].reshape(2, 4, 2, 4, -1).mean(axis=(1, 3)).reshape(4, -1)[:, ::-1]
    both = [np.broadcast_to(one, 3) for one in (first.mean(axis=0), first.max(axis=0))]
    assert found[0, 0] == pytest.approx(np.concatenate(both), abs=1e-3)


def test_a_scale_gives_more_cells():
    found = BackboneCells(backbone(), where="b", scale=2.0)(surface(0))
    assert found.shape == (16, 20, 6)


def test_a_model_without_maps_is_no_backbone():
    with pytest.raises(UsageError, match="feature maps"):
        BackboneCells(backbone(output="flat"), where="b")
