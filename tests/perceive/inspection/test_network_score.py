"""What decides where a segmentation network looks: it, the head, and the memory."""

import numpy as np
import pytest

from perceive.inspection.surface_cases import CELLS, SETTINGS, bad, good, holed, surface
from sightline.perceive.inspection import HandcraftedCells, learn_inspector


class DarkOdds(HandcraftedCells):
    """In the place of a network: the darker a pixel, the likelier a defect."""

    def look(self, picture):
        return self(picture), ((75 - picture[::4, ::4].astype(np.float32)) / 4)


@pytest.fixture(scope="module")
def learnt():
    network = DarkOdds()
    return learn_inspector(
        good(40), bad(8), cells=CELLS, settings=SETTINGS, network=lambda *_: [network] * 5
    )


def reasons(learnt, picture):
    cells, fine = learnt.cells.look(picture)
    return learnt.inspector.reasons_of(learnt.inspector.maps_of(cells, fine))


def test_a_hole_looks_like_a_defect(learnt):
    usual = [reasons(learnt, surface(2000 + i))[1] for i in range(10)]
    holes = [reasons(learnt, holed(3000 + i))[1] for i in range(10)]
    assert min(holes) > max(usual)


def test_what_the_network_does_not_see_is_seen_by_memory_and_head(learnt):
    picture = surface(2000)
    picture[20:44, 20:60] = np.random.default_rng(0).integers(90, 255, (24, 40))
    cells, fine = learnt.cells.look(picture)
    maps = learnt.inspector.maps_of(cells, fine)
    assert fine.max() < 0
    strange, looks = learnt.inspector.reasons_of(maps)
    assert strange > 1
    assert looks > 3


def test_log_odds_of_head_and_network_are_added_cell_by_cell_and_pixel_by_pixel(learnt):
    cells, fine = learnt.cells.look(holed(3000))
    alone = learnt.inspector.maps_of(cells)
    both = learnt.inspector.maps_of(cells, fine)
    assert alone.fine is None
    assert both.fine.shape == fine.shape
    cell = both.odds[4, 5] - alone.odds[4, 5]
    assert cell == pytest.approx(fine[8:10, 10:12].max(), abs=1e-4)
    added = (both.fine - fine).reshape(8, 2, 10, 2).mean(axis=(1, 3))
    assert np.corrcoef(added.ravel(), alone.odds.ravel())[0, 1] > 0.9
