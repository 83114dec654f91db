"""What decides where a segmentation network looks: its most suspicious pixels, and the memory."""

import numpy as np
import pytest

from perceive.inspection.surface_cases import CELLS, SETTINGS, bad, good, holed, surface
from sightline.perceive.inspection import HandcraftedCells, learn_inspector
from sightline.perceive.inspection.inspector import most_suspicious


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


def test_one_hot_pixel_is_less_suspicious_than_a_pinhole():
    pixel, pinhole = (np.full((32, 40), -8, np.float32) for _ in range(2))
    pixel[5, 5] = 8
    pinhole[5, 5:8] = 0
    assert most_suspicious(pixel) < most_suspicious(pinhole) == 0


def test_a_map_smaller_than_a_pinhole_has_a_mean():
    assert most_suspicious(np.full((1, 2), -3, np.float32)) == -3


def test_a_hole_looks_like_a_defect(learnt):
    usual = [reasons(learnt, surface(2000 + i))[1] for i in range(10)]
    holes = [reasons(learnt, holed(3000 + i))[1] for i in range(10)]
    assert min(holes) > max(usual)


def test_what_nobody_has_seen_counts_though_it_is_not_like_a_marked_defect(learnt):
    picture = surface(2000)
    picture[20:44, 20:60] = np.random.default_rng(0).integers(90, 255, (24, 40))
    strange, looks = reasons(learnt, picture)
    assert strange > 1
    assert looks < 3
